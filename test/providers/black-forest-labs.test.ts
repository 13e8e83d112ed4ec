/** Black Forest Labs through the AI SDK's real package over HTTP: what is sent, and what its answers become. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { inspect } from 'node:util'
import { ProviderError } from '../../src/errors.ts'
import { createCatalog } from '../../src/generation/catalog.ts'
import { blackForestLabsModels } from '../../src/generation/models/black-forest-labs.ts'
import type { InputFile, Operation, OperationState, Provider, VideoRequest } from '../../src/generation/provider.ts'
import { createBlackForestLabs } from '../../src/providers/black-forest-labs.ts'
import { startBflSimulator, type BflSimulator } from '../simulator/black-forest-labs.ts'
import type { BflBehaviour } from '../simulator/black-forest-labs-words.ts'
import { call, failureOf, picture, signal, told, videoRequest } from '../support/provider-requests.ts'

const SECRET = 'bfl-key-of-nobody'
const PROMPT = 'A heron whose name is private'

describe('Black Forest Labs', () => {
  let simulator: BflSimulator
  let frame: InputFile
  let frameText: string
  /** Another process, as it were, with each call. */
  const create = (changes: Partial<Parameters<typeof createBlackForestLabs>[0]> = {}): Provider => createBlackForestLabs({ apiKey: SECRET, baseURL: simulator.baseURL, ...changes })
  const video = (vendorId = 'flux-3-video', provider = create()) => provider.video!({ vendorId })
  const request = (more: Partial<VideoRequest> = {}) => videoRequest({ prompt: PROMPT, ...more })
  const sent = () => simulator.starts.at(-1)!

  before(async () => {
    simulator = await startBflSimulator({ apiKey: SECRET })
    frame = await picture('teal')
    frameText = Buffer.from(frame.bytes).toString('base64')
  })
  after(() => simulator.close())

  async function started(...words: BflBehaviour[]): Promise<Operation> {
    simulator.behave(words.length > 0 ? words : ['ok'])
    const answer = await video().start(request({ firstFrame: frame }), call)
    assert.ok('operation' in answer)
    return JSON.parse(JSON.stringify(answer.operation)) as Operation
  }
  const check = (operation: Operation) => video().check!(operation, { signal })

  /** Our error, which tells no secret and nothing of the input, wherever one looks. */
  async function failure(failing: Promise<unknown>): Promise<ProviderError> {
    return discreet(await failureOf(failing))
  }
  function discreet(error: ProviderError): ProviderError {
    const text = inspect(error, { depth: Infinity, showHidden: true, maxStringLength: Infinity }) + JSON.stringify(error)
    for (const secret of [SECRET, PROMPT, frameText.slice(0, 100), 'secret-signature']) assert.ok(!text.includes(secret), text)
    assert.equal(error.provider, 'bfl')
    return error
  }
  function errorOf(state: OperationState): ProviderError {
    assert.ok(state.status === 'failed', inspect(state))
    return discreet(state.error)
  }

  describe('is asked for videos', () => {
    const text = { mode: 't2v', prompt: PROMPT, aspect_ratio: '16:9', duration: 5, resolution: 'hd' }
    const cases: [name: string, more: () => Partial<VideoRequest>, body: () => Record<string, unknown>, warned: string[]][] = [
      ['from text', () => ({}), () => text, []],
      ['silent', () => ({ generateAudio: false }), () => ({ ...text, generate_audio: false }), []],
      ['from a first frame', () => ({ firstFrame: frame }), () => ({ ...text, mode: 'i2v', keyframes: [frameText] }), []],
      ['long, wide and large', () => ({ duration: 20, aspectRatio: '21:9', resolution: '1080p', generateAudio: true }), () => ({ ...text, duration: 20, aspect_ratio: '21:9', resolution: 'fhd', generate_audio: true }), []],
      ['strictly', () => ({ providerOptions: { safetyTolerance: 0 } }), () => ({ ...text, safety_tolerance: 0 }), []],
      ['as drafts', () => ({ providerOptions: { draft: true } }), () => ({ ...text, draft: true }), []],
      ['as large drafts, which it does not make', () => ({ resolution: '1080p', providerOptions: { draft: true } }), () => ({ ...text, draft: true }), ['adjusted resolution']],
      ['with what it leaves out', () => ({ seed: 7, duration: 30 }), () => ({ ...text, duration: 20 }), ['unsupported seed', 'unsupported duration']],
    ]
    for (const [name, more, body, warned] of cases) {
      test(name, async () => {
        simulator.behave('ok')
        const answer = await video().start(request(more()), call)
        assert.deepEqual(sent().body, body())
        assert.deepEqual(answer.warnings.map(({ type, setting }) => `${type} ${setting}`), warned)
        for (const { message } of answer.warnings) assert.match(message, /\.$/)
        assert.ok('operation' in answer)
        // What it may come to is not yet a bill.
        assert.deepEqual([answer.providerRequestId, answer.costMicros], [answer.operation.requestId, undefined])
      })
    }

    test('and refuses a shape that it does not make before anything is sent', async () => {
      const arrived = simulator.calls.length
      for (const more of [{ aspectRatio: '5:4' }, { resolution: '480p' }]) assert.deepEqual(told(await failure(video().start(request(more), call))), ['invalid_request', 'no', false, undefined])
      assert.equal(simulator.calls.length, arrived)
    })
  })

  describe('refuses a start', () => {
    const rows: [word: BflBehaviour, expected: unknown[], retryAfterSeconds?: number][] = [
      ['bad-request', ['invalid_request', 'no', false, 422]],
      ['missing', ['invalid_request', 'no', false, 400]],
      ['too-large', ['invalid_request', 'no', false, 413]],
      ['unauthorized', ['provider_misconfigured', 'no', false, 401]],
      ['auth', ['provider_misconfigured', 'no', false, 403]],
      ['empty', ['provider_misconfigured', 'no', false, 403]],
      ['quota', ['provider_quota_reached', 'no', false, 402]],
      ['not-found', ['model_unavailable', 'no', false, 404]],
      ['teapot', ['provider_failed', 'no', false, 418]],
      ['rate-limit', ['provider_rate_limited', 'no', true, 429], 7],
      ['rate-limit-long', ['provider_rate_limited', 'no', true, 429], 3600],
      ['proxy-conflict', ['submission_unknown', 'unknown', false, 409]],
      ['server-error', ['submission_unknown', 'unknown', false, 500]],
      ['proxy-error', ['submission_unknown', 'unknown', false, 502]],
      ['overloaded', ['submission_unknown', 'unknown', false, 503]],
      ['gateway-error', ['submission_unknown', 'unknown', false, 504]],
      ['redirect', ['submission_unknown', 'unknown', false, 307]],
    ]
    for (const [word, expected, retryAfterSeconds] of rows) {
      test(`${word}: ${String(expected[0])}`, async () => {
        const [created, arrived] = [simulator.created(), simulator.starts.length]
        simulator.behave(word)
        const error = await failure(video().start(request({ firstFrame: frame }), call))
        assert.deepEqual(told(error), expected)
        assert.equal(error.retryAfterSeconds, retryAfterSeconds)
        assert.match(error.providerRequestId!, /^edge-/)
        assert.equal(simulator.created(), created)
        assert.equal(simulator.starts.length, arrived + 1, 'it was sent once')
      })
    }

    test('in words for programs, which are kept', async () => {
      for (const [word, cause] of [['bad-request', '422 extra_forbidden'], ['rate-limit', '429 rate_limit_exceeded'], ['quota', '402']] as const) {
        simulator.behave(word)
        assert.equal(((await failure(video().start(request(), call))).cause as Error).message, cause)
      }
    })

    test('of a model that it does not have, and with another’s key', async () => {
      assert.deepEqual(told(await failure(video('flux-9-video').start(request(), call))), ['model_unavailable', 'no', false, 404])
      assert.deepEqual(told(await failure(video('flux-3-video', create({ apiKey: 'another-key' })).start(request(), call))), ['provider_misconfigured', 'no', false, 403])
    })
  })

  describe('loses the answer to a start', () => {
    for (const [word, code, status, made] of [
      ['drop', 'submission_unknown', undefined, 0],
      ['cut', 'submission_unknown', undefined, 0],
      ['html', 'submission_unknown', 200, 0],
      ['nonsense', 'submission_unknown', 200, 0],
      ['bad-id', 'submission_unknown', 200, 0],
      ['hang', 'provider_timeout', undefined, 0],
      ['accept-drop', 'submission_unknown', undefined, 1],
      ['accept-cut', 'submission_unknown', undefined, 1],
      ['accept-500', 'submission_unknown', 500, 1],
      ['accept-502', 'submission_unknown', 502, 1],
      ['accept-html', 'submission_unknown', 200, 1],
      ['accept-nonsense', 'submission_unknown', 200, 1],
      ['accept-hang', 'provider_timeout', undefined, 1],
    ] as const) {
      test(`${word}: ${code}, and it is asked once`, async () => {
        const [created, arrived] = [simulator.created(), simulator.starts.length]
        const patience = new AbortController()
        if (word.endsWith('hang')) void untilStarted(arrived).then(() => patience.abort())
        simulator.behave(word)
        assert.deepEqual(told(await failure(video().start(request({ firstFrame: frame }), { ...call, signal: patience.signal }))), [code, 'unknown', false, status])
        assert.deepEqual([simulator.created(), simulator.starts.length], [created + made, arrived + 1])
      })
    }

    test('but not where it was never reached, nor asked', async () => {
      const closed = await startBflSimulator()
      await closed.close()
      assert.deepEqual(told(await failure(video('flux-3-video', create({ baseURL: closed.baseURL })).start(request(), call))), ['provider_failed', 'no', true, undefined])
      const arrived = simulator.calls.length
      assert.deepEqual(told(await failure(video().start(request(), { ...call, signal: AbortSignal.abort() }))), ['provider_timeout', 'no', false, undefined])
      assert.equal(simulator.calls.length, arrived)
    })

    /** Resolves once another start has arrived. */
    async function untilStarted(before: number): Promise<void> {
      while (simulator.starts.length === before) await new Promise((resolve) => setImmediate(resolve))
    }
  })

  describe('tells how a task stands', () => {
    for (const [state, expected] of [['Pending', 'queued'], ['Reasoning', 'running'], ['Generating', 'running']] as const) {
      test(`${state}: ${expected}`, async () => {
        const operation = await started()
        const release = simulator.hold(state)
        assert.deepEqual(await check(operation).finally(release), { status: expected })
      })
    }

    test('done, to a process that did not start it', async () => {
      const operation = await started()
      assert.deepEqual(Object.keys(operation), ['requestId', 'pollingUrl', 'cost'])
      const state = await check(operation)
      assert.ok(state.status === 'succeeded' && state.outputs[0]?.type === 'url')
      assert.equal(state.outputs.length, 1)
      assert.equal(state.costMicros, 850_000)
      assert.equal(create().downloadHeaders, undefined)
      assert.equal((await fetch(state.outputs[0].url)).headers.get('content-type'), 'video/mp4')
    })

    test('done at the price that is settled, or at none', async () => {
      const settled = await check(await started('settled'))
      assert.ok(settled.status === 'succeeded' && settled.costMicros === 425_000)
      const silent = await check(await started('no-cost'))
      assert.ok(silent.status === 'succeeded' && !('costMicros' in silent))
    })

    test('in a word that is not known, under either name', async () => {
      assert.deepEqual(await check(await started('unknown-state')), { status: 'unknown', vendorStatus: 'Paused' })
      assert.deepEqual(await check(await started('unknown-state', 'state-word')), { status: 'unknown', vendorStatus: 'Paused' })
    })

    const ends: [words: BflBehaviour[], expected: unknown[]][] = [
      [['request-moderated'], ['content_refused', 'no', false, 200]],
      [['content-moderated'], ['content_refused', 'no', false, 200]],
      [['content-moderated', 'billed'], ['content_refused', 'yes', false, 200]],
      [['error'], ['provider_failed', 'unknown', false, 200]],
      [['failed', 'free'], ['provider_failed', 'no', true, 200]],
      [['error', 'billed'], ['provider_failed', 'yes', false, 200]],
      [['no-sample'], ['output_invalid', 'yes', false, 200]],
    ]
    for (const [words, expected] of ends) {
      test(`${words.join(' and ')}: ${String(expected[0])}, charged: ${String(expected[1])}`, async () => {
        assert.deepEqual(told(errorOf(await check(await started(...words)))), expected)
      })
    }

    test('forgotten: the operation is lost', async () => {
      assert.deepEqual(told(await failure(check(await started('forgotten')))), ['operation_lost', 'unknown', false, undefined])
      assert.deepEqual(told(await failure(check(await started('forgotten-404')))), ['operation_lost', 'unknown', false, 404])
    })

    test('an operation that is none leads to no address', async () => {
      const arrived = simulator.calls.length
      const { pollingUrl } = await started()
      for (const operation of [{}, { pollingUrl }, { pollingUrl, requestId: '../credits' }, { pollingUrl, requestId: 7 }, { requestId: 'a', pollingUrl: 7 }]) assert.equal((await failure(check(operation))).code, 'operation_lost')
      assert.equal(simulator.calls.length, arrived + 1)
    })

    for (const [fault, code, isRetryable, status] of [
      ['server-error', 'provider_failed', true, 500],
      ['proxy-error', 'provider_failed', true, 502],
      ['rate-limit', 'provider_rate_limited', true, 429],
      ['quota', 'provider_quota_reached', false, 402],
      ['unauthorized', 'provider_misconfigured', false, 401],
      ['auth', 'provider_misconfigured', false, 403],
      ['page-404', 'provider_failed', true, 404],
      ['html', 'provider_failed', true, 200],
      ['nonsense', 'provider_failed', true, 200],
      ['redirect', 'provider_failed', true, undefined],
      ['drop', 'provider_failed', true, undefined],
      ['cut', 'provider_failed', true, undefined],
    ] as const) {
      test(`a look that goes wrong by ${fault} says nothing of the task`, async () => {
        const operation = await started(`look-${fault}-once`)
        assert.deepEqual(told(await failure(check(operation))), [code, 'no', isRetryable, status])
        assert.equal((await check(operation)).status, 'succeeded')
      })
    }

    test('a look that is given up costs nothing', async () => {
      const operation = await started()
      assert.deepEqual(told(await failure(video().check!(operation, { signal: AbortSignal.abort() }))), ['provider_timeout', 'no', true, undefined])
    })
  })

  test('its key goes to the API and into nothing else', async () => {
    const provider = create()
    const operation = await started()
    assert.equal(sent().headers['x-key'], SECRET)
    for (const thing of [provider, operation, await check(operation)]) {
      assert.ok(!inspect(thing, { depth: 20, showHidden: true }).includes(SECRET))
      assert.ok(!JSON.stringify(thing).includes(SECRET))
    }
  })

  test('its own options are checked: none loosens what the operator answers for', () => {
    const { optionsSchema } = create()
    for (const options of [{}, { safetyTolerance: 2, draft: false }]) assert.ok(optionsSchema.safeParse(options).success)
    for (const options of [{ safetyTolerance: 3 }, { safetyTolerance: -1 }, { safetyTolerance: 1.5 }, { draft: 'yes' }, { webhookUrl: 'https://a.example' }, { keyframes: ['https://a.example/a.png'] }, { draftCache: 'https://a.example' }]) assert.equal(optionsSchema.safeParse(options).success, false, JSON.stringify(options))
  })

  test('its catalog is valid, and the vendor makes all of it', async () => {
    for (const model of createCatalog(blackForestLabsModels).list()) {
      assert.ok(model.kind === 'video')
      for (const resolution of model.resolutions) {
        for (const aspectRatio of model.aspectRatios) {
          for (const duration of [model.durations.min, model.durations.max]) assert.deepEqual((await video(model.id).start(request({ duration, resolution, aspectRatio, firstFrame: frame }), call)).warnings, [])
        }
      }
    }
  })
})
