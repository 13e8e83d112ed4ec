/** What is the same for every vendor that is called over HTTP: how a call fails before, on and after its way. */
import { ProviderError } from '../errors.ts'

/** Failures before the request left this machine: nothing can have been accepted. */
const NEVER_SENT: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT'])

/** Whether the failure proves that the vendor was not reached. */
export const wasNeverSent = (error: unknown): boolean => NEVER_SENT.has(networkCode(error))

/**
 * Statuses that something in between gives when it lost patience or the connection, whatever it writes into the body: 520,
 * 522 and 524 are Cloudflare's, which writes JSON for those who ask for it.
 */
export const FROM_BETWEEN: ReadonlySet<number> = new Set([408, 499, 502, 504, 520, 522, 524])

/** @throws {ProviderError} when the time is over before anything was sent: that is never paid. */
export function checkTimeLeft(provider: string, signal: AbortSignal): void {
  if (signal.aborted) throw new ProviderError('provider_timeout', 'There was no time left to ask the provider.', { provider, charged: 'no' })
}

/** A call that ended without an answer. @param hasTimedOut where the client has an error of its own for that. */
export function toLostCallError(provider: string, error: unknown, hasTimedOut = isAbort(error)): ProviderError {
  const lost = { provider, charged: 'unknown', cause: error } as const
  if (hasTimedOut) return new ProviderError('provider_timeout', 'The provider did not answer in time. What was asked for may have been made and paid, so it was not asked for again.', lost)
  if (wasNeverSent(error)) return new ProviderError('provider_failed', 'The provider cannot be reached. Try again in a moment.', { ...lost, charged: 'no', isRetryable: true })
  return new ProviderError('submission_unknown', 'The connection to the provider was lost before it answered. What was asked for may have been made and paid, so it was not asked for again.', lost)
}

/** A call that costs nothing and ended without an answer: the next one may get one. */
export function toLostLookError(provider: string, error: unknown, hasTimedOut = isAbort(error)): ProviderError {
  const options = { provider, charged: 'no', isRetryable: true, cause: error } as const
  return hasTimedOut
    ? new ProviderError('provider_timeout', 'The provider did not answer in time. Try again in a moment.', options)
    : new ProviderError('provider_failed', 'The connection to the provider was lost. Try again in a moment.', options)
}

/** Seconds, from the header in either of its forms, or from its sibling in milliseconds. */
export function retryAfterOf(headers: Headers | undefined): number | undefined {
  const milliseconds = headers?.get('retry-after-ms')
  if (milliseconds && /^\d+(\.\d+)?$/.test(milliseconds)) return Math.ceil(Number(milliseconds) / 1000)
  const header = headers?.get('retry-after')
  if (!header) return undefined
  const seconds = /^\d+(\.\d+)?$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : undefined
}

/** Whether the caller's signal ended the call. */
export const isAbort = (error: unknown): boolean => error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError')

/** The code at the bottom of a chain of causes, where Node and undici put it. */
function networkCode(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') return at.code
    if (at instanceof AggregateError && at.errors[0] instanceof Error) return networkCode(at.errors[0])
  }
  return ''
}
