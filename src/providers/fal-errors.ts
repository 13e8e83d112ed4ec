/** fal's errors as ours. Its types: the pages Model Errors and Request Errors of its documentation, read in November 2026. */
import { z } from 'zod'
import { ProviderError, type Charged, type ErrorCode } from '../errors.ts'
import { retryAfterOf } from './call-failures.ts'
import { TELLS_NOTHING, type VendorAnswer } from './vendor-call.ts'

const PROVIDER = 'fal'

interface Meaning {
  code: ErrorCode
  message: string
  isRetryable?: boolean
}

const UNREADABLE_FILE: Meaning = { code: 'invalid_request', message: 'The provider could not read the given picture. Try another one.' }
const SETTING: Meaning = { code: 'invalid_request', message: 'The provider cannot make this request: one of its settings is not accepted.' }
const NO_RUNNER: Meaning = { code: 'provider_failed', message: 'The provider had no machine for this. Try again.', isRetryable: true }
const TOO_SLOW: Meaning = { code: 'operation_expired', message: 'The provider did not get this done in time. Nothing was charged; try again.', isRetryable: true }
const INTERNAL: Meaning = { code: 'provider_failed', message: 'The provider had an internal error. Try again.' }

/** By the beginning of the vendor's `type` or `error_type`, the most telling first. */
const MEANINGS: [pattern: RegExp, meaning: Meaning][] = [
  [/^content_policy_violation/, { code: 'content_refused', message: 'The provider refused this because of its content. Change the wording or the picture and try again.' }],
  [/^no_media_generated/, { code: 'provider_failed', message: 'The provider made nothing of this. Try again or change the prompt.' }],
  [/^face_detection_error/, { code: 'invalid_request', message: 'The provider found no face in the picture.' }],
  [/^image_too_small/, { code: 'invalid_request', message: 'The picture is too small for this model.' }],
  [/^(image|file)_too_large/, { code: 'invalid_request', message: 'The picture is too large for this model.' }],
  [/^(image_load_error|file_download_error|unsupported_image_format)/, UNREADABLE_FILE],
  [/^feature_not_supported/, { code: 'invalid_request', message: 'This model cannot do what was asked of it.' }],
  [/^(sequence_too_long|string_too_long)/, { code: 'invalid_request', message: 'The prompt is too long for this model.' }],
  [/^(missing|extra_forbidden|value_error|greater_than|less_than|multiple_of|one_of)/, SETTING],
  [/^(request|startup|generation)_timeout/, TOO_SLOW],
  [/^runner_/, NO_RUNNER],
  [/^(internal_server_error|downstream_service_(error|unavailable))/, INTERNAL],
]

const KEY: Meaning = { code: 'provider_misconfigured', message: "The provider does not accept this service's key. Tell the operator." }
const MONEY: Meaning = { code: 'provider_quota_reached', message: "The service's credit with the provider is used up. Tell the operator." }

const BY_STATUS: [fits: (status: number) => boolean, meaning: Meaning][] = [
  [(status) => status === 401, KEY],
  [(status) => status === 402, MONEY],
  [(status) => status === 403, { code: 'provider_misconfigured', message: "The service's account may not use this model. Tell the operator." }],
  [(status) => status === 404, { code: 'model_unavailable', message: 'The provider does not offer this model any more, or not to this service. Choose another one.' }],
  [(status) => status === 413, { code: 'invalid_request', message: 'The picture is too large for this model.' }],
  [(status) => status === 400 || status === 422, SETTING],
  [(status) => status === 429, { code: 'provider_rate_limited', message: 'The provider is busy. Try again in a moment.', isRetryable: true }],
  [(status) => status >= 500, INTERNAL],
  [() => true, { code: 'provider_failed', message: 'The provider refused the request.' }],
]

/** The only sign of an empty account is in the words of a 403. */
const EXHAUSTED = /exhausted balance|user is locked/i

/** What a submission became that was not answered with a request id. A task may exist behind any 5xx. */
export function toStartError(answer: VendorAnswer): ProviderError {
  const { status } = answer
  if (status >= 400 && status < 500 && !TELLS_NOTHING.has(status)) return toError(answer, 'no')
  return new ProviderError('submission_unknown', 'The provider or something on the way to it failed. What was asked for may have been made and paid, so it was not asked for again.', { ...about(answer), charged: 'unknown', cause: causeOf(answer) })
}

/** A look, or an attempt to cancel, that was not answered. It says nothing of the work itself. */
export function toLookError(answer: VendorAnswer): ProviderError {
  const { status } = answer
  if (status === 404) return new ProviderError('operation_lost', 'The provider does not know this work any more.', { ...about(answer), charged: 'unknown', cause: causeOf(answer) })
  if (status === 401 || status === 402 || status === 403 || status === 429) return toError(answer, 'no')
  return new ProviderError('provider_failed', 'The provider could not be asked how far it is. Try again in a moment.', { ...about(answer), charged: 'no', isRetryable: true, cause: causeOf(answer) })
}

/** Statuses that are about the call for the result and not about the run behind it. */
const ABOUT_THE_CALL = new Set([401, 402, 403, 404, 408, 409, 425, 429, 499])

/**
 * The failure of a run, as the call for its result tells it; undefined where that answer is not about the run: a proxy's
 * page, or a 400 without a type, which the vendor gives to those who ask too early.
 * @param statusType the `error_type` that newer servers put into the status already.
 */
export function toRunError(answer: VendorAnswer, statusType?: string): ProviderError | undefined {
  const { type, hasEnvelope } = readError(answer)
  if (ABOUT_THE_CALL.has(answer.status)) return undefined
  const isTold = type !== undefined || statusType !== undefined || (hasEnvelope && answer.status !== 400)
  return isTold ? toError(answer, chargedForRun(answer.status, type ?? statusType), statusType) : undefined
}

/** "No charge for server errors" is promised; of a run that ended with a 4xx only an input that is known to be refused is surely free. */
function chargedForRun(status: number, type: string | undefined): Charged {
  return status >= 500 || meaningOf(type)?.code === 'invalid_request' ? 'no' : 'unknown'
}

const meaningOf = (type: string | undefined): Meaning | undefined => MEANINGS.find(([pattern]) => pattern.test(type ?? ''))?.[1]

function toError(answer: VendorAnswer, charged: Charged, statusType?: string): ProviderError {
  const { type = statusType, text } = readError(answer)
  const known = meaningOf(type)
  const byStatus = answer.status === 403 && EXHAUSTED.test(text) ? MONEY : BY_STATUS.find(([fits]) => fits(answer.status))![1]
  const meaning = known ?? byStatus
  const retryAfterSeconds = retryAfterOf(answer.headers)
  return new ProviderError(meaning.code, meaning.message, {
    ...about(answer),
    charged,
    isRetryable: charged === 'no' && isRetryable(answer.headers, meaning),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    cause: causeOf(answer),
  })
}

/** The vendor says in a header whether a retry is sane; a limit that we set ourselves would only be reached again. */
function isRetryable(headers: Headers, meaning: Meaning): boolean {
  if (headers.get('x-fal-request-timeout-type') === 'user') return false
  const told = headers.get('x-fal-retryable') ?? headers.get('x-fal-needs-retry')
  if (told !== null && meaning.code === 'provider_failed') return told === 'true' || told === '1'
  return meaning.isRetryable ?? false
}

const about = ({ status, headers }: VendorAnswer) => ({ provider: PROVIDER, statusCode: status, providerRequestId: requestIdOf(headers) })

export const requestIdOf = (headers: Headers): string | undefined => headers.get('x-fal-request-id') ?? undefined

/** The vendor repeats the whole input beside its words: none of that is kept. */
function causeOf(answer: VendorAnswer): Error {
  const { type, text } = readError(answer)
  return new Error(`${answer.status} ${type ?? 'untyped'}: ${text.slice(0, MAX_TEXT)}`)
}

const MAX_TEXT = 300

function readError({ headers, body }: VendorAnswer): { type: string | undefined; text: string; hasEnvelope: boolean } {
  const parsed = errorSchema.safeParse(body)
  const { detail, error_type: errorType } = parsed.data ?? {}
  const first = Array.isArray(detail) ? detail[0] : undefined
  const type = first?.type ?? errorType ?? headers.get('x-fal-error-type') ?? undefined
  return { type, text: first?.msg ?? (typeof detail === 'string' ? detail : ''), hasEnvelope: detail !== undefined }
}

/** Two shapes: the model's own errors in an array, the platform's as text with a type beside it. */
const errorSchema = z.object({
  detail: z.union([z.string(), z.array(z.object({ type: z.string().optional(), msg: z.string().optional() }))]).optional(),
  error_type: z.string().optional(),
})
