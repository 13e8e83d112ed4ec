/** What stands around every route: ids, headers, origins, logs. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { createSandbox } from '../../src/local/sandbox.ts'
import { toLoggedError } from '../../src/log.ts'
import { eventually, startTestService, type LogLine, type TestService } from '../support/service.ts'
import { signUp, supabase, type TestUser } from '../support/supabase.ts'

describe('around every request', () => {
  let service: TestService
  let user: TestUser
  before(async () => {
    service = await startTestService()
    user = await signUp()
  })
  after(() => service.close())

  test('a sensible X-Request-Id comes back, and another is replaced', async () => {
    const ask = async (id: string) => (await service.request('/health/live', { headers: { 'x-request-id': id } })).headers.get('x-request-id')
    assert.equal(await ask('trace-0af7651916cd43dd'), 'trace-0af7651916cd43dd')
    for (const bad of ['short', 'a'.repeat(129), 'with space in it', '<script>alert</script>']) assert.match((await ask(bad))!, /^req_[\w-]{16}$/)
  })

  test('only listed origins may read answers in a browser', async () => {
    const origin = async (from: string) => (await service.request('/health/live', { headers: { origin: from } })).headers.get('access-control-allow-origin')
    assert.equal(await origin('https://app.example.com'), 'https://app.example.com')
    assert.equal(await origin('https://evil.example.com'), null)
    const preflight = await service.request('/api/images/generate', { method: 'OPTIONS', headers: { origin: 'https://app.example.com', 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' } })
    assert.equal(preflight.status, 204)
    assert.match(preflight.headers.get('access-control-allow-headers')!, /Authorization/)
    const refused = await service.request('/api/images/generate', { method: 'POST', headers: { origin: 'https://app.example.com' } })
    assert.equal(refused.headers.get('access-control-allow-origin'), 'https://app.example.com', 'errors can be read too')
  })

  test('security headers stand on answers and on errors', async () => {
    for (const path of ['/health/live', '/nothing']) {
      const { headers } = await service.request(path)
      assert.equal(headers.get('x-content-type-options'), 'nosniff')
      assert.match(headers.get('strict-transport-security')!, /max-age=\d{7,}/)
      assert.ok(headers.get('content-security-policy'))
      assert.equal(headers.get('x-powered-by'), null)
    }
  })

  test('a client cannot choose the address that is logged', async () => {
    await service.request('/nothing-here', { headers: { 'x-forwarded-for': '6.6.6.6', 'x-real-ip': '6.6.6.6' } })
    assert.equal(JSON.stringify(service.log).includes('6.6.6.6'), false)
    const proxied = await startTestService({ env: { TRUST_PROXY: '1' } })
    await proxied.request('/nothing-here', { headers: { 'x-forwarded-for': '6.6.6.6, 9.9.9.9' } })
    await proxied.close()
    assert.equal(proxied.log.find(({ route }) => route === 'none')?.ip, '9.9.9.9')
  })

  test('no other spelling of a path passes by the guard', async () => {
    for (const path of ['/API/images/models', '/api/Images/models', '/api/images/MODELS', '/api//images/models', '/api/images/models/', '/Api/models', '/api/MODELS/', '/API/generations', '/api/Generations/', '/%61pi/images/models', '/api/images/%6dodels']) {
      const { status } = await service.request(path)
      assert.ok([401, 404].includes(status), `${path}: ${status}`)
    }
    for (const path of ['/API/images/test', '/API/images/generate', '/api/images/GENERATE', '/api/images/generate/']) {
      const { status } = await service.request(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"prompt":"A cat"}' })
      assert.ok([401, 404].includes(status), `${path}: ${status}`)
    }
  })

  test('405 names what is allowed', async () => {
    const response = await service.request('/api/images/generate', { method: 'PUT', user })
    assert.deepEqual([response.status, response.headers.get('allow')], [405, 'POST'])
  })

  for (const [name, raw, status] of [
    ['junk instead of HTTP', 'junk\r\n\r\n', 400],
    ['headers beyond all measure', `GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
    ['no host', 'GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n', 404],
    ['a target that is no path', 'GET http://[ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 400],
    ['an expectation that nobody has', 'GET /nothing HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\nConnection: close\r\n\r\n', 404],
  ] as const) {
    test(`${name} is answered in the same shape`, async () => {
      const text = await sendRaw(service.url, raw)
      assert.match(text, new RegExp(`^HTTP/1.1 ${status} `))
      const body = JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4)) as { error: string; code: string; requestId: string }
      assert.ok(body.error.length > 10)
      assert.match(text, new RegExp(`x-request-id: ${body.requestId}`, 'i'))
    })
  }

  test('health tells version, uptime, services and providers', async () => {
    const health = (await (await service.request('/health')).json()) as { status: string; version: string; uptimeSeconds: number; services: Record<string, { status: string; latencyMs: number }>; providers: Record<string, { status: string }> }
    assert.equal(health.status, 'ok')
    assert.match(health.version, /^\d+\.\d+\.\d+$/)
    assert.deepEqual(Object.keys(health.services), ['database', 'storage', 'auth'])
    assert.ok(Object.values(health.services).every(({ status, latencyMs }) => status === 'ok' && latencyMs >= 0))
    assert.ok(health.providers.modelark)
    assert.equal(service.simulator.billed(), 0)
  })

  test('one line for each request and generation; no token, key, prompt or signature in any', async () => {
    const prompt = 'A very private unicorn'
    service.simulator.behave('ok', 'server-error', 'server-error', 'server-error', 'file-expired', 'moderation')
    for (let index = 0; index < 4; index++) await service.generate(user, { prompt, negativePrompt: 'secret dragons' })
    await service.request('/api/images/generate?token=sb_secret_in_the_query', { method: 'POST', user, headers: { 'content-type': 'application/json' }, body: '{"prompt":"A very private unicorn' })
    // A line is written once its answer is sent, and may come after it.
    const count = (wanted: string, isMeant: (line: LogLine) => boolean = () => true) => service.log.filter((line) => line.msg === wanted && isMeant(line)).length
    const counts = () => [count('request', ({ generationId }) => generationId !== undefined), count('generation succeeded'), count('generation failed')]
    await eventually(async () => counts().every((seen, index) => seen >= [4, 1, 3][index]!), 'the lines are written')
    assert.deepEqual(counts(), [4, 1, 3])
    const text = JSON.stringify(service.log)
    for (const secret of [user.token, user.token.split('.')[1]!, supabase.secretKey, supabase.publishableKey, supabase.jwtSecret, service.simulator.apiKey, 'unicorn', 'dragons', 'secret-signature', 'in_the_query', 'postgres:postgres']) {
      assert.equal(text.includes(secret), false, secret.slice(0, 12))
    }
  })

  test('errors are logged without what libraries hang onto them', () => {
    const error = Object.assign(new Error('failed for sb_secret_abcdefghijk with Bearer abc.def at https://x.co/f?X-Tos-Signature=s and postgresql://u:pass@h/db'), { requestBodyValues: { prompt: 'unicorn' }, body: 'unicorn', headers: { authorization: 'x' }, code: 'E1', cause: new Error('eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln') })
    const logged = JSON.stringify(toLoggedError(error))
    for (const secret of ['abcdefghijk', 'abc.def', 'X-Tos-Signature', ':pass@', 'unicorn', 'eyJ', 'authorization']) assert.equal(logged.includes(secret), false, secret)
    assert.match(logged, /"code":"E1"/)
  })
})

function sendRaw(url: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(text))
    let answer = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk)).on('end', () => resolve(answer)).on('error', reject)
  })
}

describe('local mode', () => {
  test('the sandbox stands in for a provider without a key, says so, and answers under its own name', async () => {
    const service = await startTestService({ env: { ARK_API_KEY: '', CORS_ORIGINS: '' }, extras: createSandbox(), local: true })
    const user = await signUp()
    try {
      const answer = (await (await service.generate(user, { prompt: 'A cat', size: '512x512' })).json()) as { model: string; warnings: { message: string }[]; images: { bucketUrl: string; width: number }[] }
      assert.equal(answer.model, 'sandbox-image')
      assert.ok(answer.warnings.some(({ message }) => message.includes('no key for modelark')))
      assert.equal(answer.images[0]!.width, 512)
      assert.equal((await fetch(answer.images[0]!.bucketUrl)).headers.get('content-type'), 'image/jpeg')
      for (const [outcome, status] of [['refuse', 422], ['fail', 502], ['rate-limit', 429]] as const) {
        assert.equal((await service.generate(user, { prompt: 'A cat', model: 'sandbox-image', providerOptions: { sandbox: { outcome } } })).status, status)
      }
    } finally {
      await service.close()
    }
  })

  test('without the sandbox a provider without a key is a 503 that says so, and its models are not listed', async () => {
    const service = await startTestService({ env: { ARK_API_KEY: '' } })
    const user = await signUp()
    try {
      const response = await service.generate(user, { prompt: 'A cat' })
      assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [503, 'not_configured'])
      assert.deepEqual(await (await service.request('/api/images/models', { user })).json(), { models: [] })
      assert.equal((await service.generate(user, { prompt: 'A cat', model: 'sandbox-image' })).status, 400)
    } finally {
      await service.close()
    }
  })
})
