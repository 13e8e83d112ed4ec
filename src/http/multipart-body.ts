/**
 * Forms with files. They are held in memory, within a limit for each and for all: nothing is written to a disk, so nothing
 * is left there.
 */
import type { IncomingMessage } from 'node:http'
import multer, { MulterError } from 'multer'
import koaMulter from '@koa/multer'
import type { Context, Middleware } from 'koa'
import { AppError } from '../errors.ts'
import type { AuthenticatedUser } from './authenticated-user.ts'
import { digestBody } from './body-digest.ts'
import { noteUploads } from './upload-notes.ts'

export interface MultipartOptions {
  /** The names of the fields that hold files, each with how many it may hold. */
  files: Readonly<Record<string, number>>
  /** Of one file. All of a form may have four times as many. */
  maxBytes: number
  /** Forms with files that are received at once; one user may have half of these places. */
  maxUploads: number
  /** A body of which nothing arrives for so long is given up: its place is somebody else's. */
  idleMs: number
  /** What reads a body that is no form; such a body is refused where absent. */
  otherwise?: [Middleware, Middleware]
}

const MAX_FIELDS = 20
const MAX_FIELD_BYTES = 64 * 1024
/** Of all fields and their headers, beside the file. */
const MAX_REST_BYTES = 512 * 1024
const MAX_FULL_FILES = 4

const refuse: Middleware = async () => {
  throw new AppError('unsupported_media_type', 'Send the request as a form, with Content-Type: multipart/form-data.')
}

/** Guards of a route that reads a form or JSON: too long a body is refused before it has arrived. */
export function multipartBody(options: MultipartOptions): [Middleware, Middleware] {
  const { files, maxBytes, maxUploads, otherwise = [refuse, refuse] } = options
  const count = Object.values(files).reduce((sum, number) => sum + number, 0)
  const limits = { fileSize: maxBytes, files: count, fields: MAX_FIELDS, fieldSize: MAX_FIELD_BYTES, fieldNameSize: 100, parts: MAX_FIELDS + count, headerPairs: 20 }
  /** A form takes a place once a file of it begins to arrive: most have none. */
  const fileFilter = (req: IncomingMessage, _file: unknown, done: (error: Error | null, isAccepted?: boolean) => void) => {
    try {
      takePlace(contexts.get(req)!)
      done(null, true)
    } catch (error) {
      done(error as Error)
    }
  }
  const upload = koaMulter({ storage: multer.memoryStorage(), limits, fileFilter, defParamCharset: 'utf8' } as unknown as koaMulter.Options)
  const parse = upload.fields(Object.entries(files).map(([name, maxCount]) => ({ name, maxCount }))) as unknown as Middleware
  const maxTotal = maxBytes * Math.min(count, MAX_FULL_FILES) + MAX_REST_BYTES
  const receiving = new Map<string, number>()
  const contexts = new WeakMap<IncomingMessage, Context>()

  /** Takes a place for the form and its files, once. It is given back with the files, by `releaseUploads` or at the request's end. */
  function takePlace(ctx: Context): void {
    if (ctx.state.releaseUploads) return
    const { id } = ctx.state.user as AuthenticatedUser
    const total = [...receiving.values()].reduce((sum, number) => sum + number, 0)
    const own = receiving.get(id) ?? 0
    if (total >= maxUploads || own >= Math.ceil(maxUploads / 2)) throw new AppError('rate_limited', 'Too many files are being uploaded right now. Try again in a moment.', { retryAfterSeconds: 5 })
    receiving.set(id, own + 1)
    let isTaken = true
    const release = () => {
      if (!isTaken) return
      isTaken = false
      for (const holder of [ctx, ctx.request, ctx.req] as { files?: unknown }[]) delete holder.files
      const left = receiving.get(id)! - 1
      if (left === 0) receiving.delete(id)
      else receiving.set(id, left)
    }
    ctx.state.releaseUploads = release
    ctx.res.once('close', release)
  }

  async function receive(ctx: Context): Promise<void> {
    if (Number(ctx.get('Content-Length')) > maxTotal) throw tooLarge(ctx, options)
    contexts.set(ctx.req, ctx)
    const watch = watchBody(ctx, maxTotal, options.idleMs)
    const compare = digestBody(ctx)
    try {
      // multer reads a body to its end before it tells that it was too long: what comes is counted beside it.
      await Promise.race([parse(ctx, async () => undefined), watch.trouble.then((trouble) => Promise.reject(trouble === 'too large' ? tooLarge(ctx, options) : tooSlow(ctx)))])
      compare()
      noteUploads(ctx)
    } catch (error) {
      throw toUploadError(error, ctx, options)
    } finally {
      watch.stop()
    }
  }

  return [
    async (ctx, next) => {
      if (!ctx.is('multipart/form-data')) return await otherwise[0](ctx, next)
      await receive(ctx)
      await next()
    },
    async (ctx, next) => {
      if (ctx.is('multipart/form-data')) return await next()
      await otherwise[1](ctx, next)
    },
  ]
}

/** Gives up the files of a request that goes on without them: it may wait for minutes. */
export function releaseUploads(ctx: Context): void {
  ;(ctx.state.releaseUploads as (() => void) | undefined)?.()
}

/** The files of a field, those with anything in them, in the order they were sent. */
export function uploadsOf(ctx: Context, field: string): Uint8Array[] {
  const { files } = ctx as Context & { files?: Record<string, { buffer: Buffer }[]> }
  return (files?.[field] ?? []).map(({ buffer }) => buffer).filter(({ length }) => length > 0)
}

/** Watches a body as it arrives: resolves once there is too much of it, or nothing for too long. */
function watchBody({ req }: Context, maxBytes: number, idleMs: number): { trouble: Promise<'too large' | 'too slow'>; stop: () => void } {
  const { promise: trouble, resolve } = Promise.withResolvers<'too large' | 'too slow'>()
  const timer = setTimeout(() => resolve('too slow'), idleMs)
  let size = 0
  const count = (chunk: Buffer) => {
    timer.refresh()
    size += chunk.length
    if (size > maxBytes) resolve('too large')
  }
  req.on('data', count)
  return {
    trouble,
    stop() {
      clearTimeout(timer)
      req.off('data', count)
    },
  }
}

function tooLarge(ctx: Context, { files, maxBytes }: MultipartOptions): AppError {
  endAfterAnswer(ctx)
  const path = Object.keys(files)[0]!
  return new AppError('payload_too_large', `A file may have at most ${maxBytes} bytes.`, { details: [{ path, message: `must have at most ${maxBytes} bytes` }] })
}

function tooSlow(ctx: Context): AppError {
  endAfterAnswer(ctx)
  return new AppError('request_incomplete', 'The form did not arrive in time.')
}

/** The rest of the body is not worth reading: the connection ends with the answer. */
function endAfterAnswer(ctx: Context): void {
  ctx.set('Connection', 'close')
  ctx.res.once('finish', () => ctx.req.destroy())
}

function toUploadError(error: unknown, ctx: Context, options: MultipartOptions): unknown {
  if (error instanceof AppError) return error
  if (error instanceof MulterError) {
    if (error.code === 'LIMIT_FILE_SIZE') return tooLarge(ctx, options)
    if (error.code === 'LIMIT_UNEXPECTED_FILE' || error.code === 'LIMIT_FILE_COUNT') {
      const allowed = Object.entries(options.files).map(([name, number]) => (number === 1 ? name : `${name} (up to ${number})`))
      return invalid((error.field ?? '').slice(0, 100), `is a file too many: this request takes ${allowed.join(' and ')}`)
    }
    return invalid((error.field ?? '').slice(0, 100), 'the form has too many fields, or one that is too long')
  }
  // busboy's own faults carry no code.
  if (error instanceof Error && /boundary|unexpected end|malformed|multipart|part header|aborted|closed/i.test(error.message)) return new AppError('invalid_request', 'The form could not be read. Check that it is valid multipart/form-data.', { cause: error })
  return error
}

const invalid = (path: string, message: string) => new AppError('invalid_request', `${path} ${message}`.trim(), { details: [{ path, message }] })
