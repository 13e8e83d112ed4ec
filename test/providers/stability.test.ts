/** What Stability is really sent over HTTP, and what its answers become. */
import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { inspect } from 'node:util'
import sharp from 'sharp'
import { createCatalog } from '../../src/generation/catalog.ts'
import { stabilityModels } from '../../src/generation/models/stability.ts'
import type { ImageRequest, InputFile, Provider, Started } from '../../src/generation/provider.ts'
import { createStability } from '../../src/providers/stability.ts'
import { startStabilitySimulator, type StabilitySimulator } from '../simulator/stability.ts'
import type { StabilityWord } from '../simulator/stability-words.ts'
import { call, failureOf, imageRequest, picture, signal, told } from '../support/provider-requests.ts'

const CORE = 'stable-image-core'
const ULTRA = 'stable-image-ultra'
const LARGE = 'sd3.5-large'
const CUT_OUT = 'stable-image-remove-background'

function bytesOf(started: Started): Uint8Array {
  assert.ok('outputs' in started)
  const [output, ...others] = started.outputs
  assert.ok(output?.type === 'bytes' && others.length === 0)
  return output.bytes
}

describe('Stability', () => {
  let simulator: StabilitySimulator
  let provider: Provider
  let given: InputFile
  const image = (vendorId: string) => provider.image!({ vendorId })
  const sent = () => simulator.requests.at(-1)!
  const edit = (more: Partial<ImageRequest> = {}) => imageRequest({ task: 'edit', images: [given], ...more })
  const cutOut = (more: Partial<ImageRequest> = {}) => imageRequest({ task: 'remove-background', prompt: '', images: [given], ...more })

  before(async () => {
    simulator = await startStabilitySimulator()
    given = await picture('teal')
  })
  beforeEach(() => {
    provider = createStability({ apiKey: simulator.apiKey, baseURL: simulator.baseURL })
  })
  after(() => simulator.close())

  describe('is asked for pictures', () => {
    test('by Core', async () => {
      const credits = simulator.credits()
      const started = await image(CORE).start(imageRequest({ size: { width: 1600, height: 900 }, seed: 42, negativePrompt: 'rain', providerOptions: { stylePreset: 'anime', outputFormat: 'webp' } }), call)
      assert.equal(sent().path, '/v2beta/stable-image/generate/core')
      assert.deepEqual(sent().fields, { prompt: 'A cat', aspect_ratio: '16:9', seed: '42', negative_prompt: 'rain', style_preset: 'anime', output_format: 'webp' })
      assert.equal(sent().image, undefined)
      assert.equal(sent().headers.accept, 'image/*')
      const { format, width, height } = await sharp(bytesOf(started)).metadata()
      assert.deepEqual([format, width > 1600, height > 900], ['webp', true, true])
      assert.deepEqual(started.warnings, [])
      assert.match(started.providerRequestId!, /^req-/)
      assert.equal(simulator.credits(), credits + 3)
    })

    test('by Ultra, from text and from a picture', async () => {
      await image(ULTRA).start(imageRequest(), call)
      assert.equal(sent().path, '/v2beta/stable-image/generate/ultra')
      assert.deepEqual(sent().fields, { prompt: 'A cat', aspect_ratio: '1:1', output_format: 'png' })
      await image(ULTRA).start(edit({ providerOptions: { strength: 0.4 } }), call)
      assert.deepEqual(sent().fields, { prompt: 'A cat', strength: '0.4', aspect_ratio: '1:1', output_format: 'png' })
      assert.deepEqual([sent().image!.filename, sent().image!.mediaType, sent().image!.bytes.equals(given.bytes)], ['image.jpg', 'image/jpeg', true])
    })

    test('by Stable Diffusion, from text and from a picture, whose shape it keeps', async () => {
      await image(LARGE).start(imageRequest({ providerOptions: { cfgScale: 4.5, outputFormat: 'jpeg' } }), call)
      assert.equal(sent().path, '/v2beta/stable-image/generate/sd3')
      assert.deepEqual(sent().fields, { prompt: 'A cat', mode: 'text-to-image', model: 'sd3.5-large', aspect_ratio: '1:1', cfg_scale: '4.5', output_format: 'jpeg' })
      const started = await image('sd3.5-medium').start(edit({ seed: 7 }), call)
      assert.deepEqual(sent().fields, { prompt: 'A cat', mode: 'image-to-image', model: 'sd3.5-medium', strength: '0.7', seed: '7', output_format: 'png' })
      assert.equal((await sharp(bytesOf(started)).metadata()).width, 64)
    })

    test('without their background, and without a prompt', async () => {
      const started = await image(CUT_OUT).start(cutOut(), call)
      assert.equal(sent().path, '/v2beta/stable-image/edit/remove-background')
      assert.deepEqual(sent().fields, { output_format: 'png' })
      assert.ok(sent().image!.bytes.equals(given.bytes))
      assert.equal((await sharp(bytesOf(started)).metadata()).hasAlpha, true)
    })

    test('in the nearest ratio that it knows', async () => {
      for (const [size, ratio] of [['1024x1024', '1:1'], ['1344x768', '16:9'], ['768x1344', '9:16'], ['1536x1024', '3:2'], ['1024x1536', '2:3'], ['1280x1024', '5:4'], ['896x1120', '4:5'], ['2100x900', '21:9'], ['100x900', '9:21']] as const) {
        const [width, height] = size.split('x').map(Number) as [number, number]
        await image(CORE).start(imageRequest({ size: { width, height } }), call)
        assert.equal(sent().fields.aspect_ratio, ratio, size)
      }
    })

    test('and what it cannot honour is told', async () => {
      const settings = async (model: string, request: ImageRequest) => (await image(model).start(request, call)).warnings.map(({ setting }) => setting!.split('.').at(-1))
      const all = { stylePreset: 'anime', cfgScale: 3, strength: 0.5, outputFormat: 'webp' }
      const jpeg = { ...all, outputFormat: 'jpeg' }
      assert.deepEqual(await settings(CORE, imageRequest({ providerOptions: all })), ['cfgScale', 'strength'])
      assert.deepEqual(await settings(ULTRA, edit({ providerOptions: all, mask: given, images: [given, given] })), ['stylePreset', 'cfgScale', 'mask', 'images'])
      assert.deepEqual(await settings(LARGE, imageRequest({ providerOptions: all })), ['stylePreset', 'strength', 'outputFormat'])
      assert.equal(sent().fields.output_format, 'png')
      assert.deepEqual(await settings(CUT_OUT, cutOut({ seed: 1, negativePrompt: 'rain', providerOptions: jpeg })), ['seed', 'negativePrompt', 'stylePreset', 'cfgScale', 'strength', 'outputFormat'])
      assert.deepEqual(await settings(LARGE, imageRequest({ seed: 0 })), ['seed'])
    })

    test('and what a model does not do is refused before anything is sent', async () => {
      const arrived = simulator.calls.length
      for (const [model, request] of [[CORE, edit()], [ULTRA, cutOut()], [LARGE, cutOut()], [CUT_OUT, imageRequest()], [CUT_OUT, edit()], [CUT_OUT, cutOut({ images: [] })], [ULTRA, edit({ images: [] })]] as const) {
        assert.deepEqual(told(await failureOf(image(model).start(request, call))), ['invalid_request', 'no', false, undefined])
      }
      assert.equal(simulator.calls.length, arrived)
    })

    test('through a fetch of the caller’s, at an address with a path', async () => {
      const own = createStability({ apiKey: simulator.apiKey, baseURL: `${simulator.baseURL}/`, fetch })
      await own.image!({ vendorId: CUT_OUT }).start(cutOut(), call)
      assert.ok(sent().image!.bytes.equals(given.bytes))
    })

    test('by a model that is not known here yet', async () => {
      assert.deepEqual(told(await failureOf(image('sd4').start(imageRequest(), call))), ['model_unavailable', 'no', false, 400])
      assert.equal(sent().fields.model, 'sd4')
      await provider.image!({ vendorId: 'our-core', family: 'core' }).start(imageRequest(), call)
      assert.equal(sent().path, '/v2beta/stable-image/generate/core')
    })
  })

  describe('refuses', () => {
    const rows: [word: StabilityWord, expected: unknown[], retryAfterSeconds?: number][] = [
      ['bad-request', ['invalid_request', 'no', false, 400]],
      ['bad-model', ['model_unavailable', 'no', false, 400]],
      ['auth', ['provider_misconfigured', 'no', false, 401]],
      ['quota', ['provider_quota_reached', 'no', false, 402]],
      ['moderation', ['content_refused', 'no', false, 403]],
      ['forbidden', ['provider_misconfigured', 'no', false, 403]],
      ['not-found', ['model_unavailable', 'no', false, 404]],
      ['gone', ['model_unavailable', 'no', false, 410]],
      ['too-large', ['invalid_request', 'no', false, 413]],
      ['language', ['invalid_request', 'no', false, 422]],
      ['public-figure', ['content_refused', 'no', false, 422]],
      ['copyright', ['content_refused', 'no', false, 422]],
      ['refused', ['content_refused', 'no', false, 422]],
      ['teapot', ['provider_failed', 'no', false, 418]],
      ['conflict', ['provider_failed', 'no', false, 409]],
      ['rate-limit', ['provider_rate_limited', 'no', true, 429], 60],
      ['rate-limit-long', ['provider_rate_limited', 'no', true, 429], 3600],
      ['server-error', ['provider_failed', 'no', true, 500]],
      ['overloaded', ['provider_failed', 'no', true, 503]],
    ]
    for (const [word, expected, retryAfterSeconds] of rows) {
      test(`${word}: ${String(expected[0])}, and nothing is charged`, async () => {
        const [created, arrived] = [simulator.created(), simulator.requests.length]
        simulator.behave(word)
        const error = await failureOf(image(CORE).start(imageRequest(), call))
        assert.deepEqual(told(error), expected)
        assert.equal(error.retryAfterSeconds, retryAfterSeconds)
        assert.match(error.providerRequestId!, /^req-/)
        assert.equal(simulator.created(), created)
        assert.equal(simulator.requests.length, arrived + 1, 'it was sent once')
      })
    }

    for (const [word, code] of [['filtered', 'content_refused'], ['unknown-finish', 'provider_failed']] as const) {
      test(`${word} inside a 200: ${code}, and its picture is not given`, async () => {
        simulator.behave(word)
        const error = await failureOf(image(CORE).start(imageRequest({ prompt: `Made: ${word}` }), call))
        assert.deepEqual(told(error), [code, 'unknown', false, 200])
        assert.equal(simulator.createsOf(`Made: ${word}`), 1)
      })
    }

    test('a picture that is none, and one that is too small', async () => {
      for (const bytes of [Buffer.from('nothing'), await sharp({ create: { width: 40, height: 90, channels: 3, background: 'red' } }).jpeg().toBuffer()]) {
        assert.deepEqual(told(await failureOf(image(CUT_OUT).start(cutOut({ images: [{ bytes, mediaType: 'image/jpeg' }] }), call))), ['invalid_request', 'no', false, 400])
      }
    })

    test('another’s key', async () => {
      const stranger = createStability({ apiKey: 'sk-wrong', baseURL: simulator.baseURL })
      assert.deepEqual(told(await failureOf(stranger.image!({ vendorId: CORE }).start(imageRequest(), call))), ['provider_misconfigured', 'no', false, 401])
    })
  })

  describe('loses the answer', () => {
    for (const [word, code, status, made] of [
      ['drop', 'submission_unknown', undefined, 1],
      ['cut', 'submission_unknown', undefined, 1],
      ['hang', 'provider_timeout', undefined, 1],
      ['html', 'submission_unknown', 200, 0],
      ['json', 'submission_unknown', 200, 0],
      ['empty', 'submission_unknown', 200, 0],
      ['redirect', 'submission_unknown', 307, 0],
      ['proxy-timeout', 'submission_unknown', 408, 0],
      ['proxy-conflict', 'submission_unknown', 409, 0],
      ['html-500', 'submission_unknown', 500, 0],
      ['proxy-error', 'submission_unknown', 502, 0],
      ['gateway-error', 'submission_unknown', 504, 0],
      ['gateway-json', 'submission_unknown', 504, 0],
    ] as const) {
      test(`${word}: ${code}, and it is asked once`, async () => {
        const patience = new AbortController()
        simulator.onHang(() => patience.abort())
        const prompt = `Lost by ${word}`
        const arrived = simulator.requests.length
        simulator.behave(word)
        const error = await failureOf(image(CORE).start(imageRequest({ prompt }), { signal: patience.signal, mark: {} }))
        assert.deepEqual(told(error), [code, 'unknown', false, status])
        assert.equal(simulator.createsOf(prompt), made)
        assert.equal(simulator.requests.length, arrived + 1)
      })
    }

    test('but not where it was never reached, nor asked', async () => {
      const closed = await startStabilitySimulator()
      await closed.close()
      const nobody = createStability({ apiKey: 'sk-key', baseURL: closed.baseURL })
      assert.deepEqual(told(await failureOf(nobody.image!({ vendorId: CORE }).start(imageRequest(), call))), ['provider_failed', 'no', true, undefined])
      const arrived = simulator.calls.length
      assert.deepEqual(told(await failureOf(image(CORE).start(imageRequest(), { signal: AbortSignal.abort(), mark: {} }))), ['provider_timeout', 'no', true, undefined])
      assert.equal(simulator.calls.length, arrived)
    })

    test('but takes a picture whose end a gateway did not pass on', async () => {
      simulator.behave('no-finish')
      assert.ok(bytesOf(await image(CORE).start(imageRequest(), call)).byteLength > 0)
    })
  })

  test('is probed by a free call', async () => {
    const arrived = simulator.calls.length
    assert.deepEqual(await provider.probe!({ signal }), { credits: 12.5 })
    assert.deepEqual(simulator.calls.slice(arrived), ['GET /v1/user/balance'])
    simulator.behave('html')
    assert.deepEqual(told(await failureOf(provider.probe!({ signal }))), ['provider_failed', 'no', true, undefined])
    assert.deepEqual(told(await failureOf(createStability({ apiKey: 'sk-wrong', baseURL: simulator.baseURL }).probe!({ signal }))), ['provider_misconfigured', 'no', false, 401])
    assert.deepEqual(told(await failureOf(provider.probe!({ signal: AbortSignal.abort() }))), ['provider_timeout', 'no', true, undefined])
  })

  test('its key goes to the API and into nothing else', async () => {
    const started = await image(CORE).start(imageRequest(), call)
    assert.equal(sent().headers.authorization, `Bearer ${simulator.apiKey}`)
    const things: unknown[] = [provider, { ...started, outputs: [] }]
    for (const word of ['auth', 'quota', 'server-error', 'proxy-error', 'drop', 'html', 'filtered'] as const) {
      simulator.behave(word)
      const error = await failureOf(image(CORE).start(imageRequest(), call))
      assert.doesNotMatch(error.message, /sk-|API key|credits|req-/)
      things.push(error)
    }
    for (const thing of things) {
      assert.ok(!inspect(thing, { depth: 20, showHidden: true }).includes(simulator.apiKey))
      assert.ok(!JSON.stringify(thing).includes(simulator.apiKey))
    }
  })

  test('its own options are checked', () => {
    assert.ok(provider.optionsSchema.safeParse({ stylePreset: 'anime', strength: 0, cfgScale: 10, outputFormat: 'webp' }).success)
    for (const options of [{ colour: 'red' }, { stylePreset: 'baroque' }, { strength: 1.1 }, { cfgScale: 0 }, { outputFormat: 'gif' }]) assert.equal(provider.optionsSchema.safeParse(options).success, false, JSON.stringify(options))
  })

  test('its catalog is valid, and the vendor makes all of it', async () => {
    const catalog = createCatalog(stabilityModels)
    assert.equal(catalog.resolve(catalog.find('sd3-large')!).model.id, LARGE)
    for (const model of catalog.list()) {
      assert.ok(model.kind === 'image')
      if (model.state !== 'current') continue
      const credits = simulator.credits()
      for (const task of model.tasks) await provider.image!({ vendorId: model.id, family: model.family! }).start(imageRequest({ task, images: task === 'generate' ? [] : [given] }), call)
      assert.deepEqual(model.price, { per: 'image', usdMicros: ((simulator.credits() - credits) * 10_000) / model.tasks.length }, model.id)
      if (!model.tasks.includes('generate')) continue
      for (const known of model.sizes.known) {
        const [width, height] = known.split('x').map(Number) as [number, number]
        const started = await image(model.id).start(imageRequest({ size: { width, height } }), call)
        // What is given is at least as large in either direction: it is cut to size, never enlarged.
        const made = await sharp(bytesOf(started)).metadata()
        assert.ok(made.width >= width && made.height >= height, `${model.id} ${known}: ${made.width}x${made.height}`)
      }
    }
  })
})
