/**
 * Google's errors as ours. Its words: the Gemini API's troubleshooting page and google.rpc.Code, read in November 2026.
 * "If your request fails with a 400 or 500 error, you won't be charged" (its billing page).
 */
import { z } from 'zod'
import { ProviderError, type Charged, type ErrorCode } from '../errors.ts'
import { isAbort, wasNeverSent } from './call-failures.ts'

export const PROVIDER = 'google'

/** What a call may cost: a picture is made while one waits, a video is only begun, everything else is free. */
export type CallKind = 'picture' | 'video' | 'free'

interface Meaning {
  code: ErrorCode
  message: string
  isRetryable?: boolean
}

const KEY: Meaning = { code: 'provider_misconfigured', message: "The provider does not accept this service's key. Tell the operator." }
const ACCOUNT: Meaning = { code: 'provider_misconfigured', message: "The service's account may not use this model. Tell the operator." }
const GONE: Meaning = { code: 'model_unavailable', message: 'The provider does not offer this model to this service. Choose another one.' }
const REFUSED: Meaning = { code: 'content_refused', message: 'The provider refused the request because of its content. Change the wording or the picture and try again.' }
const SETTING: Meaning = { code: 'invalid_request', message: 'The provider cannot make this request: one of its settings is not accepted.' }
const TOO_LARGE: Meaning = { code: 'invalid_request', message: 'The given files are too large for the provider.' }
const MONEY: Meaning = { code: 'provider_quota_reached', message: "The service's credit with the provider is used up. Tell the operator." }
const DAILY: Meaning = { code: 'provider_quota_reached', message: "The service's quota with the provider is used up for today. Try tomorrow or tell the operator." }
const BUSY: Meaning = { code: 'provider_rate_limited', message: 'The provider is busy. Try again in a moment.', isRetryable: true }
const INTERNAL: Meaning = { code: 'provider_failed', message: 'The provider had an internal error. Try again.', isRetryable: true }
const SLOW: Meaning = { code: 'provider_timeout', message: 'The provider did not finish in time. Try again.', isRetryable: true }
const OTHER: Meaning = { code: 'provider_failed', message: 'The provider refused the request.' }

/** By the vendor's word, in `status` or, on the Interactions API, in `code`. */
const BY_WORD: Readonly<Record<string, Meaning>> = {
  INVALID_ARGUMENT: SETTING,
  INVALID_REQUEST: SETTING,
  OUT_OF_RANGE: SETTING,
  // Billing is off, or the API is not offered where the service runs.
  FAILED_PRECONDITION: ACCOUNT,
  UNAUTHENTICATED: KEY,
  PERMISSION_DENIED: ACCOUNT,
  NOT_FOUND: GONE,
  RESOURCE_EXHAUSTED: BUSY,
  INTERNAL,
  UNAVAILABLE: INTERNAL,
  DEADLINE_EXCEEDED: SLOW,
}

/** The same words as numbers, where a failed interaction has those. */
const WORDS = new Map([['3', 'INVALID_ARGUMENT'], ['4', 'DEADLINE_EXCEEDED'], ['5', 'NOT_FOUND'], ['7', 'PERMISSION_DENIED'], ['8', 'RESOURCE_EXHAUSTED'], ['9', 'FAILED_PRECONDITION'], ['13', 'INTERNAL'], ['14', 'UNAVAILABLE'], ['16', 'UNAUTHENTICATED']])

/** A reason that says more than the word beside it: a wrong key comes as 400 `INVALID_ARGUMENT`. */
const KEY_REASONS = new Set(['API_KEY_INVALID', 'API_KEY_EXPIRED', 'API_KEY_SERVICE_BLOCKED', 'ACCESS_TOKEN_EXPIRED'])

const BY_STATUS: [fits: (status: number) => boolean, meaning: Meaning][] = [
  [(status) => status === 401, KEY],
  [(status) => status === 402, MONEY],
  [(status) => status === 403, ACCOUNT],
  [(status) => status === 404, GONE],
  [(status) => status === 413, TOO_LARGE],
  [(status) => status === 400 || status === 422, SETTING],
  [(status) => status === 429, BUSY],
  [(status) => status >= 500, INTERNAL],
  [() => true, OTHER],
]

/** Whole words: API_KEY_SERVICE_BLOCKED is no refusal of content. */
const CONTENT_WORD = /^(IMAGE_|VIDEO_)?(SAFETY|PROHIBITED_CONTENT|RECITATION|BLOCKLIST|SPII|JAILBREAK|MODEL_ARMOR|CONTENT_POLICY|CONTENT_FILTER(ED)?)$/i

/** Whether the vendor's word says that it will not make or show this. */
export const isContentWord = (word: string): boolean => CONTENT_WORD.test(word)

/** Statuses that something in between gives when it lost patience or the connection. */
const FROM_BETWEEN = new Set([408, 499, 502])
/**
 * Words with which the vendor itself says that it failed, and so made and billed nothing. Not `DEADLINE_EXCEEDED`, which "may
 * be returned even if the operation has completed successfully" (google.rpc.Code).
 */
const OWN_FAILURES = new Set(['INTERNAL', 'UNAVAILABLE'])

const UNKNOWN_BILL = 'What was asked for may have been made and paid, so it was not asked for again.'

/** An answer other than 200. */
export function toAnswerError(answer: { status: number; headers: Headers; text: string }, kind: CallKind, hide: (text: string) => string): ProviderError {
  const vendor = parseVendorError(answer.text)
  const charged = chargedBy(answer.status, vendor, kind)
  const meaning: Meaning = charged === 'unknown' ? { code: 'submission_unknown', message: `The provider or something on the way to it failed. ${UNKNOWN_BILL}` } : meaningOf(answer.status, vendor)
  return new ProviderError(meaning.code, meaning.message, {
    provider: PROVIDER,
    charged,
    isRetryable: meaning.isRetryable ?? false,
    statusCode: answer.status,
    // A used-up day comes with some seconds too, which would not help.
    retryAfterSeconds: meaning.isRetryable ? retryAfter(vendor, answer.headers) : undefined,
    cause: new Error(hide(describe(answer.status, vendor))),
  })
}

/** A call that got no whole answer. */
export function toLostError(error: unknown, kind: CallKind): ProviderError {
  const isTimeout = isAbort(error)
  const isFree = kind === 'free'
  const options = { provider: PROVIDER, cause: error }
  if (isTimeout) return new ProviderError('provider_timeout', isFree ? 'The provider did not answer in time.' : `The provider did not answer in time. ${UNKNOWN_BILL}`, { ...options, charged: isFree ? 'no' : 'unknown', isRetryable: isFree })
  if (isFree || wasNeverSent(error)) return new ProviderError('provider_failed', 'The provider cannot be reached. Try again in a moment.', { ...options, charged: 'no', isRetryable: true })
  return new ProviderError('submission_unknown', `The connection to the provider was lost before it answered. ${UNKNOWN_BILL}`, { ...options, charged: 'unknown' })
}

/** A 200 that cannot be read: of a paid call, something may have come into being behind it. */
export function toUnreadableError(cause: unknown, kind: CallKind, providerRequestId?: string): ProviderError {
  const isFree = kind === 'free'
  const message = 'The provider answered in a form that this service does not understand.'
  return new ProviderError(isFree ? 'provider_failed' : 'submission_unknown', isFree ? message : `${message} ${UNKNOWN_BILL}`, { provider: PROVIDER, charged: isFree ? 'no' : 'unknown', isRetryable: isFree, statusCode: 200, providerRequestId, cause })
}

/** What an interaction that failed says of it. It was accepted; whether it was billed, its usage tells. */
export function toFailureError(errors: readonly VendorFailure[], charged: Charged): ProviderError {
  const [first] = errors
  const code = String(first?.code ?? '')
  const word = (WORDS.get(code) ?? code).toUpperCase()
  const known = isContentWord(word) ? REFUSED : BY_WORD[word]
  const { code: ours, message, isRetryable = false }: Meaning = known ?? { code: 'provider_failed', message: 'The provider could not make this video. Try again.' }
  return new ProviderError(ours, message, { provider: PROVIDER, charged, isRetryable: isRetryable && charged === 'no', statusCode: 200, cause: new Error(`${code}: ${(first?.message ?? '').slice(0, MAX_CAUSE)}`) })
}

function meaningOf(status: number, vendor: VendorError | undefined): Meaning {
  // Once a 429 too: only the status tells money from haste.
  if (status === 402) return MONEY
  if (vendor?.details.some(({ reason }) => KEY_REASONS.has(reason ?? ''))) return KEY
  if (vendor?.details.some(({ violations }) => violations?.some(({ quotaId }) => quotaId?.includes('PerDay')))) return DAILY
  if (vendor?.words.some((word) => isContentWord(word))) return REFUSED
  return vendor?.words.map((word) => BY_WORD[word]).find((meaning) => meaning !== undefined) ?? BY_STATUS.find(([fits]) => fits(status))![1]
}

/** An error in the vendor's own words says that it did not accept; one from a proxy or gateway says nothing of that. */
function chargedBy(status: number, vendor: VendorError | undefined, kind: CallKind): Charged {
  if (kind === 'free') return 'no'
  if (FROM_BETWEEN.has(status)) return 'unknown'
  if (status === 409) return vendor ? 'no' : 'unknown'
  if (status < 500) return status >= 400 ? 'no' : 'unknown'
  return kind === 'picture' && vendor?.words.some((word) => OWN_FAILURES.has(word)) ? 'no' : 'unknown'
}

/** Seconds. The vendor promises no header: its details say it, as `21s`. */
function retryAfter(vendor: VendorError | undefined, headers: Headers): number | undefined {
  const delay = vendor?.details.find(({ retryDelay }) => retryDelay !== undefined)?.retryDelay ?? headers.get('retry-after') ?? ''
  const seconds = /^(\d+(?:\.\d+)?)s?$/.exec(delay)?.[1]
  return seconds === undefined ? undefined : Math.ceil(Number(seconds))
}

const MAX_CAUSE = 500

/** For the log. */
function describe(status: number, vendor: VendorError | undefined): string {
  if (!vendor) return `Google answered with status ${status}`
  const reasons = vendor.details.map(({ reason }) => reason).filter((reason) => reason !== undefined)
  return `Google answered with status ${status}: ${[...vendor.words, ...reasons].join(' ')}: ${vendor.message.slice(0, MAX_CAUSE)}`
}

interface VendorError {
  /** `status` and a `code` that is a word, in capitals. */
  words: string[]
  message: string
  details: z.infer<typeof detailSchema>[]
}

/** Undefined where the answer is not in Google's form: then it is somebody else's. */
function parseVendorError(text: string): VendorError | undefined {
  let data: unknown
  try {
    data = JSON.parse(text)
  } catch {
    return undefined
  }
  // Google's front end wraps the same object into a list.
  const parsed = envelopeSchema.safeParse(Array.isArray(data) ? data[0] : data)
  if (!parsed.success) return undefined
  const { status, code, message, details } = parsed.data.error
  const words = [status, code].filter((word) => typeof word === 'string').map((word) => word.toUpperCase())
  return { words, message: message ?? '', details: details.flatMap((detail) => detailSchema.safeParse(detail).data ?? []) }
}

const detailSchema = z.object({
  /** google.rpc.ErrorInfo. */
  reason: z.string().optional(),
  /** google.rpc.RetryInfo. */
  retryDelay: z.string().optional(),
  /** google.rpc.QuotaFailure. */
  violations: z.array(z.object({ quotaId: z.string().optional() })).optional(),
})

/** A failed interaction has these in a list of their own. */
export const failureSchema = z.object({ code: z.union([z.string(), z.number()]).nullish(), message: z.string().nullish() })
type VendorFailure = z.infer<typeof failureSchema>

const envelopeSchema = z.object({
  error: failureSchema.extend({ status: z.string().nullish(), details: z.array(z.unknown()).nullish().transform((details) => details ?? []) }),
})
