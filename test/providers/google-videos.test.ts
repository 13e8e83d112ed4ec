/** Google's videos through the real client: begun once, looked at by any process, stopped where that saves something. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ProviderError } from '../../src/errors.ts'
import type { Operation, OperationState, Provider, Started, VideoModel, VideoRequest } from '../../src/generation/provider.ts'
import { createGoogle } from '../../src/providers/google.ts'
import { startGoogleSimulator, type GoogleSimulator } from '../simulator/google.ts'

const OMNI = 'gemini-omni-1.2-flash'
const signal = new AbortController().signal
/** Tokens of a second of 720p in the simulator, at $17.50 a million. */
const TOKENS_OF_3_SECONDS = 3 * 5783

describe('Google videos', () => {
  let simulator: GoogleSimulator
  let provider: Provider
  let model: VideoModel
  before(async () => {
    simulator = await startGoogleSimulator()
    provider = createGoogle(simulator)
    model = provider.video!({ vendorId: OMNI })
  })
  after(() => simulator.close())

  const start = (request: Partial<VideoRequest> = {}): Promise<Started> =>
    model.start({ prompt: 'A boat drifts away', duration: 3, aspectRatio: '16:9', resolution: '720p', providerOptions: {}, ...request }, { signal, mark: {} })

  const begin = async (...words: string[]): Promise<Operation> => {
    if (words.length > 0) simulator.behave(...words)
    const started = await start()
    assert.ok('operation' in started)
    return started.operation
  }

  const check = (operation: Operation, by = model): Promise<OperationState> => by.check!(operation, { signal })
  const cancel = (operation: Operation): Promise<boolean> => model.cancel!(operation, { signal })

  /** The third look finds the end. */
  const endOf = async (operation: Operation): Promise<OperationState> => {
    assert.equal((await check(operation)).status, 'queued')
    assert.equal((await check(operation)).status, 'running')
    return await check(operation)
  }

  const failureOf = async (call: Promise<unknown>): Promise<ProviderError> => {
    const error = await call.then(() => undefined, (reason: unknown) => reason)
    assert.ok(error instanceof ProviderError, 'a ProviderError')
    return error
  }

  const common = { model: OMNI, response_format: { type: 'video', aspect_ratio: '16:9', resolution: '720p', duration: '3s', delivery: 'uri' }, background: true, store: true }
  const text = { type: 'text', text: 'A boat drifts away' }
  const picture = { bytes: Buffer.from('xframex').subarray(1, 6), mediaType: 'image/png' }
  const image = { type: 'image', mime_type: 'image/png', data: Buffer.from('frame').toString('base64') }
  const bodies: [name: string, request: Partial<VideoRequest>, body: object, warnings: string[]][] = [
    ['words', {}, { ...common, input: [text], generation_config: { video_config: { task: 'text_to_video' } } }, []],
    ['a first frame', { firstFrame: picture }, { ...common, input: [text, image], generation_config: { video_config: { task: 'image_to_video' } } }, []],
    ['a reference', { firstFrame: picture, providerOptions: { pictureUse: 'reference' } }, { ...common, input: [text, image], generation_config: { video_config: { task: 'reference_to_video' } } }, []],
    ['other settings', { duration: 10, aspectRatio: '9:16', resolution: '4k' }, { ...common, input: [text], response_format: { type: 'video', aspect_ratio: '9:16', resolution: '4k', duration: '10s', delivery: 'uri' }, generation_config: { video_config: { task: 'text_to_video' } } }, []],
    ['what it has not', { seed: 1, generateAudio: false, callbackUrl: 'https://us.example.com/c', providerOptions: { temperature: 1, pictureUse: 'reference' } }, { ...common, input: [text], generation_config: { video_config: { task: 'text_to_video' } } }, ['seed', 'generateAudio', 'providerOptions.google.temperature', 'providerOptions.google.pictureUse']],
  ]
  for (const [name, request, body, warnings] of bodies) {
    test(`a video from ${name} is begun with exactly the documented body`, async () => {
      const started = await start(request)
      const sent = simulator.requests.at(-1)!
      assert.equal(sent.call, 'POST /v1beta/interactions')
      assert.equal(sent.headers['x-goog-api-key'], simulator.apiKey)
      assert.deepEqual(sent.body, body)
      assert.deepEqual(started.warnings.map(({ setting }) => setting), warnings)
      assert.ok('operation' in started)
      assert.deepEqual(Object.keys(started.operation), ['id'])
      assert.equal(started.providerRequestId, started.operation.id)
    })
  }

  test('an operation is plain JSON without secrets, and a new process goes on with it', async () => {
    const stored = JSON.stringify(await begin())
    assert.ok(!stored.includes(simulator.apiKey))
    const operation = JSON.parse(stored) as Operation
    const fresh = createGoogle(simulator).video!({ vendorId: 'whatever' })
    assert.deepEqual(await check(operation, fresh), { status: 'queued' })
    assert.deepEqual(await check(operation, fresh), { status: 'running' })
    const state = await check(operation, fresh)
    assert.ok(state.status === 'succeeded' && state.outputs[0]?.type === 'url')
    assert.deepEqual(state.usage, { outputTokens: TOKENS_OF_3_SECONDS })
    assert.ok(!JSON.stringify(state).includes(simulator.apiKey))
    const { url } = state.outputs[0]
    assert.equal((await fetch(url)).status, 403)
    const film = await fetch(url, { headers: provider.downloadHeaders!(url)! })
    assert.equal(film.headers.get('content-type'), 'video/mp4')
    await film.body?.cancel()
  })

  test('a film that is made and not yet to be had is still running', async () => {
    const operation = await begin('file-processing')
    assert.equal((await endOf(operation)).status, 'running')
    assert.equal((await check(operation)).status, 'succeeded')
  })

  for (const word of ['file-gone', 'file-forbidden']) {
    test(`the download tells what a look at the file cannot (${word})`, async () => {
      const state = await endOf(await begin(word))
      assert.ok(state.status === 'succeeded' && state.outputs[0]?.type === 'url')
      assert.equal((await fetch(state.outputs[0].url, { headers: provider.downloadHeaders!(state.outputs[0].url)! })).status, word === 'file-gone' ? 404 : 403)
    })
  }

  test('a link to another host is neither looked at nor sent the key', async () => {
    const state = await endOf(await begin('foreign-link'))
    assert.ok(state.status === 'succeeded' && state.outputs[0]?.type === 'url')
    assert.equal(provider.downloadHeaders!(state.outputs[0].url), undefined)
    assert.match(simulator.requests.at(-1)!.call, /interactions/)
  })

  test('a film that comes inline is taken as bytes', async () => {
    const state = await endOf(await begin('inline'))
    assert.ok(state.status === 'succeeded' && state.outputs[0]?.type === 'bytes')
    assert.equal(Buffer.from(state.outputs[0].bytes.subarray(4, 8)).toString(), 'ftyp')
  })

  const ends: [word: string, code: string, charged: string, isRetryable?: boolean][] = [
    ['failed-safety', 'content_refused', 'no'],
    ['failed-number', 'provider_rate_limited', 'no', true],
    ['failed-internal', 'provider_failed', 'no', true],
    ['failed-billed', 'provider_failed', 'yes'],
    ['failed-silent', 'provider_failed', 'unknown'],
    ['incomplete', 'provider_failed', 'no'],
    ['budget-exceeded', 'provider_quota_reached', 'no'],
    ['requires-action', 'provider_failed', 'no'],
    ['requires-continuation', 'provider_failed', 'no'],
    // Completed in the vendor's eyes.
    ['words-only', 'content_refused', 'yes'],
    ['no-video', 'output_invalid', 'yes'],
    ['no-output', 'provider_failed', 'unknown'],
    ['file-failed', 'output_unavailable', 'yes'],
  ]
  for (const [word, code, charged, isRetryable = false] of ends) {
    test(`a video that ends as ${word} is ${code}, charged: ${charged}`, async () => {
      const state = await endOf(await begin(word))
      assert.ok(state.status === 'failed')
      assert.deepEqual([state.error.code, state.error.charged, state.error.isRetryable], [code, charged, isRetryable])
      assert.doesNotMatch(state.error.message, /vendor text/)
    })
  }

  test('a word that nobody knows is passed on as such, and the vendor’s own cancellation as one', async () => {
    assert.deepEqual(await endOf(await begin('unknown-status')), { status: 'unknown', vendorStatus: 'pondering' })
    assert.deepEqual(await endOf(await begin('vendor-cancelled')), { status: 'cancelled' })
  })

  test('a forgotten video is lost, and so is an operation that is none', async () => {
    assert.equal((await failureOf(check(await begin('forgotten')))).code, 'operation_lost')
    const calls = simulator.requests.length
    for (const operation of [{}, { id: '../models' }, { id: 'a/b' }, { id: 7 }]) assert.equal((await failureOf(check(operation))).code, 'operation_lost')
    assert.equal(simulator.requests.length, calls)
  })

  const looks: [word: string, code: string, isRetryable: boolean][] = [
    ['drop', 'provider_failed', true],
    ['cut', 'provider_failed', true],
    ['html', 'provider_failed', true],
    ['bad-interaction', 'invalid_request', false],
    ['auth', 'provider_misconfigured', false],
    ['forbidden', 'provider_misconfigured', false],
    ['quota', 'provider_quota_reached', false],
    ['rate-limit', 'provider_rate_limited', true],
    ['daily-quota', 'provider_quota_reached', false],
    ['server-error', 'provider_failed', true],
    ['overloaded', 'provider_failed', true],
    ['deadline', 'provider_timeout', true],
    ['proxy-error', 'provider_failed', true],
    ['gateway-error', 'provider_failed', true],
  ]
  for (const [word, code, isRetryable] of looks) {
    test(`a look that fails (${word}) says nothing of the video`, async () => {
      const operation = await begin()
      simulator.behaveAtLook(word)
      const error = await failureOf(check(operation))
      assert.deepEqual([error.code, error.isRetryable, error.charged], [code, isRetryable, 'no'])
      assert.equal((await check(operation)).status, 'queued')
    })
  }

  test('a look that cannot be read, and one at the file that fails, are tried again', async () => {
    const odd = await failureOf(check(await begin('odd-look')))
    assert.deepEqual([odd.code, odd.isRetryable], ['provider_failed', true])
    const operation = await begin()
    await check(operation)
    await check(operation)
    simulator.behaveAtLook('ok', 'server-error')
    assert.equal((await failureOf(check(operation))).code, 'provider_failed')
    assert.equal((await check(operation)).status, 'succeeded')
  })

  const refusals: [word: string, status: number, code: string, isRetryable: boolean][] = [
    ['bad-request', 400, 'invalid_request', false],
    ['bad-interaction', 400, 'invalid_request', false],
    ['input-safety', 400, 'content_refused', false],
    ['auth', 400, 'provider_misconfigured', false],
    ['billing', 400, 'provider_misconfigured', false],
    ['unauthenticated', 401, 'provider_misconfigured', false],
    ['quota', 402, 'provider_quota_reached', false],
    ['forbidden', 403, 'provider_misconfigured', false],
    ['not-found', 404, 'model_unavailable', false],
    ['rate-limit', 429, 'provider_rate_limited', true],
    ['daily-quota', 429, 'provider_quota_reached', false],
  ]
  for (const [word, status, code, isRetryable] of refusals) {
    test(`a video's ${status} (${word}) is ${code}, and nothing was begun`, async () => {
      const created = simulator.created()
      simulator.behave(word)
      const error = await failureOf(start())
      assert.deepEqual([error.statusCode, error.code, error.charged, error.isRetryable], [status, code, 'no', isRetryable])
      assert.equal(simulator.created(), created)
    })
  }

  // Whether or not it was taken on: the answer is the same, and so is what may be said of it.
  for (const word of ['server-error', 'overloaded', 'deadline', 'server-html', 'proxy-error', 'gateway-error', 'timeout', 'accept-500', 'accept-overloaded', 'accept-deadline', 'accept-proxy-error', 'accept-drop', 'accept-cut', 'accept-html']) {
    test(`a video whose beginning is answered by ${word} may be under way`, async () => {
      const prompt = `A boat ${word}`
      simulator.behave(word)
      const error = await failureOf(start({ prompt }))
      assert.deepEqual([error.code, error.charged], ['submission_unknown', 'unknown'])
      assert.equal(simulator.createsOf(prompt), word.startsWith('accept') ? 1 : 0)
    })
  }

  test('a beginning that hangs is left when the signal says so, and may be under way', async () => {
    simulator.behave('accept-hang')
    const impatience = new AbortController()
    const prompt = 'A hanging boat'
    const call = failureOf(model.start({ prompt, duration: 3, aspectRatio: '16:9', resolution: '720p', providerOptions: {} }, { signal: impatience.signal, mark: {} }))
    while (simulator.createsOf(prompt) === 0) await new Promise(setImmediate)
    impatience.abort()
    const error = await call
    assert.deepEqual([error.code, error.charged, error.isRetryable], ['provider_timeout', 'unknown', false])
  })

  test('an answer without an id may stand for a video under way', async () => {
    simulator.behave('odd')
    const error = await failureOf(start({ prompt: 'An odd boat' }))
    assert.deepEqual([error.code, error.charged], ['submission_unknown', 'unknown'])
    assert.equal(simulator.createsOf('An odd boat'), 1)
  })

  test('a model that is gone is said to be', async () => {
    const error = await failureOf(provider.video!({ vendorId: 'veo-3.1-generate-preview' }).start({ prompt: 'A boat', duration: 4, aspectRatio: '16:9', resolution: '720p', providerOptions: {} }, { signal, mark: {} }))
    assert.deepEqual([error.code, error.charged], ['model_unavailable', 'no'])
  })

  describe('cancelling', () => {
    after(() => simulator.hold(undefined))

    for (const status of ['queued', 'in_progress'] as const) {
      test(`stops a video that is ${status}`, async () => {
        simulator.hold(status)
        const operation = await begin()
        assert.equal(await cancel(operation), true)
        assert.equal(simulator.statusOf(String(operation.id)), 'cancelled')
        assert.deepEqual(await check(operation), { status: 'cancelled' })
        assert.equal(await cancel(operation), true)
      })
    }

    test('never touches one that has ended', async () => {
      simulator.hold(undefined)
      for (const word of ['ok', 'failed-internal', 'unknown-status']) {
        const operation = await begin(word)
        await endOf(operation)
        const calls = simulator.requests.length
        assert.equal(await cancel(operation), false)
        assert.ok(simulator.requests.slice(calls).every(({ call }) => call.startsWith('GET ')))
      }
    })

    test('that comes too late leaves what was made', async () => {
      simulator.hold('in_progress')
      const operation = await begin('ends-on-cancel')
      assert.equal(await cancel(operation), false)
      assert.equal((await check(operation)).status, 'succeeded')
    })

    test('does not promise that nothing is billed where the vendor tells otherwise', async () => {
      simulator.hold('in_progress')
      assert.equal(await cancel(await begin('cancel-billed')), false)
    })

    test('that cannot be told is an error, and a forgotten video is lost', async () => {
      simulator.hold('queued')
      const operation = await begin()
      simulator.behaveAtLook('ok', 'server-error')
      assert.equal((await failureOf(cancel(operation))).code, 'provider_failed')
      assert.equal((await failureOf(cancel(await begin('forgotten')))).code, 'operation_lost')
    })
  })
})
