/** Access tokens: one that Auth has just given is let in by our own verifier, a forged one is not. */
import { decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import type { Config } from '../config.ts'
import { createLogger } from '../log.ts'
import { createAskAuth } from '../supabase/auth.ts'
import { createKeySet } from '../supabase/key-set.ts'
import { createTokenVerifier, type TokenVerifier } from '../supabase/tokens.ts'
import { need, type Check, type Context } from './context.ts'
import { ask, quote } from './http.ts'
import { kindOfKey } from '../supabase/project-ref.ts'
import type { Notebook } from './report.ts'

export const tokens: Check = {
  name: 'tokens',
  needs: ['users'],
  timeoutMs: 30_000,
  async run(context, note) {
    const { supabase } = need(context, 'config')
    const { a } = need(context, 'people')
    const { alg = 'none', kid } = decodeProtectedHeader(a.token)
    note.fact(`signed with ${alg}`)
    await checkKeySet(context, { alg, kid }, note)
    await checkSecret(a.token, alg, supabase, note)
    await checkVerifier(createVerifier(supabase), a, supabase, note)
  },
}

async function checkKeySet(context: Context, { alg, kid }: { alg: string; kid: string | undefined }, note: Notebook): Promise<void> {
  const { supabase } = need(context, 'config')
  const url = `${supabase.url}/auth/v1/.well-known/jwks.json`
  const answer = await ask(context, url)
  const { keys } = (answer.json ?? {}) as { keys?: { kid?: string; kty?: string }[] }
  const problem = (code: string, what: string, mend: string) => note.problem({ code: `tokens.${code}`, subject: url, what, mend })
  if (!answer.ok || !Array.isArray(keys)) return problem('no-key-set', `The key set cannot be read: ${quote(answer)}.`, 'Check SUPABASE_URL, and that nothing in front of the project hides /auth/v1/.well-known.')
  note.fact(`${keys.length} public ${keys.length === 1 ? 'key' : 'keys'}`)
  if (alg === 'HS256') return
  if (!['ES256', 'RS256'].includes(alg)) return problem('algorithm', `Auth signs with ${alg}, which the service does not accept.`, 'Change the signing key of the project to ES256 (Dashboard, JWT keys).')
  if (!keys.some((key) => key.kid === kid)) problem('no-key', `Auth signs with the key ${kid}, which is not in the key set: every sign-in is refused.`, 'Wait ten minutes where the key was just rotated (the set is cached on the way); else look at the signing keys of the project.')
}

async function checkSecret(token: string, alg: string, { jwtSecret, secretKey, publishableKey }: Config['supabase'], note: Notebook): Promise<void> {
  if (alg === 'HS256' && jwtSecret === undefined) {
    note.warning({ code: 'tokens.no-secret', subject: 'SUPABASE_JWT_SECRET', what: 'Auth signs with a secret that the service does not have: each new token costs a question to Auth.', mend: 'Change to signing keys (Dashboard, JWT keys), or set SUPABASE_JWT_SECRET.' })
  }
  if (jwtSecret === undefined) return
  // Keys of the legacy kind are tokens of the same secret.
  const signed = [token, secretKey, publishableKey].find((value) => (value === token ? alg === 'HS256' : kindOfKey(value).kind === 'legacy'))
  if (signed === undefined) return note.cannotTell('whether SUPABASE_JWT_SECRET is right: Auth signs nothing with it any more, and it can be removed')
  const isRight = await jwtVerify(signed, new TextEncoder().encode(jwtSecret), { algorithms: ['HS256'] }).then(() => true, () => false)
  if (!isRight) note.problem({ code: 'tokens.secret', subject: 'SUPABASE_JWT_SECRET', what: 'SUPABASE_JWT_SECRET is not the secret that Auth signs with.', mend: 'Copy it from the dashboard (JWT keys, legacy secret) without spaces around it, or remove it where the project signs with keys.' })
}

function createVerifier(supabase: Config['supabase']): TokenVerifier {
  const keySet = createKeySet({ url: `${supabase.url}/auth/v1/.well-known/jwks.json`, maxAgeMs: supabase.jwksMaxAgeMs, cooldownMs: supabase.jwksCooldownMs, logger: createLogger({ level: 'silent' }) })
  return createTokenVerifier({ keySet, jwtSecret: supabase.jwtSecret, issuers: supabase.issuers, cacheSize: 10, askAuth: createAskAuth(supabase) })
}

async function checkVerifier(verifier: TokenVerifier, { id, token }: { id: string; token: string }, { issuers }: Config['supabase'], note: Notebook): Promise<void> {
  const { iss } = decodeJwt(token)
  try {
    const user = await verifier.verify(token)
    if (user.id !== id) note.problem({ code: 'tokens.other-user', subject: 'access tokens', what: "A token is taken for another user's.", mend: 'Do not deploy this version.' })
  } catch (error) {
    const isForeign = iss !== undefined && !issuers.includes(iss)
    const mend = isForeign ? `Set SUPABASE_JWT_ISSUER=${iss}: the project signs with the name of its own domain.` : 'See the other findings about tokens, keys and the clock.'
    note.problem({ code: isForeign ? 'tokens.issuer' : 'tokens.refused', subject: isForeign ? 'SUPABASE_JWT_ISSUER' : 'access tokens', what: `A token that Auth has just given is refused: ${error instanceof Error ? error.message : String(error)}`, mend })
    return
  }
  const forged = `${token.slice(0, token.lastIndexOf('.'))}.${Buffer.alloc(64, 1).toString('base64url')}`
  const isLetIn = await verifier.verify(forged).then(() => true, () => false)
  if (isLetIn) note.problem({ code: 'tokens.forged', subject: 'access tokens', what: 'A token with a forged signature is let in.', mend: 'Do not deploy this version.' })
}
