/** Plain HTTP to the Gemini API: one call, one answer, the key in a header and nowhere else. */
import { ProviderError } from '../errors.ts'
import type { InputFile } from '../generation/provider.ts'
import { PROVIDER, toAnswerError, toLostError, toUnreadableError, type CallKind } from './google-errors.ts'
import { longFetch } from './long-fetch.ts'

const VENDOR_ORIGIN = 'https://generativelanguage.googleapis.com'

export interface GoogleClient {
  /**
   * @param path below the base URL, with its leading slash.
   * @returns the parsed JSON of a 2xx answer.
   * @throws {ProviderError} for everything else.
   */
  call(method: 'GET' | 'POST', path: string, options: { kind: CallKind; signal: AbortSignal; body?: unknown }): Promise<unknown>
  /** Puts a file into the vendor's store, where it costs nothing and is deleted after 48 hours. */
  upload(file: InputFile, signal: AbortSignal): Promise<unknown>
  /** Whether an address is the vendor's, or that of what the operator configured in its place. */
  isOwn(url: string): boolean
}

export interface GoogleClientOptions {
  apiKey: string
  /** With the API's version: `https://generativelanguage.googleapis.com/v1beta`. */
  baseURL: string
  fetch?: typeof fetch
}

export function createGoogleClient({ apiKey, baseURL, fetch = longFetch }: GoogleClientOptions): GoogleClient {
  const base = baseURL.replace(/\/+$/, '')
  const origins = new Set([VENDOR_ORIGIN, new URL(base).origin])
  const isOwn = (url: string): boolean => URL.canParse(url) && origins.has(new URL(url).origin)
  const hide = (text: string) => text.replaceAll(apiKey, '[key]')

  /** @returns a 2xx answer, read to its end. */
  async function exchange(url: string, kind: CallKind, init: { method: 'GET' | 'POST'; headers: Record<string, string>; signal: AbortSignal; body?: string | Uint8Array<ArrayBuffer> }): Promise<{ headers: Headers; text: string }> {
    // Over before it began, as after a long upload: nothing was sent.
    if (init.signal.aborted) throw toLostError(init.signal.reason, 'free')
    // The key would travel along a redirect: fetch only knows to take away `authorization`.
    const answer = await fetch(url, { ...init, redirect: 'error' })
      .then(async (response) => ({ status: response.status, isOk: response.ok, headers: response.headers, text: await response.text() }))
      .catch((error: unknown) => Promise.reject(toLostError(error, kind)))
    if (!answer.isOk) throw toAnswerError(answer, kind, hide)
    return answer
  }

  function keyHeader(): Record<string, string> {
    // fetch would quote a key that is no header value in its error.
    if (!/^[\x21-\x7e]+$/.test(apiKey)) throw new ProviderError('provider_misconfigured', "The provider's key is not one. Tell the operator.", { provider: PROVIDER, charged: 'no' })
    return { 'x-goog-api-key': apiKey }
  }

  return {
    isOwn,
    async call(method, path, { kind, signal, body }) {
      const headers = { ...keyHeader(), accept: 'application/json', ...(body !== undefined && { 'content-type': 'application/json' }) }
      const { text } = await exchange(base + path, kind, { method, headers, signal, ...(body !== undefined && { body: JSON.stringify(body) }) })
      return parseJson(text, kind)
    },

    async upload({ bytes, mediaType }, signal) {
      const begin = {
        ...keyHeader(),
        'content-type': 'application/json',
        'x-goog-upload-protocol': 'resumable',
        'x-goog-upload-command': 'start',
        'x-goog-upload-header-content-length': String(bytes.length),
        'x-goog-upload-header-content-type': mediaType,
      }
      // …/v1beta becomes …/upload/v1beta.
      const started = await exchange(`${base.replace(/\/([^/]+)$/, '/upload/$1')}/files`, 'free', { method: 'POST', headers: begin, signal, body: '{"file":{}}' })
      const address = started.headers.get('x-goog-upload-url') ?? ''
      // A user's picture is not for strangers. The address is its own permission: it needs no key.
      if (!isOwn(address)) throw toUnreadableError(new Error('no address for the upload'), 'free')
      const { text } = await exchange(address, 'free', { method: 'POST', headers: { 'x-goog-upload-offset': '0', 'x-goog-upload-command': 'upload, finalize' }, signal, body: new Uint8Array(bytes) })
      return parseJson(text, 'free')
    },
  }
}

function parseJson(text: string, kind: CallKind): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    throw toUnreadableError(new Error('not JSON'), kind)
  }
}
