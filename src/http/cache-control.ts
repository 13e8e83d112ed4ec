/** `Cache-Control` of a request that generates: how old an answer the client takes, instead of a new one. */
import type { Context } from 'koa'
import { AppError } from '../errors.ts'

/**
 * @param defaultSeconds where the client says nothing.
 * @returns seconds; 0 where only a new answer will do.
 * @throws {AppError} `invalid_request` for an age that is no number: a typing error must not cost money.
 */
export function readMaxAge(ctx: Context, defaultSeconds: number): number {
  const directives = ctx.get('Cache-Control').toLowerCase().split(',').map((one) => one.trim())
  if (directives.some((one) => one === 'no-store' || one === 'no-cache')) return 0
  const maxAge = directives.find((one) => one.startsWith('max-age'))
  if (maxAge === undefined) return defaultSeconds
  const seconds = /^max-age="?(\d{1,9})"?$/.exec(maxAge)?.[1]
  if (seconds === undefined) throw new AppError('invalid_request', 'Cache-Control: max-age must be a whole number of seconds.', { details: [{ path: 'Cache-Control', message: 'is not valid' }] })
  return Number(seconds)
}
