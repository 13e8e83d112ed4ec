/**
 * Downloads from addresses that somebody else chose. Only https and public addresses are reached, checked at every
 * redirect, and the address that is connected to is the one that was checked.
 */
import { lookup as resolve } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { Agent, type Dispatcher } from 'undici'
import { AppError } from '../errors.ts'
import type { DownloadOptions, FileStream } from '../generation/files.ts'
import { isPublicAddress, literalAddress } from './address.ts'

const MAX_REDIRECTS = 5
const CONNECT_TIMEOUT_MS = 10_000

export interface GuardedFetch {
  /**
   * @param options.trustedOrigin the one origin that may be plain http or private.
   * @param options.headers sent to the address's own origin alone, never after a redirect to another.
   * @param options.signal ends the transfer as a whole, body included.
   * @throws {AppError} `output_invalid`, `output_expired` or `output_unavailable`. What fails in mid-stream destroys the
   *   body with an error that `downloadErrorOf` understands.
   */
  open(url: string, options: DownloadOptions & { signal: AbortSignal }): Promise<FileStream>
  close(): Promise<void>
}

/** @param options.timeoutMs longest silence of a server: before its answer, and between any two pieces of the body. */
export function createGuardedFetch(options: { timeoutMs: number }): GuardedFetch {
  const timeouts = { headersTimeout: options.timeoutMs, bodyTimeout: options.timeoutMs }
  const guarded = new Agent({ ...timeouts, connect: { lookup: guardedLookup, timeout: CONNECT_TIMEOUT_MS } })
  const trusted = new Agent({ ...timeouts, connect: { timeout: CONNECT_TIMEOUT_MS } })

  async function request(url: URL, isTrusted: boolean, headers: Record<string, string>, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const agent = isTrusted ? trusted : guarded
    // `request` neither follows redirects nor inflates: what is counted is what is read.
    return await agent.request({ origin: url.origin, path: url.pathname + url.search, method: 'GET', headers: { accept: '*/*', 'accept-encoding': 'identity', ...headers }, signal }).catch((error: unknown) => {
      throw downloadErrorOf(error)
    })
  }

  return {
    async open(address, { trustedOrigin, headers, signal }) {
      let url = parse(address)
      const { origin } = url
      for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
        const isTrusted = trustedOrigin !== undefined && url.origin === trustedOrigin
        if (!isTrusted) check(url)
        const response = await request(url, isTrusted, url.origin === origin ? (headers ?? {}) : {}, signal)
        if (response.statusCode < 300) return toFileStream(response)
        // The socket is given up rather than reused: an unread body may be endless.
        response.body.on('error', () => undefined).destroy()
        const location = response.headers.location
        if (response.statusCode >= 400 || typeof location !== 'string') throw statusError(response.statusCode)
        url = parse(new URL(location, url).href)
      }
      throw new AppError('output_invalid', "The provider's link redirects too often.")
    },
    async close() {
      await Promise.all([guarded.destroy(), trusted.destroy()])
    },
  }
}

function parse(address: string): URL {
  if (!URL.canParse(address)) throw refused('it is not a URL')
  const url = new URL(address)
  if (url.username !== '' || url.password !== '') throw refused('it carries a password')
  return url
}

function check(url: URL): void {
  if (url.protocol !== 'https:') throw refused('it is not https')
  const literal = literalAddress(url.hostname)
  if (literal !== undefined && !isPublicAddress(literal)) throw refused('it leads to a private address')
}

class RefusedAddressError extends Error {}

/** Resolves a name and fails when any of its addresses is not public: one bad answer among good ones is an attack. */
const guardedLookup: LookupFunction = (hostname, options, callback) => {
  resolve(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, [])
    if (addresses.length === 0 || !addresses.every(({ address }) => isPublicAddress(address))) return callback(new RefusedAddressError('private address'), [])
    callback(null, addresses)
  })
}

function toFileStream(response: Dispatcher.ResponseData): FileStream {
  const length = Number(response.headers['content-length'])
  return {
    body: response.body,
    contentLength: response.headers['content-length'] !== undefined && Number.isSafeInteger(length) ? length : undefined,
  }
}

const refused = (why: string) => new AppError('output_invalid', `The provider's link was refused: ${why}.`)

/** Pre-signed links answer 403 once they are over, 404 or 410 once the file is gone. */
function statusError(status: number): AppError {
  if ([401, 403, 404, 410].includes(status)) return new AppError('output_expired', `The provider's link no longer works (status ${status}).`)
  if (status >= 500 || status === 429 || status === 408) return new AppError('output_unavailable', `The provider's file server answered with status ${status}.`)
  return new AppError('output_invalid', `The provider's link answered with status ${status}.`)
}

/** What a failed or cut transfer becomes. A refused address is final, anything else may pass. */
export function downloadErrorOf(error: unknown): AppError {
  if (error instanceof AppError) return error
  if (error instanceof RefusedAddressError || (error instanceof Error && error.cause instanceof RefusedAddressError)) return refused('it leads to a private address')
  return new AppError('output_unavailable', "The provider's file could not be fetched.", { cause: error })
}
