import type { Context, Middleware } from 'koa'
import { AppError } from '../errors.ts'

/** Routes that wait for a generation bound themselves, and say so in their answer. */
const WAITS_LONGER = /^\/api\/(images\/(generate|edit|remove-background)|videos\/generate)\/?$/

/** No other request may take longer: a caller gets an answer while it still listens. */
export function deadline(timeoutMs: number): Middleware {
  return async (ctx, next) => {
    if (WAITS_LONGER.test(ctx.path)) return await next()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(ctx.req.complete ? new AppError('request_timeout', 'The request took too long.') : incomplete(ctx)), timeoutMs)
    })
    try {
      await Promise.race([next(), late])
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Of a body that stopped: it is the client's own fault, and its connection ends with the answer. */
function incomplete(ctx: Context): AppError {
  ctx.set('Connection', 'close')
  return new AppError('request_incomplete', 'The request did not arrive in time.')
}
