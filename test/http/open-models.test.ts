/** Models that nobody listed: of providers that the operator opened, and of gateways by name. */
import assert from 'node:assert/strict'
import { mkdtemp, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { ConfigError, loadConfig } from '../../src/config.ts'
import { providerSettings } from '../../src/providers/registry.ts'
import { startFalSimulator, type FalSimulator } from '../simulator/fal.ts'
import { startGatewaySimulator, type GatewaySimulator } from '../simulator/gateway.ts'
import { startReplicateSimulator, type ReplicateSimulator } from '../simulator/replicate.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { signUp, type TestUser } from '../support/supabase.ts'

interface Answer {
  model: string
  error?: string
  costMicros?: number | null
  estimatedCostMicros?: number | null
  provider?: string
}

describe('models that nobody listed', () => {
  let fal: FalSimulator
  let replicate: ReplicateSimulator
  let first: GatewaySimulator
  let second: GatewaySimulator
  let service: TestService
  let user: TestUser
  before(async () => {
    ;[fal, replicate, first, second] = await Promise.all([startFalSimulator(), startReplicateSimulator(), startGatewaySimulator(), startGatewaySimulator()])
    const file = path.join(await mkdtemp('/var/tmp/darkroom-open-'), 'models.json')
    await writeFile(file, JSON.stringify([
      { id: 'house/*', kind: 'image', extends: 'gateway/gpt-image-2', provider: 'second-one', vendorId: 'team/*', maxPromptCharacters: 20 },
      { id: 'films', extends: 'sora-2', provider: 'second-one', vendorId: 'sora-2' },
    ]))
    service = await startTestService({
      env: {
        MODELS_FILE: file,
        OPEN_PROVIDERS: 'fal, replicate, second-one',
        FAL_KEY: fal.apiKey,
        FAL_BASE_URL: fal.baseURL,
        REPLICATE_API_TOKEN: replicate.apiKey,
        REPLICATE_BASE_URL: replicate.baseURL,
        GATEWAY_API_KEY: first.apiKey,
        GATEWAY_BASE_URL: first.baseURL,
        GATEWAYS: 'second-one',
        GATEWAY_SECOND_ONE_API_KEY: second.apiKey,
        GATEWAY_SECOND_ONE_BASE_URL: second.baseURL,
      },
    })
    user = await signUp()
  })
  after(async () => {
    await service.close()
    await Promise.all([fal, replicate, first, second].map((vendor) => vendor.close()))
  })

  const picture = async (model: string, prompt = `By ${model}.`) => {
    const response = await service.generate(user, { prompt, model })
    return { status: response.status, answer: (await response.json()) as Answer }
  }

  for (const model of ['fal-ai/any-model', 'fal-ai/any-model/endpoint', 'someone/any-model', 'second-one/some/model-1.5']) {
    test(`${model} makes a picture`, async () => {
      const { status, answer } = await picture(model)
      assert.deepEqual([status, answer.model, answer.estimatedCostMicros], [200, model, null], JSON.stringify(answer))
    })
  }

  test('a model of a gateway goes there, by its name there, and to no other', async () => {
    assert.deepEqual([second.requests.at(-1)?.body.model, first.requests.length], ['some/model-1.5', 0])
    const { status } = await picture('house/of-ours')
    assert.deepEqual([status, second.requests.at(-1)?.body.model], [200, 'team/of-ours'])
    const film = await service.generateVideo(user, { prompt: 'A film.', model: 'films', duration: '4' })
    assert.equal(film.status, 200)
    assert.deepEqual([second.requests.at(-1)?.body.model, first.requests.length], ['sora-2', 0])
  })

  test('an entry with a star has its limits too', async () => {
    const { status, answer } = await picture('house/of-ours', 'A prompt that is longer than that.')
    assert.deepEqual([status, /20 characters for house\/of-ours/.test(answer.error!)], [400, true], JSON.stringify(answer))
  })

  test('listed models keep their own entry', async () => {
    const { status, answer } = await picture('fal-ai/flux/schnell')
    assert.deepEqual([status, answer.estimatedCostMicros], [200, 3000])
  })

  test('a picture is cut out and a film made by a model that nobody listed', async () => {
    const form = new FormData()
    form.set('image', new Blob([Uint8Array.from(await sharp({ create: { width: 300, height: 300, channels: 3, background: 'teal' } }).png().toBuffer())]))
    form.set('model', 'fal-ai/any-model')
    const cut = await service.request('/api/images/remove-background', { method: 'POST', user, body: form })
    assert.equal(cut.status, 200, await cut.clone().text())
    const film = await service.generateVideo(user, { prompt: 'A film.', model: 'fal-ai/veo3.1', duration: '8' })
    assert.equal(film.status, 200, await film.clone().text())
  })

  for (const model of ['fal-ai/../admin', 'fal-ai/..', 'fal-ai/', 'fal-ai//x', 'fal-ai/x?y=1', 'fal-ai/x#y', 'fal-ai/*', 'second-one/x y', 'nobody', '../x', 'a/%2e%2e/b', 'second-one/x/', `a/${'b'.repeat(300)}`]) {
    test(`${model.slice(0, 30)} is no model`, async () => {
      assert.equal((await picture(model)).status, 400)
    })
  }

  test('are told of by their form, and not offered by name', async () => {
    const all = (await (await service.request('/api/models', { user })).json()) as { models: { id: string; kind: string; usable: boolean }[] }
    const open = all.models.filter(({ id }) => id.includes('*')).map(({ id, kind, usable }) => `${kind} ${id} ${usable}`)
    assert.deepEqual(open, ['image fal-ai/* true', 'video fal-ai/* true', 'image */* true', 'video */* true', 'image second-one/* true', 'video second-one/* true', 'image house/* true'])
    for (const kind of ['images', 'videos']) {
      const usable = (await (await service.request(`/api/${kind}/models`, { user })).json()) as { models: string[] }
      assert.deepEqual(usable.models.filter((id) => id.includes('*')), [])
    }
  })
})

describe('providers that are not opened', () => {
  let service: TestService
  let fal: FalSimulator
  before(async () => {
    fal = await startFalSimulator()
    service = await startTestService({ env: { FAL_KEY: fal.apiKey, FAL_BASE_URL: fal.baseURL } })
  })
  after(async () => {
    await service.close()
    await fal.close()
  })

  test('make nothing by a name that nobody listed', async () => {
    const response = await service.generate(await signUp(), { prompt: 'A cat', model: 'fal-ai/any-model' })
    assert.equal(response.status, 400)
  })
})

describe('what is said of providers in the configuration', () => {
  const problemsOf = (env: Record<string, string>): string[] => {
    try {
      loadConfig({ SUPABASE_URL: 'http://localhost', SUPABASE_SECRET_KEY: 'x', SUPABASE_PUBLISHABLE_KEY: 'x', DATABASE_URL: 'postgresql://localhost/x', ...env }, { providers: providerSettings, local: true })
      return []
    } catch (error) {
      return (error as ConfigError).problems
    }
  }
  for (const [env, words] of [
    [{ OPEN_PROVIDERS: 'openai' }, /OPEN_PROVIDERS names openai, which cannot be opened: gateway, fal, replicate can/],
    [{ OPEN_PROVIDERS: 'fall' }, /OPEN_PROVIDERS names fall/],
    [{ GATEWAYS: 'Open_Router' }, /GATEWAYS names "Open_Router"/],
    [{ GATEWAYS: 'fal' }, /GATEWAYS names fal, which is taken/],
    [{ GATEWAYS: 'sandbox' }, /GATEWAYS names sandbox, which is taken/],
    [{ GATEWAYS: 'a,a', GATEWAY_A_BASE_URL: 'http://a' }, /GATEWAYS names a, which is taken/],
    [{ GATEWAYS: 'a' }, /GATEWAY_A_BASE_URL is missing/],
    [{ GATEWAYS: 'a', GATEWAY_A_BASE_URL: 'ftp://a' }, /GATEWAY_A_BASE_URL must be an http/],
  ] as const) {
    test(`${JSON.stringify(env)} is refused`, () => {
      const problems = problemsOf(env)
      assert.equal(problems.length, 1, problems.join('\n'))
      assert.match(problems[0]!, words)
    })
  }

  test('is taken where it is right', () => {
    assert.deepEqual(problemsOf({ GATEWAYS: 'a, b-c', GATEWAY_A_BASE_URL: 'http://a', GATEWAY_B_C_BASE_URL: 'http://b', OPEN_PROVIDERS: 'b-c,gateway' }), [])
  })
})
