import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { SignJWT, type JWTPayload } from 'jose'
import { defaultClaims, makeSigningKey, signToken, startAuthServer, type AuthServer, type SigningKey } from '../support/auth-server.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { signUp, supabase } from '../support/supabase.ts'

const SECRET = 'super-secret-jwt-token-with-at-least-32-characters-long'

describe('access tokens', () => {
  let auth: AuthServer
  let service: TestService
  let es256: SigningKey
  let rs256: SigningKey
  before(async () => {
    auth = await startAuthServer()
    ;[es256, rs256] = await Promise.all([makeSigningKey('key-1'), makeSigningKey('key-2', 'RS256')])
    auth.keys = [es256, rs256]
    service = await startTestService({ env: { SUPABASE_URL: auth.url, SUPABASE_JWT_SECRET: SECRET, JWKS_COOLDOWN_SECONDS: '1' } })
  })
  after(async () => {
    await service.close()
    await auth.close()
  })

  const ask = (token: string, from = service) => from.request('/api/images/models', { headers: { authorization: `Bearer ${token}` } })
  const status = async (token: string): Promise<number> => (await ask(token)).status
  const hs256 = (claims: Record<string, unknown>, secret = SECRET, header: Record<string, unknown> = {}): Promise<string> => {
    const payload = { ...defaultClaims(auth.issuer), ...claims }
    for (const [name, value] of Object.entries(payload)) if (value === undefined) delete payload[name]
    return new SignJWT(payload as JWTPayload).setProtectedHeader({ alg: 'HS256', typ: 'JWT', ...header }).sign(new TextEncoder().encode(secret))
  }
  const sign = (claims?: Record<string, unknown>, header?: Record<string, unknown>) => signToken(es256, auth.issuer, claims, header)

  test('ES256, RS256 and HS256 tokens of users are let in', async () => {
    assert.equal(await status(await sign()), 200)
    assert.equal(await status(await signToken(rs256, auth.issuer)), 200)
    assert.equal(await status(await hs256({})), 200)
    assert.equal(await status(await hs256({}, SECRET, { kid: 'legacy-key' })), 200)
  })

  test('what a hook may drop or change does not matter', async () => {
    assert.equal(await status(await sign({ iss: undefined })), 200)
    assert.equal(await status(await sign({ aud: ['authenticated', 'other'] })), 200)
    assert.equal(await status(await sign({ is_anonymous: undefined, aal: undefined })), 200)
  })

  const now = Math.floor(Date.now() / 1000)
  const refused: [string, () => Promise<string> | string][] = [
    ['expired', () => sign({ exp: now - 60 })],
    ['without an end', () => sign({ exp: undefined })],
    ['not valid yet', () => sign({ nbf: now + 600 })],
    ['of another issuer', () => sign({ iss: 'https://evil.supabase.co/auth/v1' })],
    ['for another audience', () => sign({ aud: 'other' })],
    ['without an audience', () => sign({ aud: undefined })],
    ['of role anon', () => sign({ role: 'anon' })],
    ['of role service_role', () => sign({ role: 'service_role' })],
    ['without a role', () => sign({ role: undefined })],
    ['without a subject', () => sign({ sub: undefined })],
    ['whose subject is no uuid', () => sign({ sub: 'admin' })],
    ['the legacy anon key', () => hs256({ iss: 'supabase', ref: 'abcd', role: 'anon', sub: undefined, aud: undefined })],
    ['the legacy service_role key', () => hs256({ iss: 'supabase', ref: 'abcd', role: 'service_role', sub: undefined, aud: undefined })],
    ['a publishable key', () => supabase.publishableKey],
    ['a secret key', () => supabase.secretKey],
    ['HS256 of another secret', () => hs256({}, 'another-secret-that-is-also-long-enough-for-hs256')],
    ['alg none', () => `${base64({ alg: 'none', typ: 'JWT' })}.${base64(defaultClaims(auth.issuer))}.`],
    ['junk', () => 'junk'],
    ['three times junk', () => 'a.b.c'],
    ['very long junk', () => 'a'.repeat(10_000)],
    ['signed by another key under a known kid', async () => signToken({ ...(await makeSigningKey('key-1')) }, auth.issuer)],
    ['of an algorithm that the key is not for', () => sign({}, { kid: 'key-2' })],
    ['HS256 signed with the public key', async () => hs256({}, JSON.stringify(es256.publicJwk), { kid: 'key-1' })],
    ['cut', async () => (await sign()).slice(0, -4)],
    ['changed after signing', async () => {
      const [header, , signature] = (await sign()).split('.')
      return `${header}.${base64({ ...defaultClaims(auth.issuer), sub: '11111111-1111-4111-8111-111111111111' })}.${signature}`
    }],
  ]
  for (const [name, make] of refused) {
    test(`a token ${name} is refused`, async () => {
      const response = await ask(await make())
      const answer = (await response.json()) as { code: string; error: string }
      assert.deepEqual([response.status, answer.code], [401, 'unauthenticated'])
      assert.equal(response.headers.get('www-authenticate'), 'Bearer')
    })
  }

  for (const header of ['', 'Bearer', 'Bearer  ', 'Basic dXNlcjpwYXNz', 'Bearer a b']) {
    test(`the Authorization header ${JSON.stringify(header)} is refused`, async () => {
      assert.equal((await service.request('/api/images/models', { headers: { authorization: header } })).status, 401)
    })
  }

  test('keys rotate without a restart and without one false 401', async () => {
    const rotated = await makeSigningKey('key-3')
    auth.keys = [rotated, es256, rs256]
    const [fresh, old] = [await signToken(rotated, auth.issuer), await sign({ session_id: 'old' })]
    const answers = await Promise.all(Array.from({ length: 40 }, (_, index) => status(index % 2 === 0 ? fresh : old)))
    assert.deepEqual([...new Set(answers)], [200])
    // Again at once, while the cooldown of the last fetch is still running.
    const again = await makeSigningKey('key-4')
    auth.keys = [again, rotated, es256, rs256]
    assert.equal(await status(await signToken(again, auth.issuer)), 200)
  })

  test('tokens with unknown kids cause a bounded number of fetches', async () => {
    const stranger = await makeSigningKey('never-seen')
    const before = auth.fetches
    const startedAt = Date.now()
    const answers = await Promise.all(Array.from({ length: 200 }, async (_, index) => status(await signToken(stranger, auth.issuer, {}, { kid: `junk-${index}` }))))
    assert.deepEqual([...new Set(answers)], [401])
    const seconds = Math.ceil((Date.now() - startedAt) / 1000)
    assert.ok(auth.fetches - before <= seconds + 1, `${auth.fetches - before} fetches in ${seconds} s`)
  })

  test('known keys keep working while the key set cannot be reached, and an unknown one is a 503, not a 401', async () => {
    for (const mode of ['error', 'html', 'refuse'] as const) {
      auth.mode = mode
      assert.equal(await status(await sign({ session_id: mode })), 200)
      const response = await ask(await signToken(await makeSigningKey(`new-${mode}`), auth.issuer))
      assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [503, 'auth_unavailable'])
    }
    auth.mode = 'ok'
  })

  test('keys older than their age are renewed behind the requests, and stay in use when that fails', async () => {
    const aging = await startTestService({ env: { SUPABASE_URL: auth.url, SUPABASE_JWT_SECRET: SECRET, JWKS_MAX_AGE_SECONDS: '1', JWKS_COOLDOWN_SECONDS: '1' } })
    try {
      assert.equal((await ask(await sign({ session_id: 'a1' }), aging)).status, 200)
      auth.mode = 'refuse'
      const until = Date.now() + 2500
      while (Date.now() < until) assert.equal((await ask(await sign({ session_id: `${Date.now()}` }), aging)).status, 200)
    } finally {
      auth.mode = 'ok'
      await aging.close()
    }
  })

  test('a token is let in no longer than it lives, cached or not', async () => {
    const token = await sign({ exp: Math.floor(Date.now() / 1000) - 3 })
    // Within the tolerance of a few seconds for clocks that differ …
    assert.equal(await status(token), 200)
    const until = Date.now() + 6000
    let last = 200
    while (last === 200 && Date.now() < until) last = await status(token)
    // … and not after it.
    assert.equal(last, 401)
  })
})

describe('a project that signs with a secret that the service does not have', () => {
  test('asks Auth, once for each token', async () => {
    const auth = await startAuthServer()
    const service = await startTestService({ env: { SUPABASE_URL: auth.url, SUPABASE_JWT_SECRET: '' } })
    const token = await new SignJWT(defaultClaims(auth.issuer) as JWTPayload).setProtectedHeader({ alg: 'HS256', kid: 'x' }).sign(new TextEncoder().encode(SECRET))
    const third = await new SignJWT({ ...defaultClaims(auth.issuer), session_id: 'third' } as JWTPayload).setProtectedHeader({ alg: 'HS256', kid: 'x' }).sign(new TextEncoder().encode(SECRET))
    const other = await new SignJWT({ ...defaultClaims(auth.issuer), session_id: 'other' } as JWTPayload).setProtectedHeader({ alg: 'HS256', kid: 'x' }).sign(new TextEncoder().encode(SECRET))
    const ask = async (bearer: string) => (await service.request('/api/images/models', { headers: { authorization: `Bearer ${bearer}` } })).status
    try {
      assert.deepEqual([await ask(token), await ask(token), auth.userCalls], [200, 200, 1])
      auth.userStatus = 403
      assert.equal(await ask(other), 401)
      assert.deepEqual([await ask(other), auth.userCalls], [401, 2], 'a no is kept for a while')
      auth.userStatus = 500
      assert.equal(await ask(third), 503)
      auth.userStatus = 200
      assert.equal(await ask(third), 200, 'a failure is not kept')
    } finally {
      await service.close()
      await auth.close()
    }
  })
})

test('a token of the local stack is let in', async () => {
  const service = await startTestService()
  try {
    assert.equal((await service.request('/api/images/models', { user: await signUp() })).status, 200)
  } finally {
    await service.close()
  }
})

const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
