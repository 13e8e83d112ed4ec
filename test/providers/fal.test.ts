/** fal through its provider over real HTTP. The simulator refuses what the real one does. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ProviderError } from '../../src/errors.ts'
import { createCatalog } from '../../src/generation/catalog.ts'
import { falModels } from '../../src/generation/models/fal.ts'
import type { ImageRequest, InputFile, MediaModel, Operation, Provider, Started, VideoRequest } from '../../src/generation/provider.ts'
import { createFal, falSetting } from '../../src/providers/fal.ts'
import { startFalSimulator, type FalSimulator } from '../simulator/fal.ts'
import { MODEL_ERRORS, PLATFORM_ERRORS, type FalBehaviour } from '../simulator/fal-words.ts'
import { picture as plainPicture } from '../simulator/pictures.ts'

const SECRET = 'fal-simulated-id:fal-simulated-secret'
const PROMPT = 'A fox whose name is private'
const signal = new AbortController().signal

describe('fal', () => {
  let simulator: FalSimulator
  let fal: Provider
  let picture: InputFile
  let pictureUrl: string
  before(async () => {
    simulator = await startFalSimulator({ apiKey: SECRET })
    fal = createFal({ apiKey: SECRET, baseURL: simulator.baseURL })
    const bytes = await plainPicture(64, 64, 'png')
    picture = { bytes, mediaType: 'image/png' }
    pictureUrl = `data:image/png;base64,${bytes.toString('base64')}`
  })
  after(() => simulator.close())

  const imageRequest = (request: Partial<ImageRequest> = {}): ImageRequest => ({ task: 'generate', prompt: PROMPT, size: { width: 1024, height: 576 }, images: [], providerOptions: {}, ...request })
  const videoRequest = (request: Partial<VideoRequest> = {}): VideoRequest => ({ prompt: PROMPT, duration: 5, aspectRatio: '16:9', resolution: '576p', providerOptions: {}, ...request })
  const image = (vendorId = 'fal-ai/flux/dev', family?: string) => fal.image!({ vendorId, family })
  const video = (vendorId = 'fal-ai/stable-video', family?: string) => fal.video!({ vendorId, family })
  const startImage = (model = image(), request = imageRequest()) => model.start(request, { signal, mark: {} })
  const check = <T>(model: MediaModel<T>, operation: Operation) => model.check!(operation, { signal })

  async function started(...behaviours: FalBehaviour[]): Promise<Operation> {
    simulator.behave(behaviours.length > 0 ? behaviours : ['ok'])
    return operationOf(await startImage())
  }

  /** Asserts that the call fails with our error, which tells no secret and nothing of the input. */
  async function failure(call: Promise<unknown>): Promise<ProviderError> {
    const error = await call.then(() => assert.fail('it did not fail'), (reason: unknown) => reason)
    assert.ok(error instanceof ProviderError, String(error))
    assertDiscreet(error)
    return error
  }

  function assertDiscreet(error: ProviderError): void {
    const told = [JSON.stringify(error), error.stack, error.cause instanceof Error ? error.cause.stack : JSON.stringify(error.cause)].join('\n')
    for (const secret of [SECRET, 'fal-simulated-secret', PROMPT]) assert.ok(!told.includes(secret), told)
    assert.ok(!error.message.includes('The vendor'), error.message)
    assert.equal(error.provider, 'fal')
  }

  describe('asks for pictures', () => {
    const size = { width: 1024, height: 576 }
    const flux = { prompt: PROMPT, image_size: size, num_images: 1 }
    const cases: [name: string, vendorId: string, request: () => Partial<ImageRequest>, endpoint: string, body: () => Record<string, unknown>, warned: string[]][] = [
      ['text', 'fal-ai/flux/dev', () => ({}), 'fal-ai/flux/dev', () => flux, []],
      ['a seed of nought and options', 'fal-ai/flux/schnell', () => ({ seed: 0, providerOptions: { numInferenceSteps: 4, guidanceScale: 3, acceleration: 'high', outputFormat: 'png' } }), 'fal-ai/flux/schnell', () => ({ ...flux, seed: 0, num_inference_steps: 4, guidance_scale: 3, acceleration: 'high', output_format: 'png' }), []],
      ['an edit', 'fal-ai/flux/dev', () => ({ task: 'edit', images: [picture, picture], mask: picture, providerOptions: { strength: 0.7 } }), 'fal-ai/flux/dev/image-to-image', () => ({ prompt: PROMPT, image_url: pictureUrl, num_images: 1, strength: 0.7 }), ['images', 'mask']],
      ['FLUX.2', 'fal-ai/flux-2', () => ({ size: { width: 1000, height: 600 }, negativePrompt: 'rain', providerOptions: { outputFormat: 'webp', expandPrompt: true, priority: 'low' } }), 'fal-ai/flux-2', () => ({ prompt: PROMPT, image_size: { width: 1008, height: 608 }, num_images: 1, output_format: 'webp', enable_prompt_expansion: true }), ['negativePrompt']],
      ['an edit of several', 'fal-ai/flux-2', () => ({ task: 'edit', images: [picture, picture] }), 'fal-ai/flux-2/edit', () => ({ ...flux, image_urls: [pictureUrl, pictureUrl] }), []],
      ['what the fast one leaves out', 'fal-ai/flux-2/turbo', () => ({ providerOptions: { numInferenceSteps: 4, guidanceScale: 3 } }), 'fal-ai/flux-2/turbo', () => ({ ...flux, guidance_scale: 3 }), ['providerOptions.fal.numInferenceSteps']],
      ['what pro refuses', 'fal-ai/flux-2-pro', () => ({ seed: 7, providerOptions: { guidanceScale: 3, outputFormat: 'webp' } }), 'fal-ai/flux-2-pro', () => ({ prompt: PROMPT, image_size: size, seed: 7 }), ['providerOptions.fal.outputFormat', 'providerOptions.fal.guidanceScale']],
      ['an edit by max', 'fal-ai/flux-2-max', () => ({ task: 'edit', images: [picture] }), 'fal-ai/flux-2-max/edit', () => ({ prompt: PROMPT, image_size: size, image_urls: [pictureUrl] }), []],
      ['flex', 'fal-ai/flux-2-flex', () => ({ providerOptions: { guidanceScale: 3 } }), 'fal-ai/flux-2-flex', () => ({ prompt: PROMPT, image_size: size, guidance_scale: 3 }), []],
      ['FLUX 1.1', 'fal-ai/flux-pro/v1.1', () => ({}), 'fal-ai/flux-pro/v1.1', () => flux, []],
      ['a ratio in place of pixels', 'fal-ai/flux-pro/v1.1-ultra', () => ({ size: { width: 2752, height: 1536 }, providerOptions: { raw: true } }), 'fal-ai/flux-pro/v1.1-ultra', () => ({ prompt: PROMPT, aspect_ratio: '16:9', num_images: 1, raw: true }), []],
      ['Kontext, text', 'fal-ai/flux-pro/kontext', () => ({ size: { width: 880, height: 1184 } }), 'fal-ai/flux-pro/kontext/text-to-image', () => ({ prompt: PROMPT, aspect_ratio: '3:4', num_images: 1 }), []],
      ['Kontext, an edit', 'fal-ai/flux-pro/kontext', () => ({ task: 'edit', images: [picture] }), 'fal-ai/flux-pro/kontext', () => ({ prompt: PROMPT, aspect_ratio: '16:9', num_images: 1, image_url: pictureUrl }), []],
      ['a cutout', 'fal-ai/imageutils/rembg', () => ({ task: 'remove-background', prompt: '', images: [picture] }), 'fal-ai/imageutils/rembg', () => ({ image_url: pictureUrl }), []],
      ['a cutout by Bria', 'fal-ai/bria/background/remove', () => ({ task: 'remove-background', prompt: '', images: [picture], seed: 3 }), 'fal-ai/bria/background/remove', () => ({ image_url: pictureUrl }), ['seed']],
      ['any endpoint', 'someone/any-model/endpoint', () => ({ seed: 3 }), 'someone/any-model/endpoint', () => ({ ...flux, seed: 3 }), []],
      ['a workflow', 'workflows/someone/a-flow', () => ({}), 'workflows/someone/a-flow', () => flux, []],
    ]
    for (const [name, vendorId, request, endpoint, body, warned] of cases) {
      test(`${vendorId}: ${name}`, async () => {
        simulator.behave('ok')
        const answer = await startImage(image(vendorId), imageRequest(request()))
        const sent = simulator.submissions.at(-1)!
        assert.equal(sent.endpoint, endpoint)
        assert.deepEqual(sent.body, body())
        assert.deepEqual(answer.warnings.map(({ setting }) => setting), warned)
        const state = await check(image(vendorId), operationOf(answer))
        assert.equal(state.status, 'succeeded', JSON.stringify(state))
      })
    }

    test('an operator’s entry may name the family of an id that tells nothing', async () => {
      await startImage(image('fal-ai/any-model', 'flux-2-pro'))
      assert.deepEqual(simulator.submissions.at(-1)!.body, { prompt: PROMPT, image_size: size })
    })

    test('with the key, the priority and where to call back', async () => {
      await startImage(image(), imageRequest({ callbackUrl: 'https://api.example.com/callbacks/fal?token=a&b', providerOptions: { priority: 'low' } }))
      const { headers, callbackUrl } = simulator.submissions.at(-1)!
      assert.equal(headers.authorization, `Key ${SECRET}`)
      assert.equal(headers['x-fal-queue-priority'], 'low')
      assert.equal(callbackUrl, 'https://api.example.com/callbacks/fal?token=a&b')
      await startImage(image(), imageRequest({ callbackUrl: 'http://localhost/callbacks' }))
      assert.equal(simulator.submissions.at(-1)!.callbackUrl, null)
    })

    test('refuses what a model cannot do before anything is sent', async () => {
      const before = simulator.submissions.length
      for (const request of [imageRequest({ task: 'remove-background', images: [picture] }), imageRequest({ task: 'edit' })]) {
        const { code, charged } = await failure(startImage(image(), request))
        assert.deepEqual({ code, charged }, { code: 'invalid_request', charged: 'no' })
      }
      assert.equal((await failure(startImage(image('fal-ai/../../admin')))).code, 'model_unavailable')
      assert.equal((await failure(video().start(videoRequest(), { signal, mark: {} }))).code, 'invalid_request')
      assert.equal(simulator.submissions.length, before)
    })

    test('its options are strict, and leave the safety checks alone', () => {
      assert.ok(fal.optionsSchema.safeParse({ guidanceScale: 3, motionBucketId: 127 }).success)
      for (const options of [{ enableSafetyChecker: false }, { syncMode: true }, { motionBucketId: 256 }]) assert.ok(!fal.optionsSchema.safeParse(options).success)
    })
  })

  describe('asks for videos', () => {
    test('Stable Video gets the picture, and frames as fast as the seconds want them', async () => {
      simulator.behave('ok')
      const answer = await video().start(videoRequest({ firstFrame: picture, seed: 5, generateAudio: true, providerOptions: { motionBucketId: 40, condAug: 0.02, guidanceScale: 2 } }), { signal, mark: {} })
      const sent = simulator.submissions.at(-1)!
      assert.equal(sent.endpoint, 'fal-ai/stable-video')
      assert.deepEqual(sent.body, { image_url: pictureUrl, fps: 5, seed: 5, motion_bucket_id: 40, cond_aug: 0.02 })
      assert.deepEqual(answer.warnings.map(({ setting }) => setting), ['prompt', 'generateAudio', 'providerOptions.fal.guidanceScale'])
      const state = await check(video(), operationOf(answer))
      assert.ok(state.status === 'succeeded' && state.outputs[0]?.type === 'url')
      assert.match(state.outputs[0].url, /\/files\/.*\.mp4$/)
    })

    for (const [vendorId, family, request, body] of [
      ['fal-ai/fast-svd-lcm', undefined, () => ({ firstFrame: picture, duration: 2, providerOptions: { numInferenceSteps: 4 } }), () => ({ image_url: pictureUrl, fps: 13, steps: 4 })],
      ['fal-ai/bytedance/seedance/v1/pro/text-to-video', undefined, () => ({ resolution: '720p' }), () => ({ prompt: PROMPT, aspect_ratio: '16:9', resolution: '720p', duration: '5' })],
      ['fal-ai/bytedance/seedance/v1/pro/image-to-video', undefined, () => ({ resolution: '720p', firstFrame: picture }), () => ({ prompt: PROMPT, aspect_ratio: '16:9', resolution: '720p', duration: '5', image_url: pictureUrl })],
      ['fal-ai/veo3.1', undefined, () => ({ duration: 8, resolution: '720p', generateAudio: false }), () => ({ prompt: PROMPT, aspect_ratio: '16:9', resolution: '720p', duration: '8s', generate_audio: false })],
    ] as [string, string | undefined, () => Partial<VideoRequest>, () => Record<string, unknown>][]) {
      test(vendorId, async () => {
        simulator.behave('ok')
        const answer = await video(vendorId, family).start(videoRequest(request()), { signal, mark: {} })
        assert.deepEqual(simulator.submissions.at(-1)!.body, body())
        assert.equal((await check(video(vendorId), operationOf(answer))).status, 'succeeded')
      })
    }
  })

  describe('a submission that was not answered with an id', () => {
    const refusals: [behaviour: FalBehaviour, code: string, isRetryable: boolean][] = [
      ['rate-limit', 'provider_rate_limited', true],
      ['auth', 'provider_misconfigured', false],
      ['forbidden', 'provider_misconfigured', false],
      ['quota', 'provider_quota_reached', false],
      ['no-credit', 'provider_quota_reached', false],
      ['bad-request', 'invalid_request', false],
      ['moderation-at-once', 'content_refused', false],
      ['not-found', 'model_unavailable', false],
    ]
    for (const [behaviour, code, isRetryable] of refusals) {
      test(`${behaviour} is ${code} and free`, async () => {
        const before = simulator.created()
        simulator.behave(behaviour)
        const error = await failure(startImage())
        assert.deepEqual([error.code, error.isRetryable, error.charged], [code, isRetryable, 'no'])
        assert.match(error.providerRequestId ?? '', /^gateway-/)
        assert.equal(error.retryAfterSeconds, behaviour === 'rate-limit' ? 7 : undefined)
        assert.equal(simulator.created(), before)
      })
    }

    for (const [behaviour, made] of [
      ['server-error', 0], ['proxy-error', 0], ['overloaded', 0], ['gateway-error', 0], ['html', 0], ['redirect', 0], ['drop', 0], ['cut', 0],
      ['accept-drop', 1], ['accept-cut', 1], ['accept-500', 1], ['accept-502', 1], ['accept-html', 1], ['accept-nonsense', 1],
    ] as [FalBehaviour, number][]) {
      test(`${behaviour} leaves the outcome unknown`, async () => {
        const before = simulator.created()
        simulator.behave(behaviour)
        const error = await failure(startImage())
        assert.deepEqual([error.code, error.isRetryable, error.charged], ['submission_unknown', false, 'unknown'])
        assert.equal(simulator.created(), before + made)
      })
    }

    for (const behaviour of ['hang', 'accept-hang'] as const) {
      test(`${behaviour} ends with its caller’s patience`, async () => {
        simulator.behave(behaviour)
        const patience = new AbortController()
        const before = simulator.submissions.length
        const call = image().start(imageRequest(), { signal: patience.signal, mark: {} })
        while (simulator.submissions.length === before) await new Promise(setImmediate)
        patience.abort()
        const error = await failure(call)
        assert.deepEqual([error.code, error.isRetryable, error.charged], ['provider_timeout', false, 'unknown'])
      })
    }

    test('nobody listening is free', async () => {
      const away = await startFalSimulator()
      await away.close()
      const error = await failure(startImage(createFal({ apiKey: SECRET, baseURL: away.baseURL }).image!({ vendorId: 'fal-ai/flux/dev' })))
      assert.deepEqual([error.code, error.isRetryable, error.charged], ['provider_failed', true, 'no'])
    })

    test('an unknown model and a wrong key are told apart', async () => {
      assert.equal((await failure(startImage(image('fal-ai/gone')))).code, 'model_unavailable')
      const stranger = createFal({ apiKey: 'another-key', baseURL: simulator.baseURL })
      const error = await failure(startImage(stranger.image!({ vendorId: 'fal-ai/flux/dev' })))
      assert.equal(error.code, 'provider_misconfigured')
      assert.ok(!(error.cause as Error).message.includes('another-key'))
    })
  })

  describe('a look', () => {
    test('follows a request from the queue to its result, in any process', async () => {
      let release = simulator.hold('IN_QUEUE')
      const stored = JSON.stringify(await started())
      assert.ok(!stored.includes('secret') && !stored.includes('http'), stored)
      const other = createFal({ apiKey: SECRET, baseURL: simulator.baseURL }).image!({ vendorId: 'fal-ai/flux/dev' })
      const look = () => check(other, JSON.parse(stored) as Operation)
      assert.deepEqual(await look(), { status: 'queued' })
      release()
      release = simulator.hold('IN_PROGRESS')
      assert.deepEqual(await look(), { status: 'running' })
      release()
      const state = await look()
      assert.ok(state.status === 'succeeded' && state.outputs.length === 1 && state.outputs[0]?.type === 'url')
      const file = await fetch(state.outputs[0].url)
      assert.equal(file.headers.get('content-type'), 'image/jpeg')
    })

    test('a word that nobody knows is not taken for success', async () => {
      assert.deepEqual(await check(image(), await started('unknown-state')), { status: 'unknown', vendorStatus: 'PAUSED_BY_VENDOR' })
    })

    test('a result that is not to be had yet is still running', async () => {
      assert.deepEqual(await check(image(), await started('early')), { status: 'running' })
    })

    test('a forgotten request is lost', async () => {
      const error = await failure(check(image(), await started('forgotten')))
      assert.deepEqual([error.code, error.statusCode], ['operation_lost', 404])
    })

    test('what is no operation of ours leads nowhere', async () => {
      const before = simulator.calls.length
      for (const operation of [{}, { app: 'fal-ai/flux/../..', requestId: 'a' }, { app: 'fal-ai/flux', requestId: '../x' }, { app: 'https://elsewhere.example', requestId: 'a' }]) {
        assert.equal((await failure(check(image(), operation))).code, 'operation_lost')
      }
      assert.equal(simulator.calls.length, before)
    })

    const faults: [fault: string, code: string, isRetryable: boolean][] = [
      ['rate-limit', 'provider_rate_limited', true],
      ['auth', 'provider_misconfigured', false],
      ['forbidden', 'provider_misconfigured', false],
      ['quota', 'provider_quota_reached', false],
      ['proxy-error', 'provider_failed', true],
      ['html', 'provider_failed', true],
      ['nonsense', 'provider_failed', true],
      ['drop', 'provider_failed', true],
      ['cut', 'provider_failed', true],
    ]
    for (const call of ['look', 'result'] as const) {
      for (const [fault, code, isRetryable] of [...faults, ...(call === 'look' ? [['server-error', 'provider_failed', true] as [string, string, boolean]] : [])]) {
        test(`${fault} in the call for the ${call === 'look' ? 'status' : 'result'} says nothing of the work`, async () => {
          const operation = await started(`${call}-${fault}-once` as FalBehaviour)
          const error = await failure(check(image(), operation))
          assert.deepEqual([error.code, error.isRetryable, error.charged], [code, isRetryable, 'no'])
          assert.equal((await check(image(), operation)).status, 'succeeded')
        })
      }
    }

    test('a look that hangs ends with its caller’s patience', async () => {
      const operation = await started('look-hang-once')
      const patience = new AbortController()
      const before = simulator.calls.length
      const call = image().check!(operation, { signal: patience.signal })
      while (simulator.calls.length === before) await new Promise(setImmediate)
      patience.abort()
      const error = await failure(call)
      assert.deepEqual([error.code, error.isRetryable, error.charged], ['provider_timeout', true, 'no'])
    })
  })

  describe('a run that failed', () => {
    const REFUSED = ['content_refused', false, 'unknown']
    const SETTING = ['invalid_request', false, 'no']
    const meanings: Record<keyof typeof MODEL_ERRORS | keyof typeof PLATFORM_ERRORS, (string | boolean)[]> = {
      content_policy_violation: REFUSED,
      missing: SETTING,
      value_error: SETTING,
      greater_than: SETTING,
      less_than_equal: SETTING,
      multiple_of: SETTING,
      one_of: SETTING,
      image_too_small: SETTING,
      image_too_large: SETTING,
      image_load_error: SETTING,
      file_download_error: SETTING,
      file_too_large: SETTING,
      unsupported_image_format: SETTING,
      face_detection_error: SETTING,
      feature_not_supported: SETTING,
      sequence_too_long: SETTING,
      // Told by its status, which does not say how far the run had come.
      never_heard_of: ['invalid_request', false, 'unknown'],
      no_media_generated: ['provider_failed', false, 'unknown'],
      downstream_service_error: ['provider_failed', false, 'unknown'],
      internal_server_error: ['provider_failed', false, 'no'],
      downstream_service_unavailable: ['provider_failed', false, 'no'],
      runner_scheduling_failure: ['provider_failed', true, 'no'],
      runner_connection_timeout: ['provider_failed', true, 'no'],
      runner_disconnected: ['provider_failed', true, 'no'],
      runner_connection_refused: ['provider_failed', true, 'no'],
      request_timeout: ['operation_expired', true, 'no'],
      startup_timeout: ['operation_expired', true, 'no'],
      generation_timeout: ['operation_expired', true, 'no'],
    }
    const cases: [behaviour: FalBehaviour, meaning: (string | boolean)[]][] = [
      ...Object.entries(meanings).map(([type, meaning]): [FalBehaviour, (string | boolean)[]] => [`run-${type}` as FalBehaviour, meaning]),
      ['run-text', ['invalid_request', false, 'unknown']],
      ['run-text-500', ['provider_failed', false, 'no']],
      ['run-retryable', ['provider_failed', true, 'no']],
      ['run-final', ['provider_failed', false, 'no']],
      // The vendor would repeat it; who pays for the first is not told.
      ['run-behind-retryable', ['provider_failed', false, 'unknown']],
      ['run-user-timeout', ['operation_expired', false, 'no']],
      ['status-error', ['provider_failed', false, 'no']],
      ['status-error-type', ['provider_failed', true, 'no']],
      ['nsfw', ['content_refused', false, 'yes']],
      ['no-output', ['output_invalid', false, 'yes']],
    ]
    for (const [behaviour, meaning] of cases) {
      test(`${behaviour} is ${String(meaning[0])}`, async () => {
        const state = await check(image(), await started(behaviour))
        assert.ok(state.status === 'failed', JSON.stringify(state))
        assert.deepEqual([state.error.code, state.error.isRetryable, state.error.charged], meaning)
        assertDiscreet(state.error)
      })
    }

    test('a setting that the model refuses is told when it runs', async () => {
      const model = image('fal-ai/flux-2-pro', 'flux-2')
      simulator.behave('ok')
      const state = await check(model, operationOf(await startImage(model)))
      assert.ok(state.status === 'failed')
      assert.deepEqual([state.error.code, state.error.isRetryable, state.error.charged], SETTING)
    })
  })

  test('a file inside the answer is bytes, and what was withheld is left out', async () => {
    const inside = await check(image(), await started('data-url'))
    assert.ok(inside.status === 'succeeded' && inside.outputs[0]?.type === 'bytes')
    assert.deepEqual(Buffer.from(inside.outputs[0].bytes), await plainPicture(1024, 576, 'jpeg'))
    const many = await check(image(), await started('many'))
    assert.ok(many.status === 'succeeded' && many.outputs.length === 1 && many.outputs[0]?.type === 'url')
    assert.match(many.outputs[0].url, /second$/)
  })

  describe('cancelling', () => {
    const cancel = (operation: Operation) => image().cancel!(operation, { signal })
    const during = async <T>(state: 'IN_QUEUE' | 'IN_PROGRESS', act: () => Promise<T>): Promise<T> => {
      const release = simulator.hold(state)
      return await act().finally(release)
    }

    test('takes out what waits', async () => {
      const operation = await started()
      assert.equal(await during('IN_QUEUE', () => cancel(operation)), true)
      assert.equal((await failure(check(image(), operation))).code, 'operation_lost')
    })

    test('leaves what runs or is done alone', async () => {
      const operation = await started()
      const before = simulator.calls.length
      assert.equal(await during('IN_PROGRESS', () => cancel(operation)), false)
      assert.equal(await cancel(operation), false)
      assert.ok(!simulator.calls.slice(before).some((call) => call.startsWith('PUT')))
      assert.equal((await check(image(), operation)).status, 'succeeded')
    })

    test('says no when the run began in the meantime, and nothing when it cannot be told', async () => {
      assert.equal(await during('IN_QUEUE', async () => cancel(await started('cancel-late'))), false)
      for (const fault of ['cancel-server-error-once', 'cancel-drop-once', 'look-proxy-error-once'] as const) {
        const error = await during('IN_QUEUE', async () => failure(cancel(await started(fault))))
        assert.deepEqual([error.code, error.isRetryable], ['provider_failed', true])
      }
      assert.equal((await failure(cancel(await started('forgotten')))).code, 'operation_lost')
    })
  })

  test('a callback says where to look and nothing more', async () => {
    const operation = await started()
    assert.deepEqual(image().parseCallback!({ request_id: operation.requestId, gateway_request_id: 'x', status: 'OK', payload: { images: [{ url: 'https://elsewhere.example' }] } }), operation)
    for (const body of [undefined, 'text', {}, { request_id: '../../admin' }, { request_id: 7 }]) assert.equal(image().parseCallback!(body), undefined)
  })

  test('links in an answer lead no call with the key anywhere else', async () => {
    const operation = await started('other-links')
    assert.deepEqual(Object.keys(operation), ['app', 'requestId'])
    assert.equal((await check(image(), operation)).status, 'succeeded')
  })

  test('a base address may have a path of its own', async (t) => {
    const gateway = await startFalSimulator({ prefix: '/gateway/fal' })
    t.after(() => gateway.close())
    const model = createFal({ apiKey: gateway.apiKey, baseURL: `${gateway.baseURL}/` }).image!({ vendorId: 'fal-ai/flux/dev' })
    const answer = await startImage(model)
    assert.equal(operationOf(answer).app, 'fal-ai/flux')
    assert.equal((await check(model, operationOf(answer))).status, 'succeeded')
  })

  test('a word in the prompt makes the simulator misbehave, and creates are counted by prompt', async () => {
    const operation = operationOf(await startImage(image(), imageRequest({ prompt: 'A counted cat sim:run-image-load-error' })))
    assert.equal((await check(image(), operation)).status, 'failed')
    assert.equal(simulator.createsOf('A counted cat'), 1)
  })

  test('its catalog entries are valid, and the frontend’s name leads to Stable Video', () => {
    const catalog = createCatalog(falModels)
    assert.ok(catalog.list().every(({ provider }) => provider === falSetting.id))
    const model = catalog.find('stable-video')
    assert.ok(model?.kind === 'video' && model.vendorId === 'fal-ai/stable-video' && model.firstFrame.use === 'required')
    assert.equal(fal.trustedOrigin, new URL(simulator.baseURL).origin)
    assert.equal(createFal({ apiKey: SECRET, baseURL: falSetting.baseURL }).trustedOrigin, undefined)
  })
})

function operationOf(answer: Started): Operation {
  assert.ok('operation' in answer)
  return answer.operation
}
