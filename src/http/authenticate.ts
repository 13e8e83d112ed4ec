import type { Context, Middleware } from 'koa'
import { AppError } from '../errors.ts'
import type { KeyAccess } from '../keys/identify.ts'
import { SIGNATURE_SCHEME } from '../keys/signature.ts'
import type { AuthenticatedUser } from './authenticated-user.ts'
import { expectBody } from './body-digest.ts'
import type { CookieSessions } from './cookie-session.ts'
import { demandRouteScopes } from './route-scopes.ts'
import { readSignedRequest } from './signed-request.ts'
import { onlyHeader } from './single-header.ts'

export interface AuthenticateOptions {
  /** Of Supabase access tokens. */
  verifyToken: (token: string) => Promise<Pick<AuthenticatedUser, 'id' | 'isAnonymous'>>
  keyAccess: KeyAccess
  /** Undefined where cookies prove nothing. */
  cookieSessions: CookieSessions | undefined
}

const SIGNED = new RegExp(`^${SIGNATURE_SCHEME}(?: |$)`, 'i')

/**
 * The guard of routers that serve signed-in users and their API keys: sets `ctx.state.user`. Those routers must be
 * case-sensitive, since `use` matches its prefix to the letter: another spelling would reach the routes and pass by this guard.
 */
export function authenticate(options: AuthenticateOptions): Middleware {
  return async (ctx, next) => {
    ctx.state.user = await identify(ctx, options)
    demandRouteScopes(ctx)
    await next()
  }
}

/** What a credential claims to be decides who checks it: what one refuses, no other is asked about. */
async function identify(ctx: Context, { verifyToken, keyAccess, cookieSessions }: AuthenticateOptions): Promise<AuthenticatedUser> {
  const authorization = onlyHeader(ctx.req, 'authorization')
  if (SIGNED.test(authorization)) {
    const request = readSignedRequest(ctx.req, authorization)
    const user = await keyAccess.bySignature(request)
    expectBody(ctx, request.contentSha256)
    return user
  }
  if (authorization === '' && cookieSessions) {
    const user = await identifyByCookie(ctx, cookieSessions, verifyToken)
    if (user) return user
  }
  const token = /^Bearer +([^\s]+) *$/i.exec(authorization)?.[1]
  if (token === undefined) throw new AppError('unauthenticated', 'Sign in first: send your Supabase access token as a bearer token.')
  if (keyAccess.isKey(token)) return await keyAccess.byKey(token)
  if (keyAccess.isAccessToken(token)) return await keyAccess.byAccessToken(token)
  const { id, isAnonymous } = await verifyToken(token)
  return { id, isAnonymous, method: 'token' }
}

/** Only where no other credential was sent: what a page sends by intent counts more than what its browser adds. */
async function identifyByCookie(ctx: Context, cookieSessions: CookieSessions, verifyToken: AuthenticateOptions['verifyToken']): Promise<AuthenticatedUser | undefined> {
  ctx.vary('Cookie')
  const token = await cookieSessions.readToken(ctx)
  if (token === undefined) return undefined
  const { id, isAnonymous } = await verifyToken(token)
  cookieSessions.demandCsrfToken(ctx, id)
  return { id, isAnonymous, method: 'cookie' }
}
