/**
 * The errors of OpenAI-compatible gateways as ours: OpenAI's own words, which they pass on, OpenRouter's and one-api's, in
 * any of the envelopes that they come in. Read from their documents and sources in November 2026.
 */
import { z } from 'zod'
import { ProviderError, type Charged, type ErrorCode } from '../errors.ts'
import { FROM_BETWEEN, retryAfterOf } from './call-failures.ts'

/** What a call was for: a picture at once, a task that goes on behind the answer, or only a look, which costs nothing. */
export type Purpose = 'create' | 'create-task' | 'look'

interface Meaning {
  code: ErrorCode
  message: string
  isRetryable?: boolean
}

const REFUSED: Meaning = { code: 'content_refused', message: 'The provider refused the request because of its content. Change the prompt or the pictures and try again.' }
const BAD_KEY: Meaning = { code: 'provider_misconfigured', message: "The provider does not accept this service's key. Tell the operator." }
const NOT_ALLOWED: Meaning = { code: 'provider_misconfigured', message: "The service's account may not use this model. Tell the operator." }
const NO_MONEY: Meaning = { code: 'provider_quota_reached', message: "The service's quota with the provider is used up. Try later or tell the operator." }
const BUSY: Meaning = { code: 'provider_rate_limited', message: 'The provider is busy. Try again in a moment.', isRetryable: true }
const NO_MODEL: Meaning = { code: 'model_unavailable', message: 'The provider does not offer this model to this service. Choose another one.' }
const TOO_LONG: Meaning = { code: 'invalid_request', message: 'The prompt is too long for this model.' }
const BAD_PICTURE: Meaning = { code: 'invalid_request', message: 'The provider cannot use the given picture.' }
const BAD_SETTING: Meaning = { code: 'invalid_request', message: 'The provider cannot make this request: one of its settings is not accepted.' }
const BROKEN: Meaning = { code: 'provider_failed', message: 'The provider had an internal error. Try again.', isRetryable: true }
const REFUSED_FOR_NO_REASON: Meaning = { code: 'provider_failed', message: 'The provider refused the request.' }

/** By the words that stand in `code`, `type` or `error_type`. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  ...toEach(REFUSED, 'moderation_blocked content_policy_violation refusal'),
  ...toEach(BAD_KEY, 'invalid_api_key invalid_organization authentication'),
  ...toEach(NOT_ALLOWED, 'permission_denied'),
  ...toEach(NO_MONEY, 'insufficient_quota insufficient_user_quota billing_hard_limit_reached payment_required'),
  ...toEach(BUSY, 'rate_limit_exceeded provider_overloaded'),
  ...toEach(NO_MODEL, 'model_not_found not_found'),
  ...toEach(TOO_LONG, 'context_length_exceeded max_tokens_exceeded token_limit_exceeded string_too_long'),
  ...toEach(BAD_PICTURE, 'invalid_image image_too_large image_too_small unsupported_image_format image_not_found image_download_failed'),
  ...toEach(BAD_SETTING, 'invalid_value unknown_parameter missing_required_parameter invalid_request invalid_prompt precondition_failed payload_too_large unprocessable'),
  ...toEach(BROKEN, 'server provider_unavailable'),
  // new-api, of a task that is looked at; with a 400.
  task_not_exist: { code: 'operation_lost', message: 'The provider does not know this video any more.' },
}

function toEach(meaning: Meaning, words: string): Record<string, Meaning> {
  return Object.fromEntries(words.split(' ').map((word) => [word, meaning]))
}

/** A gateway's words for a lost connection to the vendor behind it: what that one did is not known. */
const LOST_BEHIND = new Set(['do_request_failed', 'read_response_body_failed', 'bad_response_body', 'empty_response', 'timeout'])

/** Smaller gateways tell of a refusal in the vendor's sentence alone. */
const REFUSAL_TEXT = /safety system|content policy/i
const NO_MODEL_TEXT = /not a valid model/i

interface VendorError {
  /** In order of precedence. */
  words: string[]
  text: string
  /** OpenRouter's 403 for moderation names its reasons; one for permissions does not. */
  hasReasons: boolean
  /** OpenRouter's 402 that passes when calls under way have ended. */
  isPassing: boolean
  /** Where OpenAI's moderation struck: `input`, `output` or `unknown`. */
  stage?: string | undefined
}

/** What an answer tells of an error, in whichever envelope; undefined where it has none. */
export function readVendorError(data: unknown): VendorError | undefined {
  const parsed = envelopeSchema.safeParse(data)
  if (!parsed.success) return undefined
  const { error, message, detail, code, type, error_type: errorType } = parsed.data
  const inner = typeof error === 'object' && error !== null ? error : undefined
  const text = [typeof error === 'string' ? error : inner?.message, message, typeof detail === 'string' ? detail : undefined].find((part) => typeof part === 'string')
  if (!inner && text === undefined && detail === undefined) return undefined
  const { metadata } = inner ?? {}
  const words = [inner?.code, metadata?.error_type, inner?.error_type, inner?.type, code, errorType, type].filter((word) => typeof word === 'string')
  return { words, text: text ?? '', hasReasons: (metadata?.reasons ?? []).length > 0, isPassing: metadata?.limit_source === 'openrouter_in_flight_budget', stage: inner?.moderation_details?.moderation_stage }
}

/** What an answer that means no becomes. */
export function toStatusError(provider: string, { status, headers, data, providerRequestId }: { status: number; headers: Headers; data: unknown; providerRequestId: string | undefined }, purpose: Purpose): ProviderError {
  const error = readVendorError(data)
  const meaning = meaningOf(status, error)
  const isWithheld = purpose === 'create' && meaning === REFUSED && mayBeMade(error)
  const charged = purpose === 'look' ? 'no' : isWithheld ? 'unknown' : chargedBy(status, error, purpose)
  const isLost = charged === 'unknown' && !isWithheld
  return new ProviderError(isLost ? 'submission_unknown' : meaning.code, isLost ? 'The provider or something on the way to it failed. What was asked for may have been made and paid, so it was not asked for again.' : meaning.message, {
    provider,
    charged,
    isRetryable: charged === 'no' && (meaning.isRetryable ?? false),
    statusCode: status,
    providerRequestId,
    retryAfterSeconds: retryAfterOf(headers),
    cause: new Error(describe(error, status)),
  })
}

/**
 * An error inside a 200. The model may have begun before it failed: only words that are said before any work prove that it
 * did not.
 */
export function toInnerError(provider: string, error: VendorError, providerRequestId: string | undefined): ProviderError {
  const meaning = wordMeaning(error) ?? { code: 'provider_failed', message: 'The provider answered without a result.' }
  const isProof = meaning.code !== 'content_refused' && meaning.code !== 'provider_failed' && meaning.code !== 'provider_rate_limited'
  return new ProviderError(meaning.code, meaning.message, { provider, charged: isProof ? 'no' : 'unknown', statusCode: 200, providerRequestId, cause: new Error(describe(error, 200)) })
}

/** A task that failed. @param charged what the vendor says of the bill. */
export function toTaskError(provider: string, data: unknown, charged: Charged): ProviderError {
  const error = readVendorError(data)
  const meaning: Meaning = (error && wordMeaning(error)) ?? { code: 'provider_failed', message: 'The provider could not make this video. Try again.' }
  return new ProviderError(meaning.code, meaning.message, { provider, charged, isRetryable: charged === 'no' && (meaning.isRetryable ?? false), statusCode: 200, cause: new Error(describe(error, 200)) })
}

function wordMeaning({ words, text }: VendorError): Meaning | undefined {
  const word = words.find((one) => Object.hasOwn(MEANINGS, one))
  if (word !== undefined) return MEANINGS[word]
  return REFUSAL_TEXT.test(text) ? REFUSED : undefined
}

function meaningOf(status: number, error: VendorError | undefined): Meaning {
  if (status === 402) return error?.isPassing ? BUSY : NO_MONEY
  if (status === 403 && error?.hasReasons) return REFUSED
  // The vendor's sentence decides only where a refusal is meant anyway.
  const known = error && wordMeaning({ ...error, text: status === 400 || status === 403 || status === 422 ? error.text : '' })
  if (known) return known
  if (status === 400 && NO_MODEL_TEXT.test(error?.text ?? '')) return NO_MODEL
  // one-api has no channel for the model in this group; other gateways' 503 passes.
  if (status === 503 && error?.words.some((word) => /^(one|new)_api_error$/.test(word))) return NO_MODEL
  return BY_STATUS.find(([fits]) => fits(status))![1]
}

const BY_STATUS: [fits: (status: number) => boolean, meaning: Meaning][] = [
  // The configured address leads elsewhere; following it could carry the key along.
  [(status) => status < 400, { code: 'provider_misconfigured', message: "The provider's address is not right. Tell the operator." }],
  [(status) => status === 401, BAD_KEY],
  [(status) => status === 403, NOT_ALLOWED],
  [(status) => status === 404 || status === 410, NO_MODEL],
  [(status) => status === 413, { code: 'invalid_request', message: 'The request is too large for the provider.' }],
  [(status) => status === 429 || status === 503 || status === 529, BUSY],
  [(status) => status >= 500 || status === 408, BROKEN],
  [(status) => status === 400 || status === 422, BAD_SETTING],
  [() => true, REFUSED_FOR_NO_REASON],
]

/**
 * Whether a picture may have been made before it was refused: OpenAI says where it struck, OpenRouter and the words of old
 * mean the request; a later word or a sentence alone may mean either.
 */
function mayBeMade(error: VendorError | undefined): boolean {
  if (error?.stage !== undefined) return error.stage !== 'input'
  return !error?.hasReasons && !error?.words.some((word) => word === 'content_policy_violation' || word === 'refusal')
}

/** An error in the gateway's own envelope says that it did not accept, unless a task may go on behind it. */
function chargedBy(status: number, error: VendorError | undefined, purpose: Purpose): Charged {
  // one-api could not read what the vendor behind it said: it is no word of that one's.
  if (status >= 500 && error?.words.includes('bad_response_status_code')) return 'unknown'
  if (FROM_BETWEEN.has(status) || error?.words.some((word) => LOST_BEHIND.has(word))) return 'unknown'
  // 303 says that what was asked for is elsewhere now.
  if (status === 303 || (status >= 500 && purpose === 'create-task')) return 'unknown'
  return error !== undefined || (status < 500 && status !== 409) ? 'no' : 'unknown'
}

/** For the log alone. */
const describe = (error: VendorError | undefined, status: number): string => `${status} ${error?.words.join(' ') ?? ''}: ${error?.text.slice(0, 500) ?? ''}`

const word = z.unknown().optional()
const detailsSchema = z.object({ moderation_stage: z.string().optional() }).nullish().catch(undefined)
const metadataSchema = z.object({ error_type: word, limit_source: word, reasons: z.array(z.unknown()).optional().catch(undefined) }).nullish().catch(undefined)

/** `{"error": {…}}`, `{"error": "…"}`, `{"message", "code"}` and `{"detail": …}`. */
const envelopeSchema = z.object({
  error: z.union([z.string(), z.object({ message: word, code: word, type: word, error_type: word, metadata: metadataSchema, moderation_details: detailsSchema })]).nullish().catch(undefined),
  message: word,
  detail: word,
  code: word,
  type: word,
  error_type: word,
})
