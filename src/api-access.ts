/** The wiring of API keys, signed requests and OAuth, for services.ts. */
import { createAccessTokens, type AccessTokens } from './keys/access-tokens.ts'
import type { ApiKeyStore } from './keys/api-key.ts'
import { createKeyAccess, type KeyAccess } from './keys/identify.ts'
import type { NonceStore } from './keys/nonces.ts'
import { createSealer } from './keys/sealing.ts'
import type { Logger } from './log.ts'
import { createApiKeys } from './supabase/api-keys.ts'
import type { Database } from './supabase/database.ts'
import { createSigningKeys, type SigningKeyStore } from './supabase/signing-keys.ts'

export interface ApiAccessOptions {
  database: Database
  logger: Logger
  nonces: NonceStore
  maxPerUser: number
  cacheMs: number
  masterKeys: readonly Uint8Array[]
  signatureWindowMs: number
  oauth: { issuer: string; rotationDays: number; tokenLifetimeSeconds: number }
}

export interface ApiAccess {
  apiKeys: ApiKeyStore
  keyAccess: KeyAccess
  accessTokens: AccessTokens
  signingKeys: Pick<SigningKeyStore, 'publicKeys'>
}

export function createApiAccess(options: ApiAccessOptions): ApiAccess {
  const sealer = createSealer(options.masterKeys)
  const apiKeys = createApiKeys({ ...options, sealer })
  const signingKeys = createSigningKeys({ ...options, ...options.oauth, sealer })
  const accessTokens = createAccessTokens({ signingKeys, issuer: options.oauth.issuer, lifetimeSeconds: options.oauth.tokenLifetimeSeconds })
  return { apiKeys, accessTokens, signingKeys, keyAccess: createKeyAccess({ keys: apiKeys, nonces: options.nonces, accessTokens, signatureWindowMs: options.signatureWindowMs }) }
}
