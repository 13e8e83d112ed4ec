/** Whom a key acts for: presented as it is, by a signature, or through an access token that was given out for it. */
import { AppError } from '../errors.ts'
import type { AccessTokens } from './access-tokens.ts'
import { demandAlive, isKeyOf, unauthenticated, type KeyFinder, type KnownKey } from './api-key.ts'
import { idOfKey, KEY_PREFIX } from './key-text.ts'
import type { NonceStore } from './nonces.ts'
import type { Scope } from './scopes.ts'
import { isSignedBy, type SignedRequest } from './signature.ts'

export interface KeyUser {
  id: string
  isAnonymous: false
  method: 'key' | 'signature' | 'oauth'
  keyId: string
  scopes: Scope[]
}

export interface KeyAccess {
  isKey(token: string): boolean
  isAccessToken(token: string): boolean
  /** @throws {AppError} `unauthenticated` for any that does not let in. */
  byKey(key: string): Promise<KeyUser>
  /** @throws {AppError} `signature_invalid`, `signature_expired`, `signature_replayed`, `unauthenticated`. */
  bySignature(request: SignedRequest): Promise<KeyUser>
  /** @throws {AppError} `unauthenticated`. */
  byAccessToken(token: string): Promise<KeyUser>
  /** The key behind a client's id and secret, which is the key itself or its last part. @throws {AppError} `unauthenticated`. */
  byClient(id: string, secret: string): Promise<KnownKey>
}

export interface KeyAccessOptions {
  keys: KeyFinder
  nonces: NonceStore
  accessTokens: AccessTokens
  /** How far a signed request's clock may be from ours, either way. */
  signatureWindowMs: number
  now?: () => number
}

/** Beyond the end of the window, so that a nonce is never forgotten while its timestamp is still good. */
const NONCE_MARGIN_MS = 1000

export function createKeyAccess(options: KeyAccessOptions): KeyAccess {
  const { keys, nonces, accessTokens, signatureWindowMs, now = Date.now } = options

  async function prove(key: string): Promise<KnownKey> {
    const id = idOfKey(key)
    const known = id === undefined ? undefined : await keys.find(id)
    if (!isKeyOf(known, key)) throw unauthenticated('This is not a valid API key.')
    demandAlive(known!, now())
    return known!
  }

  function toUser({ id, userId, scopes }: KnownKey, method: KeyUser['method'], granted: readonly Scope[] = scopes): KeyUser {
    keys.touch(id)
    return { id: userId, isAnonymous: false, method, keyId: id, scopes: scopes.filter((scope) => granted.includes(scope)) }
  }

  return {
    isKey: (token) => token.startsWith(KEY_PREFIX),
    isAccessToken: accessTokens.isOurs,
    async byKey(key) {
      const known = await prove(key)
      if (known.signedOnly) throw unauthenticated('This API key only signs requests: it must not be sent itself. It has been seen now, so rotate it.')
      return toUser(known, 'key')
    },
    async bySignature(request) {
      const leftMs = request.timestamp * 1000 + signatureWindowMs - now()
      if (leftMs < 0 || leftMs > 2 * signatureWindowMs) throw new AppError('signature_expired', `X-Darkroom-Timestamp is more than ${signatureWindowMs / 1000} seconds from the present. Check the clock, and sign each request anew.`)
      const known = await keys.find(request.keyId)
      const isGood = isSignedBy(known?.signingKey() ?? NO_SIGNING_KEY, request)
      if (!known || !isGood) throw new AppError('signature_invalid', 'The signature does not fit this request and key.')
      demandAlive(known, now())
      // Only now: whoever cannot sign must not use up nonces, nor the room for them.
      const isFirst = await nonces.remember({ userId: known.userId, keyId: known.id }, request.nonce, leftMs + NONCE_MARGIN_MS)
      if (!isFirst) throw new AppError('signature_replayed', 'This signed request was received before. Sign each request anew, with a nonce of its own.')
      return toUser(known, 'signature')
    },
    async byAccessToken(token) {
      const { keyId, userId, scopes } = await accessTokens.verify(token)
      const known = await keys.find(keyId)
      if (!known || known.userId !== userId) throw unauthenticated('The API key of this access token is gone.')
      demandAlive(known, now())
      return toUser(known, 'oauth', scopes)
    },
    async byClient(id, secret) {
      const key = secret.startsWith(KEY_PREFIX) ? secret : `${KEY_PREFIX}${id}_${secret}`
      const known = await prove(key)
      if (known.id !== id) throw unauthenticated('The client id is not that of the key.')
      keys.touch(id)
      return known
    },
  }
}

const NO_SIGNING_KEY = Buffer.alloc(32)
