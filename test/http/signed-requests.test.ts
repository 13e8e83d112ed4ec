import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { createSandbox } from '../../src/local/sandbox.ts'
import { makeKey, sendRaw, sha256, sign, signingKeyOf, type RawAnswer, type RawRequest, type TestKey } from '../support/api-keys.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, type TestUser } from '../support/supabase.ts'

const BODY = Buffer.from(JSON.stringify({ prompt: 'A lighthouse', model: 'sandbox-image' }))
const JSON_TYPE: [string, string] = ['Content-Type', 'application/json']
/** Would cost nothing even if it were let in; what it becomes might. */
const POST: RawRequest = { method: 'POST', target: '/api/images/generate?dryRun=true&x=%2F', headers: [JSON_TYPE], body: BODY }

const now = () => Math.floor(Date.now() / 1000)
const target = (to: string) => (request: RawRequest): RawRequest => ({ ...request, target: to })
const method = (to: string) => (request: RawRequest): RawRequest => ({ ...request, method: to })
const body = (to: Buffer | undefined) => (request: RawRequest): RawRequest => ({ ...request, body: to })
const withHeader = (name: string, value: string) => (request: RawRequest): RawRequest => ({ ...request, headers: [...request.headers, [name, value]] })
const headerFirst = (name: string, value: string) => (request: RawRequest): RawRequest => ({ ...request, headers: [[name, value], ...request.headers] })
const without = (name: string) => (request: RawRequest): RawRequest => ({ ...request, headers: request.headers.filter(([header]) => header.toLowerCase() !== name) })
const changed = (name: string, change: (value: string) => string) => (request: RawRequest): RawRequest => ({ ...request, headers: request.headers.map(([header, value]) => [header, header.toLowerCase() === name ? change(value) : value]) })
const valueOf = (name: string, { headers }: RawRequest) => headers.find(([header]) => header.toLowerCase() === name)![1]

type Forgery = [what: string, forge: (signed: RawRequest) => RawRequest, code?: string, status?: number]

/** What somebody can do who has seen one signed request, or guesses at keys. */
const FORGERIES: Forgery[] = [
  ['another method', method('PUT'), 'method_not_allowed', 405],
  ['another route', target('/api/videos/generate?dryRun=true&x=%2F')],
  ['a slash at the end of the path', target('/api/images/generate/?dryRun=true&x=%2F')],
  ['a doubled slash', target('/api//images/generate?dryRun=true&x=%2F'), 'not_found', 404],
  ['an encoded letter in the path', target('/api/images/%67enerate?dryRun=true&x=%2F'), 'not_found', 404],
  ['an encoded slash in the path', target('/api/images%2Fgenerate?dryRun=true&x=%2F'), 'not_found', 404],
  ['dots in the path', target('/api/videos/../images/generate?dryRun=true&x=%2F'), 'not_found', 404],
  ['capitals in the path', target('/api/images/Generate?dryRun=true&x=%2F'), 'not_found', 404],
  ['a query that was cut off', target('/api/images/generate')],
  ['an empty query', target('/api/images/generate?')],
  ['a query that costs money', target('/api/images/generate?dryRun=false&x=%2F')],
  ['a query in another order', target('/api/images/generate?x=%2F&dryRun=true')],
  ['a query that was decoded', target('/api/images/generate?dryRun=true&x=/')],
  ['a query encoded in lower case', target('/api/images/generate?dryRun=true&x=%2f')],
  ['a query parameter added', target('/api/images/generate?dryRun=true&x=%2F&dryRun=false')],
  ['a fragment', target('/api/images/generate?dryRun=true&x=%2F#')],
  ['a fragment that hides the query', target('/api/images/generate#?dryRun=true&x=%2F')],
  ['a target with a host', (request) => ({ ...request, target: `http://localhost${request.target}` })],
  ['a content hash of another body', (request) => changed('x-darkroom-content-sha256', () => sha256('{}'))(body(Buffer.from('{}'))(request))],
  ['a content hash in capitals', changed('x-darkroom-content-sha256', (value) => value.toUpperCase())],
  ['UNSIGNED-PAYLOAD', changed('x-darkroom-content-sha256', () => 'UNSIGNED-PAYLOAD')],
  ['no content hash', without('x-darkroom-content-sha256')],
  ['two content hashes', withHeader('X-Darkroom-Content-SHA256', sha256('{}')), 'unauthenticated'],
  ['another timestamp within the window', changed('x-darkroom-timestamp', (value) => String(Number(value) - 1))],
  ['a timestamp from long ago', changed('x-darkroom-timestamp', () => String(now() - 400)), 'signature_expired'],
  ['no timestamp', without('x-darkroom-timestamp')],
  ['two timestamps', withHeader('X-Darkroom-Timestamp', String(now())), 'unauthenticated'],
  ['a timestamp with a sign', changed('x-darkroom-timestamp', (value) => `+${value}`)],
  ['a timestamp in milliseconds', changed('x-darkroom-timestamp', (value) => `${value}000`)],
  ['another nonce', changed('x-darkroom-nonce', () => randomBytes(16).toString('hex'))],
  ['the nonce in capitals', changed('x-darkroom-nonce', (value) => value.toUpperCase())],
  ['no nonce', without('x-darkroom-nonce')],
  ['two nonces', headerFirst('X-Darkroom-Nonce', randomBytes(16).toString('hex')), 'unauthenticated'],
  ['a short nonce', changed('x-darkroom-nonce', (value) => value.slice(0, 15))],
  ['a very long nonce', changed('x-darkroom-nonce', (value) => value.repeat(10))],
  ['a nonce of other signs', changed('x-darkroom-nonce', () => 'a b c d e f g h i j')],
  ['another content type', changed('content-type', () => 'multipart/form-data; boundary=x')],
  ['a parameter of the content type', changed('content-type', (value) => `${value}; charset=utf-8`)],
  ['two content types', withHeader('Content-Type', 'application/json'), 'unauthenticated'],
  ['an idempotency key', withHeader('Idempotency-Key', 'mine')],
  ['a compressed body', withHeader('Content-Encoding', 'gzip')],
  ['a signature in capitals', changed('authorization', (value) => value.replace(/[0-9a-f]{64}$/, (hex) => hex.toUpperCase()))],
  ['a signature that was cut', changed('authorization', (value) => value.slice(0, -2))],
  ['a signature of nothing', changed('authorization', (value) => value.replace(/[0-9a-f]{64}$/, '0'.repeat(64)))],
  ['a signature that differs in its last digit', changed('authorization', (value) => value.slice(0, -1) + (value.endsWith('0') ? '1' : '0'))],
  ['no signature', changed('authorization', (value) => value.split(',')[0]!)],
  ['only the scheme', changed('authorization', () => 'Darkroom-HMAC-SHA256')],
  ['something after the signature', changed('authorization', (value) => `${value}, Extra=1`)],
  ['two signatures', changed('authorization', (value) => `${value}, Signature=${'0'.repeat(64)}`)],
  ['signature before key', changed('authorization', (value) => value.replace(/(KeyId=\w+), (Signature=\w+)/, '$2, $1'))],
  ['the id of no key', changed('authorization', (value) => value.replace(/KeyId=\w+/, `KeyId=${'Z'.repeat(16)}`))],
  ['a second Authorization header', withHeader('Authorization', 'Bearer x'), 'unauthenticated'],
  ['a first Authorization header', headerFirst('Authorization', 'Bearer x'), 'unauthenticated'],
  ['the signature in the query', (request) => without('authorization')(target(`${request.target}&authorization=${encodeURIComponent(valueOf('authorization', request))}`)(request)), 'unauthenticated'],
]

describe('signed requests', () => {
  let service: TestService
  let user: TestUser
  let key: TestKey
  let photograph: Buffer
  before(async () => {
    service = await startTestService({ extras: createSandbox(), env: { MAX_UPLOADS: '2' } })
    user = await signUp()
    key = await makeKey(service.url, user)
    photograph = await sharp({ create: { width: 300, height: 200, channels: 3, background: '#3060a0' } }).png().toBuffer()
  })
  after(() => service.close())

  const send = (request: RawRequest, options?: { pieces?: number }) => sendRaw(service.url, request, options)
  const told = ({ status, body: answer }: RawAnswer) => [status, answer.code]
  const countPrompts = async () => (await sql('select from public.prompts where user_id = $1', [user.id])).length
  const get = (to = '/api/images/models'): RawRequest => ({ method: 'GET', target: to, headers: [] })

  test('are let in, with a body and without, in one piece or many', async () => {
    assert.equal((await send(sign(key, get()))).status, 200)
    const answer = await send(sign(key, POST))
    assert.deepEqual([answer.status, answer.body.dryRun], [200, true], JSON.stringify(answer.body))
    assert.equal((await send(sign(key, POST), { pieces: 9 })).status, 200)
    for (const timestamp of [now() - 290, now() + 290]) assert.equal((await send(sign(key, POST, { timestamp }))).status, 200)
  })

  test('make what they ask for, once, as their user', async () => {
    const asked: RawRequest = { ...POST, target: '/api/images/generate', headers: [JSON_TYPE, ['Idempotency-Key', 'signed-1']] }
    const [first, second] = [await send(sign(key, asked)), await send(sign(key, asked))]
    assert.deepEqual([first.status, second.status, first.body.generationId], [200, 200, second.body.generationId])
    assert.equal(second.headers['idempotency-replayed'], 'true', 'a request that is signed anew may repeat another')
    const { data } = await user.client.from('prompts').select('prompt')
    assert.deepEqual(data, [{ prompt: 'A lighthouse' }])
  })

  for (const [what, forge, code = 'signature_invalid', status = 401] of FORGERIES) {
    test(`a signed request is refused with ${what}, and its nonce is not used up`, async () => {
      const [before, signed] = [await countPrompts(), sign(key, POST)]
      const answer = await send(forge(signed))
      assert.deepEqual(told(answer), [status, code], JSON.stringify(answer.body))
      assert.equal((await send(signed)).status, 200, 'the request itself is still good')
      assert.equal(await countPrompts(), before)
    })
  }

  test('serve no other request to an address that has several spellings, nor another method of it', async () => {
    const made = await send(sign(key, { ...POST, target: '/api/images/generate' }))
    const id = made.body.generationId as string
    const signed = sign(key, get(`/api/generations/${id}`))
    const encoded = `%${id.charCodeAt(0).toString(16)}${id.slice(1)}`
    for (const to of [`/api/generations/${encoded}`, `/api/generations/${id}/`, `/api/generations/${id.toUpperCase()}x`, `/api/generations/${id}?`, `/api/generations/${id}/events`]) {
      assert.deepEqual(told(await send(target(to)(signed))), [401, 'signature_invalid'], to)
    }
    for (const to of ['/api/images/models#', '/api/images/models#?x=1', 'http://localhost/api/images/models']) assert.deepEqual(told(await send(sign(key, get(to)))), [401, 'signature_invalid'], to)
    assert.equal((await send(method('HEAD')(signed))).status, 401)
    assert.equal((await send(signed)).status, 200)
    assert.equal((await send(sign(key, get(`/api/generations/${encoded}`)))).status, 200, 'one that signs that spelling may have it')
  })

  test('are refused when signed with anything but the key’s own signing key', async () => {
    const [other, id] = [await makeKey(service.url, await signUp()), key.id]
    const wrong: Parameters<typeof sign>[] = [
      [{ id, key: other.key }, POST],
      [{ id: other.id, key: key.key }, POST],
      [key, POST, { signingKey: key.key }],
      [key, POST, { signingKey: sha256(key.key) }],
      [key, POST, { signingKey: Buffer.from(sha256(key.key), 'hex') }],
      [key, POST, { signingKey: Buffer.alloc(32) }],
      [key, POST, { signingKey: '' }],
      [{ id: 'Z'.repeat(16), key: '' }, POST, { signingKey: Buffer.alloc(32) }],
      [key, POST, { signingKey: signingKeyOf(key.key).toString('hex') }],
    ]
    for (const [index, forged] of wrong.entries()) assert.deepEqual(told(await send(sign(...forged))), [401, 'signature_invalid'], `forgery ${index}`)
  })

  test('neither a signing key nor a stored hash is a bearer key', async () => {
    for (const secret of [signingKeyOf(key.key).toString('hex'), `drk_${key.id}_${signingKeyOf(key.key).toString('hex')}`, sha256(key.key), key.id]) {
      assert.equal((await fetch(`${service.url}/api/models`, { headers: { authorization: `Bearer ${secret}` } })).status, 401)
    }
  })

  const otherBodies: [what: string, body: Buffer | undefined, code?: string][] = [
    ['one byte changed', Buffer.from(BODY.toString().replace('lighthouse', 'Lighthouse'))],
    ['white space added', Buffer.concat([BODY, Buffer.from(' ')])],
    ['other fields', Buffer.from(JSON.stringify({ prompt: 'A lighthouse', model: 'sandbox-image', n: 4 }))],
    ['nothing of it', undefined],
    ['an empty object', Buffer.from('{}')],
  ]
  for (const [what, other] of otherBodies) {
    for (const pieces of [1, 5]) {
      test(`a body with ${what} in ${pieces} pieces is refused before anything is planned`, async () => {
        const before = await countPrompts()
        assert.deepEqual(told(await send(body(other)(sign(key, { ...POST, target: '/api/images/generate' })), { pieces })), [401, 'content_mismatch'])
        assert.equal(await countPrompts(), before)
      })
    }
  }

  test('a GET must not have a body, nor a cancellation, and what is signed without one must come without one', async () => {
    assert.deepEqual(told(await send(sign(key, { ...get(), body: BODY }))), [400, 'invalid_request'])
    assert.deepEqual(told(await send(body(BODY)(sign(key, get())))), [400, 'invalid_request'])
    assert.deepEqual(told(await send(sign(key, { ...POST, target: '/api/generations/11111111-1111-4111-8111-111111111111/cancel' }))), [400, 'invalid_request'])
    assert.deepEqual(told(await send(body(BODY)(sign(key, { ...POST, body: undefined })))), [401, 'content_mismatch'])
    assert.deepEqual(told(await send(changed('x-darkroom-content-sha256', () => sha256('x'))(sign(key, get())))), [401, 'signature_invalid'])
  })

  test('two lengths in one request do not reach the service', async () => {
    const signed = sign(key, POST)
    const socket = connect(Number(new URL(service.url).port), 'localhost')
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    const lines = [['Host', 'x'], ['Content-Length', String(BODY.length)], ['Transfer-Encoding', 'chunked'], ...signed.headers].map(([name, value]) => `${name}: ${value}`)
    socket.write(`POST ${signed.target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n0\r\n\r\n`)
    await once(socket, 'close')
    assert.match(text, /^HTTP\/1\.1 400 /)
  })

  test('out of the window they are refused, however well signed', async () => {
    for (const timestamp of [now() - 310, now() + 310, now() - 86_400, 1_000_000_000]) assert.deepEqual(told(await send(sign(key, POST, { timestamp }))), [401, 'signature_expired'])
  })

  test('sent again they are refused for their own reason; of fifty at once one is let in', async () => {
    const signed = sign(key, POST)
    assert.deepEqual([told(await send(signed))[0], told(await send(signed))], [200, [401, 'signature_replayed']])
    const raced = sign(key, { ...POST, target: '/api/images/generate' })
    const before = await countPrompts()
    const answers = await Promise.all(Array.from({ length: 50 }, () => send(raced)))
    assert.deepEqual(answers.filter(({ status }) => status === 200).length, 1)
    assert.deepEqual([...new Set(answers.filter(({ status }) => status !== 200).map((answer) => told(answer).join()))], ['401,signature_replayed'])
    assert.equal(await countPrompts(), before + 1)
  })

  test('two keys may have the same nonce, one key may not have it for two requests', async () => {
    const [other, nonce] = [await makeKey(service.url, user), randomBytes(16).toString('hex')]
    assert.deepEqual([(await send(sign(key, get(), { nonce }))).status, (await send(sign(other, get(), { nonce }))).status], [200, 200])
    assert.deepEqual(told(await send(sign(key, POST, { nonce, timestamp: now() - 5 }))), [401, 'signature_replayed'])
  })

  test('when nonces cannot be remembered requests are refused, of one user or of all, and none is forgotten', async () => {
    const small = await startTestService({ env: { API_NONCES_PER_USER: '3', API_NONCES: '5' } })
    try {
      const [first, second, others] = [await makeKey(small.url, user), await makeKey(small.url, user), await makeKey(small.url, await signUp())]
      const ask = (request: RawRequest) => sendRaw(small.url, request)
      for (let count = 0; count < 20; count++) assert.equal((await ask(sign(first, get(), { signingKey: 'wrong' }))).status, 401)
      const kept = sign(first, get())
      assert.equal((await ask(kept)).status, 200, 'forgeries took no room')
      for (let count = 0; count < 2; count++) assert.equal((await ask(sign(first, get()))).status, 200)
      const full = await ask(sign(first, get()))
      assert.deepEqual([told(full), Number(full.headers['retry-after']) > 200], [[429, 'rate_limited'], true])
      assert.deepEqual(told(await ask(sign(second, get()))), [429, 'rate_limited'], 'another key of the same user')
      assert.deepEqual([(await ask(sign(others, get()))).status, (await ask(sign(others, get()))).status], [200, 200])
      assert.deepEqual(told(await ask(sign(others, get()))), [429, 'rate_limited'])
      assert.deepEqual(told(await ask(kept)), [401, 'signature_replayed'])
    } finally {
      await small.close()
    }
  })

  async function upload(fields: Record<string, string>, picture: Buffer): Promise<RawRequest> {
    const form = new FormData()
    for (const [name, value] of Object.entries(fields)) form.set(name, value)
    form.set('image', new Blob([Uint8Array.from(picture)]), 'picture.png')
    const encoded = new Response(form)
    return { method: 'POST', target: '/api/images/edit', headers: [['Content-Type', encoded.headers.get('content-type')!]], body: Buffer.from(await encoded.arrayBuffer()) }
  }

  test('uploads are hashed as they arrive, in any number of pieces', async () => {
    const signed = sign(key, await upload({ prompt: 'HELLO', model: 'sandbox-image' }, photograph))
    const answer = await send(signed, { pieces: 23 })
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    assert.equal((answer.body.images as { width: number }[])[0]!.width, 300)
  })

  test('an upload that is another is refused before anything is planned, and gives its place back', async () => {
    const before = await countPrompts()
    const signed = async () => sign(key, await upload({ prompt: 'HELLO', model: 'sandbox-image' }, photograph))
    const tampered: ((whole: Buffer) => Buffer)[] = [
      (whole) => Buffer.from(whole.toString('latin1').replace('HELLO', 'HALLO'), 'latin1'),
      (whole) => Buffer.concat([whole, Buffer.from('\r\n')]),
      (whole) => Buffer.concat([Buffer.from('preamble\r\n'), whole]),
      (whole) => Buffer.from(whole.toString('latin1').replace('picture.png', 'picture.PNG'), 'latin1'),
      (whole) => whole.fill(0, whole.length - 200, whole.length - 190),
    ]
    for (const pieces of [1, 7]) {
      for (const [index, change] of tampered.entries()) {
        const request = await signed()
        assert.deepEqual(told(await send(body(change(Buffer.from(request.body!)))(request), { pieces })), [401, 'content_mismatch'], `change ${index}`)
      }
    }
    assert.equal(await countPrompts(), before)
    assert.equal((await send(sign(key, { ...(await upload({ prompt: 'HELLO', model: 'sandbox-image' }, photograph)), target: '/api/images/edit?dryRun=true' }))).status, 200)
  })

  test('too large an upload is refused as ever, signed or not', async () => {
    const request = await upload({ prompt: 'A' }, Buffer.alloc(11 * 1024 * 1024))
    assert.deepEqual(told(await send(sign(key, request))), [413, 'payload_too_large'])
  })

  test('scopes bind signed requests as they bind keys', async () => {
    const reader = await makeKey(service.url, user, { scopes: ['images:read'] })
    assert.equal((await send(sign(reader, get()))).status, 200)
    const refused = await send(sign(reader, POST))
    assert.deepEqual([told(refused), refused.body.details?.[0]], [[403, 'insufficient_scope'], { path: 'scope', message: 'images:generate is missing' }])
  })
})
