/** Replicate through its provider over real HTTP. The simulator refuses what the real one does. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { ProviderError } from '../../src/errors.ts'
import { createCatalog } from '../../src/generation/catalog.ts'
import { replicateModels } from '../../src/generation/models/replicate.ts'
import type { ImageModel, ImageRequest, InputFile, Mark, Operation, Provider, Started, VideoRequest } from '../../src/generation/provider.ts'
import { createReplicate, replicateSetting } from '../../src/providers/replicate.ts'
import { picture as plainPicture } from '../simulator/pictures.ts'
import { startReplicateSimulator, type ReplicateSimulator } from '../simulator/replicate.ts'
import { SDXL_VERSION } from '../simulator/replicate-models.ts'
import type { ReplicateBehaviour } from '../simulator/replicate-words.ts'

const SECRET = 'r8_simulated-token'
const PROMPT = 'A fox whose name is private'
const signal = new AbortController().signal

describe('Replicate', () => {
  let simulator: ReplicateSimulator
  let replicate: Provider
  let picture: InputFile
  let pictureUrl: string
  before(async () => {
    simulator = await startReplicateSimulator({ apiKey: SECRET })
    replicate = createReplicate({ apiKey: SECRET, baseURL: simulator.baseURL })
    const bytes = await plainPicture(64, 64, 'png')
    picture = { bytes, mediaType: 'image/png' }
    pictureUrl = `data:image/png;base64,${bytes.toString('base64')}`
  })
  after(() => simulator.close())

  const SCHNELL = 'black-forest-labs/flux-schnell'
  const imageRequest = (request: Partial<ImageRequest> = {}): ImageRequest => ({ task: 'generate', prompt: PROMPT, size: { width: 1344, height: 768 }, images: [], providerOptions: {}, ...request })
  const videoRequest = (request: Partial<VideoRequest> = {}): VideoRequest => ({ prompt: PROMPT, duration: 5, aspectRatio: '16:9', resolution: '720p', providerOptions: {}, ...request })
  const image = (vendorId = SCHNELL, family?: string) => replicate.image!({ vendorId, family })
  const video = (vendorId = 'bytedance/seedance-1-pro') => replicate.video!({ vendorId })
  const startImage = (model = image(), request = imageRequest(), mark: Mark = {}) => model.start(request, { signal, mark })
  const check = (operation: Operation, model: Pick<ImageModel, 'check'> = image()) => model.check!(operation, { signal })

  async function started(...behaviours: ReplicateBehaviour[]): Promise<Operation> {
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
    for (const secret of [SECRET, PROMPT]) assert.ok(!told.includes(secret), told)
    assert.equal(error.provider, 'replicate')
  }

  describe('asks for pictures', () => {
    const flux = { prompt: PROMPT, aspect_ratio: '16:9', num_outputs: 1 }
    const cases: [name: string, vendorId: string, request: () => Partial<ImageRequest>, path: string, input: () => Record<string, unknown>, warned: string[]][] = [
      ['text', SCHNELL, () => ({}), `/models/${SCHNELL}/predictions`, () => flux, []],
      ['a seed that means the same picture again', SCHNELL, () => ({ seed: 0, providerOptions: { numInferenceSteps: 4, outputFormat: 'jpeg', outputQuality: 90 } }), `/models/${SCHNELL}/predictions`, () => ({ ...flux, seed: 0, go_fast: false, num_inference_steps: 4, output_format: 'jpg', output_quality: 90 }), []],
      ['what it leaves out', SCHNELL, () => ({ negativePrompt: 'rain', seed: 3, providerOptions: { goFast: true, guidanceScale: 3, strength: 0.5 } }), `/models/${SCHNELL}/predictions`, () => ({ ...flux, seed: 3, go_fast: true }), ['negativePrompt', 'providerOptions.replicate.guidanceScale', 'providerOptions.replicate.strength']],
      ['an edit', 'black-forest-labs/flux-dev', () => ({ task: 'edit', images: [picture, picture], mask: picture, providerOptions: { strength: 0.7, guidanceScale: 3 } }), '/models/black-forest-labs/flux-dev/predictions', () => ({ prompt: PROMPT, num_outputs: 1, image: pictureUrl, prompt_strength: 0.7, guidance: 3 }), ['mask', 'images']],
      ['pixels', 'black-forest-labs/flux-1.1-pro', () => ({ size: { width: 1280, height: 720 }, providerOptions: { expandPrompt: true } }), '/models/black-forest-labs/flux-1.1-pro/predictions', () => ({ prompt: PROMPT, aspect_ratio: 'custom', width: 1280, height: 736, prompt_upsampling: true }), []],
      ['Kontext', 'black-forest-labs/flux-kontext-pro', () => ({ task: 'edit', images: [picture], size: { width: 880, height: 1184 }, providerOptions: { outputFormat: 'webp' } }), '/models/black-forest-labs/flux-kontext-pro/predictions', () => ({ prompt: PROMPT, aspect_ratio: '3:4', input_image: pictureUrl }), ['providerOptions.replicate.outputFormat']],
      ['a version', `stability-ai/sdxl:${SDXL_VERSION}`, () => ({ negativePrompt: 'rain', size: { width: 1020, height: 768 } }), '/predictions', () => ({ prompt: PROMPT, width: 1024, height: 768, num_outputs: 1, negative_prompt: 'rain' }), []],
      ['a cutout', 'bria/remove-background', () => ({ task: 'remove-background', prompt: '', images: [picture], seed: 4 }), '/models/bria/remove-background/predictions', () => ({ image: pictureUrl }), ['seed']],
      ['any model', 'someone/any-model', () => ({ seed: 4 }), '/models/someone/any-model/predictions', () => ({ prompt: PROMPT, aspect_ratio: '16:9', seed: 4 }), []],
      ['a deployment', 'deployments/acme/fast-flux', () => ({}), '/deployments/acme/fast-flux/predictions', () => ({ prompt: PROMPT, aspect_ratio: '16:9' }), []],
    ]
    for (const [name, vendorId, request, path, input, warned] of cases) {
      test(`${vendorId.slice(0, 40)}: ${name}`, async () => {
        simulator.behave('ok')
        const model = image(vendorId)
        const answer = await startImage(model, imageRequest(request()))
        const sent = simulator.creates.at(-1)!
        assert.equal(sent.path, path)
        assert.deepEqual(sent.body, { ...(vendorId.includes(':') && { version: vendorId }), input: input() })
        assert.deepEqual(answer.warnings.map(({ setting }) => setting), warned)
        assert.equal((await check(operationOf(answer), model)).status, 'succeeded')
      })
    }

    test('a bare version with a family of the operator’s', async () => {
      const answer = await startImage(image(SDXL_VERSION, 'sdxl'))
      assert.deepEqual(simulator.creates.at(-1)!.body, { version: SDXL_VERSION, input: { prompt: PROMPT, width: 1344, height: 768, num_outputs: 1 } })
      assert.equal((await check(operationOf(answer))).status, 'succeeded')
    })

    test('with the key, a deadline, and where to call back', async () => {
      const request = imageRequest({ callbackUrl: 'https://api.example.com/callbacks/replicate' })
      const mark = image().mark!(request)
      await startImage(image(), request, mark)
      const { headers, body } = simulator.creates.at(-1)!
      assert.equal(headers.authorization, `Bearer ${SECRET}`)
      assert.equal(headers['cancel-after'], `${Number(mark.cancelAfterSeconds)}s`)
      assert.deepEqual([body.webhook, body.webhook_events_filter], ['https://api.example.com/callbacks/replicate', ['completed']])
      assert.equal((body.input as { seed: number }).seed, mark.seed)
      await startImage(image(), imageRequest({ callbackUrl: 'http://localhost/callbacks' }))
      assert.equal(simulator.creates.at(-1)!.body.webhook, undefined)
    })

    test('a large picture is uploaded first, and its failure costs nothing', async () => {
      const bytes = randomBytes(300_000)
      const request = imageRequest({ task: 'edit', images: [{ bytes, mediaType: 'image/png' }] })
      const model = image('black-forest-labs/flux-dev')
      simulator.behave('ok')
      await startImage(model, request)
      const { input } = simulator.creates.at(-1)!.body as { input: { image: string } }
      const file = simulator.uploads.get(input.image.split('/').at(-1)!)
      assert.equal(file?.type, 'image/png')
      assert.deepEqual(file.bytes, bytes)
      const before = simulator.creates.length
      for (const [fault, code, isRetryable] of [['auth', 'provider_misconfigured', false], ['forbidden', 'provider_misconfigured', false], ['rate-limit', 'provider_rate_limited', true], ['too-large', 'invalid_request', false], ['server-error', 'provider_failed', true], ['proxy-error', 'provider_failed', true], ['nonsense', 'provider_failed', true], ['html', 'provider_failed', true], ['drop', 'provider_failed', true]] as const) {
        simulator.behave(`upload-${fault}-once`)
        const error = await failure(startImage(model, request))
        assert.deepEqual([error.code, error.isRetryable, error.charged], [code, isRetryable, 'no'], fault)
      }
      assert.equal(simulator.creates.length, before)
    })

    test('refuses what a model cannot do before anything is sent', async () => {
      const before = simulator.creates.length
      assert.equal((await failure(startImage(image(), imageRequest({ task: 'edit', images: [picture] })))).code, 'invalid_request')
      assert.equal((await failure(startImage(image('bria/remove-background'), imageRequest({ task: 'remove-background' })))).code, 'invalid_request')
      for (const id of ['../../v1/account', 'deployments/../x', 'one', 'a/b/c', 'a/..']) assert.equal((await failure(startImage(image(id)))).code, 'model_unavailable')
      assert.equal(simulator.creates.length, before)
    })

    test('its options are strict, and leave the safety checks alone', () => {
      assert.ok(replicate.optionsSchema.safeParse({ goFast: true, cameraFixed: true }).success)
      for (const options of [{ disableSafetyChecker: true }, { safetyTolerance: 6 }, { outputQuality: 101 }]) assert.ok(!replicate.optionsSchema.safeParse(options).success)
    })
  })

  describe('asks for videos', () => {
    const common = { prompt: PROMPT, duration: 5, resolution: '720p', aspect_ratio: '16:9' }
    const cases: [vendorId: string, request: () => Partial<VideoRequest>, input: () => Record<string, unknown>, warned: string[]][] = [
      ['bytedance/seedance-1-pro', () => ({ seed: 7, generateAudio: true, providerOptions: { cameraFixed: true, goFast: true } }), () => ({ ...common, seed: 7, camera_fixed: true }), ['generateAudio', 'providerOptions.replicate.goFast']],
      ['bytedance/seedance-1-pro', () => ({ firstFrame: picture }), () => ({ ...common, image: pictureUrl }), []],
      ['bytedance/seedance-2.0', () => ({ seed: 7, generateAudio: false, providerOptions: { cameraFixed: true } }), () => ({ ...common, generate_audio: false }), ['seed', 'providerOptions.replicate.cameraFixed']],
      ['someone/any-model', () => ({ seed: 7 }), () => ({ ...common, seed: 7 }), []],
    ]
    for (const [vendorId, request, input, warned] of cases) {
      test(`${vendorId}: ${Object.keys(request()).join(', ')}`, async () => {
        simulator.behave('ok')
        const answer = await video(vendorId).start(videoRequest(request()), { signal, mark: {} })
        assert.deepEqual(simulator.creates.at(-1)!.body, { input: input() })
        assert.deepEqual(answer.warnings.map(({ setting }) => setting), warned)
        assert.equal((await check(operationOf(answer), video(vendorId))).status, 'succeeded')
      })
    }
  })

  describe('a create that was not answered with a prediction', () => {
    const refusals: [behaviour: ReplicateBehaviour, code: string, isRetryable: boolean, retryAfterSeconds?: number][] = [
      ['rate-limit', 'provider_rate_limited', true, 7],
      ['rate-limit-text', 'provider_rate_limited', true, 30],
      ['auth', 'provider_misconfigured', false],
      ['quota', 'provider_quota_reached', false],
      ['forbidden', 'model_unavailable', false],
      ['not-found', 'model_unavailable', false],
      ['bad-version', 'model_unavailable', false],
      ['bad-request', 'invalid_request', false],
      ['too-large', 'invalid_request', false],
    ]
    for (const [behaviour, code, isRetryable, retryAfterSeconds] of refusals) {
      test(`${behaviour} is ${code} and free`, async () => {
        const before = simulator.created()
        simulator.behave(behaviour)
        const error = await failure(startImage())
        assert.deepEqual([error.code, error.isRetryable, error.charged, error.retryAfterSeconds], [code, isRetryable, 'no', retryAfterSeconds])
        assert.match(error.providerRequestId ?? '', /^edge-/)
        assert.equal(simulator.created(), before)
      })
    }

    for (const [behaviour, made] of [
      ['server-error', 0], ['proxy-error', 0], ['overloaded', 0], ['gateway-error', 0], ['html', 0], ['redirect', 0], ['drop', 0], ['cut', 0],
      ['accept-drop', 1], ['accept-cut', 1], ['accept-500', 1], ['accept-502', 1], ['accept-html', 1], ['accept-nonsense', 1],
    ] as [ReplicateBehaviour, number][]) {
      test(`${behaviour} leaves the outcome unknown, and the list tells it`, async () => {
        const before = simulator.created()
        simulator.behave(behaviour)
        const since = new Date()
        const mark = image().mark!(imageRequest())
        const error = await failure(startImage(image(), imageRequest(), mark))
        assert.deepEqual([error.code, error.isRetryable, error.charged], ['submission_unknown', false, 'unknown'])
        assert.equal(simulator.created(), before + made)
        const found = await image().find!(mark, { signal, since })
        assert.deepEqual(found, { operations: made === 1 ? [{ id: [...simulator.predictions.keys()].at(-1) }] : [], isUndecided: false })
      })
    }

    for (const behaviour of ['hang', 'accept-hang'] as const) {
      test(`${behaviour} ends with its caller’s patience`, async () => {
        simulator.behave(behaviour)
        const patience = new AbortController()
        const before = simulator.creates.length
        const call = image().start(imageRequest(), { signal: patience.signal, mark: {} })
        while (simulator.creates.length === before) await new Promise(setImmediate)
        patience.abort()
        const error = await failure(call)
        assert.deepEqual([error.code, error.isRetryable, error.charged], ['provider_timeout', false, 'unknown'])
      })
    }

    test('nothing is sent without time left, or with a key that no header holds', async () => {
      const before = simulator.calls.length
      const late = await failure(image().start(imageRequest(), { signal: AbortSignal.abort(), mark: {} }))
      assert.deepEqual([late.code, late.charged], ['provider_timeout', 'no'])
      const broken = createReplicate({ apiKey: `${SECRET}\nsecond-line`, baseURL: simulator.baseURL })
      const error = await failure(startImage(broken.image!({ vendorId: SCHNELL })))
      assert.deepEqual([error.code, error.charged], ['provider_misconfigured', 'no'])
      assert.equal(simulator.calls.length, before)
    })

    test('nobody listening is free', async () => {
      const away = await startReplicateSimulator()
      await away.close()
      const error = await failure(startImage(createReplicate({ apiKey: SECRET, baseURL: away.baseURL }).image!({ vendorId: SCHNELL })))
      assert.deepEqual([error.code, error.isRetryable, error.charged], ['provider_failed', true, 'no'])
    })

    test('a community model without its version, a wrong version, a setting that is not known, a wrong key', async () => {
      assert.equal((await failure(startImage(image('stability-ai/sdxl')))).code, 'model_unavailable')
      assert.equal((await failure(startImage(image(`stability-ai/sdxl:${'0'.repeat(64)}`)))).code, 'model_unavailable')
      assert.equal((await failure(startImage(image('black-forest-labs/flux-1.1-pro', 'flux-schnell')))).code, 'invalid_request')
      const stranger = createReplicate({ apiKey: 'r8_another', baseURL: simulator.baseURL })
      const error = await failure(startImage(stranger.image!({ vendorId: SCHNELL })))
      assert.equal(error.code, 'provider_misconfigured')
      assert.ok(!(error.cause as Error).message.includes('r8_another'))
      assert.equal((await failure(stranger.probe!({ signal }))).code, 'provider_misconfigured')
      assert.deepEqual(await replicate.probe!({ signal }), { type: 'organization', username: 'acme', name: 'Acme' })
    })
  })

  describe('a look', () => {
    test('follows a prediction to its result, in any process, and its file may ask for the key', async () => {
      let release = simulator.hold('starting')
      const stored = JSON.stringify(await started())
      assert.ok(!stored.includes('r8_') && !stored.includes('http'), stored)
      const other = createReplicate({ apiKey: SECRET, baseURL: simulator.baseURL }).image!({ vendorId: SCHNELL })
      const look = () => check(JSON.parse(stored) as Operation, other)
      assert.deepEqual(await look(), { status: 'queued' })
      release()
      release = simulator.hold('processing')
      assert.deepEqual(await look(), { status: 'running' })
      release()
      const state = await look()
      assert.ok(state.status === 'succeeded' && state.outputs.length === 1 && state.outputs[0]?.type === 'url')
      const file = await fetch(state.outputs[0].url, { headers: replicate.downloadHeaders!(state.outputs[0].url) ?? {} })
      assert.equal(file.headers.get('content-type'), 'image/webp')
    })

    test('the key goes to the vendor’s own files alone', () => {
      const authorization = `Bearer ${SECRET}`
      for (const url of ['https://replicate.delivery/x/out.webp', 'https://pbxt.replicate.delivery/x.mp4', `${simulator.baseURL}/files/x`]) assert.deepEqual(replicate.downloadHeaders!(url), { authorization })
      for (const url of ['http://replicate.delivery/x', 'https://replicate.delivery:444/x', 'https://notreplicate.delivery/x', 'https://replicate.delivery.example/x', 'https://elsewhere.example/x', 'not an address']) assert.equal(replicate.downloadHeaders!(url), undefined, url)
    })

    test('outputs come in each model’s own form', async () => {
      const named = await check(await started('object-output'))
      assert.ok(named.status === 'succeeded' && named.outputs.length === 1)
      assert.deepEqual(await check(await started('data-url')), { status: 'succeeded', outputs: [{ type: 'bytes', bytes: Buffer.from('hello') }] })
    })

    const ends: [behaviour: ReplicateBehaviour, code: string, isRetryable: boolean, charged: string][] = [
      ['run-nsfw', 'content_refused', false, 'unknown'],
      ['run-sensitive', 'content_refused', false, 'unknown'],
      ['run-sensitive-code', 'content_refused', false, 'unknown'],
      ['run-policy', 'content_refused', false, 'unknown'],
      ['run-busy', 'provider_failed', false, 'unknown'],
      ['run-unavailable', 'provider_failed', false, 'unknown'],
      ['run-input', 'invalid_request', false, 'unknown'],
      ['run-input-text', 'invalid_request', false, 'unknown'],
      ['run-code', 'provider_failed', false, 'unknown'],
      ['run-text', 'provider_failed', false, 'unknown'],
      ['run-silent', 'provider_failed', false, 'unknown'],
      ['deadline-running', 'operation_expired', false, 'yes'],
      ['deadline-waiting', 'operation_expired', false, 'no'],
      ['aborted', 'operation_expired', false, 'no'],
      ['removed', 'output_expired', false, 'yes'],
      ['no-output', 'output_invalid', false, 'yes'],
      ['text-output', 'output_invalid', false, 'yes'],
    ]
    for (const [behaviour, code, isRetryable, charged] of ends) {
      test(`${behaviour} is ${code}`, async () => {
        simulator.behave(behaviour)
        // Without a deadline nothing tells why it was aborted; with one, whether that was reached.
        const mark = behaviour.startsWith('deadline') ? image().mark!(imageRequest()) : {}
        const state = await check(operationOf(await startImage(image(), imageRequest(), mark)))
        assert.ok(state.status === 'failed', JSON.stringify(state))
        assert.deepEqual([state.error.code, state.error.isRetryable, state.error.charged], [code, isRetryable, charged])
        assertDiscreet(state.error)
      })
    }

    test('what was cancelled before its deadline is cancelled, and a word that nobody knows is not success', async () => {
      for (const behaviour of ['canceled', 'aborted'] as const) {
        simulator.behave(behaviour)
        const answer = await startImage(image(), imageRequest(), image().mark!(imageRequest()))
        assert.deepEqual(await check(operationOf(answer)), { status: 'cancelled' })
      }
      assert.deepEqual(await check(await started('unknown-state')), { status: 'unknown', vendorStatus: 'hibernating' })
    })

    test('a forgotten prediction is lost, and what is no operation of ours leads nowhere', async () => {
      assert.equal((await failure(check(await started('forgotten')))).code, 'operation_lost')
      const before = simulator.calls.length
      for (const operation of [{}, { id: '../account' }, { id: 7 }]) assert.equal((await failure(check(operation))).code, 'operation_lost')
      assert.equal(simulator.calls.length, before)
    })

    for (const [fault, code, isRetryable] of [
      ['rate-limit', 'provider_rate_limited', true],
      ['auth', 'provider_misconfigured', false],
      ['forbidden', 'provider_misconfigured', false],
      ['quota', 'provider_quota_reached', false],
      ['server-error', 'provider_failed', true],
      ['proxy-error', 'provider_failed', true],
      ['html', 'provider_failed', true],
      ['nonsense', 'provider_failed', true],
      ['drop', 'provider_failed', true],
      ['cut', 'provider_failed', true],
    ] as const) {
      test(`${fault} says nothing of the work`, async () => {
        const operation = await started(`look-${fault}-once`)
        const error = await failure(check(operation))
        assert.deepEqual([error.code, error.isRetryable, error.charged], [code, isRetryable, 'no'])
        assert.equal((await check(operation)).status, 'succeeded')
      })
    }
  })

  describe('cancelling', () => {
    const cancel = (operation: Operation) => image().cancel!(operation, { signal })
    const during = async <T>(state: 'starting' | 'processing', act: () => Promise<T>): Promise<T> => {
      const release = simulator.hold(state)
      return await act().finally(release)
    }

    test('stops what has not begun', async () => {
      const operation = await started()
      assert.equal(await during('starting', () => cancel(operation)), true)
      assert.deepEqual(await check(operation), { status: 'cancelled' })
      assert.equal(await cancel(operation), true)
    })

    test('leaves what runs or is done alone', async () => {
      const operation = await started()
      const before = simulator.calls.length
      assert.equal(await during('processing', () => cancel(operation)), false)
      assert.equal(await cancel(operation), false)
      assert.ok(!simulator.calls.slice(before).some((call) => call.startsWith('POST')))
      assert.equal((await check(operation)).status, 'succeeded')
    })

    test('says no when the run began in the meantime, and nothing when it cannot be told', async () => {
      assert.equal(await during('starting', async () => cancel(await started('begins-when-cancelled'))), false)
      for (const fault of ['cancel-server-error-once', 'cancel-drop-once', 'cancel-html-once', 'look-proxy-error-once'] as const) {
        assert.equal((await during('starting', async () => failure(cancel(await started(fault))))).code, 'provider_failed')
      }
      assert.equal((await failure(cancel(await started('forgotten')))).code, 'operation_lost')
    })
  })

  describe('finding what was started when its answer was lost', () => {
    const lose = async (words: ReplicateBehaviour[], request = imageRequest(), model = image()): Promise<{ mark: Mark; since: Date; id: string }> => {
      const mark = model.mark!(request)
      const since = new Date()
      simulator.behave(['accept-drop', ...words])
      await failure(startImage(model, request, JSON.parse(JSON.stringify(mark)) as Mark))
      return { mark, since, id: [...simulator.predictions.keys()].at(-1)! }
    }
    const find = ({ mark, since }: { mark: Mark; since: Date }, model = image()) => model.find!(mark, { signal, since })

    test('tells two requests apart that are the same, the user’s seed included', async () => {
      const [one, two] = [await lose([], imageRequest({ seed: 5 })), await lose([], imageRequest({ seed: 5 }))]
      assert.notEqual(one.mark.cancelAfterSeconds, two.mark.cancelAfterSeconds)
      assert.deepEqual(await find(one), { operations: [{ id: one.id }], isUndecided: false })
      assert.deepEqual(await find(two), { operations: [{ id: two.id }], isUndecided: false })
    })

    test('by the seed alone where we drew it, not where a user gave it', async () => {
      const drawn = await lose(['untold-deadline'])
      assert.deepEqual(await find(drawn), { operations: [{ id: drawn.id }], isUndecided: false })
      const given = await lose(['untold-deadline'], imageRequest({ seed: 6 }))
      assert.deepEqual(await find(given), { operations: [], isUndecided: false })
    })

    test('is undecided while something runs of which too little is told', async (t) => {
      const quiet = await startReplicateSimulator({ apiKey: SECRET })
      t.after(() => quiet.close())
      const provider = createReplicate({ apiKey: SECRET, baseURL: quiet.baseURL })
      const model = provider.image!({ vendorId: SCHNELL })
      const lost = { mark: model.mark!(imageRequest()), since: new Date() }
      quiet.behave(['accept-drop', 'untold-deadline', 'untold-input'])
      await failure(startImage(model, imageRequest(), lost.mark))
      const release = quiet.hold('processing')
      assert.deepEqual(await find(lost, model), { operations: [], isUndecided: true })
      // Another model's work is none of it.
      assert.equal((await find(lost, provider.image!({ vendorId: 'black-forest-labs/flux-dev' }))).isUndecided, false)
      release()
      assert.deepEqual(await find(lost, model), { operations: [], isUndecided: false })
    })

    test('through all pages of the list, and never on another machine', async (t) => {
      const busy = await startReplicateSimulator({ apiKey: SECRET })
      t.after(() => busy.close())
      const model = createReplicate({ apiKey: SECRET, baseURL: busy.baseURL }).image!({ vendorId: SCHNELL })
      const mark = model.mark!(imageRequest())
      const since = new Date()
      const operation = operationOf(await model.start(imageRequest(), { signal, mark }))
      for (let made = 0; made < 120; made++) await model.start(imageRequest(), { signal, mark: model.mark!(imageRequest()) })
      assert.deepEqual(await model.find!(mark, { signal, since }), { operations: [operation], isUndecided: false })
      assert.equal(busy.calls.filter((call) => call === 'GET /v1/predictions').length, 2)
    })

    test('not before the start, and not when the list cannot be had', async () => {
      const lost = await lose([])
      assert.deepEqual(await find({ ...lost, since: new Date(Date.now() + 3_600_000) }), { operations: [], isUndecided: false })
      for (const [fault, code] of [['server-error', 'provider_failed'], ['rate-limit', 'provider_rate_limited'], ['html', 'provider_failed'], ['drop', 'provider_failed']] as const) {
        assert.equal((await failure(find(await lose([`list-${fault}-once`])))).code, code)
      }
    })
  })

  test('a callback says where to look and nothing more', async () => {
    const operation = await started()
    assert.deepEqual(image().parseCallback!({ ...operation, status: 'succeeded', output: 'https://elsewhere.example' }), operation)
    for (const body of [undefined, 'text', {}, { id: '../account' }, { id: 7 }]) assert.equal(image().parseCallback!(body), undefined)
  })

  test('a word in the prompt makes the simulator misbehave, and creates are counted by prompt', async () => {
    await failure(startImage(image(), imageRequest({ prompt: 'A counted cat sim:accept-drop' })))
    assert.equal(simulator.createsOf('A counted cat'), 1)
  })

  test('its catalog entries are valid', () => {
    assert.ok(createCatalog(replicateModels).list().every(({ provider }) => provider === replicateSetting.id))
    assert.equal(replicate.trustedOrigin, new URL(simulator.baseURL).origin)
    assert.equal(createReplicate({ apiKey: SECRET, baseURL: replicateSetting.baseURL }).trustedOrigin, undefined)
  })
})

function operationOf(answer: Started): Operation {
  assert.ok('operation' in answer)
  return answer.operation
}
