/** Models that their vendor does not have any more: known after the first refusal, and not asked for until that is old. */
import assert from 'node:assert/strict'
import { mkdtemp, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { eventually, startTestService, toForm, type TestService } from '../support/service.ts'
import { signUp, sql, type TestUser } from '../support/supabase.ts'

interface Answer {
  model: string
  code?: string
  error?: string
  generationId?: string
  warnings: { message: string }[]
  attempts: { model: string; error: { code: string } }[]
}

interface Listed {
  id: string
  usable: boolean
  reason?: string
}

const UNKNOWN_TO_VENDOR = 'seedream-9-9-990101'

const MODELS = [
  { id: 'seedream-4-0-250828', fallbacks: ['seedream-4-5-251128'] },
  { id: 'lonely', extends: 'seedream-5-0-260128', vendorId: UNKNOWN_TO_VENDOR },
  { id: 'pair', extends: 'lonely', vendorId: 'seedream-9-9-990103', fallbacks: ['lonely'] },
  { id: 'leaving', extends: 'seedream-5-0-260128', vendorId: 'seedream-9-9-990102', state: 'retiring', retiresOn: '2099-01-01', successor: 'seedream-4-5-251128' },
  { id: 'seedance-1-0-pro-250528', fallbacks: ['seedance-1-0-pro-fast-251015'] },
  { id: 'lonely-film', extends: 'seedance-1-0-pro-250528', vendorId: 'seedance-9-9-990101', fallbacks: [] },
  { id: 'ours', extends: 'seedream-4-0-250828', vendorId: 'ep-20261101-abcde', fallbacks: [] },
]

async function start(env: Record<string, string>, worker = true): Promise<TestService> {
  const file = path.join(await mkdtemp('/var/tmp/darkroom-gone-'), 'models.json')
  await writeFile(file, JSON.stringify(MODELS))
  return await startTestService({ env: { MODELS_FILE: file, ...env }, worker })
}

const picture = async (service: TestService, user: TestUser, body: object) => {
  const response = await service.generate(user, { size: '2048x2048', ...body })
  return { status: response.status, answer: (await response.json()) as Answer }
}

const countRows = async (user: TestUser) => (await sql('select from public.generations where user_id = $1', [user.id])).length

describe('a model that its vendor does not have any more', () => {
  let service: TestService
  let user: TestUser
  before(async () => {
    service = await start({ MODEL_GONE_SECONDS: '3600' })
    user = await signUp()
  })
  after(() => service.close())

  const list = async (kind: 'images' | 'videos'): Promise<string[]> => ((await (await service.request(`/api/${kind}/models`, { user })).json()) as { models: string[] }).models
  const listed = async (id: string): Promise<Listed> => ((await (await service.request('/api/models', { user })).json()) as { models: Listed[] }).models.find((model) => model.id === id)!
  const edit = async (fields: Record<string, string>) => {
    const image = await sharp({ create: { width: 2048, height: 2048, channels: 3, background: 'teal' } }).jpeg().toBuffer()
    const response = await service.request('/api/images/edit', { method: 'POST', user, body: toForm({ prompt: 'Redder', image, ...fields }) })
    return { status: response.status, answer: (await response.json()) as Answer }
  }

  test('is asked for once; from then on its chain is the plan', async () => {
    const etag = (await service.request('/api/models', { user })).headers.get('etag')!
    const creates = service.simulator.requests.length
    service.simulator.behave('not-found', 'ok')
    const first = await picture(service, user, { prompt: 'A cat' })
    assert.deepEqual([first.status, first.answer.model, first.answer.attempts.map(({ error }) => error.code)], [200, 'seedream-4-5-251128', ['model_unavailable']])
    const second = await picture(service, user, { prompt: 'A cat' })
    assert.deepEqual([second.status, second.answer.model, second.answer.attempts], [200, 'seedream-4-5-251128', []])
    assert.match(second.answer.warnings.at(-1)!.message, /could not take the work; seedream-4-5-251128 was used instead/)
    assert.deepEqual(service.simulator.requests.slice(creates).map(({ body }) => body.model), ['seedream-4-0-250828', 'seedream-4-5-251128', 'seedream-4-5-251128'])
    assert.notEqual((await service.request('/api/models', { user, headers: { 'if-none-match': etag } })).status, 304)
  })

  test('is told: not usable by itself, named in health, listed while its chain answers', async () => {
    const { usable, reason } = await listed('seedream-4-0-250828')
    assert.deepEqual([usable, reason], [false, 'modelark does not offer it to this service now'])
    assert.equal((await listed('seedream-3-0-t2i-250415')).usable, false)
    assert.equal((await listed('seedream-4-5-251128')).usable, true)
    const health = (await (await service.request('/health')).json()) as { providers: Record<string, { status: string; gone?: string[] }> }
    assert.deepEqual([health.providers.modelark!.status, health.providers.modelark!.gone], ['ok', ['seedream-4-0-250828']])
    const models = await list('images')
    for (const id of ['seedream-4-0-250828', 'seedream-3-0-t2i-250415', 'lonely']) assert.ok(models.includes(id), id)
  })

  test('is refused at once where its chain is forbidden: nothing is asked, nothing written', async () => {
    const [creates, rows] = [service.simulator.requests.length, await countRows(user)]
    const { status, answer } = await picture(service, user, { prompt: 'A cat', model: 'seedream-4-0-250828', fallback: false })
    assert.deepEqual([status, answer.code, answer.generationId], [502, 'model_unavailable', undefined])
    assert.match(answer.error!, /seedream-4-0-250828 cannot be used now/)
    assert.deepEqual([service.simulator.requests.length, await countRows(user)], [creates, rows])
  })

  test('is refused at once where nothing stands behind it, and no longer listed', async () => {
    assert.equal((await picture(service, user, { prompt: 'A cat', model: 'lonely' })).answer.code, 'model_unavailable')
    const [creates, rows] = [service.simulator.requests.length, await countRows(user)]
    const { status, answer } = await picture(service, user, { prompt: 'A cat', model: 'lonely' })
    assert.deepEqual([status, answer.code, answer.generationId], [502, 'model_unavailable', undefined])
    assert.deepEqual([service.simulator.requests.length, await countRows(user)], [creates, rows])
    const pair = await picture(service, user, { prompt: 'A cat', model: 'pair' })
    assert.deepEqual([pair.answer.code, (await picture(service, user, { prompt: 'A cat', model: 'pair' })).answer.generationId], ['model_unavailable', undefined])
    const models = await list('images')
    assert.deepEqual([models.includes('lonely'), models.includes('pair')], [false, false])
  })

  test('moves on to the successor that its vendor names', async () => {
    const first = await picture(service, user, { prompt: 'A cat', model: 'leaving' })
    assert.deepEqual([first.answer.model, first.answer.attempts.length], ['seedream-4-5-251128', 1])
    const second = await picture(service, user, { prompt: 'A cat', model: 'leaving' })
    assert.deepEqual([second.answer.model, second.answer.attempts.length], ['seedream-4-5-251128', 0])
    assert.ok((await list('images')).includes('leaving'))
  })

  test('no longer stands behind another', async () => {
    const dryRun = async (model: string) => (await (await service.request('/api/images/generate?dryRun=true', { method: 'POST', user, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ prompt: 'A cat', size: '2048x2048', model }) })).json()) as { model: string; fallbacks: unknown[] }
    assert.deepEqual([(await dryRun('seedream-4-0-250828')).model, (await dryRun('seedream-4-0-250828')).fallbacks], ['seedream-4-5-251128', []])
  })

  test('is gone for such work alone: a vendor may have no address for edits', async () => {
    service.simulator.behave('not-found')
    assert.equal((await edit({ model: 'ours' })).answer.code, 'model_unavailable')
    assert.equal((await edit({ model: 'ours' })).answer.generationId, undefined)
    assert.equal((await picture(service, user, { prompt: 'A cat', model: 'ours' })).status, 200)
    assert.equal((await listed('ours')).usable, true)
    // Whoever names no model gets one that is there.
    const { answer } = await edit({ fallback: 'false' })
    assert.deepEqual([answer.model, answer.warnings], ['seedream-4-5-251128', []])
  })

  test('videos are the same', async () => {
    service.simulator.videos.behave('not-found', 'ok')
    const ask = async (model: string) => (await (await service.generateVideo(user, { prompt: 'A bay', model })).json()) as Answer
    assert.deepEqual((await ask('seedance-1-0-pro-250528')).attempts.map(({ error }) => error.code), ['model_unavailable'])
    const second = await ask('seedance-1-0-pro-250528')
    assert.deepEqual([second.model, second.attempts], ['seedance-1-0-pro-fast-251015', []])
    service.simulator.videos.behave('not-found')
    assert.equal((await ask('lonely-film')).code, 'model_unavailable')
    const models = await list('videos')
    assert.deepEqual([models.includes('seedance-1-0-pro-250528'), models.includes('lonely-film')], [true, false])
  })

  test('a plan that was made before is carried on by its chain, and the vendor is not asked', async () => {
    // A process that answers alone, without Redis: it has not heard of anything.
    const other = await start({ MODEL_GONE_SECONDS: '3600' }, false)
    try {
      const creates = service.simulator.requests.length
      const { status, answer } = await picture(other, user, { prompt: 'A cat', model: 'seedream-4-0-250828' })
      assert.deepEqual([status, answer.model, answer.attempts.map(({ error }) => error.code)], [200, 'seedream-4-5-251128', ['model_unavailable']])
      assert.deepEqual(service.simulator.requests.slice(creates).map(({ body }) => body.model), ['seedream-4-5-251128'])
    } finally {
      await other.close()
    }
  })
})

describe('a model that was gone', () => {
  let service: TestService
  before(async () => {
    service = await start({ MODEL_GONE_SECONDS: '1' })
  })
  after(() => service.close())

  test('is asked for again after a while', async () => {
    const user = await signUp()
    service.simulator.behave('not-found')
    assert.equal((await picture(service, user, { prompt: 'A cat', model: 'ours' })).status, 502)
    await eventually(async () => (await picture(service, user, { prompt: 'A cat', model: 'ours' })).status === 200, 'it is asked for again')
    assert.equal(service.simulator.requests.length, 2)
    const health = (await (await service.request('/health')).json()) as { providers: Record<string, { gone?: string[] }> }
    assert.equal(health.providers.modelark!.gone, undefined)
  })
})
