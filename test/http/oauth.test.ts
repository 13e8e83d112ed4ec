import assert from 'node:assert/strict'
import { createPrivateKey, generateKeyPairSync, randomUUID } from 'node:crypto'
import { after, before, beforeEach, describe, test } from 'node:test'
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify, SignJWT, type JWK, type JWTPayload, type KeyObject } from 'jose'
import { askAs, makeKey, type TestKey } from '../support/api-keys.ts'
import { defaultClaims, makeSigningKey, signToken, startAuthServer, type AuthServer, type SigningKey } from '../support/auth-server.ts'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, supabase, type TestUser } from '../support/supabase.ts'

const ISSUER = 'https://darkroom.example.com'

interface Answer {
  status: number
  headers: Headers
  body: { access_token: string; token_type: string; expires_in: number; scope: string; error?: string; error_description?: string; requestId?: string }
}

describe('OAuth client credentials', () => {
  let auth: AuthServer
  let supabaseKey: SigningKey
  let service: TestService
  let user: TestUser
  let key: TestKey
  before(async () => {
    auth = await startAuthServer()
    supabaseKey = await makeSigningKey('project-key')
    auth.keys = [supabaseKey]
    // Other files' may be sealed.
    await sql('truncate darkroom.signing_keys')
    service = await startTestService({ env: { SUPABASE_URL: auth.url, PUBLIC_URL: ISSUER } })
    user = await signUp()
  })
  after(async () => {
    await service.close()
    await auth.close()
    await sql('truncate darkroom.signing_keys')
  })
  beforeEach(async () => {
    key = await makeKey(service.url, user)
    await sql(`delete from darkroom.api_keys where user_id = $1 and id <> $2`, [user.id, key.id])
  })

  const basic = ({ id, key: secret }: TestKey) => ({ authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` })
  async function token(form: Record<string, string> | string, headers: Record<string, string> = {}, url = service.url): Promise<Answer> {
    const response = await fetch(`${url}/oauth/token`, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers }, body: new URLSearchParams(form).toString() })
    return { status: response.status, headers: response.headers, body: (await response.json()) as Answer['body'] }
  }
  const grant = { grant_type: 'client_credentials' }
  const issue = async (of = key, scope?: string, url = service.url) => (await token({ ...grant, ...(scope !== undefined && { scope }) }, basic(of), url)).body.access_token
  const ask = (bearer: string, path = '/api/models', url = service.url) => fetch(url + path, { headers: { authorization: `Bearer ${bearer}` } })
  const status = async (bearer: string, path?: string, url?: string) => (await ask(bearer, path, url)).status

  test('the id and the key, in the header or in the form, give a token for fifteen minutes', async () => {
    const post = { client_id: key.id, client_secret: key.key }
    const answers = [await token(grant, basic(key)), await token({ ...grant, ...post }), await token({ ...grant, client_id: key.id }, basic(key)), await token({ ...grant, client_id: key.id, client_secret: key.key.slice(21) })]
    for (const { status: answered, headers, body } of answers) {
      assert.deepEqual([answered, body.token_type, body.expires_in, body.scope], [200, 'Bearer', 900, 'images:generate images:read videos:generate videos:read'], JSON.stringify(body))
      assert.deepEqual([headers.get('cache-control'), headers.get('pragma')], ['no-store', 'no-cache'])
      assert.equal(await status(body.access_token), 200)
    }
    const { access_token: first } = answers[0]!.body
    const { exp, iat, jti, ...claims } = decodeJwt(first)
    assert.deepEqual(claims, { iss: ISSUER, aud: 'darkroom', sub: user.id, client_id: key.id, scope: 'images:generate images:read videos:generate videos:read' })
    assert.deepEqual([exp! - iat!, typeof jti, decodeJwt(answers[1]!.body.access_token).jti === jti], [900, 'string', false])
  })

  test('anybody can check a token with the published keys, which may be kept for a while', async () => {
    const bearer = await issue()
    const url = new URL(`${service.url}/.well-known/jwks.json`)
    const { protectedHeader } = await jwtVerify(bearer, createRemoteJWKSet(url), { issuer: ISSUER, audience: 'darkroom', algorithms: ['ES256'], typ: 'at+jwt' })
    assert.match(protectedHeader.kid!, /^darkroom-/)
    const response = await fetch(url)
    const { keys } = (await response.json()) as { keys: JWK[] }
    assert.deepEqual(keys.map(({ kid, kty, crv, alg, use, d }) => ({ kid, kty, crv, alg, use, d })), [{ kid: protectedHeader.kid, kty: 'EC', crv: 'P-256', alg: 'ES256', use: 'sig', d: undefined }])
    assert.equal(response.headers.get('cache-control'), 'public, max-age=300')
    assert.equal((await fetch(url, { headers: { 'if-none-match': response.headers.get('etag')! } })).status, 304)
  })

  const errors: [what: string, form: () => Record<string, string> | string, headers: () => Record<string, string>, status: number, error: string][] = [
    ['no client', () => grant, () => ({}), 401, 'invalid_client'],
    ['a client without a secret', () => ({ ...grant, client_id: key.id }), () => ({}), 401, 'invalid_client'],
    ['a wrong secret', () => grant, () => basic({ id: key.id, key: `${key.key.slice(0, -1)}!` }), 401, 'invalid_client'],
    ['the secret of another id', () => grant, () => basic({ id: 'Z'.repeat(16), key: key.key }), 401, 'invalid_client'],
    ['a bearer key', () => grant, () => ({ authorization: `Bearer ${key.key}` }), 401, 'invalid_client'],
    ['Basic that is no base64', () => grant, () => ({ authorization: 'Basic !!!' }), 401, 'invalid_client'],
    ['Basic without a colon', () => grant, () => ({ authorization: `Basic ${Buffer.from(key.key).toString('base64')}` }), 401, 'invalid_client'],
    ['Basic with a broken encoding', () => grant, () => ({ authorization: `Basic ${Buffer.from('%:%zz').toString('base64')}` }), 401, 'invalid_client'],
    ['two ways at once', () => ({ ...grant, client_id: key.id, client_secret: key.key }), () => basic(key), 400, 'invalid_request'],
    ['two different ids', () => ({ ...grant, client_id: 'Z'.repeat(16) }), () => basic(key), 400, 'invalid_request'],
    ['no grant_type', () => ({}), () => basic(key), 400, 'invalid_request'],
    ['an empty grant_type', () => ({ grant_type: '' }), () => basic(key), 400, 'invalid_request'],
    ['another grant_type', () => ({ grant_type: 'password' }), () => basic(key), 400, 'unsupported_grant_type'],
    ['a parameter twice', () => 'grant_type=client_credentials&grant_type=client_credentials', () => basic(key), 400, 'invalid_request'],
    ['an unknown scope', () => ({ ...grant, scope: 'images:read everything' }), () => basic(key), 400, 'invalid_scope'],
    ['scopes set apart by commas', () => ({ ...grant, scope: 'images:read,videos:read' }), () => basic(key), 400, 'invalid_scope'],
    ['a blank scope', () => ({ ...grant, scope: ' ' }), () => basic(key), 400, 'invalid_scope'],
    ['JSON', () => grant, () => ({ ...basic(key), 'content-type': 'application/json' }), 400, 'invalid_request'],
    ['a form that is too long', () => ({ ...grant, x: 'x'.repeat(9000) }), () => basic(key), 413, 'invalid_request'],
  ]
  for (const [what, form, headers, wanted, error] of errors) {
    test(`${what} is ${error}`, async () => {
      const answer = await token(form(), headers())
      assert.deepEqual([answer.status, answer.body.error], [wanted, error], JSON.stringify(answer.body))
      assert.match(answer.body.error_description!, /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/)
      assert.equal(answer.headers.get('cache-control'), 'no-store')
      assert.equal(answer.headers.get('www-authenticate'), wanted === 401 ? 'Basic realm="darkroom"' : null)
      assert.equal(answer.body.requestId, answer.headers.get('x-request-id'))
    })
  }

  test('a key that only signs, or has ended, gets none', async () => {
    const signedOnly = await makeKey(service.url, user, { signedOnly: true })
    assert.equal((await token(grant, basic(signedOnly))).body.error, 'unauthorized_client')
    await askAs(user, service.url, 'DELETE', `/api/keys/${key.id}`)
    assert.equal((await token(grant, basic(key))).body.error, 'invalid_client')
  })

  test('a token may have fewer scopes than its key, never more', async () => {
    const narrow = await issue(key, 'images:read')
    assert.deepEqual([await status(narrow, '/api/images/models'), await status(narrow, '/api/videos/models')], [200, 403])
    const reader = await makeKey(service.url, user, { scopes: ['images:read'] })
    assert.equal((await token({ ...grant, scope: 'images:read videos:read' }, basic(reader))).body.error, 'invalid_scope')
    const wide = await issue(reader)
    assert.equal(decodeJwt(wide).scope, 'images:read')
    const refused = await ask(wide, '/api/videos/models')
    assert.deepEqual([refused.status, refused.headers.get('www-authenticate')], [403, 'Bearer error="insufficient_scope", scope="videos:read"'])
    await sql(`update darkroom.api_keys set scopes = '{videos:read}' where id = $1`, [reader.id])
    await eventually(async () => (await status(wide, '/api/images/models')) === 403, 'a key that lost a scope takes it from its tokens')
  })

  test('revoking a key ends its tokens, in this process and in another', async () => {
    const other = await startTestService({ env: { SUPABASE_URL: auth.url, PUBLIC_URL: ISSUER } })
    try {
      const bearer = await issue()
      assert.deepEqual([await status(bearer), await status(bearer, '/api/models', other.url)], [200, 200])
      await askAs(user, service.url, 'DELETE', `/api/keys/${key.id}`)
      assert.equal(await status(bearer), 401)
      await eventually(async () => (await status(bearer, '/api/models', other.url)) === 401, 'the other process refuses it')
    } finally {
      await other.close()
    }
  })

  test('a token ends when it says so', async () => {
    const brief = await startTestService({ env: { SUPABASE_URL: auth.url, PUBLIC_URL: ISSUER, OAUTH_TOKEN_SECONDS: '1' } })
    try {
      const bearer = await issue(key, undefined, brief.url)
      assert.equal(await status(bearer, '/api/models', brief.url), 200)
      const answer = await eventually(async () => ((response) => response.status === 401 && response)(await ask(bearer, '/api/models', brief.url)), 'it ends')
      assert.match(((await answer.json()) as { error: string }).error, /expired/)
    } finally {
      await brief.close()
    }
  })

  async function ourKey(): Promise<{ kid: string; privateKey: KeyObject }> {
    await issue()
    const [row] = await sql<{ kid: string; bytes: Buffer }>('select kid, private_key as bytes from darkroom.signing_keys where private_key is not null')
    return { kid: row!.kid, privateKey: createPrivateKey({ key: row!.bytes.subarray(1), format: 'der', type: 'pkcs8' }) }
  }
  const ours = (changes: Record<string, unknown> = {}): JWTPayload => {
    const issuedAt = Math.floor(Date.now() / 1000)
    const claims: Record<string, unknown> = { scope: 'images:read', client_id: key.id, iss: ISSUER, aud: 'darkroom', sub: user.id, jti: randomUUID(), iat: issuedAt, exp: issuedAt + 600, ...changes }
    return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined))
  }
  const header = (kid: string) => ({ alg: 'ES256', typ: 'at+jwt', kid })

  test('every claim of a token must be as this service writes it, even when its own key signed it', async () => {
    const { kid, privateKey } = await ourKey()
    const sign = (claims: JWTPayload, head: Record<string, unknown> = header(kid)) => new SignJWT(claims).setProtectedHeader(head as { alg: string }).sign(privateKey)
    assert.equal(await status(await sign(ours())), 200)
    const now = Math.floor(Date.now() / 1000)
    const wrong: Record<string, unknown>[] = [{ iss: `${auth.url}/auth/v1` }, { iss: undefined }, { aud: 'authenticated' }, { aud: ['darkroom', 'authenticated'] }, { aud: undefined }, { exp: now - 60 }, { exp: undefined }, { sub: 'admin' }, { sub: undefined }, { sub: (await signUp()).id }, { client_id: 'Z'.repeat(16) }, { client_id: undefined }, { jti: undefined }, { scope: undefined }, { nbf: now + 600 }]
    for (const claims of wrong) assert.equal(await status(await sign(ours(claims))), 401, JSON.stringify(claims))
    for (const head of [{ ...header(kid), typ: 'JWT' }, { alg: 'ES256', kid }, { ...header(kid), extra: 1 }, { kid, typ: 'at+jwt', alg: 'ES256' }]) assert.equal(await status(await sign(ours(), head)), 401, JSON.stringify(head))
  })

  test('nor is it to be taken for one of Supabase’s, nor theirs for ours', async () => {
    const { kid, privateKey } = await ourKey()
    const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    const theirs = { ...defaultClaims(auth.issuer), sub: user.id }
    const secret = new TextEncoder().encode(supabase.jwtSecret)
    const jwk = JSON.stringify((await sql<{ jwk: JWK }>('select public_jwk as jwk from darkroom.signing_keys'))[0]!.jwk)
    const [start, payload, signature] = (await issue()).split('.') as [string, string, string]
    const forged: Record<string, string> = {
      'our claims, the project’s key': await new SignJWT(ours()).setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: supabaseKey.kid }).sign(supabaseKey.privateKey),
      'our claims and kid, the project’s key': await new SignJWT(ours()).setProtectedHeader(header(kid)).sign(supabaseKey.privateKey),
      'their claims, our key': await new SignJWT(theirs).setProtectedHeader(header(kid)).sign(privateKey),
      'their claims and type, our key': await new SignJWT(theirs).setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid }).sign(privateKey),
      'their claims and kid, our key': await new SignJWT(theirs).setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: supabaseKey.kid }).sign(privateKey),
      'our claims, the project’s secret': await new SignJWT(ours()).setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid }).sign(secret),
      'both claims, our key': await new SignJWT({ ...ours(), role: 'authenticated', aud: ['authenticated', 'darkroom'] }).setProtectedHeader(header(kid)).sign(privateKey),
      'our public key as a secret': await new SignJWT(ours()).setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid }).sign(new TextEncoder().encode(jwk)),
      'a stranger’s key under our kid': await new SignJWT(ours()).setProtectedHeader(header(kid)).sign(stranger),
      'a key that brings itself along': await new SignJWT(ours()).setProtectedHeader({ ...header(kid), jwk: { kty: 'EC' } }).sign(stranger),
      'an unknown kid': await new SignJWT(ours()).setProtectedHeader(header('darkroom-none')).sign(privateKey),
      'no algorithm': `${Buffer.from(JSON.stringify({ alg: 'none', typ: 'at+jwt', kid })).toString('base64url')}.${payload}.`,
      'a cut signature': `${start}.${payload}.${signature.slice(0, -4)}`,
      'no signature': `${start}.${payload}.`,
      'another payload': `${start}.${Buffer.from(JSON.stringify(ours({ scope: 'videos:generate' }))).toString('base64url')}.${signature}`,
      'a token of great length': `${start}.${payload}${'A'.repeat(8000)}.${signature}`,
    }
    for (const [what, bearer] of Object.entries(forged)) assert.equal(await status(bearer), 401, what)
    assert.equal(await status(await signToken(supabaseKey, auth.issuer, { sub: user.id })), 200, 'the project’s own tokens go on')
  })

  test('keys rotate once, whoever comes first; the new one is published before it signs, the old one until its tokens are over', async () => {
    const shift = (time: string) => sql(`update darkroom.signing_keys set signs_from = signs_from - $1::interval, retired_at = retired_at - $1::interval`, [time])
    // A process that has just started knows no keys yet.
    const afresh = async <T>(work: (urls: [string, string]) => Promise<T>): Promise<T> => {
      const fresh = await Promise.all([0, 1].map(() => startTestService({ env: { SUPABASE_URL: auth.url, PUBLIC_URL: ISSUER } })))
      try {
        return await work(fresh.map(({ url }) => url) as [string, string])
      } finally {
        for (const one of fresh) await one.close()
      }
    }
    const published = async (url: string) => ((await (await fetch(`${url}/.well-known/jwks.json`)).json()) as { keys: JWK[] }).keys.map(({ kid }) => kid!).toSorted((a, b) => a.localeCompare(b))
    const kidOf = (bearer: string) => decodeProtectedHeader(bearer).kid
    const storm = (urls: string[]) => Promise.all(Array.from({ length: 30 }, (_, index) => issue(key, undefined, urls[index % 2])))

    await sql('truncate darkroom.signing_keys')
    const old = await afresh(async (urls) => {
      const kids = (await storm(urls)).map(kidOf)
      assert.equal(new Set(kids).size, 1, 'the first key is one')
      return kids[0]
    })
    await shift('31 days')
    const next = await afresh(async (urls) => {
      assert.deepEqual([...new Set((await storm(urls)).map(kidOf))], [old], 'nobody has the new key yet')
      const kids = await published(urls[0])
      assert.deepEqual([kids.length, await published(urls[1])], [2, kids])
      return kids.find((kid) => kid !== old)
    })
    await shift('11 minutes')
    const last = await afresh(async (urls) => {
      const tokens = await storm(urls)
      assert.deepEqual([...new Set(tokens.map(kidOf))], [next])
      assert.deepEqual(await published(urls[0]), [old!, next!].toSorted((a, b) => a.localeCompare(b)), 'tokens of the old key may still be about')
      return tokens[0]!
    })
    await shift('10 minutes')
    await afresh(async ([url]) => {
      assert.equal(await status(last, '/api/models', url), 200)
      const [row] = await sql<{ bytes: Buffer | null }>('select private_key as bytes from darkroom.signing_keys where kid = $1', [old])
      assert.equal(row!.bytes, null, 'the old key can sign no more')
    })
    await shift('20 minutes')
    await afresh(async ([url]) => assert.deepEqual(await published(url), [next]))
  })
})
