/** Forged tokens: whatever they claim, nobody reads the victim's picture with one. */
import { createHmac, createPublicKey, generateKeyPairSync, sign as signBytes, type JsonWebKey, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { CompactEncrypt, exportSPKI, importJWK, type CryptoKey } from 'jose'
import { assertTold, bearer, startStage, type Stage } from '../support/attacks.ts'
import { defaultClaims, makeSigningKey, signToken, startAuthServer, type AuthServer, type SigningKey } from '../support/auth-server.ts'
import { supabase } from '../support/supabase.ts'

let auth: AuthServer
let stage: Stage
let es256: SigningKey
let rs256: SigningKey
/** A key server of the attacker's, and how often somebody asked it. */
let lure: Server
let lured = 0
let lureUrl: string
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const strangerJwk = stranger.publicKey.export({ format: 'jwk' })

before(async () => {
  auth = await startAuthServer()
  ;[es256, rs256] = await Promise.all([makeSigningKey('key-1'), makeSigningKey('key-2', 'RS256')])
  auth.keys = [es256, rs256]
  lure = createServer((_request, response) => {
    lured++
    response.end(JSON.stringify({ keys: [{ ...strangerJwk, kid: 'key-1', alg: 'ES256' }] }))
  }).listen(0, '127.0.0.1')
  await once(lure, 'listening')
  lureUrl = `http://127.0.0.1:${(lure.address() as AddressInfo).port}/jwks.json`
  stage = await startStage({ env: { SUPABASE_URL: auth.url } })
})
after(async () => {
  await stage.close()
  await auth.close()
  lure.close()
})

type Part = string | object | number | null
const encode = (part: Part): string => Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')
const claims = (changes: object = {}): object => ({ ...defaultClaims(auth.issuer), sub: stage.victim.id, ...changes })
const compose = (header: Part, payload: Part, sign: (input: string) => Uint8Array): string => {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${Buffer.from(sign(input)).toString('base64url')}`
}
const hmac = (secret: string | Uint8Array, hash = 'sha256') => (input: string) => createHmac(hash, secret).update(input).digest()
const ecdsa = (key: KeyObject, dsaEncoding: 'ieee-p1363' | 'der' = 'ieee-p1363') => (input: string) => signBytes('sha256', Buffer.from(input), { key, dsaEncoding })
const bytes = (hex: string) => () => Buffer.from(hex, 'hex')
/** As a stranger signs: everything else is as it should be. */
const strange = (header: object, payload: Part = claims()) => compose({ alg: 'ES256', kid: 'key-1', typ: 'JWT', ...header }, payload, ecdsa(stranger.privateKey))
/** As the project signs. */
const signed = (changes: Record<string, unknown> = {}, header?: Record<string, unknown>) => signToken(es256, auth.issuer, { sub: stage.victim.id, ...changes }, header)
const publicKey = async ({ publicJwk, algorithm }: SigningKey) => (await importJWK(publicJwk, algorithm)) as CryptoKey
/** Signed with what everybody knows, in the hope that it is taken for a secret. */
const confused = (secret: string | Uint8Array, header: object = {}) => compose({ alg: 'HS256', kid: 'key-1', typ: 'JWT', ...header }, claims(), hmac(secret))
async function partsOf(token: Promise<string>): Promise<[header: string, payload: string, signature: string]> {
  return (await token).split('.') as [string, string, string]
}
const now = () => Math.floor(Date.now() / 1000)
const ORDER = 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'

const FORGERIES: Record<string, () => string | Promise<string>> = {
  'alg none': () => compose({ alg: 'none' }, claims(), bytes('')),
  'alg None': () => compose({ alg: 'None' }, claims(), bytes('')),
  'alg NONE': () => compose({ alg: 'NONE' }, claims(), bytes('')),
  'alg nOnE with a signature': () => compose({ alg: 'nOnE', kid: 'key-1' }, claims(), ecdsa(stranger.privateKey)),
  'alg none, two parts': () => `${encode({ alg: 'none' })}.${encode(claims())}`,
  'no alg': () => compose({ typ: 'JWT', kid: 'key-1' }, claims(), ecdsa(stranger.privateKey)),
  'an empty alg': () => strange({ alg: '' }),
  'alg null': () => strange({ alg: null }),
  'alg as a list': () => strange({ alg: ['none', 'ES256'] }),
  'alg as an object': () => strange({ alg: { toString: 'ES256' } }),
  'alg twice': () => compose('{"alg":"none","alg":"ES256","kid":"key-1"}', claims(), ecdsa(stranger.privateKey)),
  'alg twice, none last': () => compose('{"alg":"ES256","alg":"none","kid":"key-1"}', claims(), bytes('')),
  'alg in small letters': async () => compose({ alg: 'es256', kid: 'key-1' }, claims(), ecdsa(stranger.privateKey)),
  'alg ES384': () => strange({ alg: 'ES384' }),
  'alg EdDSA': () => strange({ alg: 'EdDSA' }),
  'alg PS256 for the RSA key': () => strange({ alg: 'PS256', kid: 'key-2' }),
  'alg __proto__': () => strange({ alg: '__proto__' }),
  'the public key as PEM for a secret': async () => confused(await exportSPKI(await publicKey(es256))),
  'the public key as PEM with a line end': async () => confused(`${await exportSPKI(await publicKey(es256))}\n`),
  'the RSA public key as PEM': async () => confused(await exportSPKI(await publicKey(rs256)), { kid: 'key-2' }),
  'the public key as JWK': () => confused(JSON.stringify(es256.publicJwk)),
  'the public key’s raw point': () => confused(Buffer.concat([Buffer.from([4]), Buffer.from(es256.publicJwk.x!, 'base64url'), Buffer.from(es256.publicJwk.y!, 'base64url')])),
  'the RSA modulus': () => confused(rs256.publicJwk.n!, { kid: 'key-2' }),
  'the kid as the secret': () => confused('key-1'),
  'an empty secret': () => confused(''),
  'a zero byte as the secret': () => confused(Buffer.alloc(1)),
  'the word undefined as the secret': () => confused('undefined', { kid: undefined }),
  'the publishable key as the secret': () => confused(supabase.publishableKey, { kid: undefined }),
  'HS512 with the project’s own secret': () => compose({ alg: 'HS512' }, claims(), hmac(supabase.jwtSecret, 'sha512')),
  'HS256 whose header says ES256': () => compose({ alg: 'ES256', kid: 'key-1' }, claims(), hmac(supabase.jwtSecret)),
  'RS256 with an EC signature': async () => compose({ alg: 'RS256', kid: 'key-1' }, claims(), ecdsa(stranger.privateKey)),
  'RS256 under the EC key’s id': () => signToken({ ...rs256, kid: 'key-1' }, auth.issuer, { sub: stage.victim.id }),
  'ES256 under the RSA key’s id': () => signToken({ ...es256, kid: 'key-2' }, auth.issuer, { sub: stage.victim.id }),

  'kid with a way to a file': () => confused('', { kid: '../../../../../../dev/null' }),
  'kid with SQL': () => strange({ kid: "x' union select 'AAAA' --" }),
  'kid with a command': () => strange({ kid: '$(cat /etc/passwd)|id' }),
  'kid that is a URL': () => strange({ kid: lureUrl }),
  'kid of eight thousand signs': () => strange({ kid: 'k'.repeat(8000) }),
  'kid as a list': () => strange({ kid: ['key-1'] }),
  'kid as an object': () => strange({ kid: { kid: 'key-1' } }),
  'kid null': () => strange({ kid: null }),
  'kid as a number': () => strange({ kid: 0 }),
  'kid true': () => strange({ kid: true }),
  'an empty kid': () => strange({ kid: '' }),
  'kid __proto__': () => strange({ kid: '__proto__' }),
  'kid constructor': () => strange({ kid: 'constructor' }),
  'kid with a NUL': () => strange({ kid: 'key-1\0' }),
  'kid with white space': () => strange({ kid: ' key-1' }),
  'no kid': () => strange({ kid: undefined }),

  'jku to the attacker’s keys': () => strange({ jku: lureUrl }),
  'jku under an unknown kid': () => strange({ jku: lureUrl, kid: 'lure' }),
  'jku that begins as ours': () => strange({ jku: `${auth.url}@${lureUrl.slice(7)}`, kid: 'lure' }),
  'x5u to the attacker’s keys': () => strange({ x5u: lureUrl }),
  'jwk that brings the key along': () => strange({ jwk: strangerJwk }),
  'jwk, without a kid': () => strange({ jwk: strangerJwk, kid: undefined }),
  'x5c that brings a certificate along': () => strange({ x5c: [stranger.publicKey.export({ format: 'der', type: 'spki' }).toString('base64')] }),
  'crit that nobody knows': () => strange({ crit: ['exp', 'darkroom'], darkroom: true }),
  'crit that nobody knows, signed well': async () => {
    const input = `${encode({ alg: 'ES256', kid: 'key-1', crit: ['darkroom'], darkroom: true })}.${encode(claims())}`
    const signature = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, es256.privateKey, Buffer.from(input))
    return `${input}.${Buffer.from(signature).toString('base64url')}`
  },
  'b64 false': () => strange({ b64: false, crit: ['b64'] }),
  'zip': () => strange({ zip: 'DEF' }),
  'cty JWT, a token in a token': async () => strange({ cty: 'JWT' }, await signed()),

  'expired': () => signed({ exp: now() - 60 }),
  'expired in 1970': () => signed({ exp: 0 }),
  'expired before that': () => signed({ exp: -1 }),
  'exp as text': () => signed({ exp: '9999999999' }),
  'exp as a list': () => signed({ exp: [9999999999] }),
  'exp null': () => signed({ exp: null }),
  'no exp': () => signed({ exp: undefined }),
  'not valid yet': () => signed({ nbf: now() + 600 }),
  'nbf as text': () => signed({ nbf: 'yesterday' }),
  'iat as text': () => signed({ iat: 'yesterday' }),
  'another project': () => signed({ iss: 'https://evil.supabase.co/auth/v1' }),
  'an issuer that begins as ours': () => signed({ iss: `${auth.issuer}.evil.com` }),
  'an issuer that ends as ours': () => signed({ iss: `https://evil.com/${auth.issuer}` }),
  'an issuer with a user': () => signed({ iss: auth.issuer.replace('http://', 'http://evil.com@') }),
  'an issuer as a list': () => signed({ iss: [auth.issuer] }),
  'an empty issuer': () => signed({ iss: '' }),
  'another audience': () => signed({ aud: 'anon' }),
  'an audience of ours': () => signed({ aud: 'darkroom' }),
  'an empty audience': () => signed({ aud: [] }),
  'an audience as an object': () => signed({ aud: { authenticated: true } }),
  'role anon': () => signed({ role: 'anon' }),
  'role service_role': () => signed({ role: 'service_role' }),
  'role postgres': () => signed({ role: 'postgres' }),
  'role as a list': () => signed({ role: ['authenticated'] }),
  'role with a capital': () => signed({ role: 'Authenticated' }),
  'no role': () => signed({ role: undefined }),
  'no sub': () => signed({ sub: undefined }),
  'sub null': () => signed({ sub: null }),
  'sub as a list': () => signed({ sub: [stage.victim.id] }),
  'sub as an object': () => signed({ sub: { id: stage.victim.id } }),
  'sub as a number': () => signed({ sub: 1 }),
  'sub with SQL': () => signed({ sub: `${stage.victim.id}' or '1'='1` }),
  'sub with a way out': () => signed({ sub: `../${stage.victim.id}` }),
  'sub with a NUL': () => signed({ sub: `${stage.victim.id}\0` }),
  'sub with a line end': () => signed({ sub: `${stage.victim.id}\n` }),
  'sub true': () => signed({ sub: true }),

  'a DER signature': () => compose({ alg: 'ES256', kid: 'key-1' }, claims(), ecdsa(stranger.privateKey, 'der')),
  'a signature of zeros': () => compose({ alg: 'ES256', kid: 'key-1' }, claims(), bytes('00'.repeat(64))),
  'a signature of the order': () => compose({ alg: 'ES256', kid: 'key-1' }, claims(), bytes(ORDER + ORDER)),
  'a signature of zero and the order': () => compose({ alg: 'ES256', kid: 'key-1' }, claims(), bytes('00'.repeat(32) + ORDER)),
  'a signature of ones': () => compose({ alg: 'ES256', kid: 'key-1' }, claims(), bytes(`${'00'.repeat(31)}01`.repeat(2))),
  'no signature': async () => (await signed()).replace(/[^.]+$/, ''),
  'a signature that was cut': async () => (await signed()).slice(0, -3),
  'a signature with more bytes': async () => `${await signed()}AAAA`,
  'a signature twice': async () => (await partsOf(signed())).concat((await partsOf(signed()))[2]).join('.'),
  'the signature of another token': async () => [...(await partsOf(signed())).slice(0, 2), (await partsOf(signed({ sub: stage.attacker.id })))[2]].join('.'),
  'the attacker’s own, for the victim': async () => {
    const [header, , signature] = await partsOf(signed({ sub: stage.attacker.id }))
    return [header, encode(claims()), signature].join('.')
  },
  'the attacker’s own, with a second sub': async () => {
    const [header, payload, signature] = await partsOf(signed({ sub: stage.attacker.id }))
    return [header, encode(Buffer.from(payload, 'base64url').toString().replace(/\}$/, `,"sub":"${stage.victim.id}"}`)), signature].join('.')
  },
  'JWE': async () => await new CompactEncrypt(Buffer.from(JSON.stringify(claims()))).setProtectedHeader({ alg: 'ECDH-ES', enc: 'A128GCM', kid: 'key-1' }).encrypt(createPublicKey({ key: es256.publicJwk as JsonWebKey, format: 'jwk' })),
  'JWE made with no key': () => `${encode({ alg: 'dir', enc: 'A128GCM' })}..${encode('iv')}.${encode(claims())}.${encode('tag')}`,
  'JSON serialisation': () => JSON.stringify({ payload: encode(claims()), protected: encode({ alg: 'none' }), signature: '' }),
  'a header that is no JSON': () => compose('{alg:ES256}', claims(), ecdsa(stranger.privateKey)),
  'a header that is a list': () => compose([{ alg: 'ES256' }], claims(), ecdsa(stranger.privateKey)),
  'a header that is null': () => compose(null, claims(), ecdsa(stranger.privateKey)),
  'a header with __proto__': () => compose('{"__proto__":{"alg":"ES256","kid":"key-1"}}', claims(), ecdsa(stranger.privateKey)),
  'a header of deep lists': () => compose(`{"alg":"ES256","kid":${'['.repeat(3000)}${']'.repeat(3000)}}`, {}, ecdsa(stranger.privateKey)),
  'a payload that is no JSON': () => strange({}, 'sub=victim'),
  'a payload that is null': () => strange({}, null),
  'a payload that is a number': () => strange({}, 5),
  'a payload with __proto__': () => strange({}, `{"__proto__":${JSON.stringify(claims())}}`),
  'dots alone': () => '....',
  'one dot': () => '.',
  'a token in capitals': async () => (await signed()).toUpperCase(),
  'a token with encoded dots': async () => (await signed()).replaceAll('.', '%2E'),
  'a token with a dot in front': async () => `.${await signed()}`,
  'a token with a dot behind': async () => `${await signed()}.`,
  'a token in quotes': async () => `"${await signed()}"`,
  'a token with strange letters': async () => `${await signed()}\u00a0\u00ad`,
  'a token of fifteen thousand signs': () => strange({}, claims({ padding: 'p'.repeat(10_000) })),
}

// Unknown keys are looked for once a second, for all who wait for one.
describe('a forged token', { concurrency: 64 }, () => {
  for (const [name, forge] of Object.entries(FORGERIES)) {
    test(`${name} is refused`, async () => {
      const answer = await stage.send({ target: `/api/generations/${stage.victim.generationId}`, headers: [bearer(await forge())] })
      assertTold(answer, 401, 'unauthenticated')
      assert.equal(answer.headers['www-authenticate'], 'Bearer')
    })
  }
})

test('and the project’s own for the victim is not, however it is signed', async () => {
  for (const token of [await signed(), await signToken(rs256, auth.issuer, { sub: stage.victim.id }), compose({ alg: 'HS256' }, claims(), hmac(supabase.jwtSecret))]) {
    assert.equal((await fetch(`${stage.service.url}/api/generations/${stage.victim.generationId}`, { headers: { authorization: `Bearer ${token}` } })).status, 200)
  }
  stage.service.log.length = 0
})

test('nobody came to harm, and nobody asked the attacker for keys', async () => {
  assert.equal(lured, 0)
  await stage.assertUnharmed()
})
