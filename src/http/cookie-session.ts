/**
 * Sessions in cookies, as `@supabase/ssr` keeps them. A browser sends its cookies along whoever made it ask, so a cookie
 * alone proves nothing: the request must also come from a page that may ask (by `Origin` and `Sec-Fetch-Site`, which no page
 * can make up), and one that changes something must carry a token that only such a page can have read.
 */
import { createHmac, hkdfSync } from 'node:crypto'
import { combineChunks, isChunkLike, parse, stringFromBase64URL } from '@supabase/ssr'
import type { Context } from 'koa'
import { z } from 'zod'
import { AppError } from '../errors.ts'
import { isSameSecret } from './is-same-secret.ts'
import { onlyHeader } from './single-header.ts'

export interface CookieSessions {
  /**
   * The access token of a request's cookies.
   * @returns undefined where there is no session. @throws {AppError} `forbidden` for a page that may not ask,
   *   `unauthenticated` for a session that cannot be read.
   */
  readToken(ctx: Context): Promise<string | undefined>
  /** @throws {AppError} `csrf_token_invalid` where a request that changes something has no token of the user's. */
  demandCsrfToken(ctx: Context, userId: string): void
  /** A token for `X-CSRF-Token`, good for every process of this project. */
  issueCsrfToken(userId: string): { token: string; expiresAt: Date }
}

export interface CookieSessionOptions {
  /** Of the cookie, or of those that it is cut into. */
  name: string
  /** Whose pages may ask. */
  origins: readonly string[]
  /** The project's secret key: CSRF tokens are signed by a key that is derived from it. */
  secretKey: string
  csrfTokenSeconds: number
  now?: () => number
}

const ENCODED = 'base64-'
const PURPOSE = 'darkroom csrf tokens'
const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS']

const sessionSchema = z.object({ access_token: z.string().min(1) })

export function createCookieSessions({ name, origins, secretKey, csrfTokenSeconds, now = Date.now }: CookieSessionOptions): CookieSessions {
  const key = Buffer.from(hkdfSync('sha256', secretKey, '', PURPOSE, 32))
  const sign = (userId: string, expiresAt: string) => createHmac('sha256', key).update(`${userId}.${expiresAt}`).digest('base64url')

  return {
    async readToken(ctx) {
      const cookies = onlyHeader(ctx.req, 'cookie')
      const value = await combineChunks(name, readCookies(cookies, name))
      if (!value) return undefined
      demandOwnPage(ctx, origins)
      return parseSession(value)
    },
    demandCsrfToken(ctx, userId) {
      if (SAFE_METHODS.includes(ctx.method)) return
      const [expiresAt = '', signature] = ctx.get('X-CSRF-Token').split('.', 2)
      const isGood = isSameSecret(sign(userId, expiresAt), signature) && Number(expiresAt) * 1000 > now()
      if (!isGood) throw new AppError('csrf_token_invalid', 'With a session in cookies this needs X-CSRF-Token: ask GET /api/csrf for one.')
    },
    issueCsrfToken(userId) {
      const expiresAt = Math.floor(now() / 1000) + csrfTokenSeconds
      return { token: `${expiresAt}.${sign(userId, String(expiresAt))}`, expiresAt: new Date(expiresAt * 1000) }
    },
  }
}

/** @throws {AppError} `unauthenticated` for one that is there twice: a neighbouring domain may have set the other. */
function readCookies(header: string, name: string): (wanted: string) => string | undefined {
  const seen = new Set<string>()
  for (const pair of header.split(';')) {
    const own = pair.split('=', 1)[0]!.trim()
    if (isChunkLike(own, name) && seen.has(own)) throw new AppError('unauthenticated', `The cookie ${own} was sent twice. Remove one of them, or send the access token as a bearer token.`)
    seen.add(own)
  }
  const cookies = parse(header)
  return (wanted) => (Object.hasOwn(cookies, wanted) ? cookies[wanted] : undefined)
}

/**
 * A listed origin, or the API's own. Links and pictures of the same site, and typed addresses, send no origin: they may
 * read. A browser that tells neither, which is an old one, is told to send the token.
 */
function demandOwnPage(ctx: Context, origins: readonly string[]): void {
  const [origin, site] = [ctx.get('Origin'), ctx.get('Sec-Fetch-Site')]
  if (origins.includes(origin) || site === 'same-origin') return
  if (origin === '' && SAFE_METHODS.includes(ctx.method) && (site === 'same-site' || site === 'none')) return
  throw new AppError('forbidden', 'A session in cookies is only taken from pages of this service’s own frontend. Send the access token as a bearer token.')
}

function parseSession(value: string): string {
  try {
    const text = value.startsWith(ENCODED) ? stringFromBase64URL(value.slice(ENCODED.length)) : value
    return sessionSchema.parse(JSON.parse(text)).access_token
  } catch (error) {
    throw new AppError('unauthenticated', 'The session in the cookies cannot be read. Sign in again.', { cause: error })
  }
}
