/** Bodies of signed requests: hashed as they arrive, and compared before anybody acts on them. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Context, Middleware } from 'koa'
import { AppError } from '../errors.ts'

const OF_NOTHING = createHash('sha256').digest('hex')

/**
 * Notes what the body of a signed request must be; whoever reads the body compares. A request without one is settled here.
 * @throws {AppError} `content_mismatch`.
 */
export function expectBody(ctx: Context, sha256: string): void {
  const hasBody = ctx.req.headers['transfer-encoding'] !== undefined || Number(ctx.req.headers['content-length'] ?? 0) > 0
  if (hasBody && ctx.method !== 'POST') throw new AppError('invalid_request', `A signed ${ctx.method} must not have a body.`)
  if (!hasBody && sha256 !== OF_NOTHING) throw mismatch()
  if (hasBody) ctx.state.contentSha256 = sha256
}

/**
 * Begins to hash a body, where its request was signed. To be called in the moment in which its reader begins.
 * @returns a function for when the reader is done. @throws {AppError} `content_mismatch` when it was another body.
 */
export function digestBody(ctx: Context): () => void {
  const expected = ctx.state.contentSha256 as string | undefined
  if (expected === undefined) return () => undefined
  const hash = createHash('sha256')
  ctx.req.on('data', (chunk: Buffer) => hash.update(chunk))
  return () => {
    if (!ctx.req.readableEnded || !timingSafeEqual(hash.digest(), Buffer.from(expected, 'hex'))) throw mismatch()
  }
}

/** The guard of routes that read no body: nobody would compare a signed one. */
export const refuseSignedBody: Middleware = async (ctx, next) => {
  if (ctx.state.contentSha256 !== undefined) throw new AppError('invalid_request', 'This request takes no body: sign it and send it without one.')
  await next()
}

const mismatch = () => new AppError('content_mismatch', 'The body is not the one that X-Darkroom-Content-SHA256 names.')
