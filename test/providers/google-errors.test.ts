/** What becomes of everything that goes wrong with Google's pictures, and of videos that failed, row by row of its error tables. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ProviderError } from '../../src/errors.ts'
import type { ImageRequest, OperationState, Provider, Started } from '../../src/generation/provider.ts'
import { createGoogle } from '../../src/providers/google.ts'
import { startGoogleSimulator, type GoogleSimulator } from '../simulator/google.ts'

const FLASH = 'gemini-3.1-flash-image'

describe('Google errors', () => {
  let simulator: GoogleSimulator
  let provider: Provider
  before(async () => {
    simulator = await startGoogleSimulator()
    provider = createGoogle(simulator)
  })
  after(() => simulator.close())

  const start = (request: Partial<ImageRequest> = {}, from = provider, { signal } = new AbortController()): Promise<Started> =>
    from.image!({ vendorId: FLASH }).start({ task: 'generate', prompt: 'A cat', size: { width: 1024, height: 1024 }, images: [], providerOptions: {}, ...request }, { signal, mark: {} })

  const failureOf = async (call: Promise<unknown>): Promise<ProviderError> => {
    const error = await call.then(() => undefined, (reason: unknown) => reason)
    assert.ok(error instanceof ProviderError, 'a ProviderError')
    return error
  }

  const withheld: [word: string, code: string, charged: string][] = [
    ['image-safety', 'content_refused', 'no'],
    ['safety', 'content_refused', 'no'],
    ['prohibited', 'content_refused', 'no'],
    ['recitation', 'content_refused', 'no'],
    ['image-recitation', 'content_refused', 'no'],
    ['no-image', 'content_refused', 'no'],
    ['image-other', 'content_refused', 'no'],
    ['moderation', 'content_refused', 'no'],
    ['moderation-other', 'content_refused', 'no'],
    // Its usage says that a picture was made before it was withheld; or says nothing.
    ['image-safety-billed', 'content_refused', 'yes'],
    ['untold', 'content_refused', 'unknown'],
    ['text-only', 'provider_failed', 'no'],
    ['max-tokens', 'provider_failed', 'no'],
    ['empty', 'provider_failed', 'no'],
    ['odd', 'submission_unknown', 'unknown'],
  ]
  for (const [word, code, charged] of withheld) {
    test(`a 200 without a picture (${word}) is ${code}`, async () => {
      const created = simulator.created()
      simulator.behave(word)
      const error = await failureOf(start())
      assert.deepEqual([error.code, error.charged, error.isRetryable, error.statusCode], [code, charged, false, 200])
      assert.equal(simulator.created() > created, charged === 'yes' || word === 'odd')
      assert.doesNotMatch(error.message, /vendor text|IMAGE_/)
    })
  }

  const refusals: [word: string, status: number, code: string, charged: string, isRetryable: boolean, retryAfterSeconds?: number][] = [
    ['bad-request', 400, 'invalid_request', 'no', false],
    ['auth', 400, 'provider_misconfigured', 'no', false],
    ['auth-list', 400, 'provider_misconfigured', 'no', false],
    ['billing', 400, 'provider_misconfigured', 'no', false],
    ['input-safety', 400, 'content_refused', 'no', false],
    ['unauthenticated', 401, 'provider_misconfigured', 'no', false],
    ['quota', 402, 'provider_quota_reached', 'no', false],
    ['forbidden', 403, 'provider_misconfigured', 'no', false],
    ['not-found', 404, 'model_unavailable', 'no', false],
    ['too-large', 413, 'invalid_request', 'no', false],
    ['own-conflict', 409, 'provider_failed', 'no', false],
    ['rate-limit', 429, 'provider_rate_limited', 'no', true, 21],
    ['rate-limit-fraction', 429, 'provider_rate_limited', 'no', true, 2],
    ['rate-limit-header', 429, 'provider_rate_limited', 'no', true, 7],
    ['rate-limit-bare', 429, 'provider_rate_limited', 'no', true],
    ['daily-quota', 429, 'provider_quota_reached', 'no', false],
    ['server-error', 500, 'provider_failed', 'no', true],
    ['overloaded', 503, 'provider_failed', 'no', true],
    // The vendor's own word, and yet the picture may be done.
    ['deadline', 504, 'submission_unknown', 'unknown', false],
    // Not in the vendor's own words: who knows what became of it.
    ['proxy-conflict', 409, 'submission_unknown', 'unknown', false],
    ['server-html', 500, 'submission_unknown', 'unknown', false],
    ['proxy-error', 502, 'submission_unknown', 'unknown', false],
    ['gateway-error', 504, 'submission_unknown', 'unknown', false],
    ['gateway-json', 504, 'submission_unknown', 'unknown', false],
    ['timeout', 408, 'submission_unknown', 'unknown', false],
  ]
  for (const [word, status, code, charged, isRetryable, retryAfterSeconds] of refusals) {
    test(`a picture's ${status} (${word}) is ${code}, charged: ${charged}`, async () => {
      const created = simulator.created()
      simulator.behave(word)
      const error = await failureOf(start())
      assert.deepEqual([error.statusCode, error.code, error.charged, error.isRetryable, error.retryAfterSeconds], [status, code, charged, isRetryable, retryAfterSeconds])
      assert.equal(error.provider, 'google')
      assert.equal(simulator.created(), created)
      assert.doesNotMatch(error.message, /vendor text/)
    })
  }

  for (const word of ['drop', 'cut', 'html']) {
    test(`a picture whose answer is lost (${word}) may have been paid`, async () => {
      simulator.behave(word)
      const prompt = `A lost cat ${word}`
      const error = await failureOf(start({ prompt }))
      assert.deepEqual([error.code, error.charged, error.isRetryable], ['submission_unknown', 'unknown', false])
      assert.equal(simulator.createsOf(prompt), 1)
    })
  }

  test('a caller that loses patience is told that the bill is unknown', async () => {
    const impatience = new AbortController()
    const patient: typeof fetch = async (_url, init) => {
      impatience.abort()
      throw init!.signal!.reason as Error
    }
    const error = await failureOf(start({}, createGoogle({ ...simulator, fetch: patient }), impatience))
    assert.deepEqual([error.code, error.charged, error.isRetryable], ['provider_timeout', 'unknown', false])
  })

  test('a call that is over before it began was not sent', async () => {
    const calls = simulator.requests.length
    const impatience = new AbortController()
    impatience.abort()
    const error = await failureOf(start({}, provider, impatience))
    assert.deepEqual([error.code, error.charged], ['provider_timeout', 'no'])
    assert.equal(simulator.requests.length, calls)
  })

  test('a server that hangs is left when the signal says so', async () => {
    simulator.behave('hang')
    const impatience = new AbortController()
    const seen = simulator.requests.length
    const call = failureOf(start({ prompt: 'A hanging cat' }, provider, impatience))
    while (simulator.requests.length === seen) await new Promise(setImmediate)
    impatience.abort()
    assert.equal((await call).code, 'provider_timeout')
  })

  test('nothing was sent where nobody listens', async () => {
    const gone = await startGoogleSimulator()
    await gone.close()
    const error = await failureOf(start({}, createGoogle(gone)))
    assert.deepEqual([error.code, error.charged, error.isRetryable], ['provider_failed', 'no', true])
  })

  test('the key is not carried along a redirect', async () => {
    const asked: string[] = []
    const watching: typeof fetch = (url, init) => {
      asked.push(url as string)
      return fetch(url, init)
    }
    simulator.behave('redirect')
    const error = await failureOf(start({}, createGoogle({ ...simulator, fetch: watching })))
    assert.deepEqual([error.code, error.charged], ['submission_unknown', 'unknown'])
    assert.deepEqual(asked, [`${simulator.baseURL}/models/${FLASH}:generateContent`])
  })

  test('a wrong key, one that is no header value, and none of them is ever told', async () => {
    for (const apiKey of ['AIza-wrong-key', 'AIza broken\nkey']) {
      const error = await failureOf(start({}, createGoogle({ ...simulator, apiKey })))
      assert.equal(error.code, 'provider_misconfigured')
      assert.equal(error.charged, 'no')
      assert.ok(!everythingIn(error).includes('AIza'), everythingIn(error))
    }
    const echoing: typeof fetch = async () => Response.json({ error: { code: 400, status: 'INVALID_ARGUMENT', message: `bad key ${simulator.apiKey}` } }, { status: 400 })
    const error = await failureOf(start({}, createGoogle({ ...simulator, fetch: echoing })))
    assert.match(everythingIn(error), /bad key \[key\]/)
    assert.ok(!everythingIn(error).includes(simulator.apiKey))
  })
})

describe('Google’s failed videos', () => {
  let simulator: GoogleSimulator
  before(async () => {
    simulator = await startGoogleSimulator()
  })
  after(() => simulator.close())

  async function endOf(word: string): Promise<OperationState> {
    const model = createGoogle(simulator).video!({ vendorId: 'gemini-omni-1.2-flash' })
    const { signal } = new AbortController()
    simulator.behave(word)
    const started = await model.start({ prompt: 'A boat drifts away', duration: 3, aspectRatio: '16:9', resolution: '720p', providerOptions: {} }, { signal, mark: {} })
    assert.ok('operation' in started)
    // The third look finds the end.
    await model.check!(started.operation, { signal })
    await model.check!(started.operation, { signal })
    return await model.check!(started.operation, { signal })
  }

  /** The vendor's words, with their numbers where it may send those. */
  const codes: [codes: (string | number)[], code: string, isRetryable: boolean][] = [
    [['INVALID_ARGUMENT', 'invalid_argument', 3], 'invalid_request', false],
    [['FAILED_PRECONDITION', 9], 'provider_misconfigured', false],
    [['UNAUTHENTICATED', 16], 'provider_misconfigured', false],
    [['PERMISSION_DENIED', 7], 'provider_misconfigured', false],
    [['NOT_FOUND', 5], 'model_unavailable', false],
    [['RESOURCE_EXHAUSTED', 8], 'provider_rate_limited', true],
    [['INTERNAL', 13], 'provider_failed', true],
    [['UNAVAILABLE', 14], 'provider_failed', true],
    [['DEADLINE_EXCEEDED', 4], 'provider_timeout', true],
    [['SAFETY', 'IMAGE_SAFETY', 'PROHIBITED_CONTENT', 'RECITATION', 'CONTENT_FILTERED'], 'content_refused', false],
    [['NEVER_HEARD_OF', 99], 'provider_failed', false],
  ]
  for (const [words, code, isRetryable] of codes) {
    for (const word of words) {
      test(`a video that failed by ${word} is ${code}, and may be repeated only where it was free`, async () => {
        for (const [billed, charged] of [['', 'no'], ['billed-', 'yes']] as const) {
          const state = await endOf(`failed-${billed}code-${word}`)
          assert.ok(state.status === 'failed')
          assert.deepEqual([state.error.code, state.error.charged, state.error.isRetryable], [code, charged, isRetryable && charged === 'no'])
          assert.doesNotMatch(state.error.message, /vendor text/)
        }
      })
    }
  }
})

/** The error with its causes, as a log would have them. */
function everythingIn(error: unknown): string {
  return error instanceof Error ? `${error.stack} ${JSON.stringify(error)} ${JSON.stringify(Object.getOwnPropertyDescriptors(error))} ${everythingIn(error.cause)}` : String(error)
}
