/** Supabase access tokens, verified here: a network call for each request is what such services are slow for. */
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, type CryptoKey, type JWTPayload } from 'jose'
import { LRUCache } from 'lru-cache'
import { z } from 'zod'
import { AppError } from '../errors.ts'
import { limitConcurrency } from '../limit-concurrency.ts'
import type { KeySet } from './key-set.ts'

export interface User {
  id: string
  isAnonymous: boolean
  /** When the token ends, in seconds since 1970. */
  expiresAt: number
}

export interface TokenVerifier {
  /**
   * @throws {AppError} `unauthenticated` for any token that is not a signed-in user's, `auth_unavailable` when that
   *   cannot be decided now.
   */
  verify(token: string): Promise<User>
}

export interface TokenVerifierOptions {
  keySet: KeySet
  /** The legacy shared secret, for projects that still sign with HS256. */
  jwtSecret: string | undefined
  /** A token that names its issuer must name one of these; the local stack's tokens name none. */
  issuers: readonly string[]
  cacheSize: number
  /** Asks Auth about a token that cannot be verified here, because the project signs with a secret that we do not have. */
  askAuth: (token: string) => Promise<boolean>
  now?: () => number
}

const CLOCK_TOLERANCE_SECONDS = 5
/** A larger header than any server lets through; longer tokens are not worth a hash. */
const MAX_TOKEN_LENGTH = 16_384
/** Auth's own word on a token is trusted for so long, since it also knows of sign-outs. */
const ASKED_TTL_MS = 60_000
/** Questions to Auth at once: its limit for one address is not to be spent on made-up tokens. */
const MAX_QUESTIONS = 4

const claimsSchema = z.looseObject({
  sub: z.guid(),
  role: z.literal('authenticated'),
  aud: z.union([z.string(), z.array(z.string())]).refine((aud) => [aud].flat().includes('authenticated')),
  exp: z.number(),
  nbf: z.number().optional(),
  iss: z.string().optional(),
  is_anonymous: z.boolean().optional(),
})

export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { keySet, now = Date.now } = options
  const secret = options.jwtSecret === undefined ? undefined : new TextEncoder().encode(options.jwtSecret)
  const issuers = new Set(options.issuers.map(withoutLoopbackNames))
  const verified = new LRUCache<string, User>({ max: options.cacheSize, ttl: 1, ttlResolution: 0, perf: { now } })

  const answers = new LRUCache<string, Promise<boolean>>({ max: options.cacheSize, ttl: ASKED_TTL_MS })
  const askingSlots = limitConcurrency(MAX_QUESTIONS)

  function toUser(payload: JWTPayload): User {
    const claims = claimsSchema.safeParse(payload)
    if (!claims.success) throw unauthenticated('This token is not one of a signed-in user.')
    const { sub, exp, nbf, iss, is_anonymous } = claims.data
    const seconds = now() / 1000
    if (exp + CLOCK_TOLERANCE_SECONDS <= seconds) throw unauthenticated('Your session has expired. Sign in again.')
    if (nbf !== undefined && nbf - CLOCK_TOLERANCE_SECONDS > seconds) throw unauthenticated('This token is not valid yet.')
    if (iss !== undefined && !issuers.has(withoutLoopbackNames(iss))) throw unauthenticated('This token was issued for another project.')
    return { id: sub, isAnonymous: is_anonymous ?? false, expiresAt: exp }
  }

  async function verifyHere(token: string, key: CryptoKey | Uint8Array, algorithm: string): Promise<User> {
    // The claims are checked by toUser, in one place for every way a token is proven.
    const { payload } = await jwtVerify(token, key, { algorithms: [algorithm], currentDate: new Date(now()), clockTolerance: CLOCK_TOLERANCE_SECONDS })
    return toUser(payload)
  }

  /** Anybody can make up tokens: one question a token, few at once, and a no is kept for a while. */
  function askOnce(token: string): Promise<boolean> {
    const asked = answers.get(token)
    if (asked) return asked
    const answer = askingSlots(() => options.askAuth(token))
    answers.set(token, answer)
    answer.catch(() => answers.delete(token))
    return answer
  }

  async function verifyFresh(token: string): Promise<{ user: User; ttlMs: number }> {
    const { alg, kid } = decodeProtectedHeader(token)
    if (alg === 'ES256' || alg === 'RS256') {
      const found = await keySet.find({ kid, alg })
      // A key's own algorithm decides; a token that claims another one does not verify.
      if (!found) throw unauthenticated('This token was signed by a key that the project does not have.')
      return keep(await verifyHere(token, found.key, found.algorithm))
    }
    if (alg !== 'HS256') throw unauthenticated('This token is signed in a way that is not accepted.')
    if (secret) return keep(await verifyHere(token, secret, 'HS256'))
    const user = toUser(decodeJwt(token))
    if (!(await askOnce(token))) throw unauthenticated('Your session is not valid any more. Sign in again.')
    return { user, ttlMs: Math.min(ASKED_TTL_MS, keep(user).ttlMs) }
  }

  const keep = (user: User) => ({ user, ttlMs: user.expiresAt * 1000 - now() })

  return {
    async verify(token) {
      const known = verified.get(token)
      if (known) return known
      if (token.length > MAX_TOKEN_LENGTH) throw unauthenticated('This is not an access token.')
      const { user, ttlMs } = await verifyFresh(token).catch((error: unknown) => {
        throw toAuthError(error)
      })
      if (ttlMs > 0) verified.set(token, user, { ttl: ttlMs })
      return user
    },
  }
}

/** The CLI's stack says 127.0.0.1 where its users write localhost. */
const withoutLoopbackNames = (issuer: string): string => issuer.replace(/^http:\/\/(localhost|\[::1\])(?=[:/])/, 'http://127.0.0.1').replace(/\/$/, '')

const unauthenticated = (message: string, cause?: unknown) => new AppError('unauthenticated', message, { cause })

function toAuthError(error: unknown): unknown {
  if (error instanceof AppError) return error
  if (error instanceof errors.JWTExpired) return unauthenticated('Your session has expired. Sign in again.', error)
  // Anything that jose or the decoder finds wrong is the token's fault: keys and network have errors of their own.
  if (error instanceof errors.JOSEError || error instanceof TypeError) return unauthenticated('This is not a valid access token.', error)
  return error
}
