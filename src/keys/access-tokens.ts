/**
 * Our own access tokens (OAuth 2.0 client credentials): short-lived, ES256, and never to be taken for Supabase's. Issuer,
 * audience, type and key ids are others, and a token is only ever shown to the one verifier that it claims to be for.
 */
import { randomUUID } from 'node:crypto'
import { errors, jwtVerify, SignJWT, type CryptoKey, type KeyObject } from 'jose'
import { z } from 'zod'
import { unauthenticated, type KnownKey } from './api-key.ts'
import { isScope, type Scope } from './scopes.ts'

export interface AccessTokens {
  /** Whether a token claims to be one of ours, told from its first bytes. */
  isOurs(token: string): boolean
  issue(key: Pick<KnownKey, 'id' | 'userId' | 'endsAt'>, scopes: readonly Scope[]): Promise<{ token: string; expiresInSeconds: number }>
  /** @throws {AppError} `unauthenticated`. */
  verify(token: string): Promise<{ keyId: string; userId: string; scopes: Scope[] }>
}

/** The keys that sign our tokens. */
export interface SigningKeys {
  /** The one that signs now, made when there is none. */
  current(): Promise<{ kid: string; privateKey: KeyObject }>
  find(kid: string): Promise<CryptoKey | KeyObject | undefined>
}

export interface AccessTokenOptions {
  signingKeys: SigningKeys
  issuer: string
  lifetimeSeconds: number
  now?: () => number
}

export const AUDIENCE = 'darkroom'
/** RFC 9068: what is no access token, such as an ID token, has another type. */
const TYPE = 'at+jwt'
const ALGORITHM = 'ES256'
export const KID_PREFIX = 'darkroom-'
/** How long others may keep the public keys: a new one is published longer than this before it signs. */
export const KEY_SET_MAX_AGE_SECONDS = 300

/** How every header of ours begins, as far as whole groups of base64 reach. One that is written otherwise is not ours. */
const HEADER = JSON.stringify({ alg: ALGORITHM, typ: TYPE, kid: KID_PREFIX }).slice(0, -2)
const TOKEN_START = Buffer.from(HEADER.slice(0, HEADER.length - (HEADER.length % 3))).toString('base64url')

const MAX_LENGTH = 4096
const CLOCK_TOLERANCE_SECONDS = 5

const headerSchema = z.strictObject({ alg: z.literal(ALGORITHM), typ: z.literal(TYPE), kid: z.string().startsWith(KID_PREFIX).max(100) })
const claimsSchema = z.object({ aud: z.literal(AUDIENCE), sub: z.guid(), client_id: z.string().max(100), scope: z.string(), jti: z.string(), exp: z.number(), iat: z.number() })

export function createAccessTokens({ signingKeys, issuer, lifetimeSeconds, now = Date.now }: AccessTokenOptions): AccessTokens {
  async function keyOf(token: string): Promise<CryptoKey | KeyObject> {
    const header = headerSchema.safeParse(parseHeader(token))
    const key = header.success ? await signingKeys.find(header.data.kid) : undefined
    if (!key) throw invalid()
    return key
  }

  return {
    isOurs: (token) => token.startsWith(TOKEN_START),
    async issue({ id, userId, endsAt }, scopes) {
      const { kid, privateKey } = await signingKeys.current()
      const issuedAt = Math.floor(now() / 1000)
      // No longer than its key, which ends it anyway.
      const expiresInSeconds = Math.max(1, Math.min(lifetimeSeconds, Math.floor(endsAt / 1000) - issuedAt))
      const token = await new SignJWT({ scope: scopes.join(' '), client_id: id })
        .setProtectedHeader({ alg: ALGORITHM, typ: TYPE, kid })
        .setIssuer(issuer)
        .setAudience(AUDIENCE)
        .setSubject(userId)
        .setJti(randomUUID())
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + expiresInSeconds)
        .sign(privateKey)
      return { token, expiresInSeconds }
    },
    async verify(token) {
      const key = await keyOf(token)
      const { payload } = await jwtVerify(token, key, { algorithms: [ALGORITHM], issuer, audience: AUDIENCE, typ: TYPE, requiredClaims: ['exp'], currentDate: new Date(now()), clockTolerance: CLOCK_TOLERANCE_SECONDS }).catch((error: unknown) => {
        throw error instanceof errors.JWTExpired ? unauthenticated('This access token has expired. Ask for a new one.', error) : error instanceof errors.JOSEError ? invalid(error) : error
      })
      const claims = claimsSchema.safeParse(payload)
      if (!claims.success) throw invalid(claims.error)
      return { keyId: claims.data.client_id, userId: claims.data.sub, scopes: claims.data.scope.split(' ').filter(isScope) }
    },
  }
}

function parseHeader(token: string): unknown {
  if (token.length > MAX_LENGTH) return undefined
  try {
    return JSON.parse(Buffer.from(token.split('.', 1)[0]!, 'base64url').toString())
  } catch {
    return undefined
  }
}

const invalid = (cause?: unknown) => unauthenticated('This is not a valid access token.', cause)
