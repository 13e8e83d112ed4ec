/** Several models for one request: each is asked only when the one before it surely took nothing. */
import assert from 'node:assert/strict'
import { mkdtemp, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, storedFiles, type TestUser } from '../support/supabase.ts'

interface Answer {
  model: string
  warnings: { setting?: string; message: string }[]
  attempts: { model: string; error: { code: string } }[]
  code?: string
  generationId: string
  estimatedCostMicros: number
  costMicros: number
}

describe('a chain of models', () => {
  let service: TestService
  let user: TestUser
  before(async () => {
    const file = path.join(await mkdtemp('/var/tmp/darkroom-chains-'), 'models.json')
    await writeFile(file, JSON.stringify([
      { id: 'seedream-4-0-250828', fallbacks: ['seedream-4-5-251128', 'seedream-5-0-260128'] },
      { id: 'gone', extends: 'seedream-4-0-250828', vendorId: 'seedream-9-9-990101', fallbacks: ['seedream-4-0-250828'] },
      { id: 'elsewhere', extends: 'seedream-4-0-250828', provider: 'somebody-else', fallbacks: ['seedream-4-0-250828'] },
      { id: 'seedance-1-0-pro-fast-251015', fallbacks: ['dreamina-seedance-2-0-mini-260615'] },
      { id: 'from-pictures', extends: 'seedance-1-0-pro-250528', firstFrame: { use: 'required' }, fallbacks: ['seedance-1-0-pro-fast-251015'] },
      { id: 'from-pictures-alone', extends: 'seedance-1-0-pro-250528', firstFrame: { use: 'required' } },
    ]))
    service = await startTestService({ env: { MODELS_FILE: file } })
    user = await signUp()
  })
  after(() => service.close())

  const picture = async (body: object) => {
    const response = await service.generate(user, body)
    return { status: response.status, answer: (await response.json()) as Answer }
  }

  test('goes on with the next when the first refuses, and tells what was tried and what it cost', async () => {
    const creates = service.simulator.requests.length
    service.simulator.behave('quota')
    const { status, answer } = await picture({ prompt: 'A cat', size: '2048x2048' })
    assert.equal(status, 200, JSON.stringify(answer))
    assert.equal(answer.model, 'seedream-4-5-251128')
    assert.deepEqual(answer.attempts.map(({ model, error }) => [model, error.code]), [['seedream-4-0-250828', 'provider_quota_reached']])
    assert.match(answer.warnings.at(-1)!.message, /could not take the work; seedream-4-5-251128 was used instead/)
    assert.deepEqual([answer.estimatedCostMicros, answer.costMicros], [40_000, 40_000])
    assert.equal(service.simulator.requests.length - creates, 2)
    const { data } = await user.client.from('prompts').select('model_used, generations(model, attempts)').eq('prompt', 'A cat')
    assert.equal(data![0]!.model_used, 'seedream-4-5-251128')
  })

  test('a model that its vendor does not know any more is stepped over', async () => {
    const { status, answer } = await picture({ prompt: 'A cat', model: 'gone', size: '2048x2048' })
    assert.deepEqual([status, answer.model, answer.attempts[0]!.error.code], [200, 'seedream-4-0-250828', 'model_unavailable'])
  })

  test('a model whose provider has no key is stepped over before anything is asked', async () => {
    const { status, answer } = await picture({ prompt: 'A cat', model: 'elsewhere', size: '2048x2048' })
    assert.deepEqual([status, answer.model, answer.attempts], [200, 'seedream-4-0-250828', []])
  })

  for (const behaviour of ['drop', 'cut', 'proxy-error', 'gateway-error', 'html', 'hang'] as const) {
    test(`never goes on after ${behaviour}: it may be paid already`, async () => {
      const creates = service.simulator.requests.length
      service.simulator.behave(behaviour)
      const { status, answer } = await picture({ prompt: 'A cat', size: '2048x2048' })
      assert.ok(status === 502 || status === 504, JSON.stringify(answer))
      assert.equal(service.simulator.requests.length - creates, 1)
    })
  }

  for (const behaviour of ['moderation', 'output-moderation'] as const) {
    test(`never takes what one vendor refused for its content to another (${behaviour})`, async () => {
      const creates = service.simulator.requests.length
      service.simulator.behave(behaviour)
      assert.equal((await picture({ prompt: 'A cat', size: '2048x2048' })).answer.code, 'content_refused')
      assert.equal(service.simulator.requests.length - creates, 1)
    })
  }

  test('can be switched off, and ends with the last one’s word', async () => {
    service.simulator.behave('quota')
    assert.deepEqual((await picture({ prompt: 'A cat', size: '2048x2048', fallback: false })).answer.code, 'provider_quota_reached')
    service.simulator.behave('quota', 'quota', 'overdue')
    const { status, answer } = await picture({ prompt: 'A cat', size: '2048x2048' })
    assert.deepEqual([status, answer.code], [503, 'provider_misconfigured'])
    const [row] = await sql<{ attempts: unknown[]; cost_micros: string }>('select attempts, cost_micros from public.generations where id = $1', [answer.generationId])
    assert.deepEqual([row!.attempts.length, Number(row!.cost_micros)], [2, 0])
  })

  test('keeps what was made when others of the same request were refused, and asks nobody else', async () => {
    const creates = service.simulator.requests.length
    service.simulator.behave('ok', 'quota')
    const { status, answer } = await picture({ prompt: 'Two cats', n: 2, size: '2048x2048' })
    assert.deepEqual([status, answer.model, answer.costMicros], [200, 'seedream-4-0-250828', 30_000], JSON.stringify(answer))
    assert.equal(service.simulator.requests.length - creates, 2)
  })

  test('videos go on too, with their first frame, also when a task fails that was taken on', async () => {
    const image = await (await import('sharp')).default({ create: { width: 640, height: 360, channels: 3, background: 'red' } }).jpeg().toBuffer()
    for (const behaviour of ['quota', 'task-failed-internal', 'task-expired'] as const) {
      service.simulator.videos.behave(behaviour)
      const response = await service.generateVideo(user, { prompt: `A bay ${behaviour}`, image })
      const answer = (await response.json()) as Answer
      assert.deepEqual([response.status, answer.model], [200, 'dreamina-seedance-2-0-mini-260615'], JSON.stringify(answer))
      assert.ok([...service.simulator.videos.tasks.values()].at(-1)!.picture, 'the picture was sent again')
    }
    assert.deepEqual(await sql('select from darkroom.inputs'), [])
  })

  test('a model that makes videos of pictures alone hands text to its chain, or says what is missing', async () => {
    const chained = await service.generateVideo(user, { prompt: 'A bay', model: 'from-pictures' })
    assert.deepEqual([chained.status, ((await chained.json()) as Answer).model], [200, 'seedance-1-0-pro-fast-251015'])
    const alone = await service.generateVideo(user, { prompt: 'A bay', model: 'from-pictures-alone' })
    assert.deepEqual([alone.status, ((await alone.json()) as { details: { path: string }[] }).details[0]!.path], [400, 'image'])
    const forbidden = await service.generateVideo(user, { prompt: 'A bay', model: 'from-pictures', fallback: 'false' })
    assert.equal(forbidden.status, 400)
  })

  test('dryRun tells what would run and for how much, and does nothing', async () => {
    const creates = service.simulator.requests.length
    const files = (await storedFiles(user.id)).length
    const response = await service.request('/api/images/generate?dryRun=true', { method: 'POST', user, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ prompt: 'A cat', size: '512x512' }) })
    const answer = (await response.json()) as { model: string; parameters: { requestSize: string }; estimatedCostMicros: number; fallbacks: { model: string }[] }
    assert.deepEqual([response.status, answer.model, answer.parameters.requestSize, answer.estimatedCostMicros], [200, 'seedream-4-0-250828', '1024x1024', 30_000])
    assert.deepEqual(answer.fallbacks.map(({ model }) => model), ['seedream-4-5-251128', 'seedream-5-0-260128'])
    assert.equal((await service.request('/api/images/generate?dryRun=yes', { method: 'POST', user, headers: { 'content-type': 'application/json' }, body: '{"prompt":"A cat"}' })).status, 400)
    assert.deepEqual([service.simulator.requests.length, (await storedFiles(user.id)).length], [creates, files])
  })

  test('GET /api/models has an ETag', async () => {
    const first = await service.request('/api/models', { user })
    const etag = first.headers.get('etag')!
    assert.match(etag, /^"[\w-]+"$/)
    assert.equal((await service.request('/api/models', { user, headers: { 'if-none-match': etag } })).status, 304)
  })
})

describe('a model that fails again and again', () => {
  let service: TestService
  before(async () => {
    const file = path.join(await mkdtemp('/var/tmp/darkroom-chains-'), 'models.json')
    await writeFile(file, JSON.stringify([{ id: 'seedream-4-0-250828', fallbacks: ['seedream-4-5-251128'] }]))
    service = await startTestService({ env: { MODELS_FILE: file, BREAKER_FAILURES: '3', BREAKER_SECONDS: '3600' } })
  })
  after(() => service.close())

  test('is left alone: its chain answers at once, and health tells', async () => {
    const user = await signUp()
    for (let index = 0; index < 3; index++) {
      service.simulator.behave('quota', 'ok')
      assert.equal((await service.generate(user, { prompt: 'A cat', size: '2048x2048' })).status, 200)
    }
    const creates = service.simulator.requests.length
    const response = await service.generate(user, { prompt: 'A cat', size: '2048x2048' })
    const answer = (await response.json()) as Answer
    assert.deepEqual([response.status, answer.model, answer.attempts[0]!.error.code], [200, 'seedream-4-5-251128', 'provider_failed'])
    assert.equal(service.simulator.requests.length - creates, 1)
    const health = (await (await service.request('/health')).json()) as { providers: Record<string, { leftAlone?: string[] }> }
    assert.deepEqual(health.providers.modelark!.leftAlone, ['seedream-4-0-250828'])
    const alone = await service.generate(user, { prompt: 'A cat', size: '2048x2048', fallback: false })
    assert.equal(alone.status, 502)
    assert.equal(service.simulator.requests.length - creates, 1)
  })
})
