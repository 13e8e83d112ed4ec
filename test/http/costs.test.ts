/** What things cost: estimated from the catalog before, settled by what the vendor says that it used. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { startFalSimulator, type FalSimulator } from '../simulator/fal.ts'
import { startGoogleSimulator, type GoogleSimulator } from '../simulator/google.ts'
import { startOpenAISimulator, type OpenAISimulator } from '../simulator/openai.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, type TestUser } from '../support/supabase.ts'

interface Answer {
  generationId: string
  estimatedCostMicros: number | null
  costMicros: number | null
  requestSize?: string
}

describe('costs', () => {
  let service: TestService
  let vendors: { openai: OpenAISimulator; google: GoogleSimulator; fal: FalSimulator }
  let user: TestUser
  before(async () => {
    const [openai, google, fal] = await Promise.all([startOpenAISimulator(), startGoogleSimulator(), startFalSimulator()])
    vendors = { openai, google, fal }
    service = await startTestService({
      env: {
        OPENAI_API_KEY: openai.apiKey,
        OPENAI_BASE_URL: openai.baseURL,
        GEMINI_API_KEY: google.apiKey,
        GEMINI_BASE_URL: google.baseURL,
        FAL_KEY: fal.apiKey,
        FAL_BASE_URL: fal.baseURL,
      },
    })
    user = await signUp()
  })
  after(async () => {
    await service.close()
    await Promise.all(Object.values(vendors).map((vendor) => vendor.close()))
  })

  const costsOf = async (response: Response) => {
    const answer = (await response.json()) as Answer
    assert.equal(response.status, 200, JSON.stringify(answer))
    const [row] = await sql<{ estimated: string | null; settled: string | null }>('select estimated_cost_micros as estimated, cost_micros as settled from public.generations where id = $1', [answer.generationId])
    const number = (value: string | null) => (value === null ? null : Number(value))
    assert.deepEqual([number(row!.estimated), number(row!.settled)], [answer.estimatedCostMicros, answer.costMicros])
    return [answer.estimatedCostMicros, answer.costMicros]
  }

  for (const [name, body, estimated, settled] of [
    ['a price for each picture', { model: 'seedream-4-0-250828', n: 3 }, 90_000, 90_000],
    ['a lower price for small pictures', { model: 'dola-seedream-5-0-pro-260628', size: '1024x1024' }, 45_000, 45_000],
    ['the higher one for large ones', { model: 'dola-seedream-5-0-pro-260628', size: '2048x2048' }, 90_000, 90_000],
    ['a price for each megapixel that is begun', { model: 'fal-ai/flux/schnell', size: '1536x1024' }, 6_000, 6_000],
    ['tokens, $60 for a million, 1120 of them', { model: 'gemini-3.1-flash-image' }, 67_000, 67_200],
    ['tokens, $120 for a million', { model: 'gemini-3-pro-image', n: 2 }, 268_000, 268_800],
    ['a price for each picture where the tokens have none', { model: 'gemini-nano-banana-2.1' }, 45_000, 45_000],
    ['no price at all', { model: 'gpt-image-2.6-flare' }, null, null],
  ] as const) {
    test(`of pictures: ${name}`, async () => {
      assert.deepEqual(await costsOf(await service.generate(user, { prompt: name, ...body })), [estimated, settled])
    })
  }

  test('of what a provider made, billed and withheld: it is the user’s, and no more than that', async () => {
    const refused = await service.generate(user, { prompt: 'A cat: sim:nsfw', model: 'fal-ai/flux/schnell', size: '1024x1024', fallback: false })
    const { code, generationId } = (await refused.json()) as { code: string; generationId: string }
    assert.deepEqual([refused.status, code], [422, 'content_refused'])
    const [row] = await sql<{ cost: string; error: object; charged: string }>(`select cost_micros as cost, error, (select sum(cost_micros) from public.usage_ledger where generation_id = generations.id and entry = 'charge') as charged from public.generations where id = $1`, [generationId])
    assert.deepEqual([Number(row!.cost), Number(row!.charged), Object.keys(row!.error).toSorted()], [3000, 3000, ['code', 'message']])
  })

  test('of an edit: tokens of text, of pictures and of the result, at three prices', async () => {
    const form = new FormData()
    form.set('prompt', 'Add a hat.')
    form.set('model', 'gpt-image-2.5-sunburst')
    for (const colour of ['red', 'blue']) form.append('image', new Blob([Uint8Array.from(await sharp({ create: { width: 64, height: 64, channels: 3, background: colour } }).png().toBuffer())]))
    assert.deepEqual(await costsOf(await service.request('/api/images/edit', { method: 'POST', user, body: form })), [null, 28 * 5 + 600 * 8 + 1572 * 30])
  })

  test('of a video: tokens by its resolution', async () => {
    const tokens = (duration: number) => Math.floor((1248 * 704 * (duration * 24 + 1)) / 1024)
    const [estimated, settled] = await costsOf(await service.generateVideo(user, { prompt: 'A bay.', model: 'seedance-1-0-pro-250528', duration: '5' }))
    assert.deepEqual([estimated, settled], [5 * Math.round((1248 * 704 * 24 * 2.5) / 1024), Math.round(tokens(5) * 2.5)])
  })

  test('of a video: whatever its length', async () => {
    const image = await sharp({ create: { width: 640, height: 640, channels: 3, background: 'teal' } }).png().toBuffer()
    assert.deepEqual(await costsOf(await service.generateVideo(user, { prompt: 'A bay.', model: 'stable-video', duration: '2', image })), [75_000, 75_000])
  })

  test('are shown with each model', async () => {
    const { models } = (await (await service.request('/api/models', { user })).json()) as { models: { id: string; price: unknown }[] }
    const price = (id: string) => models.find((model) => model.id === id)!.price
    assert.deepEqual(price('fal-ai/flux/schnell'), { per: 'megapixel', usdMicros: 3_000 })
    assert.deepEqual(price('gemini-3-pro-image'), { per: 'token', perMillion: { text: 0, image: 0, output: 120_000_000 }, typical: 134_000 })
    assert.equal(price('gpt-image-2.6-flare'), null)
  })
})
