/** The download route alone, over real HTTP, with a network of its own: every name looked up and every connection is seen. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { connect, isIP, type AddressInfo, type LookupFunction } from 'node:net'
import Koa from 'koa'
import type { buildConnector } from 'undici'
import { AppError } from '../../src/errors.ts'
import { deadline } from '../../src/http/deadline.ts'
import { downloadRoutes, type DownloadOptions } from '../../src/http/downloads.ts'
import { logLateErrors, requestContext } from '../../src/http/request-context.ts'
import { createLogger } from '../../src/log.ts'
import { createDownloadHosts } from '../../src/media/download-hosts.ts'
import { createDownloads } from '../../src/media/downloads.ts'
import { createGuardedFetch, type Lookup } from '../../src/media/guarded-fetch.ts'
import { createBucketLinks } from '../../src/supabase/bucket-links.ts'
import type { LogLine } from './service.ts'

export const USER = '11111111-1111-4111-8111-111111111111'
export const OTHER = '22222222-2222-4222-8222-222222222222'
export const SUPABASE_URL = 'http://supabase.test:54321'
export const SECRET_KEY = 'sb_secret_of_the_download_tests'
/** Where names lead unless a test says otherwise. */
export const PUBLIC_ADDRESS = '93.184.216.34'

export interface SeenRequest {
  method: string
  host: string
  path: string
  headers: IncomingHttpHeaders
}

export interface DownloadNetwork {
  /** Names that were looked up, in order. */
  lookups: string[]
  /** Connections that were made, as `address:port`. */
  dials: string[]
  /** Requests that arrived at any server. */
  requests: SeenRequest[]
  /** What a name leads to: one answer for each lookup, the last one again and again. Undefined where it does not exist. */
  names: Map<string, (string[] | undefined)[]>
  /** What every server answers. */
  respond: RequestListener
  forget(): void
}

export interface DownloadApp extends DownloadNetwork {
  url: string
  log: LogLine[]
  /** @param init.user who asks; USER unless told otherwise. */
  download(link: string, init?: RequestInit & { user?: string; filename?: string }): Promise<Response>
  /** The path and query of a download. */
  pathOf(link: string, filename?: string): string
  close(): Promise<void>
}

export interface DownloadAppOptions extends Partial<Omit<DownloadOptions, 'open'>> {
  hosts?: string[]
  access?: 'public' | 'private'
  maxBytes?: number
  deadlineMs?: number
}

export async function startDownloadApp(options: DownloadAppOptions = {}): Promise<DownloadApp> {
  const network = await startNetwork()
  const { hosts = ['files.example.com'], access = 'private', maxBytes = 1024 * 1024, deadlineMs = 10_000, ...limits } = options
  const guard = createGuardedFetch({ timeoutMs: 600_000, sharesConnections: false, ...network.guard })
  const findStored = createBucketLinks({ url: SUPABASE_URL, secretKey: SECRET_KEY, bucket: 'media', access })
  const open = createDownloads({ guard, hosts: createDownloadHosts(hosts, SUPABASE_URL), findStored, maxBytes })
  const log: LogLine[] = []
  const logger = createLogger({ level: 'debug', destination: { write: (line: string) => void log.push(JSON.parse(line) as LogLine) } })
  const app = new Koa()
  logLateErrors(app, logger)
  app.use(requestContext(logger)).use(deadline(deadlineMs))
  const authenticate: Koa.Middleware = async (ctx, next) => {
    if (ctx.get('x-user') === '') throw new AppError('unauthenticated', 'Sign in first.')
    ctx.state.user = { id: ctx.get('x-user'), isAnonymous: false }
    await next()
  }
  const router = downloadRoutes({ authenticate, logger, download: { maxDownloads: 100, maxUserDownloads: 100, idleMs: 10_000, transferMs: 60_000, ...limits, open } })
  app.use(router.routes()).use(router.allowedMethods())
  // What any other request that never ends comes to.
  app.use((ctx) => (ctx.path === '/hang' ? new Promise(() => undefined) : undefined))
  const server = createServer(app.callback()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const pathOf = (link: string, filename?: string) => `/api/download?${new URLSearchParams({ url: link, ...(filename !== undefined && { filename }) }).toString()}`
  return Object.assign(network.state, {
    url,
    log,
    pathOf,
    download: (link: string, { user = USER, filename, ...init }: RequestInit & { user?: string; filename?: string } = {}) => fetch(url + pathOf(link, filename), { ...init, headers: { 'x-user': user, ...(init.headers as Record<string, string>) } }),
    async close() {
      server.closeAllConnections()
      server.close()
      await guard.close()
      await network.close()
    },
  })
}

/** Whatever is dialled, one plain server answers: it sees by the Host header who it is taken for. */
async function startNetwork() {
  const state: DownloadNetwork = {
    lookups: [],
    dials: [],
    requests: [],
    names: new Map(),
    respond: (_request, response) => void response.writeHead(404).end(),
    forget() {
      for (const list of [state.lookups, state.dials, state.requests]) list.length = 0
    },
  }
  const server = createServer((request, response) => {
    response.on('error', () => undefined)
    // Every request is dialled anew, so that each of them is seen.
    response.shouldKeepAlive = false
    state.requests.push({ method: request.method ?? '', host: request.headers.host ?? '', path: request.url ?? '', headers: request.headers })
    state.respond(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  const lookup: Lookup = (name, _options, callback) => {
    state.lookups.push(name)
    const answers = state.names.get(name) ?? [[PUBLIC_ADDRESS]]
    const addresses = answers.length > 1 ? answers.shift() : answers[0]
    if (addresses) setImmediate(callback, null, addresses.map((address) => ({ address, family: isIP(address) })))
    else setImmediate(callback, Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), [])
  }
  return { state, guard: { lookup, connector: createDialler(state.dials, port) }, close: () => stop(server) }
}

/** Resolves as `net.connect` does: not at all for an address, else once for each connection; then tells whom it would have dialled. */
function createDialler(dials: string[], localPort: number): typeof buildConnector {
  return (options) => {
    const { lookup } = options as { lookup?: LookupFunction }
    return ({ hostname, port, protocol }, callback) => {
      const dial = (address: string) => {
        dials.push(`${address}:${port || (protocol === 'https:' ? 443 : 80)}`)
        const socket = connect(localPort, '127.0.0.1', () => callback(null, socket))
        socket.on('error', () => undefined)
      }
      if (isIP(hostname.replace(/^\[|\]$/g, '')) || !lookup) return dial(hostname)
      lookup(hostname, { all: true }, (error, addresses) => {
        if (error) return callback(error, null)
        dial((addresses as { address: string }[])[0]!.address)
      })
    }
  }
}

async function stop(server: ReturnType<typeof createServer>): Promise<void> {
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
}

export interface ServedFile {
  /** Whether it knows ranges. */
  ranges?: boolean
  headers?: Record<string, string>
  /** Whether its length is told. */
  isChunked?: boolean
}

/** A file server as they are: one range, If-Range, 416. */
export function serveFile(bytes: Uint8Array, { ranges = true, headers = {}, isChunked = false }: ServedFile = {}): RequestListener {
  return (request: IncomingMessage, response: ServerResponse) => {
    const { range, 'if-range': ifRange } = request.headers
    const match = /^bytes=(\d*)-(\d*)$/.exec(range ?? '')
    const isSame = ifRange === undefined || ifRange === headers.etag || ifRange === headers['last-modified']
    if (ranges) response.setHeader('accept-ranges', 'bytes')
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    if (!ranges || !match || !isSame) {
      if (isChunked) return void response.writeHead(200).end(bytes)
      return void response.writeHead(200, { 'content-length': bytes.length }).end(bytes)
    }
    const start = match[1] === '' ? Math.max(0, bytes.length - Number(match[2])) : Number(match[1])
    const end = match[1] === '' || match[2] === '' ? bytes.length - 1 : Math.min(bytes.length - 1, Number(match[2]))
    if (start > end) return void response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end()
    response.writeHead(206, { 'content-range': `bytes ${start}-${end}/${bytes.length}`, 'content-length': end - start + 1 }).end(bytes.subarray(start, end + 1))
  }
}
