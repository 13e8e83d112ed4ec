/** OpenAI's pictures through the provider's interface and the real SDK, against a server that refuses what the real one does. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { inspect } from 'node:util'
import sharp from 'sharp'
import { ProviderError, type Charged, type ErrorCode } from '../../src/errors.ts'
import { createCatalog } from '../../src/generation/catalog.ts'
import { fitSize } from '../../src/generation/image-size.ts'
import { openAIModels } from '../../src/generation/models/openai.ts'
import type { ImageRequest, InputFile, Provider } from '../../src/generation/provider.ts'
import { createOpenAI, openAISetting } from '../../src/providers/openai.ts'
import { startOpenAISimulator, type OpenAIBehaviour, type OpenAISimulator } from '../simulator/openai.ts'
import { picture } from '../simulator/pictures.ts'

const STRAY = { OPENAI_ORG_ID: 'org-stray', OPENAI_PROJECT_ID: 'proj-stray', OPENAI_BASE_URL: 'https://api.openai.com/v1' }

describe('OpenAI', () => {
  let simulator: OpenAISimulator
  let provider: Provider
  before(async () => {
    // Variables that the SDK would read must not reach this one.
    Object.assign(process.env, STRAY)
    simulator = await startOpenAISimulator()
    provider = createOpenAI({ apiKey: simulator.apiKey, baseURL: simulator.baseURL })
  })
  after(async () => {
    for (const name of Object.keys(STRAY)) delete process.env[name]
    await simulator.close()
  })

  const ask = (changes: Partial<ImageRequest> = {}): ImageRequest => ({ task: 'generate', prompt: 'A cat', size: { width: 1024, height: 1024 }, images: [], providerOptions: {}, ...changes })
  const start = (request: ImageRequest, model = 'gpt-image-2', signal = new AbortController().signal, by = provider) => by.image!({ vendorId: model }).start(request, { signal, mark: {} })
  const failure = async (started: Promise<unknown>): Promise<ProviderError> => {
    const error = await started.then(() => assert.fail('it should have failed'), (reason: unknown) => reason)
    assert.ok(error instanceof ProviderError, String(error))
    return error
  }
  const png = async (width: number, height: number): Promise<InputFile> => ({ bytes: await picture(width, height), mediaType: 'image/png' })

  test('is asked for one picture in so many words, and gives its bytes', async () => {
    const before = simulator.created()
    const { warnings, providerRequestId, ...started } = await start(ask())
    assert.deepEqual(simulator.requests.at(-1)!.body, { model: 'gpt-image-2', prompt: 'A cat', size: '1024x1024' })
    assert.equal(simulator.requests.at(-1)!.path, '/images/generations')
    assert.deepEqual(warnings, [])
    assert.match(providerRequestId!, /^req_/)
    assert.ok('outputs' in started && started.outputs.length === 1)
    const output = started.outputs[0]!
    assert.ok(output.type === 'bytes')
    const { format, width, height } = await sharp(output.bytes).metadata()
    assert.deepEqual({ format, width, height }, { format: 'png', width: 1024, height: 1024 })
    assert.equal(simulator.created() - before, 1)
  })

  test('is sent its own key and nothing that was lying around', async () => {
    await start(ask())
    const { headers } = simulator.requests.at(-1)!
    assert.equal(headers.authorization, `Bearer ${simulator.apiKey}`)
    assert.equal(headers['openai-organization'], undefined)
    assert.equal(headers['openai-project'], undefined)
  })

  const all = { quality: 'max', background: 'transparent', outputFormat: 'webp', outputCompression: 85, moderation: 'low', inputFidelity: 'high' }
  const sent = { prompt: 'A cat', size: '1536x1024', background: 'transparent', output_format: 'webp', output_compression: 85, moderation: 'low' }
  for (const [model, quality, left] of [
    ['gpt-image-2', {}, ['inputFidelity', 'quality']],
    ['gpt-image-2-2026-04-21', {}, ['inputFidelity', 'quality']],
    ['gpt-image-2.5-sunburst', { quality: 'max' }, ['inputFidelity']],
    ['gpt-image-2.5-flare-2026-09-08', { quality: 'max' }, ['inputFidelity']],
    ['gpt-image-2.6-flare', { quality: 'max' }, ['inputFidelity']],
    ['gpt-image-1.5', {}, ['inputFidelity', 'quality']],
    ['gpt-image-1-mini', {}, ['inputFidelity', 'quality']],
    ['chatgpt-image-latest', {}, ['inputFidelity', 'quality']],
  ] as const) {
    test(`${model} is sent the options that it knows, and the others are told`, async () => {
      const { warnings } = await start(ask({ size: { width: 1536, height: 1024 }, providerOptions: all }), model)
      assert.deepEqual(simulator.requests.at(-1)!.body, { ...sent, ...quality, model })
      assert.deepEqual(warnings.map(({ setting }) => setting!.split('.').at(-1)!).toSorted((a, b) => a.localeCompare(b)), left)
    })
  }

  test('tells of a seed, a negative prompt and options that contradict each other instead of sending them', async () => {
    const { warnings } = await start(ask({ seed: 7, negativePrompt: 'dogs', providerOptions: { background: 'transparent', outputFormat: 'jpeg', quality: 'low' } }))
    assert.deepEqual(simulator.requests.at(-1)!.body, { model: 'gpt-image-2', prompt: 'A cat', size: '1024x1024', output_format: 'jpeg', quality: 'low' })
    assert.deepEqual(warnings.map(({ setting }) => setting), ['seed', 'negativePrompt', 'providerOptions.openai.background'])
    const png = await start(ask({ providerOptions: { outputCompression: 40 } }))
    assert.deepEqual(png.warnings.map(({ setting }) => setting), ['providerOptions.openai.outputCompression'])
  })

  for (const [wanted, size] of [['1000x1000', '1008x1008'], ['1005x3015', '1008x3024'], ['2879x2879', '2880x2880'], ['2870x2889', '2864x2880'], ['3840x2160', '3840x2160']] as const) {
    test(`is asked for ${size} where ${wanted} is wanted`, async () => {
      const [width, height] = wanted.split('x').map(Number) as [number, number]
      const { warnings } = await start(ask({ size: { width, height } }))
      assert.equal(simulator.requests.at(-1)!.body.size, size)
      assert.deepEqual(warnings.map(({ type, setting }) => [type, setting]), wanted === size ? [] : [['adjusted', 'size']])
    })
  }

  test('is given one picture to work on and its mask, byte for byte', async () => {
    const [image, mask] = [await png(64, 48), { bytes: await sharp({ create: { width: 64, height: 48, channels: 4, background: '#0000' } }).png().toBuffer(), mediaType: 'image/png' }]
    await start(ask({ task: 'edit', prompt: 'Add a hat', images: [image], mask, providerOptions: { quality: 'low', inputFidelity: 'low' } }), 'gpt-image-1-mini')
    const { path, body, files } = simulator.requests.at(-1)!
    assert.equal(path, '/images/edits')
    assert.deepEqual(body, { model: 'gpt-image-1-mini', prompt: 'Add a hat', size: '1024x1024', quality: 'low', input_fidelity: 'low' })
    assert.deepEqual(files.map(({ name, filename, mediaType }) => [name, filename, mediaType]), [['image', '5.png', 'image/png'], ['mask', '6.png', 'image/png']])
    assert.deepEqual(files.map(({ bytes }) => bytes), [Buffer.from(image.bytes), mask.bytes])
  })

  test('is given several pictures in their order, and what they used is told', async () => {
    const images = [await png(64, 48), { bytes: await picture(50, 50, 'jpeg'), mediaType: 'image/jpeg' }]
    const { usage } = await start(ask({ task: 'edit', images }), 'gpt-image-2.5-sunburst')
    const { files } = simulator.requests.at(-1)!
    assert.deepEqual(files.map(({ name, mediaType }) => [name, mediaType]), [['image[]', 'image/png'], ['image[]', 'image/jpeg']])
    assert.deepEqual(files.map(({ bytes }) => bytes), images.map(({ bytes }) => Buffer.from(bytes)))
    assert.deepEqual(usage, { textTokens: 28, imageTokens: 600, outputTokens: 1572 })
  })

  test('tells of nothing used where the usage is missing', async () => {
    simulator.behave('no-usage')
    assert.equal((await start(ask(), 'gpt-image-2.5-flare')).usage, undefined)
  })

  test('does not cut out pictures, and is not asked to', async () => {
    const before = simulator.requests.length
    const error = await failure(start(ask({ task: 'remove-background', prompt: '', images: [await png(64, 48)] })))
    assert.deepEqual([error.code, error.charged], ['invalid_request', 'no'])
    assert.equal(simulator.requests.length, before)
  })

  const cases: [behaviour: OpenAIBehaviour, code: ErrorCode, charged: Charged, isRetryable: boolean, statusCode: number | undefined, retryAfterSeconds?: number][] = [
    ['bad-request', 'invalid_request', 'no', false, 400],
    ['unknown-parameter', 'invalid_request', 'no', false, 400],
    ['missing-parameter', 'invalid_request', 'no', false, 400],
    ['context-length', 'invalid_request', 'no', false, 400],
    ['user-error', 'invalid_request', 'no', false, 400],
    ['no-code', 'invalid_request', 'no', false, 400],
    ['moderation', 'content_refused', 'no', false, 400],
    ['moderation-output', 'content_refused', 'unknown', false, 400],
    // A picture may have been made before it was withheld.
    ['moderation-unknown', 'content_refused', 'unknown', false, 400],
    ['moderation-untold', 'content_refused', 'unknown', false, 400],
    ['moderation-old', 'content_refused', 'no', false, 400],
    ['auth', 'provider_misconfigured', 'no', false, 401],
    ['bad-organization', 'provider_misconfigured', 'no', false, 401],
    ['country', 'provider_misconfigured', 'no', false, 403],
    ['unverified', 'provider_misconfigured', 'no', false, 403],
    ['not-found', 'model_unavailable', 'no', false, 404],
    ['gone', 'model_unavailable', 'no', false, 410],
    ['rate-limit', 'provider_rate_limited', 'no', true, 429, 2],
    ['rate-limit-tokens', 'provider_rate_limited', 'no', true, 429, 7],
    ['quota', 'provider_quota_reached', 'no', false, 429],
    ['billing-limit', 'provider_quota_reached', 'no', false, 429],
    ['billing-limit-400', 'provider_quota_reached', 'no', false, 400],
    ['server-error', 'provider_failed', 'no', true, 500],
    ['overloaded', 'provider_rate_limited', 'no', true, 503],
    ['slow-down', 'provider_rate_limited', 'no', true, 503],
    ['gateway-error', 'submission_unknown', 'unknown', false, 504],
    ['proxy-error', 'submission_unknown', 'unknown', false, 502],
    ['proxy-unavailable', 'submission_unknown', 'unknown', false, 503],
    ['proxy-conflict', 'submission_unknown', 'unknown', false, 409],
    ['redirect', 'provider_misconfigured', 'no', false, 307],
    ['html', 'submission_unknown', 'unknown', false, 200],
    ['bad-json', 'submission_unknown', 'unknown', false, undefined],
    ['no-bytes', 'submission_unknown', 'unknown', false, 200],
    ['empty', 'provider_failed', 'unknown', false, 200],
    ['cut', 'submission_unknown', 'unknown', false, undefined],
    ['drop', 'submission_unknown', 'unknown', false, undefined],
  ]
  for (const [behaviour, code, charged, isRetryable, statusCode, retryAfterSeconds] of cases) {
    test(`${behaviour} becomes ${code}, asked for once, in our own words and without secrets`, async () => {
      const before = simulator.requests.length
      const error = await failure(start(ask({ prompt: `A cat ${behaviour} sim:${behaviour}` })))
      assert.deepEqual([error.code, error.charged, error.isRetryable, error.statusCode, error.retryAfterSeconds], [code, charged, isRetryable, statusCode, retryAfterSeconds])
      assert.equal(simulator.requests.length, before + 1)
      assert.equal(simulator.createsOf(`A cat ${behaviour} sim`), ['cut', 'drop'].includes(behaviour) ? 1 : 0)
      assert.equal(error.provider, 'openai')
      assert.doesNotMatch(error.message, /vendor words|sk-/)
      assert.ok(!inspect(error, { depth: 20, showHidden: true }).includes(simulator.apiKey))
      if (statusCode !== undefined) assert.match(error.providerRequestId!, /^req_/)
    })
  }

  test('an edit fails by the same table', async () => {
    const images = [await png(64, 48)]
    assert.equal((await failure(start(ask({ task: 'edit', images, prompt: 'A cat sim:moderation' })))).code, 'content_refused')
    assert.equal((await failure(start(ask({ task: 'edit', images, prompt: 'A cat sim:drop' })))).code, 'submission_unknown')
    // The mask is larger than the picture: the vendor says so.
    assert.equal((await failure(start(ask({ task: 'edit', images, mask: await png(65, 48) })))).code, 'invalid_request')
  })

  test('a call that is given up may have been paid', async () => {
    const giveUp = new AbortController()
    const started = start(ask({ prompt: 'A slow cat sim:hang' }), 'gpt-image-2', giveUp.signal)
    while (simulator.createsOf('A slow cat') === 0) await new Promise(setImmediate)
    giveUp.abort(new DOMException('too slow', 'TimeoutError'))
    const error = await failure(started)
    assert.deepEqual([error.code, error.charged, error.isRetryable], ['provider_timeout', 'unknown', false])
  })

  test('an address where nobody listens has accepted nothing', async () => {
    const gone = await startOpenAISimulator()
    await gone.close()
    const error = await failure(start(ask(), 'gpt-image-2', undefined, createOpenAI({ apiKey: 'sk-x', baseURL: gone.baseURL })))
    assert.deepEqual([error.code, error.charged, error.isRetryable], ['provider_failed', 'no', true])
  })

  test('a wrong key is told without being shown', async () => {
    const stranger = createOpenAI({ apiKey: 'sk-wrong-secret', baseURL: simulator.baseURL })
    const error = await failure(start(ask(), 'gpt-image-2', undefined, stranger))
    assert.equal(error.code, 'provider_misconfigured')
    assert.ok(!inspect(error, { depth: 20, showHidden: true }).includes('sk-wrong-secret'))
    assert.equal((await failure(stranger.probe!({ signal: new AbortController().signal }))).code, 'provider_misconfigured')
  })

  test('a model that the vendor has shut down is not available', async () => {
    assert.equal((await failure(start(ask(), 'dall-e-3'))).code, 'model_unavailable')
  })

  test('the probe asks for the list of models', async () => {
    const answer = (await provider.probe!({ signal: new AbortController().signal })) as { data: { id: string }[] }
    assert.equal(answer.data[0]!.id, 'gpt-image-2')
  })

  test('has the setting, the trusted origin and the kinds that it should', () => {
    assert.deepEqual(openAISetting, { id: 'openai', keyVariable: 'OPENAI_API_KEY', baseURLVariable: 'OPENAI_BASE_URL', baseURL: 'https://api.openai.com/v1' })
    assert.equal(provider.trustedOrigin, new URL(simulator.baseURL).origin)
    assert.equal(createOpenAI({ apiKey: 'sk-x', baseURL: openAISetting.baseURL }).trustedOrigin, undefined)
    assert.equal(provider.video, undefined)
    assert.equal(provider.optionsSchema.safeParse({ quality: 'xhigh', n: 4 }).success, false)
    assert.deepEqual(provider.optionsSchema.parse({ quality: 'xhigh' }), { quality: 'xhigh' })
  })
})

describe('OpenAI’s catalog', () => {
  const catalog = createCatalog(openAIModels)

  test('is valid, and every model’s sizes are ones that the vendor takes', async () => {
    const simulator = await startOpenAISimulator()
    const provider = createOpenAI({ apiKey: simulator.apiKey, baseURL: simulator.baseURL })
    for (const model of catalog.list()) {
      assert.ok(model.kind === 'image')
      if (model.state === 'retired') continue
      for (const known of model.sizes.known) {
        const [width, height] = known.split('x').map(Number) as [number, number]
        assert.deepEqual(fitSize(model.sizes, { width, height }), { width, height })
        simulator.behave('empty')
        const error: unknown = await provider.image!({ vendorId: model.id, family: model.family }).start({ task: 'generate', prompt: 'A cat', size: { width, height }, images: [], providerOptions: {} }, { signal: new AbortController().signal, mark: {} }).catch((reason: unknown) => reason)
        assert.equal((error as ProviderError).code, 'provider_failed', `${model.id} ${known}`)
      }
    }
    await simulator.close()
  })

  for (const [id, successor] of [['dall-e-3', 'gpt-image-2'], ['dall-e-2', 'gpt-image-2'], ['gpt-image-1', 'gpt-image-2.5-flare']] as const) {
    test(`${successor} does the work of ${id}`, () => {
      assert.equal(catalog.resolve(catalog.find(id)!).model.id, successor)
    })
  }
})
