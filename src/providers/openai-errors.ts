/** OpenAI's errors as ours. Its codes: the error code guide and the SDK 7.57, read in November 2026. */
import OpenAI from 'openai'
import { ProviderError, type Charged, type ErrorCode } from '../errors.ts'
import { FROM_BETWEEN, retryAfterOf, toLostCallError } from './call-failures.ts'

const PROVIDER = 'openai'

interface Meaning {
  code: ErrorCode
  message: string
  isRetryable?: boolean
}

const REFUSED_INPUT: Meaning = { code: 'content_refused', message: 'The provider refused the request because of its content. Change the prompt or the pictures and try again.' }
const REFUSED_OUTPUT: Meaning = { code: 'content_refused', message: 'The provider made a result and withheld it because of its content. Change the prompt and try again.' }
const BAD_KEY: Meaning = { code: 'provider_misconfigured', message: "The provider does not accept this service's key. Tell the operator." }
const NO_MONEY: Meaning = { code: 'provider_quota_reached', message: "The service's quota with the provider is used up. Try later or tell the operator." }
const BUSY: Meaning = { code: 'provider_rate_limited', message: 'The provider is busy. Try again in a moment.', isRetryable: true }
const NO_MODEL: Meaning = { code: 'model_unavailable', message: 'The provider does not offer this model to this service. Choose another one.' }
const BAD_SETTING: Meaning = { code: 'invalid_request', message: 'The provider cannot make this request: one of its settings is not accepted.' }
const BROKEN: Meaning = { code: 'provider_failed', message: 'The provider had an internal error. Try again.', isRetryable: true }

/** By the vendor's `code`, else by its `type`: either may be missing. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  moderation_blocked: REFUSED_INPUT,
  content_policy_violation: REFUSED_INPUT,
  invalid_api_key: BAD_KEY,
  invalid_organization: BAD_KEY,
  insufficient_quota: NO_MONEY,
  billing_hard_limit_reached: NO_MONEY,
  rate_limit_exceeded: BUSY,
  requests: BUSY,
  tokens: BUSY,
  model_not_found: NO_MODEL,
  context_length_exceeded: { code: 'invalid_request', message: 'The prompt is too long for this model.' },
  invalid_value: BAD_SETTING,
  unknown_parameter: BAD_SETTING,
  missing_required_parameter: BAD_SETTING,
  image_generation_user_error: BAD_SETTING,
}

const BY_STATUS: [fits: (status: number) => boolean, meaning: Meaning][] = [
  // The configured address leads elsewhere.
  [(status) => status < 400, { code: 'provider_misconfigured', message: "The provider's address is not right. Tell the operator." }],
  [(status) => status === 401, BAD_KEY],
  // A country or an organisation that is not verified.
  [(status) => status === 403, { code: 'provider_misconfigured', message: "The service's account may not use this model. Tell the operator." }],
  [(status) => status === 404 || status === 410, NO_MODEL],
  [(status) => status === 429 || status === 503, BUSY],
  [(status) => status >= 500, BROKEN],
  [(status) => status === 400 || status === 413 || status === 422, BAD_SETTING],
  [() => true, { code: 'provider_failed', message: 'The provider refused the request.' }],
]

/** What any failure of a call becomes. */
export function toOpenAIError(error: unknown): ProviderError {
  if (error instanceof ProviderError) return error
  if (error instanceof OpenAI.APIUserAbortError || error instanceof OpenAI.APIConnectionTimeoutError) return toLostCallError(PROVIDER, error, true)
  if (error instanceof OpenAI.APIError && error.status !== undefined) return toStatusError(error as StatusError)
  return toLostCallError(PROVIDER, error)
}

type StatusError = InstanceType<typeof OpenAI.APIError> & { status: number; headers: Headers | undefined }

function toStatusError(error: StatusError): ProviderError {
  const stage = stageOf(error)
  const meaning = stage === 'output' ? REFUSED_OUTPUT : meaningOf(error)
  // What was withheld may have been made, and nothing says that it is free.
  const isWithheld = stage === undefined ? error.code === 'moderation_blocked' : stage !== 'input'
  const charged = isWithheld ? 'unknown' : chargedBy(error)
  const isLost = charged === 'unknown' && !isWithheld
  return new ProviderError(isLost ? 'submission_unknown' : meaning.code, isLost ? 'The provider or something on the way to it failed. What was asked for may have been made and paid, so it was not asked for again.' : meaning.message, {
    provider: PROVIDER,
    charged,
    isRetryable: charged === 'no' && (meaning.isRetryable ?? false),
    statusCode: error.status,
    providerRequestId: error.requestID ?? undefined,
    retryAfterSeconds: retryAfterOf(error.headers),
    cause: error,
  })
}

function meaningOf({ code, type, status }: StatusError): Meaning {
  for (const word of [code, type]) {
    if (typeof word === 'string' && Object.hasOwn(MEANINGS, word)) return MEANINGS[word]!
  }
  return BY_STATUS.find(([fits]) => fits(status))![1]
}

/** An error in the vendor's own envelope says that it did not accept; one from a proxy says nothing of that. */
function chargedBy({ status, error }: StatusError): Charged {
  if (FROM_BETWEEN.has(status)) return 'unknown'
  const isOwn = typeof error === 'object' && error !== null
  return isOwn || (status < 500 && status !== 409) ? 'no' : 'unknown'
}

/** Where moderation struck: `input`, `output` or `unknown`; not always told. */
function stageOf({ error }: StatusError): string | undefined {
  if (typeof error !== 'object' || error === null || !('moderation_details' in error)) return undefined
  const details = error.moderation_details
  return typeof details === 'object' && details !== null && 'moderation_stage' in details && typeof details.moderation_stage === 'string' ? details.moderation_stage : undefined
}
