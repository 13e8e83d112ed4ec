/**
 * Forms with one file. The file is held in memory, within a limit for each and for all: nothing is written to a disk, so
 * nothing is left there.
 */
import multer, { MulterError } from 'multer'
import koaMulter from '@koa/multer'
import type { Context, Middleware } from 'koa'
import { AppError } from '../errors.ts'

export interface MultipartOptions {
  /** The name of the file's field. */
  file: string
  /** Of the file. */
  maxBytes: number
  /** Forms that are received at once. */
  maxUploads: number
  /** What reads a body that is no form. */
  otherwise: [Middleware, Middleware]
}

const MAX_FIELDS = 20
const MAX_FIELD_BYTES = 64 * 1024
/** Of all fields and their headers, beside the file. */
const MAX_REST_BYTES = 512 * 1024

/** Guards of a route that reads a form or JSON: too long a body is refused before it has arrived. */
export function multipartBody(options: MultipartOptions): [Middleware, Middleware] {
  const { file, maxBytes, maxUploads, otherwise } = options
  const limits = { fileSize: maxBytes, files: 1, fields: MAX_FIELDS, fieldSize: MAX_FIELD_BYTES, fieldNameSize: 100, parts: MAX_FIELDS + 1, headerPairs: 20 }
  const single = koaMulter({ storage: multer.memoryStorage(), limits, defParamCharset: 'utf8' } as koaMulter.Options).single(file) as unknown as Middleware
  const maxTotal = maxBytes + MAX_REST_BYTES
  let receiving = 0

  async function receive(ctx: Context): Promise<void> {
    if (Number(ctx.get('Content-Length')) > maxTotal) throw tooLarge(ctx, maxBytes)
    if (receiving >= maxUploads) throw new AppError('rate_limited', 'Too many files are being uploaded right now. Try again in a moment.', { retryAfterSeconds: 5 })
    receiving++
    try {
      // multer reads a body to its end before it tells that it was too long: what comes is counted beside it.
      await Promise.race([single(ctx, async () => undefined), exceeded(ctx, maxTotal).then(() => Promise.reject(tooLarge(ctx, maxBytes)))])
    } catch (error) {
      throw toUploadError(error, ctx, options)
    } finally {
      receiving--
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

/** The file of the form, if there was one with anything in it. */
export function uploadOf(ctx: Context): Uint8Array | undefined {
  const { file } = ctx as Context & { file?: { buffer: Buffer } }
  return file && file.buffer.length > 0 ? file.buffer : undefined
}

/** Resolves once more than `maxBytes` of the body have arrived; never, if they do not. */
function exceeded({ req }: Context, maxBytes: number): Promise<void> {
  return new Promise((resolve) => {
    let size = 0
    const count = (chunk: Buffer) => {
      size += chunk.length
      if (size <= maxBytes) return
      req.off('data', count)
      resolve()
    }
    req.on('data', count)
  })
}

function tooLarge(ctx: Context, maxBytes: number): AppError {
  // The rest of the body is not worth reading: the connection ends with the answer.
  ctx.set('Connection', 'close')
  ctx.res.once('finish', () => ctx.req.destroy())
  return new AppError('payload_too_large', `The file may have at most ${maxBytes} bytes.`, { details: [{ path: 'image', message: `must have at most ${maxBytes} bytes` }] })
}

function toUploadError(error: unknown, ctx: Context, { file, maxBytes }: MultipartOptions): unknown {
  if (error instanceof AppError) return error
  if (error instanceof MulterError) {
    if (error.code === 'LIMIT_FILE_SIZE') return tooLarge(ctx, maxBytes)
    if (error.code === 'LIMIT_UNEXPECTED_FILE' || error.code === 'LIMIT_FILE_COUNT') return invalid(file, `is the only file that this request takes, once${error.field === undefined || error.field === file ? '' : `; ${error.field.slice(0, 100)} is none of it`}`)
    return invalid((error.field ?? '').slice(0, 100), 'the form has too many fields, or one that is too long')
  }
  // busboy's own faults carry no code.
  if (error instanceof Error && /boundary|unexpected end|malformed|multipart|part header|aborted|closed/i.test(error.message)) return new AppError('invalid_request', 'The form could not be read. Check that it is valid multipart/form-data.', { cause: error })
  return error
}

const invalid = (path: string, message: string) => new AppError('invalid_request', `${path} ${message}`.trim(), { details: [{ path, message }] })
