/** One HTTP call to a vendor whose API is spoken without an SDK, and what it means when no answer came. */
import { ProviderError } from '../errors.ts'
import { FROM_BETWEEN, isAbort, toLostCallError, wasNeverSent } from './call-failures.ts'
import { longFetch } from './long-fetch.ts'

export interface VendorAnswer {
  status: number
  headers: Headers
  /** Undefined where the answer was no JSON: a proxy's page, or nothing. */
  body: unknown
}

export interface VendorCallOptions {
  provider: string
  /** Taken out of whatever the vendor echoes. */
  apiKey: string
  /** Sent with every call. */
  headers: Record<string, string>
  fetch?: typeof fetch | undefined
}

export interface VendorRequest {
  signal: AbortSignal
  /** Sent as JSON, bytes as they are. */
  body?: unknown
  headers?: Record<string, string>
  /** The call starts something that costs money: without an answer nobody knows whether it did. */
  isPaid?: boolean
}

/** @throws {ProviderError} when no whole answer came; any status is an answer. */
export type VendorCall = (method: 'GET' | 'POST' | 'PUT' | 'DELETE', url: string, request: VendorRequest) => Promise<VendorAnswer>

export function createVendorCall(options: VendorCallOptions): VendorCall {
  const { provider } = options
  const send = options.fetch ?? longFetch
  const canBeSent = isHeader(options.headers)
  return async (method, url, { signal, body, headers, isPaid = false }) => {
    // fetch would repeat the key in its own error.
    if (!canBeSent) throw new ProviderError('provider_misconfigured', "This service's key for the provider has characters that no key has. Tell the operator.", { provider, charged: 'no' })
    if (signal.aborted) throw new ProviderError('provider_timeout', 'There was no time left to ask the provider.', { provider, charged: 'no' })
    try {
      const response = await send(url, {
        method,
        signal,
        // A redirect would carry the key, or repeat the call, somewhere else.
        redirect: 'manual',
        headers: { accept: 'application/json', ...(body !== undefined && { 'content-type': 'application/json' }), ...options.headers, ...headers },
        ...(body !== undefined && { body: body instanceof Uint8Array ? Buffer.from(body) : JSON.stringify(body) }),
      })
      const text = await response.text()
      return { status: response.status, headers: response.headers, body: parseJson(text.replaceAll(options.apiKey, '[key]')) }
    } catch (error) {
      throw toLostCall(error, provider, isPaid)
    }
  }
}

function isHeader(headers: Record<string, string>): boolean {
  try {
    return new Headers(headers) instanceof Headers
  } catch {
    return false
  }
}

function toLostCall(error: unknown, provider: string, isPaid: boolean): ProviderError {
  if (wasNeverSent(error)) return new ProviderError('provider_failed', 'The provider cannot be reached. Try again in a moment.', { provider, charged: 'no', isRetryable: true, cause: error })
  const isTimeout = isAbort(error)
  if (!isPaid) {
    return isTimeout
      ? new ProviderError('provider_timeout', 'The provider did not answer in time. Try again in a moment.', { provider, charged: 'no', isRetryable: true, cause: error })
      : new ProviderError('provider_failed', 'The connection to the provider was lost. Try again in a moment.', { provider, charged: 'no', isRetryable: true, cause: error })
  }
  return toLostCallError(provider, error)
}

/** Undefined for what is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** Statuses that say nothing of what became of a paid call: whoever was asked twice at once may mean the call that is under way. */
export const TELLS_NOTHING: ReadonlySet<number> = new Set([...FROM_BETWEEN, 409])
