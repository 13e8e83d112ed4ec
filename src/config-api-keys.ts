/** The variables of API keys, signed requests and OAuth. */
import { z } from 'zod'
import { integer, text } from './config-values.ts'

export const apiKeyVariables = {
  API_KEYS_PER_USER: integer(20, 1, 1000),
  API_KEY_CACHE_SECONDS: integer(2, 1, 10),
  API_SIGNATURE_WINDOW_SECONDS: integer(300, 10, 900),
  // RATE_LIMIT_USER lets 300 requests a minute in, and a nonce lives for at most two windows of five minutes: 3000.
  API_NONCES_PER_USER: integer(5000, 1, 10_000_000),
  API_NONCES: integer(100_000, 1, 10_000_000),
  OAUTH_ISSUER: text,
  OAUTH_KEY_DAYS: integer(30, 1, 365),
  OAUTH_TOKEN_SECONDS: integer(900, 1, 3600),
}

/** Where neither OAUTH_ISSUER nor PUBLIC_URL says otherwise. No address, so no Supabase project has it. */
const DEFAULT_ISSUER = 'darkroom'

type ApiKeyEnvironment = z.infer<z.ZodObject<typeof apiKeyVariables & { PUBLIC_URL: typeof text }>>

export function toApiKeyConfig(env: ApiKeyEnvironment) {
  return {
    maxPerUser: env.API_KEYS_PER_USER,
    cacheMs: env.API_KEY_CACHE_SECONDS * 1000,
    signatureWindowMs: env.API_SIGNATURE_WINDOW_SECONDS * 1000,
    nonces: { perUser: env.API_NONCES_PER_USER, total: env.API_NONCES },
    oauth: { issuer: env.OAUTH_ISSUER ?? env.PUBLIC_URL ?? DEFAULT_ISSUER, rotationDays: env.OAUTH_KEY_DAYS, tokenLifetimeSeconds: env.OAUTH_TOKEN_SECONDS },
  }
}
