/** What is good, in a place where it does not count, and what is almost good: keys, signatures and tokens for keys. */
import assert from 'node:assert/strict'
import { createPrivateKey, randomBytes, type KeyObject } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { SignJWT, type JWTPayload } from 'jose'
import { assertTold, bearer, JSON_TYPE, startStage, type Stage } from '../support/attacks.ts'
import { makeKey, sha256, sign, signingKeyOf, type RawRequest, type TestKey } from '../support/api-keys.ts'
import { defaultClaims, makeSigningKey, startAuthServer, type AuthServer, type SigningKey } from '../support/auth-server.ts'
import { signUp, sql, supabase, type TestUser } from '../support/supabase.ts'
import type { Wire } from '../support/wire.ts'

const ISSUER = 'https://darkroom.example.com'
const NONCE = 'the-nonce-that-was-heard'

let auth: AuthServer
let project: SigningKey
let stage: Stage
let ours: { kid: string; privateKey: KeyObject }
/** A token for the attacker's own key, which may only look at pictures. */
let narrow: string
let narrowKey: TestKey
/** Signed by the victim, heard by the attacker: one that arrived, and one that did not. */
let arrived: RawRequest
let held: RawRequest
let gone: TestUser

before(async () => {
  auth = await startAuthServer()
  project = await makeSigningKey('project-key')
  auth.keys = [project]
  // Other files' may be sealed.
  await sql('truncate darkroom.signing_keys')
  stage = await startStage({ env: { SUPABASE_URL: auth.url } }, async ({ url }, { key, generationId }, attacker) => {
    narrowKey = await makeKey(url, attacker, { scopes: ['images:read'] })
    const answer = await fetch(`${url}/oauth/token`, { method: 'POST', body: new URLSearchParams({ grant_type: 'client_credentials', client_id: narrowKey.id, client_secret: narrowKey.key }) })
    narrow = ((await answer.json()) as { access_token: string }).access_token
    arrived = sign(key, { method: 'GET', target: `/api/generations/${generationId}`, headers: [] }, { nonce: NONCE })
    await fetch(url + arrived.target, { headers: arrived.headers })
    held = sign(key, { method: 'POST', target: '/api/images/generate?dryRun=true', headers: [[...JSON_TYPE]], body: Buffer.from('{"prompt":"A cat"}') })
    const [row] = await sql<{ kid: string; bytes: Buffer }>('select kid, private_key as bytes from darkroom.signing_keys where private_key is not null')
    ours = { kid: row!.kid, privateKey: createPrivateKey({ key: row!.bytes.subarray(1), format: 'der', type: 'pkcs8' }) }
    gone = await signUp()
    await sql('delete from auth.users where id = $1', [gone.id])
  })
})
after(async () => {
  await stage.close()
  await auth.close()
  await sql('truncate darkroom.signing_keys')
})

const see = (headers: Wire['headers'], query = ''): Wire => ({ target: `/api/generations/${stage.victim.generationId}${query}`, ...(headers && { headers }) })
const form = (fields: string, headers: Wire['headers'] = []): Wire => ({ method: 'POST', target: '/oauth/token', headers: [['Content-Type', 'application/x-www-form-urlencoded'], ...headers], body: fields })
const basic = (text: string) => ['Authorization', `Basic ${Buffer.from(text).toString('base64')}`] as const
const GRANT = 'grant_type=client_credentials'

const heard = (change: (request: RawRequest) => Partial<RawRequest>): Wire => ({ ...held, ...change(held) })
const header = (name: string, value: string) => ({ headers }: RawRequest) => ({ headers: headers.map(([key, old]): [string, string] => [key, key === name ? value : old]) })
const authorization = ({ id }: TestKey, signature: string) => `Darkroom-HMAC-SHA256 KeyId=${id}, Signature=${signature}`
const signatureOf = ({ headers }: RawRequest) => headers.find(([name]) => name === 'Authorization')![1].slice(-64)

const seconds = () => Math.floor(Date.now() / 1000)
const ourClaims = (changes: Record<string, unknown> = {}): JWTPayload => ({ scope: 'images:read videos:read', client_id: stage.victim.key.id, iss: ISSUER, aud: 'darkroom', sub: stage.victim.id, jti: 'a', iat: seconds(), exp: seconds() + 600, ...changes })
const theirClaims = (): JWTPayload => ({ ...defaultClaims(auth.issuer), sub: stage.victim.id })
const jwt = (claims: JWTPayload, head: object, key: Parameters<SignJWT['sign']>[0]) => new SignJWT(claims).setProtectedHeader({ alg: 'ES256', ...head }).sign(key)
const ourHead = () => ({ typ: 'at+jwt', kid: ours.kid })
const tokenWith = async (token: Promise<string>) => see([bearer(await token)])
/** The same token with another payload. */
function repacked(token: string, changes: object): string {
  const [head, payload, signature] = token.split('.') as [string, string, string]
  return [head, Buffer.from(JSON.stringify({ ...(JSON.parse(Buffer.from(payload, 'base64url').toString()) as object), ...changes })).toString('base64url'), signature].join('.')
}

type Row = [name: string, make: () => Wire | Promise<Wire>, status?: number, code?: string | undefined]
const token = () => stage.victim.token

const WRONG_PLACES: Row[] = [
  ...['access_token', 'token', 'jwt', 'apikey', 'api_key', 'key', 'authorization', 'Authorization'].map((name): Row => [`the query, as ${name}`, () => see([], `?${name}=${token()}`)]),
  ...['X-Authorization', 'Proxy-Authorization', 'X-Access-Token', 'X-API-Key', 'apikey', 'Sec-WebSocket-Protocol', 'X-Forwarded-Authorization', 'Authorization2', 'X-Supabase-Auth'].map((name): Row => [`the header ${name}`, () => see([[name, `Bearer ${token()}`]])]),
  ...['access_token', 'sb-access-token', 'sb-local-auth-token', 'Authorization', 'token'].map((name): Row => [`the cookie ${name}`, () => see([['Cookie', `${name}=${token()}`]])]),
  ...['Basic ', 'Token ', 'JWT ', 'Digest ', 'Negotiate ', 'Bearer:', 'Bearer=', 'Bearer\t', 'Bearer', '', 'BearerBearer ', 'Bearer Bearer ', 'Bearer realm=', 'Bearer ,', 'Darkroom-HMAC-SHA256 '].map((scheme): Row => [`the scheme ${JSON.stringify(scheme)}`, () => see([['Authorization', scheme + token()]]), 401, scheme.startsWith('Dark') ? 'signature_invalid' : undefined]),
  ['Basic, as the user', () => see([basic(`${token()}:`)])],
  ['Basic, as the password', () => see([basic(`${stage.victim.id}:${token()}`)])],
  ['the header twice', () => see([bearer(token()), bearer(token())])],
  ['the header after another', () => see([bearer('junk'), bearer(token())])],
  ['the header before another', () => see([bearer(token()), ['AUTHORIZATION', 'Bearer junk']])],
  ['the header twice in one', () => see([['Authorization', `Bearer ${token()}, Bearer ${token()}`]])],
  ['a body of JSON', () => ({ method: 'POST', target: '/api/images/generate?dryRun=true', headers: [JSON_TYPE], body: JSON.stringify({ prompt: 'A cat', access_token: token() }) })],
  ['a trailer', () => ({ method: 'POST', target: '/api/images/generate?dryRun=true', headers: [JSON_TYPE, ['Transfer-Encoding', 'chunked'], ['Trailer', 'Authorization']], body: `2\r\n{}\r\n0\r\nAuthorization: Bearer ${token()}\r\n\r\n` })],
  ['the user’s id, as proxies tell it', () => see([['X-Forwarded-User', stage.victim.id], ['X-User-Id', stage.victim.id], ['X-Remote-User', stage.victim.id], ['X-Auth-Request-User', stage.victim.id]])],
  ['the project’s secret key', () => see([bearer(supabase.secretKey), ['apikey', supabase.secretKey]])],
  ['the project’s publishable key', () => see([bearer(supabase.publishableKey), ['apikey', supabase.publishableKey]])],
  ['the attacker’s own token, beside the secret key', () => see([bearer(stage.attacker.token), ['apikey', supabase.secretKey], ['X-User-Id', stage.victim.id]]), 404, 'not_found'],
]

const KEYS: Row[] = [
  ['a key of the right id', () => see([bearer(`drk_${stage.victim.key.id}_${stage.key.key.slice(21)}`)])],
  ['a key without its last sign', () => see([bearer(stage.victim.key.key.slice(0, -1))])],
  ['a key with one more sign', () => see([bearer(`${stage.victim.key.key}0`)])],
  ['a key in capitals', () => see([bearer(stage.victim.key.key.toUpperCase())])],
  ['a key’s hash', () => see([bearer(sha256(stage.victim.key.key))])],
  ['a key’s signing key', () => see([bearer(`drk_${stage.victim.key.id}_${signingKeyOf(stage.victim.key.key).toString('hex')}`)])],
  ['a key’s id alone', () => see([bearer(`drk_${stage.victim.key.id}`)])],
  ['a key of SQL', () => see([bearer(`drk_'or'1'='1`)])],
  ['a key as Basic', () => see([basic(`${stage.victim.key.id}:${stage.victim.key.key}`)])],
  ['the attacker’s own key', () => see([bearer(stage.key.key)]), 404, 'not_found'],
  ['an own key, to make another', () => ({ method: 'POST', target: '/api/keys', headers: [bearer(stage.key.key), JSON_TYPE], body: '{"name":"more"}' }), 403, 'forbidden'],
  ['a token of nobody any more', () => ({ method: 'POST', target: '/api/images/generate', headers: [bearer(gone.token), JSON_TYPE], body: '{"prompt":"A cat"}' })],
  ['a token of nobody any more, with an Idempotency-Key', () => ({ method: 'POST', target: '/api/images/generate', headers: [bearer(gone.token), JSON_TYPE, ['Idempotency-Key', 'a']], body: '{"prompt":"A cat"}' })],
  ['a token of nobody any more, for a key', () => ({ method: 'POST', target: '/api/keys', headers: [bearer(gone.token), JSON_TYPE], body: '{"name":"more"}' })],
]

const SIGNATURES: Row[] = [
  ['sent again', () => arrived, 401, 'signature_replayed'],
  ['sent again over another path', () => ({ ...arrived, target: arrived.target.toUpperCase() }), 404, 'not_found'],
  ['sent again with another host', () => ({ ...arrived, headers: [['Host', 'evil.com'], ...arrived.headers] }), 401, 'signature_replayed'],
  ['another method', () => heard(() => ({ method: 'DELETE', target: `/api/keys/${stage.victim.key.id}`, body: undefined }))],
  ['another route', () => heard(() => ({ target: '/api/videos/generate?dryRun=true' }))],
  ['without its query', () => heard(() => ({ target: '/api/images/generate' }))],
  ['with more query', () => heard(({ target }) => ({ target: `${target}&dryRun=false` }))],
  ['in absolute form', () => heard(({ target }) => ({ target: `http://evil.com${target}` }))],
  ['with a fragment', () => heard(({ target }) => ({ target: `${target}#` }))],
  ['another body', () => heard(() => ({ body: Buffer.from('{"prompt":"A dog"}') })), 401, 'content_mismatch'],
  ['another body and its hash', () => heard((request) => ({ ...header('X-Darkroom-Content-SHA256', sha256('{"prompt":"A dog"}'))(request), body: Buffer.from('{"prompt":"A dog"}') }))],
  ['a later timestamp', () => heard(header('X-Darkroom-Timestamp', String(seconds() + 5)))],
  ['an old timestamp', () => heard(header('X-Darkroom-Timestamp', String(seconds() - 3600))), 401, 'signature_expired'],
  ['another nonce', () => heard(header('X-Darkroom-Nonce', randomBytes(16).toString('hex')))],
  ['another content type', () => heard(header('Content-Type', 'application/json; charset=utf-8'))],
  ['an Idempotency-Key', () => heard(({ headers }) => ({ headers: [...headers, ['Idempotency-Key', 'x']] }))],
  ['a second nonce', () => heard(({ headers }) => ({ headers: [...headers, ['X-Darkroom-Nonce', NONCE]] })), 401, 'unauthenticated'],
  ['a bearer token beside it', () => heard(({ headers }) => ({ headers: [bearer(stage.attacker.token) as [string, string], ...headers] })), 401, 'unauthenticated'],
  ['the attacker’s key under it', () => heard(header('Authorization', authorization(stage.key, signatureOf(held))))],
  ['the attacker’s signature under the victim’s id', () => sign({ id: stage.victim.key.id, key: stage.key.key }, arrived), 401, 'unauthenticated'],
  ['the attacker’s signature, fresh, under the victim’s id', () => sign({ id: stage.victim.key.id, key: stage.key.key }, { method: 'GET', target: arrived.target, headers: [] })],
  ['the attacker’s own, for the victim’s picture', () => sign(stage.key, { method: 'GET', target: arrived.target, headers: [] }), 404, 'not_found'],
  ['the attacker’s own, for the victim’s key', () => sign(stage.key, { method: 'DELETE', target: `/api/keys/${stage.victim.key.id}`, headers: [] }), 403, 'forbidden'],
  ['a chunked body beside a hash of nothing', () => sign(stage.key, { method: 'GET', target: '/api/models', headers: [['Transfer-Encoding', 'chunked']], body: Buffer.from('0\r\n\r\n') }), 400, 'invalid_request'],
]

const TOKENS_FOR_KEYS: Row[] = [
  ['our claims for the victim, by the project’s key', () => tokenWith(jwt(ourClaims(), { typ: 'at+jwt', kid: project.kid }, project.privateKey))],
  ['our claims and kid, by the project’s key', () => tokenWith(jwt(ourClaims(), ourHead(), project.privateKey))],
  ['their claims, by our key', () => tokenWith(jwt(theirClaims(), ourHead(), ours.privateKey))],
  ['their claims and type, by our key', () => tokenWith(jwt(theirClaims(), { typ: 'JWT', kid: ours.kid }, ours.privateKey))],
  ['their claims and kid, by our key', () => tokenWith(jwt(theirClaims(), { typ: 'JWT', kid: project.kid }, ours.privateKey))],
  ['their claims without a kid, by our key', () => tokenWith(jwt(theirClaims(), { typ: 'JWT' }, ours.privateKey))],
  ['both claims, by our key', () => tokenWith(jwt({ ...theirClaims(), ...ourClaims(), role: 'authenticated', aud: ['authenticated', 'darkroom'] }, ourHead(), ours.privateKey))],
  ['another audience, by our key', () => tokenWith(jwt(ourClaims({ aud: 'https://other.example.com' }), ourHead(), ours.privateKey))],
  ['another issuer, by our key', () => tokenWith(jwt(ourClaims({ iss: 'https://evil.com' }), ourHead(), ours.privateKey))],
  ['the attacker’s key and the victim’s id, by our key', () => tokenWith(jwt(ourClaims({ client_id: stage.key.id }), ourHead(), ours.privateKey))],
  ['an ID token’s type, by our key', () => tokenWith(jwt(ourClaims(), { typ: 'JWT', kid: ours.kid }, ours.privateKey))],
  ['jku beside our kid, by our key', () => tokenWith(jwt(ourClaims(), { ...ourHead(), jku: 'https://evil.com' }, ours.privateKey))],
  ['our claims, by the project’s secret', () => tokenWith(new SignJWT(ourClaims()).setProtectedHeader({ alg: 'HS256', ...ourHead() }).sign(Buffer.from(supabase.jwtSecret)))],
  ['a token of our own with more scopes', () => see([bearer(repacked(narrow, { scope: 'images:read videos:read images:generate' }))])],
  ['a token of our own for the victim', () => see([bearer(repacked(narrow, { sub: stage.victim.id, client_id: stage.victim.key.id }))])],
  ['a good token of the attacker’s', () => see([bearer(narrow)]), 404, 'not_found'],
  ['a good token, to see the keys', () => ({ target: '/api/keys', headers: [bearer(narrow)] }), 403, 'forbidden'],
  ['a good token, beyond its scope', () => ({ target: '/api/videos/models', headers: [bearer(narrow)] }), 403, 'insufficient_scope'],
  ['more scopes than the key has', () => form(`${GRANT}&scope=images:generate`, [basic(`${narrowKey.id}:${narrowKey.key}`)]), 400, 'invalid_scope'],
  ['the victim’s id with the attacker’s secret', () => form(GRANT, [basic(`${stage.victim.key.id}:${stage.key.key}`)]), 401, 'invalid_client'],
  ['the victim’s id in the form, the attacker’s in the header', () => form(`${GRANT}&client_id=${stage.victim.key.id}`, [basic(`${stage.key.id}:${stage.key.key}`)]), 400, 'invalid_request'],
  ['the victim’s id twice', () => form(`${GRANT}&client_id=${stage.key.id}&client_id=${stage.victim.key.id}&client_secret=${stage.key.key}`), 400, 'invalid_request'],
  ['an id of SQL', () => form(`${GRANT}&client_id=' or 1=1--&client_secret=x`), 401, 'invalid_client'],
  ['an id as a list', () => form(`${GRANT}&client_id[]=${stage.victim.key.id}&client_secret=x`), 401, 'invalid_client'],
  ['an id of __proto__', () => form(`${GRANT}&client_id=__proto__&client_secret=constructor&__proto__=1`), 401, 'invalid_client'],
  ['a Supabase token for a secret', () => form(`${GRANT}&client_id=${stage.victim.key.id}&client_secret=${token()}`), 401, 'invalid_client'],
  ['a Supabase token for the grant', () => form(GRANT, [bearer(token())]), 401, 'invalid_client'],
  ['the grant of passwords', () => form('grant_type=password&username=a&password=b', [basic(`${narrowKey.id}:${narrowKey.key}`)]), 400, 'unsupported_grant_type'],
  ['the grant of tokens', () => form('grant_type=urn:ietf:params:oauth:grant-type:token-exchange', [basic(`${narrowKey.id}:${narrowKey.key}`)]), 400, 'unsupported_grant_type'],
  ['a grant in the query', () => ({ ...form(''), target: `/oauth/token?${GRANT}&client_id=${stage.victim.key.id}&client_secret=x` }), 401, 'invalid_client'],
  ['two Authorization headers', () => form(GRANT, [basic(`${stage.key.id}:${stage.key.key}`), basic(`${stage.victim.key.id}:x`)]), 401, 'invalid_client'],
]

const LISTS = { 'a good token in a wrong place:': [WRONG_PLACES, 'unauthenticated'], 'a key:': [KEYS, 'unauthenticated'], 'a signed request:': [SIGNATURES, 'signature_invalid'], 'a token for a key:': [TOKENS_FOR_KEYS, 'unauthenticated'] } as const
for (const [what, [rows, usual]] of Object.entries(LISTS)) {
  describe(what, { concurrency: 8 }, () => {
    for (const [name, make, status = 401, code = usual] of rows) test(name, async () => assertTold(await stage.send(await make()), status, code))
  })
}

test('nobody came to harm', async () => {
  // It was the victim's own signature: the log may say whose.
  const mismatch = stage.service.log.findIndex(({ code }) => code === 'content_mismatch')
  assert.deepEqual(stage.service.log.splice(mismatch, 1).map(({ code, status }) => [code, status]), [['content_mismatch', 401]])
  await stage.assertUnharmed()
})
