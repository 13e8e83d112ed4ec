/** Runway's errors as ours. Its statuses and failure codes: docs.dev.runwayml.com, read in November 2026. */
import RunwayML from '@runwayml/sdk'
import { z } from 'zod'
import { ProviderError, type Charged, type ErrorCode } from '../errors.ts'
import { FROM_BETWEEN, isAbort, retryAfterOf, wasNeverSent } from './call-failures.ts'

const PROVIDER = 'runway'

interface Meaning {
  code: ErrorCode
  message: string
  isRetryable?: boolean
}

/** The vendor asks for a long pause and names none; its limits are by the minute and by the day. */
const RATE_LIMIT_PAUSE_SECONDS = 60

const NOT_ACCEPTED: Meaning = { code: 'invalid_request', message: 'The provider cannot make this request: one of its settings or its picture is not accepted.' }
const BAD_KEY: Meaning = { code: 'provider_misconfigured', message: "The provider does not accept this service's key. Tell the operator." }
const FAILED: Meaning = { code: 'provider_failed', message: 'The provider had an internal error. Try again.', isRetryable: true }
const WRONG_ADDRESS: Meaning = { code: 'provider_misconfigured', message: 'The provider does not know the address that this service calls. Tell the operator.' }

const BY_STATUS: Partial<Record<number, Meaning>> = {
  400: NOT_ACCEPTED,
  401: BAD_KEY,
  403: { code: 'provider_misconfigured', message: "The service's account may not use this model. Tell the operator." },
  404: WRONG_ADDRESS,
  405: WRONG_ADDRESS,
  413: NOT_ACCEPTED,
  422: NOT_ACCEPTED,
  429: { code: 'provider_rate_limited', message: 'The provider takes no more requests for now. Try again later.', isRetryable: true },
}

/** By the beginning of a failed task's code, the most telling first. Its last part may be wrong, says the vendor. */
const BY_FAILURE: [pattern: RegExp, meaning: Meaning & { charged?: Charged }][] = [
  // Moderated generations cost as much as successful ones.
  [/^SAFETY\.OUTPUT/, { code: 'content_refused', message: 'The provider made a result and withheld it because of its content. Change the prompt or the picture.', charged: 'yes' }],
  [/^(INPUT_PREPROCESSING\.)?SAFETY/, { code: 'content_refused', message: 'The provider refused the prompt or the picture because of its content. Change them and try again.', charged: 'yes' }],
  [/^ASSET\.INVALID/, { code: 'invalid_request', message: 'The provider cannot use the given picture. Choose another one.' }],
  [/^INTERNAL\.BAD_OUTPUT/, { code: 'provider_failed', message: 'The provider made nothing usable of this prompt or picture. Change them and try again.' }],
  [/^(INPUT_PREPROCESSING\.INTERNAL|INTERNAL|THIRD_PARTY\.UNAVAILABLE)/, FAILED],
]

/**
 * What any failure of a call becomes.
 * @param call `paid` starts a task: a 5xx, in whose words ever, or no answer may come after that was accepted. `free`
 *   costs nothing, whatever happened to it.
 */
export function toRunwayError(error: unknown, call: 'paid' | 'free'): ProviderError {
  if (error instanceof ProviderError) return error
  const isPaid = call === 'paid'
  const isTimeout = error instanceof RunwayML.APIUserAbortError || error instanceof RunwayML.APIConnectionTimeoutError || isAbort(error)
  if (isTimeout && isPaid) return new ProviderError('provider_timeout', 'The provider did not answer in time. What was asked for may have been made and paid, so it was not asked for again.', { provider: PROVIDER, charged: 'unknown', cause: error })
  if (isTimeout) return new ProviderError('provider_timeout', 'The provider did not answer in time.', { provider: PROVIDER, charged: 'no', isRetryable: true, cause: error })
  if (error instanceof RunwayML.APIError && error.status !== undefined) return toStatusError(error as StatusError, isPaid)
  if (!isPaid || wasNeverSent(error)) return new ProviderError('provider_failed', 'The provider cannot be reached. Try again in a moment.', { provider: PROVIDER, charged: 'no', isRetryable: true, cause: error })
  return new ProviderError('submission_unknown', 'The connection to the provider was lost before it answered. What was asked for may have been made and paid, so it was not asked for again.', { provider: PROVIDER, charged: 'unknown', cause: error })
}

type StatusError = InstanceType<typeof RunwayML.APIError> & { status: number; headers: Headers | undefined }

function toStatusError(error: StatusError, isPaid: boolean): ProviderError {
  const { status } = error
  const envelope = envelopeSchema.safeParse(error.error).data
  const isUnknown = isPaid && (status >= 500 || FROM_BETWEEN.has(status) || (status === 409 && envelope === undefined))
  const meaning = meaningOf(status, envelope)
  return new ProviderError(isUnknown ? 'submission_unknown' : meaning.code, isUnknown ? 'The provider or something on the way to it failed. What was asked for may have been made and paid, so it was not asked for again.' : meaning.message, {
    provider: PROVIDER,
    charged: isUnknown ? 'unknown' : 'no',
    isRetryable: !isUnknown && (meaning.isRetryable ?? false),
    statusCode: status,
    providerRequestId: error.headers?.get('x-request-id') ?? undefined,
    retryAfterSeconds: retryAfterOf(error.headers) ?? (status === 429 ? RATE_LIMIT_PAUSE_SECONDS : undefined),
    cause: error,
  })
}

function meaningOf(status: number, envelope: Envelope | undefined): Meaning {
  if (status >= 500 || FROM_BETWEEN.has(status)) return FAILED
  if (status === 400 && envelope?.issues.some(({ path }) => path[0] === 'model')) return { code: 'model_unavailable', message: 'The provider does not offer this model to this service. Choose another one.' }
  // Nothing but the text tells that the account is empty; a fault in the request always comes with its issues.
  if (status === 400 && envelope?.issues.length === 0 && /\bcredits?\b/i.test(envelope.error)) return { code: 'provider_quota_reached', message: "The service's credit with the provider is used up. Tell the operator." }
  return BY_STATUS[status] ?? { code: 'provider_failed', message: 'The provider refused the request.' }
}

/**
 * A task that failed.
 * @param credits what the vendor says that it kept: the only sure word on the bill.
 */
export function toFailure(failureCode: string | null | undefined, credits: number | undefined): ProviderError {
  const known = BY_FAILURE.find(([pattern]) => pattern.test(failureCode ?? ''))?.[1]
  const meaning = known ?? { ...FAILED, message: 'The provider could not make this. Try again.' }
  const told: Charged | undefined = credits === undefined ? undefined : credits > 0 ? 'yes' : 'no'
  const charged = told ?? known?.charged ?? 'unknown'
  return new ProviderError(meaning.code, meaning.message, {
    provider: PROVIDER,
    charged,
    isRetryable: charged === 'no' && (meaning.isRetryable ?? false),
    statusCode: 200,
    cause: new Error(`Runway task failed: ${failureCode ?? 'no code'}`),
  })
}

/** A yes to a paid call that cannot be read: a task may be under way. */
export const unreadable = (cause: unknown): ProviderError => new ProviderError('submission_unknown', 'Runway answered in a form that this service does not understand.', { provider: PROVIDER, charged: 'unknown', cause })

/** Read tolerantly: a path is a list of keys, or their text with dots. */
const envelopeSchema = z.object({
  error: z.string(),
  issues: z.array(z.object({ path: z.union([z.array(z.union([z.string(), z.number()])), z.string().transform((path) => path.split('.'))]).catch([]) })).catch([]).default([]),
})

type Envelope = z.infer<typeof envelopeSchema>
