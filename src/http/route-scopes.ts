/** What an API key, or an access token for one, must be allowed on each route. Users in person may use them all. */
import type { Context } from 'koa'
import { AppError } from '../errors.ts'
import { demandScopes, scopesFor, type Action, type Scope } from '../keys/scopes.ts'
import type { AuthenticatedUser } from './authenticated-user.ts'
import { matchedRoutes } from './matched-routes.ts'

/** Asked by the route itself, which knows the kind: see `demandKindScope`. */
const BY_KIND: readonly Scope[] = []
/** The same for everybody, and nothing of the user's. */
const ANY: readonly Scope[] = []

/** Keys are refused on every route that is not listed. */
const ROUTES: Readonly<Record<string, readonly Scope[]>> = {
  'GET /api/models': ANY,
  'GET /api/usage': ['images:read', 'videos:read'],
  'GET /api/download': ['images:read', 'videos:read'],
  'GET /api/images/models': ['images:read'],
  'POST /api/images/test': ['images:generate'],
  'POST /api/images/generate': ['images:generate'],
  'POST /api/images/edit': ['images:generate'],
  'POST /api/images/remove-background': ['images:generate'],
  'GET /api/videos/models': ['videos:read'],
  'POST /api/videos/generate': ['videos:generate'],
  'GET /api/generations': BY_KIND,
  'GET /api/generations/:id': BY_KIND,
  'GET /api/generations/:id/events': BY_KIND,
  'POST /api/generations/:id/cancel': BY_KIND,
}

/** @throws {AppError} `insufficient_scope`, or `forbidden` where keys have no business. */
export function demandRouteScopes(ctx: Context): void {
  const user = ctx.state.user as AuthenticatedUser
  if (user.scopes === undefined) return
  const method = ctx.method === 'HEAD' ? 'GET' : ctx.method
  const routes = matchedRoutes(ctx).map((pattern) => ROUTES[`${method} ${pattern}`])
  if (routes.length === 0 || routes.includes(undefined)) throw new AppError('forbidden', 'This needs the user in person: send a Supabase access token, not an API key or a token for one.')
  for (const needed of routes) demand(ctx, user, needed!)
}

/**
 * For routes whose kind of generation is only known further in.
 * @param kind undefined when it is about every kind. @throws {AppError} `insufficient_scope`.
 */
export function demandKindScope(ctx: Context, kind: string | undefined, action: Action): void {
  demand(ctx, ctx.state.user as AuthenticatedUser, scopesFor(kind, action))
}

function demand(ctx: Context, { scopes }: AuthenticatedUser, needed: readonly Scope[]): void {
  try {
    demandScopes(scopes, needed)
  } catch (error) {
    ctx.set('WWW-Authenticate', `Bearer error="insufficient_scope", scope="${needed.join(' ')}"`)
    throw error
  }
}
