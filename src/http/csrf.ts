import Router from '@koa/router'
import type { Middleware } from 'koa'
import { AppError } from '../errors.ts'
import type { AuthenticatedUser } from './authenticated-user.ts'
import type { CookieSessions } from './cookie-session.ts'

export interface CsrfRoutesOptions {
  authenticate: Middleware
  cookieSessions: CookieSessions | undefined
}

/** Pages with a session in cookies ask here for what they must send along with whatever changes something. */
export function csrfRoutes({ authenticate, cookieSessions }: CsrfRoutesOptions): Router {
  const router = new Router({ prefix: '/api/csrf', sensitive: true })
  router.use(authenticate)
  router.get('/', (ctx) => {
    if (!cookieSessions) throw new AppError('not_found', 'This service takes no sessions in cookies: send the access token as a bearer token.')
    const { token, expiresAt } = cookieSessions.issueCsrfToken((ctx.state.user as AuthenticatedUser).id)
    ctx.set('Cache-Control', 'no-store')
    ctx.body = { csrfToken: token, expiresAt: expiresAt.toISOString() }
  })
  return router
}
