/** Files for a "save" button: from our storage and from providers, as an attachment. */
import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import { z } from 'zod'
import { AppError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { lengthOf, toContentRange } from '../media/byte-ranges.ts'
import { UnsatisfiableRangeError, type OpenDownload } from '../media/downloads.ts'
import type { Download } from '../media/file-answers.ts'
import { RefusedLinkError } from '../media/refused-link.ts'
import type { AuthenticatedUser } from './authenticated-user.ts'
import { toContentDisposition } from './content-disposition.ts'
import { parseInput } from './json-body.ts'
import { readQuery } from './query.ts'
import { toAppError } from './request-context.ts'

export interface DownloadRoutesOptions {
  authenticate: Middleware
  logger: Logger
  download: DownloadOptions
}

export interface DownloadOptions {
  open: OpenDownload
  /** Under way at once in one process, and those of one user. */
  maxDownloads: number
  maxUserDownloads: number
  /** Longest time in which nothing of a file passes, whether its server is silent or its client takes nothing. */
  idleMs: number
  /** Longest download as a whole. */
  transferMs: number
}

/** Signed links of some vendors have more than a thousand. Node takes 16 KiB of headers, this line among them. */
const MAX_LINK_CHARACTERS = 8192
/** Files at our addresses never change; a link may die, but what was saved of it stays right. */
const CACHE_SECONDS = 3600

export const downloadSchema = z.strictObject({
  url: z.string().min(1, 'is missing').max(MAX_LINK_CHARACTERS, `may have at most ${MAX_LINK_CHARACTERS} characters`).describe('A link to our bucket, a path in your own folder of it, or a provider’s link.'),
  filename: z.string().optional().describe('What the browser is to save it as; its ending is set right.'),
})

export function downloadRoutes({ authenticate, logger, download: options }: DownloadRoutesOptions): Router {
  const router = new Router({ prefix: '/api/download', sensitive: true })
  const takePlace = createPlaces(options)
  router.use(authenticate)

  router.get('/', async (ctx) => {
    const { url, filename } = parseInput(downloadSchema, readQuery(ctx))
    const { id: userId } = ctx.state.user as AuthenticatedUser
    const transfer = startTransfer(ctx, takePlace(userId), options)
    try {
      const download = await options.open({ link: url, userId, isHead: ctx.method === 'HEAD', range: ctx.get('Range'), ifRange: ctx.get('If-Range'), ...transfer })
      answer(ctx, download, filename ?? nameOf(url))
    } catch (error) {
      if (error instanceof RefusedLinkError) logger.warn({ requestId: ctx.state.requestId as string, userId, host: error.host.slice(0, 253) }, 'a link was refused')
      if (error instanceof UnsatisfiableRangeError && error.size !== undefined) ctx.set('Content-Range', `bytes */${error.size}`)
      throw error
    }
  })

  return router
}

function answer(ctx: Context, { kind, part, size, etag, lastModified, givesParts, body }: Download, name: string): void {
  const length = part ? lengthOf(part) : size
  ctx.status = part ? 206 : 200
  ctx.set('Content-Type', kind.mediaType)
  ctx.set('Content-Disposition', toContentDisposition(name, kind))
  ctx.set('X-Content-Type-Options', 'nosniff')
  // Should anybody open it after all, it may do nothing.
  ctx.set('Content-Security-Policy', "sandbox; default-src 'none'")
  ctx.set('Cache-Control', `private, max-age=${CACHE_SECONDS}`)
  ctx.vary(['Authorization', 'Cookie'])
  if (givesParts) ctx.set('Accept-Ranges', 'bytes')
  if (part) ctx.set('Content-Range', toContentRange(part, size))
  if (etag !== undefined) ctx.set('ETag', etag)
  if (lastModified !== undefined) ctx.set('Last-Modified', lastModified)
  if (body) {
    // The answer has begun: only the log hears of it.
    body.once('error', (error) => (ctx.state.failure = toAppError(error)))
    ctx.body = body
  }
  if (length !== undefined) ctx.set('Content-Length', String(length))
  // Whatever fails from here on cuts the connection: Koa would answer in its own way if no byte had been sent.
  if (body) ctx.flushHeaders()
}

/** The last part of a link's path, as a person would read it. */
function nameOf(link: string): string {
  const last = (URL.parse(link)?.pathname ?? link).split('/').at(-1) ?? ''
  try {
    return decodeURIComponent(last)
  } catch {
    return last
  }
}

/** @returns a function that takes a place for a user and gives back what releases it. @throws {AppError} `rate_limited`. */
function createPlaces({ maxDownloads, maxUserDownloads }: DownloadOptions): (userId: string) => () => void {
  const taken = new Map<string, number>()
  let total = 0
  return (userId) => {
    const own = taken.get(userId) ?? 0
    if (own >= maxUserDownloads) throw new AppError('rate_limited', `You are already downloading ${own} files. Wait for one of them.`, { retryAfterSeconds: 5 })
    if (total >= maxDownloads) throw new AppError('rate_limited', 'Too many files are being downloaded right now. Try again in a moment.', { retryAfterSeconds: 5 })
    taken.set(userId, own + 1)
    total++
    return () => {
      total--
      const left = taken.get(userId)! - 1
      if (left === 0) taken.delete(userId)
      else taken.set(userId, left)
    }
  }
}

/** Ends with the answer, with the client's connection, or when time is over; the place is given back then. */
function startTransfer({ res, state }: Context, release: () => void, { idleMs, transferMs }: DownloadOptions): { signal: AbortSignal; onProgress: () => void } {
  const ending = new AbortController()
  const end = (why: string) => {
    const failure = new AppError('output_unavailable', why)
    ending.abort(failure)
    if (!res.headersSent) return
    // All of the file may have come, and wait here for a client that takes nothing.
    state.failure = failure
    res.destroy()
  }
  const idle = setTimeout(() => end('The download stood still for too long.'), idleMs)
  const whole = setTimeout(() => end('The download took too long.'), transferMs)
  const close = () => {
    clearTimeout(idle)
    clearTimeout(whole)
    release()
    ending.abort()
  }
  if (res.destroyed) close()
  else res.once('close', close)
  return { signal: ending.signal, onProgress: () => void idle.refresh() }
}
