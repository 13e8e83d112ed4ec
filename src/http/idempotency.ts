/** `Idempotency-Key`: a request that is sent again, by a nervous user or a network library, is the same request. */
import { createHash } from 'node:crypto'
import type { Context } from 'koa'
import { canonicalJson } from '../canonical-json.ts'
import { AppError } from '../errors.ts'
import type { IdempotencyKey } from '../generation/records.ts'

/** Visible ASCII, as the header's draft standard has it; long enough for any UUID or hash. */
const KEY = /^[\x21-\x7e]{1,255}$/

/**
 * @param readInput gives what the request asks for, after it was checked: spelling and order of its JSON do not matter.
 * @throws {AppError} `invalid_request` for a key that cannot be one.
 */
export function readIdempotencyKey(ctx: Context, readInput: () => object): IdempotencyKey | undefined {
  const key = ctx.get('Idempotency-Key')
  if (key === '') return undefined
  if (!KEY.test(key)) throw new AppError('invalid_request', 'The Idempotency-Key must be 1 to 255 visible ASCII characters.', { details: [{ path: 'Idempotency-Key', message: 'is not valid' }] })
  return { key, route: `${ctx.method} ${ctx.path.replace(/\/+$/, '')}`, bodySha256: createHash('sha256').update(canonicalJson(readInput())).digest('hex') }
}
