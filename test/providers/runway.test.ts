/** What Runway is really sent, through its real SDK over HTTP, and what its answers become. */
import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { inspect } from 'node:util'
import { createCatalog } from '../../src/generation/catalog.ts'
import { runwayModels } from '../../src/generation/models/runway.ts'
import type { InputFile, Operation, Provider } from '../../src/generation/provider.ts'
import { createRunway } from '../../src/providers/runway.ts'
import { startRunwaySimulator, type RunwaySimulator } from '../simulator/runway.ts'
import type { RunwayWord } from '../simulator/runway-words.ts'
import { call, failureOf, imageRequest, picture, signal, told, videoRequest } from '../support/provider-requests.ts'

const toDataUri = ({ bytes, mediaType }: InputFile) => `data:${mediaType};base64,${Buffer.from(bytes).toString('base64')}`
/** Larger than a request may hold. */
const large: InputFile = { bytes: new Uint8Array(3_300_001).fill(7), mediaType: 'image/png' }

describe('Runway', () => {
  let simulator: RunwaySimulator
  let provider: Provider
  let frame: InputFile
  const fresh = () => createRunway({ apiKey: simulator.apiKey, baseURL: simulator.baseURL })
  const video = (vendorId = 'gen4.5') => provider.video!({ vendorId })
  const image = (vendorId = 'gen4_image') => provider.image!({ vendorId })
  const sent = () => simulator.requests.at(-1)!

  before(async () => {
    simulator = await startRunwaySimulator()
    frame = await picture('teal')
  })
  beforeEach(() => {
    provider = fresh()
  })
  after(() => simulator.close())

  describe('is asked for videos', () => {
    test('from text', async () => {
      const answer = await video().start(videoRequest({ seed: 42, providerOptions: { publicFigureThreshold: 'low' } }), call)
      assert.equal(sent().endpoint, 'text_to_video')
      assert.deepEqual(sent().body, { model: 'gen4.5', promptText: 'Leaves moving', ratio: '1280:720', duration: 5, seed: 42, contentModeration: { publicFigureThreshold: 'low' } })
      assert.deepEqual(answer.warnings, [])
      assert.match(answer.providerRequestId!, /^req-/)
      // What may be charged at most is not yet a bill.
      assert.equal(answer.costMicros, undefined)
    })

    test('from a first frame, in each of the ratios', async () => {
      for (const [aspectRatio, ratio] of [['16:9', '1280:720'], ['9:16', '720:1280'], ['4:3', '1104:832'], ['1:1', '960:960'], ['3:4', '832:1104'], ['21:9', '1584:672']] as const) {
        for (const model of ['gen4.5', 'gen4_turbo']) {
          await video(model).start(videoRequest({ aspectRatio, firstFrame: frame }), call)
          assert.equal(sent().endpoint, 'image_to_video')
          assert.deepEqual(sent().body, { model, promptText: 'Leaves moving', ratio, duration: 5, promptImage: [{ uri: toDataUri(frame), position: 'first' }] })
        }
      }
    })

    test('of Veo, silent unless sound is wanted', async () => {
      await video('veo3.1').start(videoRequest({ duration: 8, resolution: '1080p', aspectRatio: '9:16', providerOptions: { negativePrompt: 'rain' } }), call)
      assert.deepEqual(sent().body, { model: 'veo3.1', promptText: 'Leaves moving', ratio: '1080:1920', duration: 8, negativePrompt: 'rain', audio: false })
      await video('veo3.1_fast').start(videoRequest({ duration: 4, generateAudio: true, firstFrame: frame }), call)
      assert.deepEqual(sent().body, { model: 'veo3.1_fast', promptText: 'Leaves moving', ratio: '1280:720', duration: 4, audio: true, promptImage: [{ uri: toDataUri(frame), position: 'first' }] })
    })

    test('and what it cannot honour is told', async () => {
      const options = { publicFigureThreshold: 'low', negativePrompt: 'rain', referenceTags: ['style'] }
      const gen = await video().start(videoRequest({ generateAudio: true, providerOptions: options }), call)
      assert.deepEqual(gen.warnings.map(({ setting }) => setting), ['providerOptions.runway.negativePrompt', 'providerOptions.runway.referenceTags', 'generateAudio'])
      const veo = await video('veo3.1').start(videoRequest({ providerOptions: options }), call)
      assert.deepEqual(veo.warnings.map(({ type, setting }) => [type, setting]), [['unsupported', 'providerOptions.runway.publicFigureThreshold'], ['unsupported', 'providerOptions.runway.referenceTags'], ['adjusted', 'duration']])
      assert.equal(sent().body.duration, 6)
      const long = await video('veo3.1').start(videoRequest({ duration: 10 }), call)
      assert.equal(sent().body.duration, 8)
      assert.equal(long.warnings.length, 1)
    })

    test('and refuses a shape that it does not make before anything is sent', async () => {
      const arrived = simulator.calls.length
      for (const [model, request] of [
        ['gen4.5', videoRequest({ aspectRatio: '1:1' })],
        ['gen4.5', videoRequest({ aspectRatio: '5:4', firstFrame: large })],
        ['gen4.5', videoRequest({ resolution: '1080p' })],
        ['gen4_turbo', videoRequest()],
        ['veo3.1', videoRequest({ aspectRatio: '1:1' })],
      ] as const) {
        assert.deepEqual(told(await failureOf(video(model).start(request, call))), ['invalid_request', 'no', false, undefined])
      }
      assert.equal(simulator.calls.length, arrived)
    })

    test('by a model that is not known here yet, as its catalog entry says', async () => {
      await failureOf(provider.video!({ vendorId: 'veo9', family: 'veo3.1' }).start(videoRequest({ duration: 4 }), call))
      assert.deepEqual(sent().body, { model: 'veo9', promptText: 'Leaves moving', ratio: '1280:720', duration: 4, audio: false })
      await failureOf(provider.video!({ vendorId: 'gen5' }).start(videoRequest(), call))
      assert.equal(sent().body.audio, undefined)
    })
  })

  describe('is asked for pictures', () => {
    test('from text', async () => {
      await image().start(imageRequest({ seed: 1, size: { width: 1920, height: 1080 }, providerOptions: { publicFigureThreshold: 'auto' } }), call)
      assert.equal(sent().endpoint, 'text_to_image')
      assert.deepEqual(sent().body, { model: 'gen4_image', promptText: 'A cat', ratio: '1920:1080', seed: 1, contentModeration: { publicFigureThreshold: 'auto' } })
    })

    test('from pictures, by the names that the caller gives or our own', async () => {
      const other = await picture('red')
      const answer = await image('gen4_image_turbo').start(imageRequest({ task: 'edit', images: [frame, other], providerOptions: { referenceTags: ['style'] } }), call)
      assert.deepEqual(sent().body, { model: 'gen4_image_turbo', promptText: 'A cat', ratio: '1024:1024', referenceImages: [{ uri: toDataUri(frame), tag: 'style' }, { uri: toDataUri(other), tag: 'image2' }] })
      assert.deepEqual(answer.warnings, [])
    })

    test('and what it cannot honour is told', async () => {
      const answer = await image().start(imageRequest({ task: 'edit', images: [frame], mask: frame, negativePrompt: 'rain', providerOptions: { negativePrompt: 'rain', referenceTags: ['style', 'more'] } }), call)
      assert.deepEqual(answer.warnings.map(({ setting }) => setting), ['negativePrompt', 'providerOptions.runway.negativePrompt', 'mask', 'providerOptions.runway.referenceTags'])
      const arrived = simulator.calls.length
      assert.deepEqual(told(await failureOf(image().start(imageRequest({ task: 'remove-background', images: [frame] }), call))), ['invalid_request', 'no', false, undefined])
      assert.equal(simulator.calls.length, arrived)
    })

    test('and gives them once they are made', async () => {
      const answer = await image().start(imageRequest(), call)
      assert.ok('operation' in answer)
      const model = fresh().image!({ vendorId: 'gen4_image' })
      assert.deepEqual(await model.check!(answer.operation, { signal }), { status: 'queued' })
      assert.deepEqual(await model.check!(answer.operation, { signal }), { status: 'running', progress: 0.5 })
      const state = await model.check!(answer.operation, { signal })
      assert.ok(state.status === 'succeeded' && state.outputs[0]?.type === 'url')
      assert.equal(state.costMicros, 80_000)
      assert.equal((await fetch(state.outputs[0].url)).headers.get('content-type'), 'image/png')
      assert.equal(provider.downloadHeaders?.(state.outputs[0].url), undefined)
      assert.equal(await model.cancel!(answer.operation, { signal }), false)
    })
  })

  describe('is handed large pictures by an upload', () => {
    test('that is free, and precedes the one paid call', async () => {
      const arrived = simulator.calls.length
      await video().start(videoRequest({ firstFrame: large }), call)
      const calls = simulator.calls.slice(arrived)
      assert.deepEqual(calls.map((one) => one.replace(/[\w-]{36}/, 'key')), ['POST /v1/uploads', 'POST /store/key', 'POST /v1/image_to_video'])
      const [{ uri }] = sent().body.promptImage as [{ uri: string }]
      const upload = simulator.uploads.get(uri)!
      assert.deepEqual([upload.filename, upload.mediaType, upload.bytes.equals(large.bytes)], ['input.png', 'image/png', true])
    })

    test('also through a fetch of the caller’s', async () => {
      const own = createRunway({ apiKey: simulator.apiKey, baseURL: simulator.baseURL, fetch })
      await own.image!({ vendorId: 'gen4_image' }).start(imageRequest({ task: 'edit', images: [large, frame] }), call)
      const [first, second] = sent().body.referenceImages as { uri: string }[]
      assert.ok(simulator.uploads.has(first!.uri))
      assert.equal(second!.uri, toDataUri(frame))
    })

    test('which goes nowhere but to public https and to the configured origin', async () => {
      const created = simulator.created()
      for (const address of ['http://169.254.169.254/latest', 'https://10.0.0.7/store', 'http://127.0.0.1:9/store', 'https://localhost/store', 'ftp://example.com/store', 'nothing']) {
        simulator.misleadUploads(address)
        assert.deepEqual(told(await failureOf(video().start(videoRequest({ firstFrame: large }), call))), ['provider_failed', 'no', false, undefined], address)
      }
      assert.equal(simulator.created(), created)
    })

    for (const [status, isRetryable] of [[403, false], [503, true], [307, true]] as const) {
      test(`whose store answers ${status}: nothing is charged`, async () => {
        const created = simulator.created()
        simulator.misleadUploads(status)
        const error = await failureOf(video().start(videoRequest({ firstFrame: large }), call))
        assert.deepEqual([error.code, error.charged, error.isRetryable], ['provider_failed', 'no', isRetryable])
        assert.equal(simulator.created(), created)
      })
    }
  })

  describe('refuses a create', () => {
    const rows: [word: RunwayWord, expected: unknown[], retryAfterSeconds?: number][] = [
      ['bad-request', ['invalid_request', 'no', false, 400]],
      ['bad-model', ['model_unavailable', 'no', false, 400]],
      ['quota', ['provider_quota_reached', 'no', false, 400]],
      ['auth', ['provider_misconfigured', 'no', false, 401]],
      ['forbidden', ['provider_misconfigured', 'no', false, 403]],
      ['not-found', ['provider_misconfigured', 'no', false, 404]],
      ['bad-method', ['provider_misconfigured', 'no', false, 405]],
      ['conflict', ['provider_failed', 'no', false, 409]],
      ['too-large', ['invalid_request', 'no', false, 413]],
      ['rate-limit', ['provider_rate_limited', 'no', true, 429], 60],
      ['rate-limit-long', ['provider_rate_limited', 'no', true, 429], 3600],
      ['proxy-conflict', ['submission_unknown', 'unknown', false, 409]],
      ['server-error', ['submission_unknown', 'unknown', false, 500]],
      ['proxy-error', ['submission_unknown', 'unknown', false, 502]],
      ['overloaded', ['submission_unknown', 'unknown', false, 503]],
      ['gateway-error', ['submission_unknown', 'unknown', false, 504]],
    ]
    for (const [word, expected, retryAfterSeconds] of rows) {
      test(`${word}: ${String(expected[0])}`, async () => {
        const [created, arrived] = [simulator.created(), simulator.requests.length]
        simulator.behave(word)
        const error = await failureOf(video().start(videoRequest(), call))
        assert.deepEqual(told(error), expected)
        assert.equal(error.retryAfterSeconds, retryAfterSeconds)
        assert.match(error.providerRequestId!, /^req-/)
        assert.equal(error.provider, 'runway')
        assert.equal(simulator.created(), created)
        assert.equal(simulator.requests.length, arrived + 1, 'it was sent once')
      })
    }

    test('of a model that it does not have, in the words of its validation', async () => {
      assert.deepEqual(told(await failureOf(image('gen4_mural').start(imageRequest(), call))), ['model_unavailable', 'no', false, 400])
      assert.deepEqual(told(await failureOf(image().start(imageRequest({ size: { width: 512, height: 512 } }), call))), ['invalid_request', 'no', false, 400])
    })

    test('with another’s key', async () => {
      const stranger = createRunway({ apiKey: 'key_wrong', baseURL: simulator.baseURL })
      assert.deepEqual(told(await failureOf(stranger.video!({ vendorId: 'gen4.5' }).start(videoRequest(), call))), ['provider_misconfigured', 'no', false, 401])
    })
  })

  describe('loses the answer to a create', () => {
    for (const [word, code, status, made] of [
      ['drop', 'submission_unknown', undefined, 0],
      ['cut', 'submission_unknown', undefined, 0],
      ['html', 'submission_unknown', undefined, 0],
      ['no-id', 'submission_unknown', undefined, 0],
      ['bad-id', 'submission_unknown', undefined, 0],
      ['accept-drop', 'submission_unknown', undefined, 1],
      ['accept-cut', 'submission_unknown', undefined, 1],
      ['accept-500', 'submission_unknown', 500, 1],
      ['accept-502', 'submission_unknown', 502, 1],
      ['hang', 'provider_timeout', undefined, 0],
      ['accept-hang', 'provider_timeout', undefined, 1],
    ] as const) {
      test(`${word}: ${code}, and it is asked once`, async () => {
        const patience = new AbortController()
        simulator.onHang(() => patience.abort())
        const prompt = `Lost by ${word}`
        const arrived = simulator.requests.length
        simulator.behave(word)
        const error = await failureOf(video().start(videoRequest({ prompt }), { signal: patience.signal, mark: {} }))
        assert.deepEqual(told(error), [code, 'unknown', false, status])
        assert.equal(simulator.createsOf(prompt), made)
        assert.equal(simulator.requests.length, arrived + 1)
      })
    }

    test('but not where it was never reached, nor asked', async () => {
      const closed = await startRunwaySimulator()
      await closed.close()
      const nobody = createRunway({ apiKey: 'key', baseURL: closed.baseURL })
      assert.deepEqual(told(await failureOf(nobody.video!({ vendorId: 'gen4.5' }).start(videoRequest(), call))), ['provider_failed', 'no', true, undefined])
      const arrived = simulator.calls.length
      assert.deepEqual(told(await failureOf(video().start(videoRequest(), { signal: AbortSignal.abort(), mark: {} }))), ['provider_timeout', 'no', true, undefined])
      assert.equal(simulator.calls.length, arrived)
    })
  })

  test('is probed by a free call', async () => {
    const arrived = simulator.calls.length
    assert.equal((await provider.probe!({ signal }) as { creditBalance: number }).creditBalance, 1234)
    assert.deepEqual(simulator.calls.slice(arrived), ['GET /v1/organization'])
    assert.deepEqual(told(await failureOf(createRunway({ apiKey: 'key_wrong', baseURL: simulator.baseURL }).probe!({ signal }))), ['provider_misconfigured', 'no', false, 401])
  })

  test('its key goes to the API and into nothing else', async () => {
    const { operation } = (await video().start(videoRequest(), call)) as { operation: Operation }
    assert.equal(sent().headers.authorization, `Bearer ${simulator.apiKey}`)
    assert.equal(sent().headers['x-runway-version'], '2024-11-06')
    const things: unknown[] = [provider, operation, await video().check!(operation, { signal })]
    for (const word of ['auth', 'server-error', 'drop', 'html', 'quota'] as const) {
      simulator.behave(word)
      const error = await failureOf(video().start(videoRequest(), call))
      assert.doesNotMatch(error.message, /key_|Unauthorized|credits|req-/)
      things.push(error)
    }
    for (const thing of things) {
      assert.ok(!inspect(thing, { depth: 20, showHidden: true }).includes(simulator.apiKey))
      assert.ok(!JSON.stringify(thing).includes(simulator.apiKey))
    }
  })

  test('its own options are checked', () => {
    assert.ok(provider.optionsSchema.safeParse({ publicFigureThreshold: 'low', referenceTags: ['style'] }).success)
    for (const options of [{ colour: 'red' }, { referenceTags: ['1st'] }, { referenceTags: ['has-dash'] }, { publicFigureThreshold: 'high' }, { referenceTags: [] }]) assert.equal(provider.optionsSchema.safeParse(options).success, false, JSON.stringify(options))
  })

  test('its catalog is valid, and the vendor makes all of it', async () => {
    const catalog = createCatalog(runwayModels)
    assert.equal(catalog.resolve(catalog.find('runway-gen-2')!).model.id, 'gen4.5')
    for (const model of catalog.list().filter(({ state }) => state === 'current')) {
      if (model.kind === 'image') {
        for (const known of model.sizes.known) {
          const [width, height] = known.split('x').map(Number) as [number, number]
          await image(model.id).start(imageRequest(model.tasks.includes('generate') ? { size: { width, height } } : { task: 'edit', size: { width, height }, images: [frame] }), call)
        }
      } else {
        for (const resolution of model.resolutions) for (const aspectRatio of model.aspectRatios) await video(model.id).start(videoRequest({ duration: model.durations.max, resolution, aspectRatio, firstFrame: frame }), call)
      }
    }
  })
})
