/** Answers that a client may have already. */
import { createHash } from 'node:crypto'
import type { Context } from 'koa'

export interface TaggedAnswer {
  body: string | Buffer
  etag: string
  type: string
  cacheControl: string
}

export const toETag = (body: string | Uint8Array): string => `"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"`

/** Answers 304 to whoever has it. */
export function answerTagged(ctx: Context, { body, etag, type, cacheControl }: TaggedAnswer): void {
  ctx.set('ETag', etag)
  ctx.set('Cache-Control', cacheControl)
  // Koa's own check takes the no-cache that fetch adds to such a request for a wish to have it all again. A proxy that
  // compresses the answer makes its tag a weak one.
  const known = ctx.get('If-None-Match').split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  if (known.includes(etag)) return void (ctx.status = 304)
  ctx.type = type
  ctx.body = body
}
