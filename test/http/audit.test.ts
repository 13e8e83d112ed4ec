/** The audit log as calls fill it: which row each leaves, and what of it a thief of the database could read. */
import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { createEnvelope } from '../../src/audit/envelope.ts'
import { startModelArkSimulator } from '../simulator/modelark.ts'
import { dumpAuditLog, logRowOf, logRows, makeMasterKey, payloadOf, type LogRow } from '../support/audit.ts'
import { makeKey, sendRaw, sign } from '../support/api-keys.ts'
import { startLine, type Line } from '../support/outage.ts'
import { startProcess } from '../support/process.ts'
import { eventually, startTestService, toForm, type TestService } from '../support/service.ts'
import { signUp, sql, supabase, type TestUser } from '../support/supabase.ts'

const master = makeMasterKey('first')
const json = { 'content-type': 'application/json' }

async function decrypt(row: LogRow): Promise<unknown> {
  const found = await payloadOf(row.id)
  return found && (JSON.parse(createEnvelope([master]).open(row.id, { keyId: found.key_id, dataKey: found.data_key, payload: found.payload }).toString()) as unknown)
}

describe('every call of the API', () => {
  let service: TestService
  let user: TestUser
  before(async () => {
    service = await startTestService({ env: { STORAGE_MASTER_KEY: master.setting, MAX_JSON_BYTES: '4096', AUDIT_PAYLOAD_BYTES: '1024', AUDIT_SECURITY_PER_MINUTE: '1000' } })
    user = await signUp()
  })
  after(() => service.close())

  /** Makes a call and waits for its row. */
  async function call(path: string, init: RequestInit & { user?: TestUser } = {}): Promise<{ row: LogRow; status: number; body: string; requestId: string }> {
    const requestId = `audit-${randomUUID()}`
    const response = await service.request(path, { ...init, headers: { ...(init.headers as Record<string, string>), 'x-request-id': requestId } })
    const body = await response.text()
    return { row: await logRowOf(requestId), status: response.status, body, requestId }
  }
  const generate = (body: object, headers: Record<string, string> = {}) => call('/api/images/generate', { method: 'POST', user, headers: { ...json, ...headers }, body: JSON.stringify(body) })

  test('that made something tells who, what, how long, how much and for how much', async () => {
    const sent = { prompt: 'A lighthouse in a storm', size: '1024x1024', model: 'seedream-4-0-250828' }
    const { row, body } = await generate(sent)
    const answer = JSON.parse(body) as { generationId: string; costMicros: number }
    const { id, created_at: at, latency_ms: latency, response_bytes: size, ...told } = row
    assert.deepEqual(told, {
      level: 'info', event: null, reason: null, omitted: null, request_id: row.request_id, user_id: user.id, auth_method: 'token', api_key_id: null, ip: '127.0.0.1', method: 'POST',
      route: '/api/images/generate', status: 200, error_code: null, request_bytes: String(JSON.stringify(sent).length), generation_id: answer.generationId,
      model: 'seedream-4-0-250828', kind: 'image', cost_micros: String(answer.costMicros),
    })
    assert.ok(answer.costMicros > 0)
    assert.match(id, /^[0-9a-f-]{36}$/)
    assert.ok(Number(latency) > 0 && Number(size) > body.length && Math.abs(Date.now() - (at as Date).getTime()) < 60_000)
    assert.deepEqual(await decrypt(row), { body: sent })
  })

  test('that came with a file keeps its name, size and hash', async () => {
    const picture = await sharp({ create: { width: 640, height: 360, channels: 3, background: '#336699' } }).png().toBuffer()
    const { row, status } = await call('/api/videos/generate', { method: 'POST', user, body: toForm({ prompt: 'A calm bay', model: 'seedance-1-0-pro-250528', image: picture, providerOptions: '{"modelark":{"cameraFixed":true}}' }) })
    assert.deepEqual([status, row.kind, row.route], [200, 'video', '/api/videos/generate'])
    assert.ok(Number(row.request_bytes) > picture.length)
    assert.deepEqual(await decrypt(row), {
      body: { prompt: 'A calm bay', model: 'seedance-1-0-pro-250528', providerOptions: { modelark: { cameraFixed: true } } },
      files: [{ field: 'image', filename: 'passwd.txt', size: picture.length, sha256: createHash('sha256').update(picture).digest('hex') }],
    })
  })

  test('that does not wait', async () => {
    const release = service.simulator.hold()
    const { row, status } = await generate({ prompt: 'Later' }, { prefer: 'respond-async' })
    release()
    assert.deepEqual([status, row.status, row.kind, row.cost_micros], [202, 202, 'image', null])
    assert.ok(row.generation_id)
  })

  test('that only reads, an event stream too', async () => {
    const { row } = await call('/api/generations?limit=1', { user })
    assert.deepEqual([row.method, row.route, row.status, row.user_id, await payloadOf(row.id)], ['GET', '/api/generations', 200, user.id, undefined])
    const [{ id }] = (await sql<{ id: string }>('select id from public.generations where user_id = $1 limit 1', [user.id])) as [{ id: string }]
    const events = await call(`/api/generations/${id}/events`, { user })
    assert.deepEqual([events.row.route, events.row.status], ['/api/generations/:id/events', 200])
  })

  for (const [name, path, init, status, code, level] of [
    ['a body that is wrong', '/api/images/generate', { method: 'POST', headers: json, body: '{"prompt":""}' }, 400, 'invalid_request', 'info'],
    ['a body that is no JSON', '/api/images/generate', { method: 'POST', headers: json, body: '{' }, 400, 'invalid_request', 'info'],
    ['somebody else’s id', '/api/images/generate', { method: 'POST', headers: json, body: `{"prompt":"A cat","userId":"${randomUUID()}"}` }, 403, 'forbidden', 'security'],
    ['what is not there', `/api/generations/${randomUUID()}`, {}, 404, 'not_found', 'info'],
    ['a route that is not there', '/api/nothing/here', {}, 404, 'not_found', 'info'],
    ['another method', '/api/images/generate', { method: 'PUT' }, 405, 'method_not_allowed', 'info'],
    ['too large a body', '/api/images/generate', { method: 'POST', headers: json, body: JSON.stringify({ prompt: 'x'.repeat(5000) }) }, 413, 'payload_too_large', 'info'],
    ['another type', '/api/images/generate', { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'A cat' }, 415, 'unsupported_media_type', 'info'],
  ] as const) {
    test(`that was refused for ${name}`, async () => {
      const { row, ...answer } = await call(path, { ...init, user })
      assert.equal(answer.status, status)
      assert.deepEqual([row.status, row.error_code, row.level], [status, code, level])
      assert.ok(!JSON.stringify(row).includes(path.split('/').at(-1)!) || path.endsWith('generate'), 'no path of a stranger')
    })
  }

  for (const [behaviour, status, code] of [['rate-limit-long', 429, 'provider_rate_limited'], ['moderation', 422, 'content_refused'], ['html', 502, 'submission_unknown']] as const) {
    test(`whose provider answered ${behaviour}`, async () => {
      service.simulator.behave(behaviour)
      const { row } = await generate({ prompt: 'A cat', model: 'seedream-4-0-250828', fallback: false })
      assert.deepEqual([row.status, row.error_code, row.level, row.model], [status, code, 'info', 'seedream-4-0-250828'])
    })
  }

  test('whose caller hung up', async () => {
    const requestId = `audit-${randomUUID()}`
    const release = service.simulator.hold()
    const gone = new AbortController()
    const asked = service.simulator.requests.length
    const request = service.generate(user, { prompt: 'Never mind' }, { 'x-request-id': requestId })
    const aborted = service.request('/api/images/generate', { method: 'POST', user, headers: { ...json, 'x-request-id': `${requestId}-gone` }, body: '{"prompt":"Gone"}', signal: gone.signal }).catch(() => undefined)
    await eventually(async () => service.simulator.requests.length >= asked + 2, 'the provider was asked')
    gone.abort()
    await aborted
    release()
    await request
    const { status, ip } = await logRowOf(`${requestId}-gone`)
    assert.deepEqual([status, ip], [499, '127.0.0.1'])
  })

  test('but for those to health and for preflights', async () => {
    const from = new Date()
    for (const path of ['/health', '/health/live', '/', '/nothing']) await service.request(path, { headers: { 'x-request-id': 'no-row-for-this' } })
    await service.request('/api/images/generate', { method: 'OPTIONS', headers: { origin: 'https://app.example.com', 'access-control-request-method': 'POST', 'x-request-id': 'no-row-for-this' } })
    await call('/api/models', { user })
    assert.deepEqual(await logRows('created_at > $1 and request_id = $2', from, 'no-row-for-this'), [])
  })

  test('that is refused its token is a security event, with the reason and never the token', async () => {
    const forged = `${user.token.slice(0, -8)}AAAAAAAA`
    for (const [headers, reason] of [[{}, /Sign in first/], [{ authorization: `Bearer ${forged}` }, /not a valid access token/], [{ authorization: 'Basic aHVudGVyMjpodW50ZXIy' }, /Sign in first/]] as const) {
      const { row } = await call('/api/images/generate', { method: 'POST', headers: { ...json, ...headers }, body: '{"prompt":"An uninvited guest"}' })
      assert.deepEqual([row.level, row.event, row.status, row.error_code, row.user_id, row.auth_method, row.ip, row.route], ['security', 'token_refused', 401, 'unauthenticated', null, null, '127.0.0.1', '/api/images/generate'])
      assert.match(row.reason!, reason)
      assert.equal(await payloadOf(row.id), undefined)
    }
  })

  test('by a key, a signature or a token for a key tells which key', async () => {
    const made = await makeKey(service.url, user)
    const form = new URLSearchParams({ grant_type: 'client_credentials', client_id: made.id, client_secret: made.key })
    const token = await call('/oauth/token', { method: 'POST', body: form })
    assert.deepEqual([token.row.route, token.row.status, token.row.user_id, token.row.auth_method, token.row.api_key_id], ['/oauth/token', 200, user.id, 'oauth', made.id])
    assert.deepEqual(await decrypt(token.row), { body: { grant_type: 'client_credentials', client_id: made.id, client_secret: '[removed]' } })
    const { access_token: accessToken } = JSON.parse(token.body) as { access_token: string }
    for (const [method, authorization] of [['key', made.key], ['oauth', accessToken]] as const) {
      const { row } = await call('/api/models', { headers: { authorization: `Bearer ${authorization}` } })
      assert.deepEqual([row.user_id, row.auth_method, row.api_key_id, row.level], [user.id, method, made.id, 'info'])
    }
    const requestId = `audit-${randomUUID()}`
    const signed = sign(made, { method: 'GET', target: '/api/models', headers: [['X-Request-Id', requestId]] })
    assert.equal((await sendRaw(service.url, signed)).status, 200)
    const { auth_method: method, api_key_id: keyId } = await logRowOf(requestId)
    assert.deepEqual([method, keyId], ['signature', made.id])
    const dump = await dumpAuditLog()
    for (const secret of [made.key, made.key.slice(-20), accessToken.split('.')[2]!]) assert.ok(!dump.includes(secret))
  })

  test('that is forged, replayed or may not be is a security event of its kind', async () => {
    const made = await makeKey(service.url, user, { scopes: ['videos:read'] })
    const id = () => `audit-${randomUUID()}`
    const ids = { replayed: id(), forged: id(), late: id() }
    const signed = (requestId: string, options = {}) => sign(made, { method: 'GET', target: '/api/models', headers: [['X-Request-Id', requestId]] }, options)
    const request = signed(ids.replayed)
    assert.equal((await sendRaw(service.url, request)).status, 200)
    for (const sent of [request, signed(ids.forged, { signingKey: 'wrong' }), signed(ids.late, { timestamp: 1 })]) assert.equal((await sendRaw(service.url, sent)).status, 401)
    const eventOf = async (requestId: string) => (await eventually(async () => (await logRows('request_id = $1 and event is not null', requestId))[0], 'the event is written')).event
    assert.deepEqual([await eventOf(ids.replayed), await eventOf(ids.forged), await eventOf(ids.late)], ['replay_refused', 'signature_refused', 'signature_refused'])
    const events = []
    for (const [path, init] of [
      ['/oauth/token', { method: 'POST', body: new URLSearchParams({ grant_type: 'client_credentials', client_id: made.id, client_secret: 'wrong' }) }],
      ['/api/images/models', { headers: { authorization: `Bearer ${made.key}` } }],
      ['/api/keys', { headers: { authorization: `Bearer ${made.key}` } }],
      ['/api/download?url=https://10.0.0.1/metadata', { user }],
    ] as const) {
      const { row } = await call(path, init)
      events.push(row.event)
      assert.equal(row.level, 'security', path)
    }
    assert.deepEqual(events, ['token_refused', 'access_refused', 'access_refused', 'address_refused'])
  })

  test('of a provider has a row without its address, and a forged one is a security event', async () => {
    const { row } = await call(`/api/callbacks/${randomUUID()}/0/sometokenofsomebody1234`, { method: 'POST', headers: json, body: '{"id":"cgt-1"}' })
    assert.deepEqual([row.level, row.event, row.status, row.route, await payloadOf(row.id)], ['security', 'callback_refused', 404, '/api/callbacks/:generationId/:index/:token', undefined])
    assert.ok(!JSON.stringify(row).includes('sometokenofsomebody'))
  })

  test('a link that leads inward is a security event of its generation', async () => {
    service.simulator.behave('file-redirect-inward')
    const { row } = await generate({ prompt: 'A cat', model: 'seedream-4-0-250828' })
    const [event] = await eventually(async () => {
      const found = await logRows(`event = 'address_refused' and generation_id = $1`, row.generation_id)
      return found.length > 0 && found
    }, 'the event is written')
    assert.deepEqual([event!.level, event!.user_id], ['security', user.id])
    assert.match(event!.reason!, /^it (leads to a private address|is not https): [\w.:[\]-]+$/)
  })

  test('leaves nothing that was said in clear, and nothing that opens a door', async () => {
    const secret = 'hunter2-correct-horse'
    const long = `A very private unicorn ${'and its friends '.repeat(100)}`
    const sent = { prompt: `A very private unicorn with ${user.token}`, negativePrompt: 'secret dragons', providerOptions: { modelark: { watermark: false }, other: { apiKey: secret, deep: [{ Authorization: `Bearer ${secret}` }] } } }
    const { row } = await generate(sent, { apikey: supabase.publishableKey, cookie: `session=${secret}` })
    assert.deepEqual(await decrypt(row), { body: { ...sent, prompt: 'A very private unicorn with [removed]', providerOptions: { modelark: { watermark: false }, other: { apiKey: '[removed]', deep: [{ Authorization: '[removed]' }] } } } })
    const cut = (await decrypt((await generate({ prompt: long })).row)) as { truncated: boolean; beginning: string }
    assert.equal(cut.truncated, true)
    assert.ok(cut.beginning.startsWith('{"body":{"prompt":"A very private unicorn and'))
    const dump = await dumpAuditLog()
    for (const word of ['unicorn', 'dragons', 'lighthouse', 'calm bay', 'uninvited', 'passwd', secret, user.token.split('.')[1]!, user.token.slice(-20), supabase.publishableKey, supabase.secretKey, master.key.toString('base64')]) {
      for (const form of [word, Buffer.from(word).toString('hex'), Buffer.from(word).toString('base64').replace(/=+$/, '').slice(0, -1)]) assert.ok(!dump.includes(form), word)
    }
  })
})

describe('the audit log without a master key', () => {
  test('keeps rows without what was said, and says so once', async () => {
    const service = await startTestService()
    const user = await signUp()
    try {
      for (let index = 0; index < 2; index++) await service.generate(user, { prompt: 'A cat' }, { 'x-request-id': `keyless-${user.id}-${index}` })
      const row = await logRowOf(`keyless-${user.id}-1`)
      assert.deepEqual([row.status, await payloadOf(row.id)], [200, undefined])
      assert.equal(service.log.filter(({ msg }) => msg.includes('STORAGE_MASTER_KEY')).length, 1)
    } finally {
      await service.close()
    }
  })
})

describe('the audit log during an outage of the database', () => {
  let line: Line
  let service: TestService
  before(async () => {
    line = await startLine(supabase.databaseUrl)
    service = await startTestService({ env: { DATABASE_URL: supabase.databaseUrl.replace(/:\d+\/postgres$/, `:${line.port}/postgres`), AUDIT_QUEUE: '20' } })
  })
  after(async () => {
    line.restore()
    await service.close()
    await line.close()
  })

  test('stops no call, drops what is too much and tells how much, and is written again', async () => {
    const user = await signUp()
    line.cut()
    for (let index = 0; index < 30; index++) assert.equal((await service.request('/api/models', { user, headers: { 'x-request-id': `outage-${user.id}-${index}` } })).status, 200)
    await eventually(async () => service.log.some(({ msg, dropped }) => msg === 'rows of the audit log were dropped' && Number(dropped) > 0), 'the loss is told')
    line.restore()
    await logRowOf(`outage-${user.id}-0`)
    const rows = await logRows('user_id = $1', user.id)
    assert.equal(rows.length, 18, 'nine tenths of the queue, the rest is for security events')
    await service.request('/api/models', { user, headers: { 'x-request-id': `outage-${user.id}-after` } })
    await logRowOf(`outage-${user.id}-after`)
  })
})

describe('the audit log of a process', () => {
  test('is written out when it stops, with the count of what a flood left out', async () => {
    const simulator = await startModelArkSimulator()
    const running = await startProcess([], { ARK_API_KEY: simulator.apiKey, ARK_BASE_URL: simulator.baseURL, AUDIT_SECURITY_PER_MINUTE: '5', TRUST_PROXY: '1' })
    const ip = '203.0.113.77'
    const statuses = await Promise.all(Array.from({ length: 40 }, async () => (await fetch(`${running.url}/api/models`, { headers: { 'x-forwarded-for': ip } })).status))
    assert.ok(statuses.every((status) => status === 401))
    const from = new Date(Date.now() - 60_000)
    assert.equal(await running.terminate(), 0)
    await simulator.close()
    assert.equal((await logRows('ip = $1 and created_at > $2', ip, from)).length, 5)
    const counts = await logRows(`event = 'token_refused' and omitted is not null and created_at > $1`, from)
    assert.deepEqual(counts.at(-1)?.omitted, 35)
  })
})
