/** Pictures through a gateway, by the provider's interface over HTTP, and every error that gateways have. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { inspect } from 'node:util'
import sharp from 'sharp'
import type { Charged, ErrorCode } from '../../src/errors.ts'
import { createCatalog } from '../../src/generation/catalog.ts'
import { gatewayModels } from '../../src/generation/models/gateway.ts'
import type { ImageRequest, Output, Provider } from '../../src/generation/provider.ts'
import { createGateway, gatewaySetting } from '../../src/providers/gateway.ts'
import { createProviders, providerSettings } from '../../src/providers/registry.ts'
import { startGatewaySimulator, type GatewayBehaviour, type GatewaySimulator } from '../simulator/gateway.ts'
import { picture } from '../simulator/pictures.ts'
import { failureOf, imageRequest, never, pngOf, startGateway, videoRequest } from '../support/gateway.ts'

describe('a gateway’s pictures', () => {
  let simulator: GatewaySimulator
  let provider: Provider
  before(async () => void ({ simulator, provider } = await startGateway()))
  after(() => simulator.close())

  const start = (request: ImageRequest, family?: string, signal = never(), by = provider) => by.image!({ vendorId: 'gpt-image-2', family }).start(request, { signal, mark: {} })
  const outputsOf = async (request: ImageRequest, family?: string): Promise<Output[]> => {
    const started = await start(request, family)
    assert.ok('outputs' in started)
    return started.outputs
  }
  const last = () => simulator.requests.at(-1)!

  test('are asked for with nothing but what was chosen', async () => {
    const { warnings, providerRequestId, costMicros } = await start(imageRequest())
    const { path, body, headers } = last()
    assert.deepEqual([path, body], ['/images/generations', { model: 'gpt-image-2', prompt: 'A cat', size: '1024x1024' }])
    assert.equal(headers.authorization, `Bearer ${simulator.apiKey}`)
    assert.deepEqual([warnings, costMicros], [[], undefined])
    assert.match(providerRequestId!, /^[0-9a-f-]{36}$/)
  })

  const options = { quality: 'hd', style: 'vivid', background: 'opaque', outputFormat: 'webp', outputCompression: 80, responseFormat: 'url' }

  test('are asked for with everything that was chosen', async () => {
    const { warnings } = await start(imageRequest({ seed: 7, negativePrompt: 'dogs', providerOptions: { ...options, inputFidelity: 'high' } }))
    assert.deepEqual(warnings.map(({ setting }) => setting), ['providerOptions.gateway.inputFidelity'])
    assert.deepEqual(last().body, { model: 'gpt-image-2', prompt: 'A cat', size: '1024x1024', seed: 7, negative_prompt: 'dogs', quality: 'hd', style: 'vivid', background: 'opaque', output_format: 'webp', output_compression: 80, response_format: 'url' })
  })

  test('are worked on as a form, with a mask', async () => {
    const [image, mask] = [await pngOf(64, 48), await pngOf(64, 48)]
    await start(imageRequest({ task: 'edit', prompt: 'Add a hat', images: [image], mask, providerOptions: { inputFidelity: 'high' } }))
    const { path, body, files } = last()
    assert.deepEqual([path, body], ['/images/edits', { model: 'gpt-image-2', prompt: 'Add a hat', size: '1024x1024', input_fidelity: 'high' }])
    assert.deepEqual(files.map(({ name, mediaType, bytes }) => [name, mediaType, bytes.equals(image.bytes)]), [['image', 'image/png', true], ['mask', 'image/png', true]])
    await start(imageRequest({ task: 'edit', images: [image, image] }))
    assert.deepEqual(last().files.map(({ name }) => name), ['image[]', 'image[]'])
  })

  test('are asked of OpenRouter in its own way, and cost what it says', async () => {
    const image = await pngOf(64, 48)
    const { costMicros, warnings } = await start(imageRequest({ task: 'edit', images: [image], mask: image, seed: 7, negativePrompt: 'dogs', providerOptions: options }), 'openrouter-images')
    const url = `data:image/png;base64,${Buffer.from(image.bytes).toString('base64')}`
    const { path, body } = last()
    assert.deepEqual([path, body], ['/images', { model: 'gpt-image-2', prompt: 'A cat', size: '1024x1024', seed: 7, quality: 'hd', background: 'opaque', output_format: 'webp', output_compression: 80, input_references: [{ type: 'image_url', image_url: { url } }] }])
    assert.equal(costMicros, 40_000)
    assert.deepEqual(warnings.map(({ setting }) => setting), ['providerOptions.gateway.style', 'providerOptions.gateway.responseFormat', 'mask', 'negativePrompt'])
    await start(imageRequest(), 'openrouter-images')
    assert.deepEqual(last().body, { model: 'gpt-image-2', prompt: 'A cat', size: '1024x1024' })
  })

  for (const behaviour of ['ok', 'data-url', 'b64-data-url', 'cost'] as const) {
    test(`are bytes where the gateway sends them (${behaviour})`, async () => {
      simulator.behave(behaviour)
      const [output] = await outputsOf(imageRequest())
      assert.ok(output?.type === 'bytes')
      assert.equal((await sharp(output.bytes).metadata()).width, 1024)
      assert.deepEqual(Buffer.from(output.bytes), await picture(1024, 1024))
    })
  }

  for (const behaviour of ['url', 'relative-url'] as const) {
    test(`are a whole address where it sends a link (${behaviour})`, async () => {
      simulator.behave(behaviour)
      const [output] = await outputsOf(imageRequest())
      assert.ok(output?.type === 'url')
      assert.ok(output.url.startsWith(`${new URL(simulator.baseURL).origin}/v1/images/serve/`))
    })
  }

  test('are not cut out, and it is not asked to', async () => {
    const before = simulator.requests.length
    const error = await failureOf(start(imageRequest({ task: 'remove-background', prompt: '', images: [await pngOf(9, 9)] })))
    assert.deepEqual([error.code, error.charged, simulator.requests.length], ['invalid_request', 'no', before])
  })

  type Row = [behaviour: GatewayBehaviour, code: ErrorCode, charged: Charged, isRetryable: boolean, statusCode: number | undefined, retryAfterSeconds?: number]
  const lost = (behaviour: GatewayBehaviour, statusCode?: number): Row => [behaviour, 'submission_unknown', 'unknown', false, statusCode]
  const no = (behaviour: GatewayBehaviour, code: ErrorCode, statusCode: number): Row => [behaviour, code, 'no', false, statusCode]
  const later = (behaviour: GatewayBehaviour, code: ErrorCode, statusCode: number, retryAfterSeconds?: number): Row => (retryAfterSeconds === undefined ? [behaviour, code, 'no', true, statusCode] : [behaviour, code, 'no', true, statusCode, retryAfterSeconds])
  const types = (status: number, code: ErrorCode, names: string): Row[] => names.split(' ').map((name) => no(`error-type-${status}-${name}`, code, status))
  const rows: Row[] = [
    // OpenAI's words, passed on.
    no('auth', 'provider_misconfigured', 401),
    no('not-found', 'model_unavailable', 404),
    no('bad-request', 'invalid_request', 400),
    no('unprocessable', 'invalid_request', 422),
    no('moderation', 'content_refused', 400),
    no('moderation-old', 'content_refused', 400),
    // The picture may have been made before it was withheld.
    ['moderation-output', 'content_refused', 'unknown', false, 400],
    ['moderation-unknown', 'content_refused', 'unknown', false, 400],
    ['moderation-untold', 'content_refused', 'unknown', false, 400],
    ['moderation-text', 'content_refused', 'unknown', false, 400],
    later('rate-limit', 'provider_rate_limited', 429, 7),
    no('quota', 'provider_quota_reached', 429),
    later('server-error', 'provider_failed', 500),
    later('overloaded', 'provider_rate_limited', 503),
    // OpenRouter's table.
    no('openrouter-400', 'invalid_request', 400),
    no('openrouter-bad-model', 'model_unavailable', 400),
    no('openrouter-401', 'provider_misconfigured', 401),
    no('openrouter-402', 'provider_quota_reached', 402),
    later('openrouter-402-passing', 'provider_rate_limited', 402, 3),
    no('openrouter-403', 'provider_misconfigured', 403),
    no('openrouter-403-moderation', 'content_refused', 403),
    no('openrouter-404', 'model_unavailable', 404),
    lost('openrouter-408', 408),
    no('openrouter-413', 'invalid_request', 413),
    later('openrouter-429', 'provider_rate_limited', 429, 4),
    lost('openrouter-502', 502),
    later('openrouter-503', 'provider_rate_limited', 503),
    lost('openrouter-524', 524),
    later('openrouter-529', 'provider_rate_limited', 529),
    // Its finer names.
    ...types(400, 'invalid_request', 'context_length_exceeded max_tokens_exceeded token_limit_exceeded string_too_long invalid_request invalid_prompt precondition_failed payload_too_large unprocessable invalid_image image_too_large image_too_small unsupported_image_format image_not_found image_download_failed'),
    ...types(400, 'content_refused', 'content_policy_violation refusal'),
    ...types(401, 'provider_misconfigured', 'authentication'),
    ...types(403, 'provider_misconfigured', 'permission_denied'),
    ...types(402, 'provider_quota_reached', 'payment_required'),
    ...types(404, 'model_unavailable', 'not_found'),
    later('error-type-429-rate_limit_exceeded', 'provider_rate_limited', 429),
    later('error-type-503-provider_overloaded', 'provider_rate_limited', 503),
    later('error-type-503-provider_unavailable', 'provider_failed', 503),
    later('error-type-500-server', 'provider_failed', 500),
    later('error-type-500-unmapped', 'provider_failed', 500),
    lost('error-type-500-timeout', 500),
    // one-api's.
    no('one-api-401', 'provider_misconfigured', 401),
    no('one-api-quota', 'provider_quota_reached', 403),
    no('one-api-403', 'provider_misconfigured', 403),
    no('one-api-404', 'model_unavailable', 404),
    later('one-api-429', 'provider_rate_limited', 429),
    no('one-api-no-channel', 'model_unavailable', 503),
    no('one-api-upstream-400', 'invalid_request', 400),
    later('one-api-upstream-500', 'provider_failed', 500),
    lost('one-api-upstream-502', 502),
    later('one-api-upstream-503', 'provider_rate_limited', 503),
    lost('one-api-lost-behind', 500),
    no('one-api-unread-400', 'invalid_request', 400),
    lost('one-api-unread-500', 500),
    // Other envelopes.
    later('envelope-string', 'provider_rate_limited', 429),
    no('envelope-flat', 'provider_quota_reached', 403),
    later('envelope-detail', 'provider_failed', 500),
    no('envelope-detail-list', 'invalid_request', 422),
    // Something in between.
    lost('proxy-error', 502),
    lost('proxy-unavailable', 503),
    lost('proxy-conflict', 409),
    lost('edge-error', 520),
    lost('edge-timeout', 524),
    no('redirect', 'provider_misconfigured', 307),
    lost('see-other', 303),
    lost('html', 200),
    // A 200 that means no.
    no('inner-quota', 'provider_quota_reached', 200),
    no('inner-invalid', 'invalid_request', 200),
    ['inner-refusal', 'content_refused', 'unknown', false, 200],
    ['inner-overloaded', 'provider_rate_limited', 'unknown', false, 200],
    ['inner-server', 'provider_failed', 'unknown', false, 200],
    ['inner-string', 'provider_failed', 'unknown', false, 200],
    ['item-refusal', 'content_refused', 'unknown', false, 200],
    ['empty', 'provider_failed', 'unknown', false, 200],
    ['no-bytes', 'provider_failed', 'unknown', false, 200],
    lost('no-data', 200),
    lost('cut'),
    lost('drop'),
  ]
  for (const [behaviour, code, charged, isRetryable, statusCode, retryAfterSeconds] of rows) {
    test(`${behaviour} becomes ${code}, asked for once, in our own words and without secrets`, async () => {
      const before = simulator.requests.length
      simulator.behave(behaviour)
      const error = await failureOf(start(imageRequest({ prompt: `A cat ${behaviour}` })))
      assert.deepEqual([error.code, error.charged, error.isRetryable, error.statusCode, error.retryAfterSeconds], [code, charged, isRetryable, statusCode, retryAfterSeconds])
      assert.equal(simulator.requests.length, before + 1)
      assert.equal(error.provider, 'gateway')
      assert.doesNotMatch(error.message, /vendor words|safety system|sk-/)
      assert.ok(!inspect(error, { depth: 20, showHidden: true }).includes(simulator.apiKey))
      if (statusCode !== undefined) assert.match(error.providerRequestId!, /^[0-9a-f-]{36}$/)
    })
  }

  test('that are given up may have been paid', async () => {
    const giveUp = new AbortController()
    const started = start(imageRequest({ prompt: 'A slow cat sim:hang' }), undefined, giveUp.signal)
    while (simulator.createsOf('A slow cat') === 0) await new Promise(setImmediate)
    giveUp.abort(new DOMException('too slow', 'TimeoutError'))
    const error = await failureOf(started)
    assert.deepEqual([error.code, error.charged], ['provider_timeout', 'unknown'])
  })

  test('cannot have been made where nobody listens', async () => {
    const gone = await startGatewaySimulator()
    await gone.close()
    const error = await failureOf(start(imageRequest(), undefined, never(), createGateway({ apiKey: 'sk-x', baseURL: gone.baseURL })))
    assert.deepEqual([error.code, error.charged, error.isRetryable], ['provider_failed', 'no', true])
  })
})

describe('a gateway', () => {
  let simulator: GatewaySimulator
  let provider: Provider
  before(async () => void ({ simulator, provider } = await startGateway()))
  after(() => simulator.close())

  test('is found with and without a slash at the end of its address', async () => {
    const other = createGateway({ id: 'second', apiKey: simulator.apiKey, baseURL: `${simulator.baseURL}/` })
    assert.equal(other.id, 'second')
    assert.deepEqual(await other.probe!({ signal: never() }), { data: [{ id: 'gpt-image-2', object: 'model' }] })
    const error = await failureOf(createGateway({ id: 'second', apiKey: 'wrong', baseURL: simulator.baseURL }).probe!({ signal: never() }))
    assert.deepEqual([error.provider, error.code], ['second', 'provider_misconfigured'])
  })

  test('gives its key to addresses below its own and to no other', () => {
    const origin = new URL(simulator.baseURL).origin
    assert.deepEqual(provider.downloadHeaders!(`${simulator.baseURL}/videos/1/content`), { authorization: `Bearer ${simulator.apiKey}` })
    for (const url of [`${origin}/files/1.mp4`, `${origin}/v1/../files`, `${origin}/v12/x`, 'https://elsewhere.example/v1/videos/1/content', 'no address']) assert.equal(provider.downloadHeaders!(url), undefined, url)
  })

  test('takes no option that could cost more or reach further', () => {
    for (const options of [{ n: 10 }, { model: 'x' }, { metadata: {} }, { callback_url: 'https://x' }]) assert.equal(provider.optionsSchema.safeParse(options).success, false)
    assert.deepEqual(provider.optionsSchema.parse({ quality: 'hd', fps: 24 }), { quality: 'hd', fps: 24 })
  })

  test('is off without an address, key or no key', () => {
    assert.equal(gatewaySetting.baseURL, '')
    assert.ok(providerSettings.includes(gatewaySetting))
    assert.equal(createProviders({ gateway: { apiKey: 'sk-x', baseURL: '' } }).size, 0)
    assert.equal(createProviders({ gateway: { apiKey: 'sk-x', baseURL: simulator.baseURL } }).get('gateway')?.trustedOrigin, new URL(simulator.baseURL).origin)
  })

  test('has a catalog whose every entry it can be asked for', async () => {
    for (const model of createCatalog(gatewayModels).list()) {
      const vendorModel = { vendorId: model.vendorId ?? model.id, family: model.family }
      if (model.kind === 'image') {
        for (const known of model.sizes.known) {
          const [width, height] = known.split('x').map(Number) as [number, number]
          await provider.image!(vendorModel).start(imageRequest({ size: { width, height } }), { signal: never(), mark: {} })
        }
        continue
      }
      for (const aspectRatio of model.aspectRatios) {
        for (const resolution of model.resolutions) {
          for (const duration of [model.durations.min, model.durations.max]) await provider.video!(vendorModel).start(videoRequest({ aspectRatio, resolution, duration }), { signal: never(), mark: {} })
        }
      }
    }
  })
})
