/** Replicate's errors as ours. Its statuses: the HTTP API's description of April 2026; its words for failed runs: read in November 2026. */
import { z } from 'zod'
import { ProviderError, type ErrorCode } from '../errors.ts'
import { retryAfterOf } from './call-failures.ts'
import { TELLS_NOTHING, type VendorAnswer } from './vendor-call.ts'

const PROVIDER = 'replicate'

interface Meaning {
  code: ErrorCode
  message: string
  isRetryable?: boolean
}

const NO_MODEL: Meaning = { code: 'model_unavailable', message: 'The provider does not offer this model any more, or not to this service. Choose another one.' }
const SETTING: Meaning = { code: 'invalid_request', message: 'The provider cannot make this request: one of its settings is not accepted.' }
const TOO_LARGE: Meaning = { code: 'invalid_request', message: 'The picture is too large for the provider.' }

const BY_STATUS: [fits: (status: number) => boolean, meaning: Meaning][] = [
  [(status) => status === 401, { code: 'provider_misconfigured', message: "The provider does not accept this service's key. Tell the operator." }],
  [(status) => status === 402, { code: 'provider_quota_reached', message: "The service's credit with the provider is used up. Tell the operator." }],
  // A private model, a community model without its version, or none: the vendor does not tell them apart.
  [(status) => status === 403 || status === 404, NO_MODEL],
  [(status) => status === 413, TOO_LARGE],
  [(status) => status === 400 || status === 422, SETTING],
  [(status) => status === 429, { code: 'provider_rate_limited', message: 'The provider is busy. Try again in a moment.', isRetryable: true }],
  [() => true, { code: 'provider_failed', message: 'The provider refused the request.' }],
]

/** What a create became that was not answered with a prediction. One may exist behind any 5xx. */
export function toStartError(answer: VendorAnswer): ProviderError {
  const { status } = answer
  if (status < 400 || status >= 500 || TELLS_NOTHING.has(status)) {
    return new ProviderError('submission_unknown', 'The provider or something on the way to it failed. What was asked for may have been made and paid, so it was not asked for again.', { ...about(answer), charged: 'unknown' })
  }
  // The same status as for bad input, told apart by its title.
  return status === 422 && /invalid version/i.test(problemOf(answer).title) ? toError(answer, NO_MODEL) : toError(answer, meaningOf(status))
}

/**
 * A look, a list or an attempt to cancel that was not answered. It says nothing of the work itself.
 * @param isAboutOne whether a 404 means that the vendor has forgotten it.
 */
export function toLookError(answer: VendorAnswer, isAboutOne = true): ProviderError {
  const { status } = answer
  if (status === 404 && isAboutOne) return new ProviderError('operation_lost', 'The provider does not know this work any more.', { ...about(answer), charged: 'unknown' })
  if (status === 403) return toError(answer, meaningOf(401))
  if (status === 401 || status === 402 || status === 429) return toError(answer, meaningOf(status))
  return new ProviderError('provider_failed', 'The provider could not be asked how far it is. Try again in a moment.', { ...about(answer), charged: 'no', isRetryable: true })
}

/** The upload of an input, which costs nothing, failed before anything was started. */
export function toUploadError(answer: VendorAnswer): ProviderError {
  const { status } = answer
  if (status >= 400 && status < 500 && !TELLS_NOTHING.has(status)) return toError(answer, status === 403 || status === 404 ? meaningOf(401) : meaningOf(status))
  return new ProviderError('provider_failed', 'The provider did not take the picture. Try again in a moment.', { ...about(answer), charged: 'no', isRetryable: true })
}

/** A failed run tells its reason in words alone, the most telling first. Its own codes are in brackets at their end. */
const RUN_MEANINGS: [pattern: RegExp, meaning: Meaning][] = [
  [/nsfw|flagged as sensitive|content policy|\bE005\b/i, { code: 'content_refused', message: 'The provider refused this because of its content. Change the wording or the picture and try again.' }],
  [/\bE006\b|invalid input/i, SETTING],
  [/\bE00[34]\b|unavailable|at capacity|interrupted/i, { code: 'provider_failed', message: 'The provider was too busy for this. Try again.' }],
]

/** Whether failed runs are billed depends on the model: nothing is promised. */
export function toRunError(text: string | undefined): ProviderError {
  const meaning = RUN_MEANINGS.find(([pattern]) => pattern.test(text ?? ''))?.[1] ?? { code: 'provider_failed', message: 'The provider could not make this. Try again.' }
  return new ProviderError(meaning.code, meaning.message, { provider: PROVIDER, charged: 'unknown', statusCode: 200, cause: new Error(codeIn(text ?? '')) })
}

/** An error may repeat what it was given, the prompt too: only its code is kept. */
const codeIn = (text: string): string => /\bE\d{3,4}\b/.exec(text)?.[0] ?? 'a failed run without a code'

const meaningOf = (status: number): Meaning => BY_STATUS.find(([fits]) => fits(status))![1]

function toError(answer: VendorAnswer, meaning: Meaning): ProviderError {
  const retryAfterSeconds = retryAfterOf(answer.headers) ?? (answer.status === 429 ? secondsIn(problemOf(answer).detail) : undefined)
  return new ProviderError(meaning.code, meaning.message, { ...about(answer), charged: 'no', isRetryable: meaning.isRetryable ?? false, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) })
}

/** `Your rate limit resets in ~30s.` */
function secondsIn(detail: string): number | undefined {
  const seconds = /resets in ~?(\d{1,5})\s*s/.exec(detail)?.[1]
  return seconds === undefined ? undefined : Number(seconds)
}

/** The vendor's words about bad input may repeat it, so that only the title is kept. */
const about = (answer: VendorAnswer) => ({ provider: PROVIDER, statusCode: answer.status, providerRequestId: requestIdOf(answer.headers), cause: new Error(`${answer.status} ${problemOf(answer).title.slice(0, MAX_TITLE)}`.trim()) })

const MAX_TITLE = 100

export const requestIdOf = (headers: Headers): string | undefined => headers.get('x-request-id') ?? undefined

function problemOf({ body }: VendorAnswer): { title: string; detail: string } {
  const { title = '', detail = '' } = problemSchema.safeParse(body).data ?? {}
  return { title, detail }
}

const problemSchema = z.object({ title: z.string().optional().catch(undefined), detail: z.string().optional().catch(undefined) })
