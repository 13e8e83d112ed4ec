/** JSON bodies: only that media type, within a limit, checked by a schema. */
import { bodyParser } from '@koa/bodyparser'
import type { Context, Middleware } from 'koa'
import type { z } from 'zod'
import { AppError } from '../errors.ts'
import { digestBody } from './body-digest.ts'

const MAX_DETAILS = 20

/** Guards of a route that reads a JSON body: the type is refused before a byte of it is read. */
export function jsonBody(options: { maxBytes: number }): [Middleware, Middleware] {
  const requireJson: Middleware = async (ctx, next) => {
    if (ctx.get('Content-Type') === '' || !ctx.is('application/json')) {
      throw new AppError('unsupported_media_type', 'Send the request as JSON, with Content-Type: application/json.')
    }
    const length = Number(ctx.get('Content-Length'))
    if (length > options.maxBytes) throw new AppError('payload_too_large', `The body may have at most ${options.maxBytes} bytes.`)
    await next()
  }
  const parse = bodyParser({ enableTypes: ['json'], jsonLimit: options.maxBytes })
  const readJson: Middleware = async (ctx, next) => {
    const compare = digestBody(ctx)
    await parse(ctx, async () => {
      compare()
      await next()
    })
  }
  return [requireJson, readJson]
}

/** @throws {AppError} `invalid_request` that names each field. */
export const parseBody = <T>(schema: z.ZodType<T>, ctx: Context): T => parseInput(schema, ctx.request.body ?? {})

/** @throws {AppError} `invalid_request` that names each field. */
export function parseInput<T>(schema: z.ZodType<T>, input: unknown): T {
  const parsed = schema.safeParse(input)
  if (parsed.success) return parsed.data
  const details = parsed.error.issues.slice(0, MAX_DETAILS).flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') return issue.keys.slice(0, MAX_DETAILS).map((key) => ({ path: [...issue.path, key].join('.').slice(0, 200), message: 'is not a field of this request' }))
    return [{ path: issue.path.join('.').slice(0, 200), message: issue.message }]
  })
  throw new AppError('invalid_request', details.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ').slice(0, 1000), { details })
}
