/** ModelArk's errors as ours. Its codes: BytePlus's error code list and the SDK's, read in November 2026. */
import OpenAI from 'openai'
import { ProviderError, type Charged, type ErrorCode } from '../errors.ts'
import { FROM_BETWEEN, isAbort, retryAfterOf, toLostCallError, toLostLookError } from './call-failures.ts'

const PROVIDER = 'modelark'

interface Meaning {
  code: ErrorCode
  message: string
  isRetryable?: boolean
}

/** By the beginning of the vendor's code, the most telling first. */
const MEANINGS: [pattern: RegExp, meaning: Meaning][] = [
  [/^InputText.*PolicyViolation/, { code: 'content_refused', message: 'The provider refused the prompt because it may infringe copyright. Describe it in other words.' }],
  [/^InputImage.*PrivacyInformation/, { code: 'content_refused', message: 'The provider refused the picture because it may show a real person.' }],
  [/^Input(Image|Video|Audio).*(SensitiveContentDetected|RiskDetection)/, { code: 'content_refused', message: 'The provider refused the given file because of its content.' }],
  [/^(InputText)?(SensitiveContentDetected|RiskDetection)/, { code: 'content_refused', message: 'The provider refused the prompt because of its content. Change the wording and try again.' }],
  [/^Output\w*(SensitiveContentDetected|RiskDetection)/, { code: 'content_refused', message: 'The provider made a result and withheld it because of its content. Try again or change the prompt.' }],
  [/^ContentSecurityDetectionError/, { code: 'provider_failed', message: "The provider's content check failed. Try again.", isRetryable: true }],
  [/^OutofContext/, { code: 'invalid_request', message: 'The prompt is too long for this model.' }],
  [/^(AuthenticationError|InvalidAccountStatus)/, { code: 'provider_misconfigured', message: "The provider does not accept this service's key. Tell the operator." }],
  [/^(AccountOverdue|OperationDenied\.ServiceOverdue)/, { code: 'provider_misconfigured', message: "The service's account with the provider has an unpaid balance. Tell the operator." }],
  [/^(AccessDenied|OperationDenied)/, { code: 'provider_misconfigured', message: "The service's account may not use this model. Tell the operator." }],
  [/^(InvalidEndpointOrModel|ModelNotOpen|NotFound)/, { code: 'model_unavailable', message: 'The provider does not offer this model to this service. Choose another one.' }],
  [/^(QuotaExceeded|SetLimitExceeded)/, { code: 'provider_quota_reached', message: "The service's quota with the provider is used up. Try later or tell the operator." }],
  [/^(RateLimitExceeded|\w*RateLimitExceeded|RequestBurstTooFast|InflightBatchsizeExceeded|ServerOverloaded)/, { code: 'provider_rate_limited', message: 'The provider is busy. Try again in a moment.', isRetryable: true }],
  [/^(MissingParameter|InvalidParameter|InvalidArgument|InvalidImageURL)/, { code: 'invalid_request', message: 'The provider cannot make this request: one of its settings is not accepted.' }],
  [/^InternalServiceError/, { code: 'provider_failed', message: 'The provider had an internal error. Try again.', isRetryable: true }],
]

const BY_STATUS: [status: (status: number) => boolean, meaning: Meaning][] = [
  [(status) => status === 401, { code: 'provider_misconfigured', message: "The provider does not accept this service's key. Tell the operator." }],
  [(status) => status === 403, { code: 'provider_misconfigured', message: "The service's account may not use this model. Tell the operator." }],
  [(status) => status === 404, { code: 'model_unavailable', message: 'The provider does not offer this model to this service. Choose another one.' }],
  [(status) => status === 429, { code: 'provider_rate_limited', message: 'The provider is busy. Try again in a moment.', isRetryable: true }],
  [(status) => status >= 500, { code: 'provider_failed', message: 'The provider had an internal error. Try again.', isRetryable: true }],
  [() => true, { code: 'provider_failed', message: 'The provider refused the request.' }],
]

/**
 * What a call may cost: a picture is made while one waits; of a task, a 5xx, in whose words ever, may come after it was
 * accepted; a look, a list or a wish to cancel costs nothing, whatever happens to it.
 */
export type CallKind = 'picture' | 'task' | 'free'

/** What any failure of a call becomes. */
export function toModelArkError(error: unknown, kind: CallKind): ProviderError {
  if (error instanceof ProviderError) return error
  if (error instanceof OpenAI.APIError && error.status !== undefined) return toStatusError(error as StatusError, kind)
  const hasTimedOut = isAbort(error) || error instanceof OpenAI.APIUserAbortError || error instanceof OpenAI.APIConnectionTimeoutError
  return kind === 'free' ? toLostLookError(PROVIDER, error, hasTimedOut) : toLostCallError(PROVIDER, error, hasTimedOut)
}

type StatusError = InstanceType<typeof OpenAI.APIError> & { status: number; headers: Headers | undefined }

function toStatusError(error: StatusError, kind: CallKind): ProviderError {
  const vendorCode = typeof error.code === 'string' ? error.code : ''
  const known = meaningOf(vendorCode)
  const meaning = known ?? BY_STATUS.find(([fits]) => fits(error.status))![1]
  const charged = kind === 'free' ? 'no' : kind === 'task' && error.status >= 500 ? 'unknown' : chargedBy(error.status, known)
  const isUnknown = charged === 'unknown'
  return new ProviderError(isUnknown ? 'submission_unknown' : meaning.code, isUnknown ? "The provider or something on the way to it failed. What was asked for may have been made and paid, so it was not asked for again." : meaning.message, {
    provider: PROVIDER,
    charged,
    isRetryable: !isUnknown && (meaning.isRetryable ?? false),
    statusCode: error.status,
    providerRequestId: error.requestID ?? undefined,
    retryAfterSeconds: retryAfterOf(error.headers),
    cause: error,
  })
}

/** An error in the vendor's own words says that it did not accept; one from a proxy or gateway says nothing of that. */
function chargedBy(status: number, known: Meaning | undefined): Charged {
  if (FROM_BETWEEN.has(status)) return 'unknown'
  return known !== undefined || (status < 500 && status !== 409) ? 'no' : 'unknown'
}

/** What the vendor says inside a 200. */
interface InnerError {
  code?: string | null | undefined
  message?: string | null | undefined
}

/**
 * A 200 without a picture: only pictures that were made are billed.
 * @param error of the item; undefined where it holds neither a picture nor an error.
 * @param made how many pictures the vendor counts, where it tells.
 */
export function toItemError(error: InnerError | null | undefined, made: number | undefined, providerRequestId: string | undefined): ProviderError {
  const meaning: Meaning = meaningOf(error?.code ?? '') ?? { code: 'provider_failed', message: 'The provider answered without a picture.' }
  const told: Charged = error ? 'no' : 'unknown'
  const charged = made === undefined ? told : made > 0 ? 'yes' : 'no'
  return new ProviderError(meaning.code, meaning.message, {
    provider: PROVIDER,
    charged,
    isRetryable: charged === 'no' && (meaning.isRetryable ?? false),
    statusCode: 200,
    providerRequestId,
    cause: error ? new Error(`${error.code ?? ''}: ${error.message ?? ''}`) : undefined,
  })
}

/** A task that failed: it is not billed. The same codes stand in it as in a refused call. */
export function toTaskError(error: InnerError | null | undefined): ProviderError {
  const meaning: Meaning = meaningOf(error?.code ?? '') ?? { code: 'provider_failed', message: 'The provider could not make this video. Try again.' }
  return new ProviderError(meaning.code, meaning.message, { provider: PROVIDER, charged: 'no', isRetryable: meaning.isRetryable ?? false, statusCode: 200, cause: new Error(`${error?.code ?? ''}: ${error?.message ?? ''}`) })
}

const meaningOf = (vendorCode: string): Meaning | undefined => MEANINGS.find(([pattern]) => pattern.test(vendorCode))?.[1]
