/** Videos through a gateway, in each shape that gateways keep, by the provider's interface over HTTP. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { inspect } from 'node:util'
import type { Charged, ErrorCode } from '../../src/errors.ts'
import type { Operation, OperationState, Provider, VideoRequest } from '../../src/generation/provider.ts'
import { createGateway } from '../../src/providers/gateway.ts'
import type { GatewayBehaviour, GatewaySimulator, LookBehaviour } from '../simulator/gateway.ts'
import { failureOf, never, pngOf, startGateway, videoRequest } from '../support/gateway.ts'

const SHAPES = [
  ['openai-videos', 'sora-2'],
  ['new-api-videos', 'wan-2.1'],
  ['openrouter-videos', 'google/veo-3.1'],
] as const
type Family = (typeof SHAPES)[number][0]
const MODELS = Object.fromEntries(SHAPES) as Record<Family, string>

describe('a gateway’s videos', () => {
  let simulator: GatewaySimulator
  let provider: Provider
  before(async () => void ({ simulator, provider } = await startGateway()))
  after(() => simulator.close())

  const modelOf = (family: Family | undefined, by = provider) => by.video!({ vendorId: MODELS[family ?? 'openai-videos'], family })
  const start = (request: VideoRequest, family?: Family, signal = never()) => modelOf(family).start(request, { signal, mark: {} })
  const begin = async (family: Family | undefined, ...behaviours: GatewayBehaviour[]): Promise<Operation> => {
    simulator.behave(...behaviours)
    const started = await start(videoRequest(), family)
    assert.ok('operation' in started)
    return started.operation
  }
  const check = (operation: Operation, family?: Family, by = provider): Promise<OperationState> => modelOf(family, by).check!(operation, { signal: never() })
  /** The state that the third look finds: the first two find it queued and running. */
  const finish = async (operation: Operation, family?: Family): Promise<OperationState> => {
    await check(operation, family)
    await check(operation, family)
    return await check(operation, family)
  }
  const last = () => simulator.requests.at(-1)!

  const bodies: [Family | undefined, changes: Partial<VideoRequest>, path: string, body: object, warned: string[]][] = [
    [undefined, { seed: 7 }, '/videos', { model: 'sora-2', prompt: 'A cat', seconds: '8', size: '1280x720', seed: 7 }, []],
    ['openai-videos', { duration: 5, aspectRatio: '9:16', generateAudio: true, providerOptions: { fps: 24 } }, '/videos', { model: 'sora-2', prompt: 'A cat', seconds: '8', size: '720x1280' }, ['duration', 'generateAudio', 'providerOptions.gateway.fps']],
    ['openai-videos', { duration: 15 }, '/videos', { model: 'sora-2', prompt: 'A cat', seconds: '12', size: '1280x720' }, ['duration']],
    ['new-api-videos', { seed: 7, duration: 5, generateAudio: false, providerOptions: { fps: 24 } }, '/video/generations', { model: 'wan-2.1', prompt: 'A cat', duration: 5, width: 1280, height: 720, seed: 7, fps: 24 }, ['generateAudio']],
    ['new-api-videos', { aspectRatio: '3:4', resolution: '480p' }, '/video/generations', { model: 'wan-2.1', prompt: 'A cat', duration: 8, width: 480, height: 640 }, []],
    ['new-api-videos', { aspectRatio: '1:1', resolution: '4K' }, '/video/generations', { model: 'wan-2.1', prompt: 'A cat', duration: 8, width: 2160, height: 2160 }, []],
    ['openrouter-videos', {}, '/videos', { model: 'google/veo-3.1', prompt: 'A cat', duration: 8, resolution: '720p', aspect_ratio: '16:9' }, []],
    ['openrouter-videos', { seed: 7, generateAudio: true }, '/videos', { model: 'google/veo-3.1', prompt: 'A cat', duration: 8, resolution: '720p', aspect_ratio: '16:9', seed: 7, generate_audio: true }, []],
  ]
  for (const [family, changes, path, body, warned] of bodies) {
    test(`are asked for in the shape of ${family ?? 'the default'}: ${JSON.stringify(changes)}`, async () => {
      const before = simulator.created()
      const { warnings } = await start(videoRequest(changes), family)
      assert.deepEqual([last().path, last().body, last().files], [path, body, []])
      assert.deepEqual(warnings.map(({ setting }) => setting), warned)
      assert.equal(simulator.created(), before + 1)
    })
  }

  test('begin with a picture, as a file or as a data URL', async () => {
    const firstFrame = await pngOf(1280, 720)
    const url = `data:image/png;base64,${Buffer.from(firstFrame.bytes).toString('base64')}`
    await start(videoRequest({ firstFrame }), 'openai-videos')
    assert.deepEqual(last().body, { model: 'sora-2', prompt: 'A cat', seconds: '8', size: '1280x720' })
    assert.deepEqual(last().files.map(({ name, mediaType, bytes }) => [name, mediaType, bytes.equals(firstFrame.bytes)]), [['input_reference', 'image/png', true]])
    await start(videoRequest({ firstFrame }), 'new-api-videos')
    assert.equal(last().body.image, url)
    await start(videoRequest({ firstFrame }), 'openrouter-videos')
    assert.deepEqual(last().body.frame_images, [{ type: 'image_url', image_url: { url }, frame_type: 'first_frame' }])
  })

  for (const [family] of SHAPES) {
    test(`of ${family} are followed from state to state by a fresh instance, from a plain operation`, async () => {
      const stored = JSON.stringify(await begin(family))
      assert.ok(!stored.includes(simulator.apiKey) && stored.length < 200)
      const operation = JSON.parse(stored) as Operation
      // Another process, whose catalog has lost the family.
      const fresh = createGateway({ apiKey: simulator.apiKey, baseURL: simulator.baseURL })
      assert.deepEqual(await check(operation, undefined, fresh), { status: 'queued' })
      assert.deepEqual(await check(operation, undefined, fresh), { status: 'running', ...(family === 'openai-videos' && { progress: 0.5 }) })
      const state = await check(operation, undefined, fresh)
      assert.ok(state.status === 'succeeded' && state.outputs.length === 1)
      const output = state.outputs[0]!
      assert.ok(output.type === 'url')
      assert.equal(state.costMicros, family === 'openrouter-videos' ? 3_200_000 : undefined)
      const headers = provider.downloadHeaders!(output.url)
      const file = await fetch(output.url, { ...(headers && { headers }) })
      assert.equal(file.headers.get('content-type'), 'video/mp4')
      assert.equal(Buffer.from(await file.arrayBuffer()).toString('latin1', 4, 8), 'ftyp')
    })
  }

  test('of OpenAI’s shape are behind an address that wants the key', async () => {
    const operation = await begin('openai-videos')
    const state = await finish(operation)
    assert.deepEqual(state, { status: 'succeeded', outputs: [{ type: 'url', url: `${simulator.baseURL}/videos/${String(operation.id as string)}/content` }] })
    const url = `${simulator.baseURL}/videos/${String(operation.id as string)}/content`
    assert.equal((await fetch(url)).status, 401)
  })

  const links: [Family, GatewayBehaviour, (id: string) => string | undefined][] = [
    ['openai-videos', 'task-relative-url', (id) => `/v1/videos/serve/${id}.mp4`],
    ['new-api-videos', 'task-relative-url', (id) => `/v1/videos/serve/${id}.mp4`],
    ['new-api-videos', 'task-no-url', () => undefined],
    ['openrouter-videos', 'task-unsigned-url', (id) => `/v1/videos/${id}/content?index=0`],
    // The key would not go there, so the gateway's own address is taken.
    ['openrouter-videos', 'task-stray-url', (id) => `/v1/videos/${id}/content?index=0`],
    ['openrouter-videos', 'task-no-url', (id) => `/v1/videos/${id}/content?index=0`],
  ]
  for (const [family, behaviour, path] of links) {
    test(`of ${family} with ${behaviour} are where the gateway has them`, async () => {
      const operation = await begin(family, behaviour)
      const state = await finish(operation, family)
      assert.ok(state.status === 'succeeded')
      const expected = path(operation.id as string)
      assert.deepEqual(state.outputs, expected === undefined ? [] : [{ type: 'url', url: new URL(simulator.baseURL).origin + expected }])
    })
  }

  const failures: [GatewayBehaviour, ErrorCode, Charged, isRetryable?: boolean][] = [
    ['task-failed', 'provider_failed', 'unknown'],
    ['task-no-error', 'provider_failed', 'unknown'],
    ['task-failed-moderation', 'content_refused', 'unknown'],
    ['task-failed-text', 'content_refused', 'unknown'],
    ['task-failed-free', 'provider_failed', 'no'],
    ['task-failed-paid', 'provider_failed', 'yes'],
    ['task-failed-server', 'provider_failed', 'unknown'],
    ['task-failed-server-free', 'provider_failed', 'no', true],
    ['task-expired', 'operation_expired', 'unknown'],
  ]
  for (const [behaviour, code, charged, isRetryable = false] of failures) {
    for (const [family] of SHAPES) {
      test(`of ${family} that end with ${behaviour} have failed`, async () => {
        const state = await finish(await begin(family, behaviour), family)
        assert.ok(state.status === 'failed')
        assert.deepEqual([state.error.code, state.error.charged, state.error.isRetryable], [code, charged, isRetryable])
        assert.doesNotMatch(state.error.message, /vendor words|safety system/)
      })
    }
  }

  test('may be cancelled by the gateway, or in a state that nobody knows', async () => {
    assert.deepEqual(await finish(await begin('openrouter-videos', 'task-cancelled')), { status: 'cancelled' })
    assert.deepEqual(await check(await begin('new-api-videos', 'task-unknown-status')), { status: 'unknown', vendorStatus: 'on_hold' })
  })

  for (const behaviour of ['task-forgotten', 'task-forgotten-400'] as const) {
    test(`that the gateway does not know are lost (${behaviour})`, async () => {
      const error = await failureOf(check(await begin('new-api-videos', behaviour)))
      assert.deepEqual([error.code, error.charged, error.isRetryable], ['operation_lost', 'unknown', false])
    })
  }

  test('cannot be looked for outside their folder', async () => {
    const before = simulator.looks()
    for (const operation of [{}, { shape: 'openai-videos', id: '..' }, { shape: 'openai-videos', id: '../models' }, { shape: 'other', id: 'video_1' }]) assert.equal((await failureOf(check(operation))).code, 'operation_lost')
    assert.equal(simulator.looks(), before)
  })

  const starts: [GatewayBehaviour, ErrorCode, Charged, isRetryable: boolean, made: number][] = [
    ['accept-drop', 'submission_unknown', 'unknown', false, 1],
    ['accept-cut', 'submission_unknown', 'unknown', false, 1],
    ['accept-500', 'submission_unknown', 'unknown', false, 1],
    ['accept-502', 'submission_unknown', 'unknown', false, 1],
    ['accept-html', 'submission_unknown', 'unknown', false, 1],
    ['accept-no-id', 'submission_unknown', 'unknown', false, 1],
    ['accept-bad-id', 'submission_unknown', 'unknown', false, 1],
    ['server-error', 'submission_unknown', 'unknown', false, 0],
    ['overloaded', 'submission_unknown', 'unknown', false, 0],
    ['one-api-no-channel', 'submission_unknown', 'unknown', false, 0],
    ['proxy-error', 'submission_unknown', 'unknown', false, 0],
    ['edge-error', 'submission_unknown', 'unknown', false, 0],
    ['one-api-unread-500', 'submission_unknown', 'unknown', false, 0],
    ['rate-limit', 'provider_rate_limited', 'no', true, 0],
    ['moderation', 'content_refused', 'no', false, 0],
    // Nothing is made while a task is only asked for.
    ['moderation-untold', 'content_refused', 'no', false, 0],
    ['moderation-text', 'content_refused', 'no', false, 0],
    ['openrouter-403-moderation', 'content_refused', 'no', false, 0],
    ['one-api-quota', 'provider_quota_reached', 'no', false, 0],
    ['envelope-flat', 'provider_quota_reached', 'no', false, 0],
    ['auth', 'provider_misconfigured', 'no', false, 0],
    ['not-found', 'model_unavailable', 'no', false, 0],
    ['inner-quota', 'provider_quota_reached', 'no', false, 0],
    ['inner-refusal', 'content_refused', 'unknown', false, 0],
    ['inner-overloaded', 'provider_rate_limited', 'unknown', false, 0],
  ]
  for (const [behaviour, code, charged, isRetryable, made] of starts) {
    for (const [family] of SHAPES) {
      test(`of ${family} whose start meets ${behaviour} are asked for once`, async () => {
        const [requests, created] = [simulator.requests.length, simulator.created()]
        simulator.behave(behaviour)
        const error = await failureOf(start(videoRequest(), family))
        assert.deepEqual([error.code, error.charged, error.isRetryable], [code, charged, isRetryable])
        assert.deepEqual([simulator.requests.length - requests, simulator.created() - created], [1, made])
        assert.ok(!inspect(error, { depth: 20, showHidden: true }).includes(simulator.apiKey))
      })
    }
  }

  test('whose start is given up may have been paid', async () => {
    const giveUp = new AbortController()
    const started = start(videoRequest({ prompt: 'A slow cat sim:accept-hang' }), 'new-api-videos', giveUp.signal)
    while (simulator.createsOf('A slow cat') === 0) await new Promise(setImmediate)
    giveUp.abort()
    const error = await failureOf(started)
    assert.deepEqual([error.code, error.charged], ['provider_timeout', 'unknown'])
  })

  const looks: [LookBehaviour, ErrorCode, isRetryable: boolean][] = [
    ['drop', 'provider_failed', true],
    ['html', 'provider_failed', true],
    ['server-error', 'provider_failed', true],
    ['proxy-error', 'provider_failed', true],
    ['edge-timeout', 'provider_failed', true],
    ['openrouter-408', 'provider_failed', true],
    ['rate-limit', 'provider_rate_limited', true],
    ['inner-string', 'provider_failed', true],
    ['auth', 'provider_misconfigured', false],
  ]
  for (const [behaviour, code, isRetryable] of looks) {
    test(`are not given up when a look meets ${behaviour}`, async () => {
      const operation = await begin('openai-videos')
      simulator.behaveOnLook(behaviour)
      const error = await failureOf(check(operation))
      assert.deepEqual([error.code, error.charged, error.isRetryable], [code, 'no', isRetryable])
      assert.deepEqual(await check(operation), { status: 'queued' })
    })
  }

  test('are looked at for as long as the caller waits', async () => {
    const operation = await begin('openai-videos')
    const [giveUp, before] = [new AbortController(), simulator.looks()]
    simulator.behaveOnLook('hang')
    const looked = modelOf('openai-videos').check!(operation, { signal: giveUp.signal })
    while (simulator.looks() === before) await new Promise(setImmediate)
    giveUp.abort()
    const error = await failureOf(looked)
    assert.deepEqual([error.code, error.charged, error.isRetryable], ['provider_timeout', 'no', true])
  })

  test('cannot be cancelled or found again: no gateway says how', () => {
    for (const [family] of SHAPES) {
      const model = modelOf(family)
      assert.deepEqual([model.cancel, model.find, model.mark], [undefined, undefined, undefined])
    }
  })
})
