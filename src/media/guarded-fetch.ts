/**
 * Downloads from addresses that somebody else chose. Only https and public addresses are reached, checked at every
 * redirect, and the address that is connected to is the one that was checked.
 */
import { lookup as systemLookup, type LookupAddress, type LookupAllOptions } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { Agent, buildConnector, type Dispatcher } from 'undici'
import { AppError } from '../errors.ts'
import type { DownloadOptions, FileStream } from '../generation/files.ts'
import { isPublicAddress, literalAddress } from './address.ts'
import { RefusedLinkError } from './refused-link.ts'

const MAX_REDIRECTS = 5
const CONNECT_TIMEOUT_MS = 10_000
/** Names are no longer than this (RFC 1035). */
const MAX_HOST = 255

export interface GuardedFetch {
  /**
   * @param options.trustedOrigin the one origin that may be plain http or private.
   * @param options.headers sent to the address's own origin alone, never after a redirect to another.
   * @param options.signal ends the transfer as a whole, body included.
   * @throws {AppError} `output_invalid`, `output_expired` or `output_unavailable`. What fails in mid-stream destroys the
   *   body with an error that `downloadErrorOf` understands.
   */
  open(url: string, options: DownloadOptions & { signal: AbortSignal }): Promise<FileStream>
  /**
   * The same for an address that a user chose, with the answer as it came, whatever its status. What is not read of its
   * body must be destroyed.
   * @throws {RefusedLinkError} for an address that leads inward, at any hop; whatever `judge` throws; else as `open`.
   */
  get(url: URL, options: GuardedGet): Promise<GuardedResponse>
  close(): Promise<void>
}

export interface GuardedGet {
  /**
   * Asked of every address, before its name is looked up: throws what the caller is to hear, or tells whether the operator
   * vouches for the origin, which may then be plain http or private.
   */
  judge(url: URL): boolean
  /** What is sent to an address: a secret must not go to another origin than its own. */
  headersFor(url: URL): Record<string, string>
  /** Five unless told otherwise. */
  maxRedirects?: number | undefined
  /** Ends the transfer as a whole, body included. */
  signal: AbortSignal
}

export interface RefusedAddress {
  /** Without its path, which may hold secrets. */
  host: string
  reason: string
  onBehalfOf: DownloadOptions['onBehalfOf']
}

export type GuardedResponse = Pick<Dispatcher.ResponseData, 'statusCode' | 'headers' | 'body'>

export type Lookup = (hostname: string, options: LookupAllOptions, callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void) => void

export interface GuardOptions {
  /** Longest silence of a server: before its answer, and between any two pieces of the body. */
  timeoutMs: number
  /** Whether transfers from one host may share a connection; one that is not read on then holds up the others. */
  sharesConnections?: boolean
  /** How names become addresses; the system's way unless told otherwise. */
  lookup?: Lookup
  /** How connections are made. Names must be resolved by the `lookup` that it is given, once for each connection. */
  connector?: typeof buildConnector
  /** Called for every address that `open` does not let through. What `get` refuses, its caller answers and tells. */
  onRefused?: (refused: RefusedAddress) => void
}

export function createGuardedFetch({ timeoutMs, sharesConnections = true, lookup = systemLookup, connector = buildConnector, onRefused }: GuardOptions): GuardedFetch {
  const common = { headersTimeout: timeoutMs, bodyTimeout: timeoutMs, allowH2: sharesConnections }
  const connection = { timeout: CONNECT_TIMEOUT_MS, allowH2: sharesConnections }
  const guarded = new Agent({ ...common, connect: connector({ ...connection, lookup: guardLookup(lookup) }) })
  const trusted = new Agent({ ...common, connect: connector(connection) })

  /** Follows redirects. @throws whatever `judge` throws, and what the connection fails with. */
  async function walk(start: URL, { judge, headersFor, maxRedirects = MAX_REDIRECTS, signal }: GuardedGet, refuse: Refuse): Promise<Dispatcher.ResponseData> {
    let url = start
    for (let redirects = 0; redirects <= maxRedirects; redirects++) {
      const isTrusted = judge(url)
      const reason = isTrusted ? undefined : whyRefused(url)
      if (reason !== undefined) throw refuse(url, reason)
      // `request` neither follows redirects nor inflates: what is counted is what is read.
      const headers = { accept: '*/*', 'accept-encoding': 'identity', ...headersFor(url) }
      const response = await (isTrusted ? trusted : guarded).request({ origin: url.origin, path: url.pathname + url.search, method: 'GET', headers, signal }).catch((error: unknown) => {
        throw isPrivate(error) ? refuse(url, LEADS_INWARD) : downloadErrorOf(error)
      })
      const { location } = response.headers
      if (response.statusCode < 300 || response.statusCode >= 400 || typeof location !== 'string') return response
      discard(response)
      if (!URL.canParse(location, url.href)) throw refuse(url, NO_URL)
      url = new URL(location, url)
    }
    throw new AppError('output_invalid', "The provider's link redirects too often.")
  }

  return {
    async open(address, { trustedOrigin, headers, signal, onBehalfOf }) {
      const refuse = (why: string, url?: URL) => {
        onRefused?.({ host: url?.host.slice(0, MAX_HOST) ?? '', reason: why, onBehalfOf })
        return refused(why)
      }
      if (!URL.canParse(address)) throw refuse(NO_URL)
      const start = new URL(address)
      const judge = (url: URL): boolean => {
        if (url.username !== '' || url.password !== '') throw refuse('it carries a password', url)
        return trustedOrigin !== undefined && url.origin === trustedOrigin
      }
      const headersFor = (url: URL) => (url.origin === start.origin ? (headers ?? {}) : {})
      const response = await walk(start, { judge, headersFor, signal }, (url, why) => refuse(why, url))
      if (response.statusCode < 300) return toFileStream(response)
      discard(response)
      throw statusError(response.statusCode)
    },
    get: (url, options) => walk(url, options, ({ hostname }, why) => new RefusedLinkError(hostname, why)),
    async close() {
      await Promise.all([guarded.destroy(), trusted.destroy()])
    },
  }
}

type Refuse = (url: URL, why: string) => AppError

const NO_URL = 'it is not a URL'
const LEADS_INWARD = 'it leads to a private address'

/** The socket is given up rather than reused: an unread body may be endless. */
export function discard({ body }: Pick<GuardedResponse, 'body'>): void {
  body.on('error', () => undefined).destroy()
}

function whyRefused(url: URL): string | undefined {
  if (url.protocol !== 'https:') return 'it is not https'
  const literal = literalAddress(url.hostname)
  return literal !== undefined && !isPublicAddress(literal) ? LEADS_INWARD : undefined
}

class RefusedAddressError extends Error {}

const isPrivate = (error: unknown): boolean => error instanceof RefusedAddressError || (error instanceof Error && error.cause instanceof RefusedAddressError)

/** Resolves a name and fails when any of its addresses is not public: one bad answer among good ones is an attack. */
function guardLookup(lookup: Lookup): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, [])
      if (addresses.length === 0 || !addresses.every(({ address }) => isPublicAddress(address))) return callback(new RefusedAddressError('private address'), [])
      callback(null, addresses)
    })
  }
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
export function statusError(status: number): AppError {
  if ([401, 403, 404, 410].includes(status)) return new AppError('output_expired', `The provider's link no longer works (status ${status}).`)
  if (status >= 500 || status === 429 || status === 408) return new AppError('output_unavailable', `The provider's file server answered with status ${status}.`)
  return new AppError('output_invalid', `The provider's link answered with status ${status}.`)
}

/** What a failed or cut transfer becomes. A refused address is final, anything else may pass. */
export function downloadErrorOf(error: unknown): AppError {
  if (error instanceof AppError) return error
  if (isPrivate(error)) return refused(LEADS_INWARD)
  return new AppError('output_unavailable', "The provider's file could not be fetched.", { cause: error })
}
