/** Calls to an OpenAI-compatible gateway. Plain HTTP: the SDK sees errors in one envelope only, and gateways have four. */
import { ProviderError } from '../errors.ts'
import { checkTimeLeft, toLostCallError } from './call-failures.ts'
import { readVendorError, toInnerError, toStatusError, type Purpose } from './gateway-errors.ts'
import { longFetch } from './long-fetch.ts'
import { toMultipart, type FormPart } from './multipart.ts'

export interface GatewayClientOptions {
  /** The provider's id, for errors. */
  provider: string
  apiKey: string
  baseURL: string
  fetch?: typeof fetch
}

export interface GatewayCall {
  path: string
  purpose: Purpose
  signal: AbortSignal
  /** A GET without either. */
  json?: Record<string, unknown>
  form?: readonly FormPart[]
}

export interface GatewayAnswer {
  data: unknown
  providerRequestId: string | undefined
}

export interface GatewayClient {
  provider: string
  /** @throws {ProviderError} for every failure, an error inside a 200 among them. */
  call(call: GatewayCall): Promise<GatewayAnswer>
  /** A link of the gateway's as a whole address: it may be relative to the host. Undefined where it is none. */
  resolve(url: string): string | undefined
  /** An address below the base URL. */
  addressOf(path: string): string
  /** The key, for addresses below the base URL and for no other. */
  downloadHeaders(url: string): Record<string, string> | undefined
}

export function createGatewayClient({ provider, apiKey, baseURL, fetch: send = longFetch }: GatewayClientOptions): GatewayClient {
  const base = baseURL.replace(/\/+$/, '')
  const { origin, pathname } = new URL(base)
  const folder = `${pathname.replace(/\/$/, '')}/`
  const authorization = `Bearer ${apiKey}`

  async function request({ path, purpose, signal, json, form }: GatewayCall): Promise<{ response: Response; text: string }> {
    const encoded = form && (await toMultipart(form))
    const body = encoded?.body ?? (json && JSON.stringify(json))
    checkTimeLeft(provider, signal)
    try {
      const response = await send(base + path, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { authorization, accept: 'application/json', ...(json && { 'content-type': 'application/json' }), ...encoded?.headers },
        ...(body !== undefined && { body: body as string }),
        signal,
        // A redirected create would be sent twice, and the key perhaps to a stranger.
        redirect: 'manual',
      })
      return { response, text: await response.text() }
    } catch (error) {
      const lost = toLostCallError(provider, error, signal.aborted)
      throw purpose === 'look' ? toLostLook(lost) : lost
    }
  }

  return {
    provider,
    async call(call) {
      const { response, text } = await request(call)
      const providerRequestId = response.headers.get('x-request-id') ?? response.headers.get('x-oneapi-request-id') ?? undefined
      const data = parseJson(text)
      if (!response.ok) throw toStatusError(provider, { status: response.status, headers: response.headers, data, providerRequestId }, call.purpose)
      if (data === undefined) throw toUnreadable(provider, call.purpose, providerRequestId)
      // A task that failed tells its error in the same way: what is looked at has a status of its own.
      const error = call.purpose === 'look' ? undefined : readVendorError(data)
      if (error && !hasResult(data)) throw toInnerError(provider, error, providerRequestId)
      return { data, providerRequestId }
    },
    resolve: (url) => (URL.canParse(url, base) ? new URL(url, base).href : undefined),
    addressOf: (path) => base + path,
    downloadHeaders(url) {
      if (!URL.canParse(url)) return undefined
      const { origin: its, pathname: path } = new URL(url)
      return its === origin && path.startsWith(folder) ? { authorization } : undefined
    },
  }
}

/** An answer that cannot be read: a create may have been accepted; of a task it says nothing, and the next look may. */
export function toUnreadable(provider: string, purpose: Purpose, providerRequestId?: string, cause?: unknown): ProviderError {
  const isLook = purpose === 'look'
  return new ProviderError(isLook ? 'provider_failed' : 'submission_unknown', 'The provider answered in a form that this service does not understand.', {
    provider,
    charged: isLook ? 'no' : 'unknown',
    isRetryable: isLook,
    statusCode: 200,
    providerRequestId,
    cause,
  })
}

function toLostLook({ provider, code, cause }: ProviderError): ProviderError {
  const isTimeout = code === 'provider_timeout'
  return new ProviderError(isTimeout ? code : 'provider_failed', isTimeout ? 'The provider did not answer in time.' : 'The connection to the provider was lost.', { provider, charged: 'no', isRetryable: true, cause })
}

const hasResult = (data: unknown): boolean => typeof data === 'object' && data !== null && ['data', 'id', 'task_id'].some((name) => name in data && Boolean(data[name as keyof typeof data]))

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
