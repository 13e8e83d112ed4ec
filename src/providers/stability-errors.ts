/** Stability's errors as ours. Its statuses and names: the v2beta API document, read in November 2026. */
import { z } from 'zod'
import { ProviderError, type ErrorCode } from '../errors.ts'
import { FROM_BETWEEN, isAbort, retryAfterOf, wasNeverSent } from './call-failures.ts'

const PROVIDER = 'stability'
/** Who asks more than 150 times in 10 seconds is shut out for so long. */
const RATE_LIMIT_PAUSE_SECONDS = 60
/** Enough of the vendor's text for the log. */
const MAX_CAUSE_CHARACTERS = 500

interface Meaning {
  code: ErrorCode
  message: string
  isRetryable?: boolean
}

const NOT_ACCEPTED: Meaning = { code: 'invalid_request', message: 'The provider cannot make this request: one of its settings or its picture is not accepted.' }
const BAD_KEY: Meaning = { code: 'provider_misconfigured', message: "The provider does not accept this service's key. Tell the operator." }
const NO_CREDIT: Meaning = { code: 'provider_quota_reached', message: "The service's credit with the provider is used up. Tell the operator." }
const TOO_LARGE: Meaning = { code: 'invalid_request', message: 'The picture is too large for the provider. Choose a smaller one.' }
const BUSY: Meaning = { code: 'provider_rate_limited', message: 'The provider is busy. Try again in a minute.', isRetryable: true }
const FAILED: Meaning = { code: 'provider_failed', message: 'The provider had an internal error. Try again.', isRetryable: true }
const REFUSED: Meaning = { code: 'content_refused', message: 'The provider refused the prompt or the picture because of its content. Change them and try again.' }
const GONE: Meaning = { code: 'model_unavailable', message: 'The provider does not offer this model to this service. Choose another one.' }

/** The vendor's names, which tell more than its statuses. */
const BY_NAME: Partial<Record<string, Meaning>> = {
  bad_request: NOT_ACCEPTED,
  unauthorized: BAD_KEY,
  payment_required: NO_CREDIT,
  content_moderation: REFUSED,
  payload_too_large: TOO_LARGE,
  invalid_language: { code: 'invalid_request', message: 'The provider understands prompts in English only.' },
  public_figure: { code: 'content_refused', message: 'The provider refused the request because it may show a well-known person.' },
  copyrighted_content: { code: 'content_refused', message: 'The provider refused the request because it may infringe copyright.' },
  rate_limit_exceeded: BUSY,
  internal_error: FAILED,
}

const BY_STATUS: Partial<Record<number, Meaning>> = {
  400: NOT_ACCEPTED,
  401: BAD_KEY,
  402: NO_CREDIT,
  403: { code: 'provider_misconfigured', message: "The service's account may not use this model. Tell the operator." },
  // Every model has an address of its own, and those of dead ones are gone.
  404: GONE,
  410: GONE,
  413: TOO_LARGE,
  // Its other names are all refusals.
  422: REFUSED,
  429: BUSY,
}

const LOST = 'What was asked for may have been made and paid, so it was not asked for again.'

/** A call that got no answer, or not the whole of it. */
export function toLostError(error: unknown, call: 'paid' | 'free'): ProviderError {
  const cause = error
  if (error instanceof ProviderError) return error
  if (isAbort(error) && call === 'paid') return new ProviderError('provider_timeout', `The provider did not answer in time. ${LOST}`, { provider: PROVIDER, charged: 'unknown', cause })
  if (isAbort(error)) return new ProviderError('provider_timeout', 'The provider did not answer in time.', { provider: PROVIDER, charged: 'no', isRetryable: true, cause })
  if (call === 'free' || wasNeverSent(error)) return new ProviderError('provider_failed', 'The provider cannot be reached. Try again in a moment.', { provider: PROVIDER, charged: 'no', isRetryable: true, cause })
  return new ProviderError('submission_unknown', `The connection to the provider was lost before it answered. ${LOST}`, { provider: PROVIDER, charged: 'unknown', cause })
}

/** A yes that holds no picture: one may have been made and billed. */
export const unreadable = (providerRequestId: string | undefined): ProviderError => new ProviderError('submission_unknown', 'Stability answered in a form that this service does not understand.', { provider: PROVIDER, charged: 'unknown', statusCode: 200, providerRequestId })

/**
 * An answer that is no success.
 * @param text its body. An error in the vendor's own words says that nothing is charged: failed calls never are.
 */
export function toStatusError(response: Response, text: string, call: 'paid' | 'free'): ProviderError {
  const { status } = response
  const envelope = parseEnvelope(text)
  const isClear = call === 'free' || (!FROM_BETWEEN.has(status) && (envelope !== undefined || (status >= 400 && status < 500 && status !== 409)))
  const meaning = meaningOf(status, envelope)
  return new ProviderError(isClear ? meaning.code : 'submission_unknown', isClear ? meaning.message : `The provider or something on the way to it failed. ${LOST}`, {
    provider: PROVIDER,
    charged: isClear ? 'no' : 'unknown',
    isRetryable: isClear && (meaning.isRetryable ?? false),
    statusCode: status,
    providerRequestId: response.headers.get('x-request-id') ?? envelope?.id,
    retryAfterSeconds: retryAfterOf(response.headers) ?? (status === 429 ? RATE_LIMIT_PAUSE_SECONDS : undefined),
    cause: new Error(`${status} ${envelope ? `${envelope.name}: ${envelope.errors.join('; ')}` : 'without an error of the vendor’s'}`.slice(0, MAX_CAUSE_CHARACTERS)),
  })
}

function meaningOf(status: number, envelope: Envelope | undefined): Meaning {
  // Each text begins with the field that it is about.
  if (status === 400 && envelope?.errors.some((error) => error.startsWith('model:'))) return GONE
  return BY_NAME[envelope?.name ?? ''] ?? BY_STATUS[status] ?? (status >= 500 || FROM_BETWEEN.has(status) ? FAILED : { code: 'provider_failed', message: 'The provider refused the request.' })
}

/** How a picture ended that came with a 200. */
export function toFinishError(finishReason: string, providerRequestId: string | undefined): ProviderError {
  const isFiltered = finishReason === 'CONTENT_FILTERED'
  return new ProviderError(isFiltered ? 'content_refused' : 'provider_failed', isFiltered ? 'The provider made a result and withheld it because of its content. Change the prompt or the picture.' : 'The provider could not finish this picture.', {
    provider: PROVIDER,
    // It was made, blurred or not; whether that is billed is not told.
    charged: 'unknown',
    statusCode: 200,
    providerRequestId,
    cause: new Error(`finish-reason: ${finishReason.slice(0, 100)}`),
  })
}

function parseEnvelope(text: string): Envelope | undefined {
  try {
    return envelopeSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

const envelopeSchema = z.object({ id: z.string().optional().catch(undefined), name: z.string(), errors: z.array(z.string()).catch([]) })

type Envelope = z.infer<typeof envelopeSchema>
