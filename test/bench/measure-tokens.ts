/** The measurements of `tokens`, in a process that has its core for itself. */
import { KeyObject, randomUUID, verify } from 'node:crypto'
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey } from 'jose'
import { createLogger } from '../../src/log.ts'
import { createKeySet } from '../../src/supabase/key-set.ts'
import { createTokenVerifier, type TokenVerifier } from '../../src/supabase/tokens.ts'
import { serveParent } from './serve-parent.ts'

const RUNS = 5
const FRESH = 8000
const SEEN = 1000
const SEEN_VERIFICATIONS = 300_000
/** As requests come: several at once, each waiting for its own. */
const IN_FLIGHT = 16
const CACHE_SIZE = 10_000
const ISSUER = 'http://127.0.0.1:54321/auth/v1'

await serveParent(async () => {
  const secret = new TextEncoder().encode('a secret of at least thirty-two characters')
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const kid = randomUUID()
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' }] }
  const es256 = await makeTokens(FRESH, { alg: 'ES256', kid, typ: 'JWT' }, privateKey)
  const hs256 = await makeTokens(FRESH, { alg: 'HS256', typ: 'JWT' }, secret)

  const newVerifier = (): TokenVerifier => {
    const keySet = createKeySet({ url: `${ISSUER}/.well-known/jwks.json`, maxAgeMs: 600_000, cooldownMs: 1000, logger: createLogger({ level: 'silent' }), fetch: async () => Response.json(keys) })
    return createTokenVerifier({ keySet, jwtSecret: new TextDecoder().decode(secret), issuers: [ISSUER], cacheSize: CACHE_SIZE, askAuth: async () => false })
  }
  const bareKey = KeyObject.from(publicKey)
  const rates = { freshEs256: [] as number[], bareEs256: [] as number[], freshHs256: [] as number[], seen: [] as number[] }
  // A verifier that is new has seen no token; the first round warms the code up and is not counted.
  for (let run = 0; run <= RUNS; run++) {
    const round = {
      freshEs256: await rateFresh(newVerifier(), es256),
      bareEs256: rateBare(bareKey, es256),
      freshHs256: await rateFresh(newVerifier(), hs256),
      seen: await rateSeen(newVerifier(), es256.slice(0, SEEN)),
    }
    if (run === 0) continue
    for (const name of ['freshEs256', 'bareEs256', 'freshHs256', 'seen'] as const) rates[name].push(round[name])
  }
  return { ready: rates, stop: async () => undefined }
})

/** With the claims that Supabase's own tokens have. */
async function makeTokens(count: number, header: { alg: string; kid?: string; typ: string }, key: CryptoKey | Uint8Array): Promise<string[]> {
  const tokens: string[] = []
  for (let at = 0; at < count; at++) {
    const id = randomUUID()
    const claims = {
      email: `${id}@example.com`,
      phone: '',
      app_metadata: { provider: 'email', providers: ['email'] },
      user_metadata: { email: `${id}@example.com`, email_verified: true, phone_verified: false, sub: id },
      role: 'authenticated',
      aal: 'aal1',
      amr: [{ method: 'password', timestamp: Math.floor(Date.now() / 1000) }],
      session_id: randomUUID(),
      is_anonymous: false,
    }
    tokens.push(await new SignJWT(claims).setProtectedHeader(header).setSubject(id).setAudience('authenticated').setIssuer(ISSUER).setIssuedAt().setExpirationTime('1h').sign(key))
  }
  return tokens
}

async function rateFresh(verifier: TokenVerifier, tokens: readonly string[]): Promise<number> {
  let next = 0
  const startedAt = performance.now()
  const caller = async () => {
    for (let token = tokens[next++]; token !== undefined; token = tokens[next++]) await verifier.verify(token)
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller))
  return (tokens.length * 1000) / (performance.now() - startedAt)
}

/** The least that a fresh token can cost: its signature by Node's own cryptography, with nothing around it. */
function rateBare(key: KeyObject, tokens: readonly string[]): number {
  const parts = tokens.map((token) => {
    const dot = token.lastIndexOf('.')
    return { signed: Buffer.from(token.slice(0, dot)), signature: Buffer.from(token.slice(dot + 1), 'base64url') }
  })
  const startedAt = performance.now()
  for (const { signed, signature } of parts) {
    if (!verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, signature)) throw new Error('A token does not verify.')
  }
  return (tokens.length * 1000) / (performance.now() - startedAt)
}

async function rateSeen(verifier: TokenVerifier, tokens: readonly string[]): Promise<number> {
  for (const token of tokens) await verifier.verify(token)
  const startedAt = performance.now()
  for (let at = 0; at < SEEN_VERIFICATIONS; at++) await verifier.verify(tokens[at % tokens.length]!)
  return (SEEN_VERIFICATIONS * 1000) / (performance.now() - startedAt)
}
