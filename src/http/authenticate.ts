import type { Middleware } from 'koa'
import { AppError } from '../errors.ts'

export interface AuthenticatedUser {
  id: string
  isAnonymous: boolean
}

/**
 * The guard of routers that serve signed-in users: sets `ctx.state.user`. Those routers must be case-sensitive, since
 * `use` matches its prefix to the letter: another spelling would reach the routes and pass by this guard.
 */
export function authenticate(verify: (token: string) => Promise<AuthenticatedUser>): Middleware {
  return async (ctx, next) => {
    const token = /^Bearer +([^\s]+) *$/i.exec(ctx.get('Authorization'))?.[1]
    if (token === undefined) throw new AppError('unauthenticated', 'Sign in first: send your Supabase access token as a bearer token.')
    ctx.state.user = await verify(token)
    await next()
  }
}
