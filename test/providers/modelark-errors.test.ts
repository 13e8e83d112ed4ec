/** ModelArk's error table, row by row, wherever its codes stand: refused calls, an item of a 200, a task that failed. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { inspect } from 'node:util'
import type { ErrorCode, ProviderError } from '../../src/errors.ts'
import type { OperationState } from '../../src/generation/provider.ts'
import { createModelArk } from '../../src/providers/modelark.ts'
import { startModelArkSimulator, type Behaviour, type ModelArkSimulator, type VideoBehaviour } from '../simulator/modelark.ts'
import { call, failureOf, imageRequest, signal, told, videoRequest } from '../support/provider-requests.ts'

type Row = [status: number, vendorCode: string, code: ErrorCode, isRetryable: boolean]
const rowsOf = (status: number, code: ErrorCode, isRetryable: boolean, vendorCodes: string): Row[] => vendorCodes.split(' ').map((vendorCode) => [status, vendorCode, code, isRetryable])

/** Every code of the vendor's error table of November 2026. */
const ROWS: Row[] = [
  ...rowsOf(400, 'invalid_request', false, 'MissingParameter MissingParameter.model InvalidParameter InvalidParameter.size InvalidParameter.UnsupportedParameter InvalidArgumentError InvalidArgumentError.UnknownRole'),
  ...rowsOf(400, 'invalid_request', false, 'InvalidImageURL.EmptyURL InvalidImageURL.InvalidFormat OutofContextError'),
  ...rowsOf(400, 'content_refused', false, 'SensitiveContentDetected SensitiveContentDetected.SevereViolation SensitiveContentDetected.Violence'),
  ...['Text', 'Image', 'Video', 'Audio'].flatMap((kind) => rowsOf(400, 'content_refused', false, ['', '.PolicyViolation', '.PrivacyInformation'].map((suffix) => `Input${kind}SensitiveContentDetected${suffix}`).join(' '))),
  ...['Text', 'Image', 'Video', 'Audio'].flatMap((kind) => rowsOf(400, 'content_refused', false, `Output${kind}SensitiveContentDetected Output${kind}SensitiveContentDetected.PolicyViolation`)),
  ...rowsOf(400, 'content_refused', false, 'OutputImageSensitiveContentDetected.DeepFake OutputImageSensitiveContentDetected.RiskDetection'),
  ...rowsOf(400, 'content_refused', false, 'InputTextRiskDetection InputImageRiskDetection OutputTextRiskDetection OutputImageRiskDetection'),
  ...rowsOf(400, 'provider_failed', true, 'ContentSecurityDetectionError'),
  ...rowsOf(401, 'provider_misconfigured', false, 'AuthenticationError InvalidAccountStatus'),
  ...rowsOf(403, 'provider_misconfigured', false, 'AccessDenied AccountOverdueError OperationDenied.ServiceNotOpen OperationDenied.ServiceOverdue OperationDenied.PermissionDenied OperationDenied.InvalidState'),
  ...rowsOf(404, 'model_unavailable', false, 'InvalidEndpointOrModel.NotFound InvalidEndpointOrModel.ModelIDAccessDisabled ModelNotOpen NotFound NotFound.Model'),
  ...rowsOf(429, 'provider_rate_limited', true, 'RateLimitExceeded.EndpointRPMExceeded RateLimitExceeded.EndpointTPMExceeded RateLimitExceeded.FoundationModelRPMExceeded'),
  ...rowsOf(429, 'provider_rate_limited', true, 'ModelAccountRpmRateLimitExceeded ModelAccountTpmRateLimitExceeded ModelAccountIpmRateLimitExceeded APIAccountRpmRateLimitExceeded AccountRateLimitExceeded'),
  ...rowsOf(429, 'provider_rate_limited', true, 'RequestBurstTooFast InflightBatchsizeExceeded ServerOverloaded'),
  ...rowsOf(429, 'provider_quota_reached', false, 'QuotaExceeded SetLimitExceeded'),
  ...[500, 502, 503, 504].flatMap((status) => rowsOf(status, 'provider_failed', true, 'InternalServiceError')),
]
/** Given by a gateway that lost the vendor as well, in whatever words. */
const FROM_BETWEEN = [502, 504]

describe('ModelArk’s errors', () => {
  let simulator: ModelArkSimulator
  before(async () => {
    simulator = await startModelArkSimulator({ runningMs: 0 })
  })
  after(() => simulator.close())

  const image = () => createModelArk(simulator).image!({ vendorId: 'seedream-4-0-250828' })
  const video = () => createModelArk(simulator).video!({ vendorId: 'seedance-1-0-pro-250528' })
  const unknown = (status: number) => ['submission_unknown', 'unknown', false, status]

  function assertOurWords(error: ProviderError): void {
    assert.equal(error.provider, 'modelark')
    assert.doesNotMatch(error.message, /vendor words|021secretvendorid/)
    assert.ok(!inspect(error, { depth: 20, showHidden: true }).includes(simulator.apiKey))
  }

  async function failedPicture(behaviour: Behaviour): Promise<ProviderError> {
    const asked = simulator.requests.length
    simulator.behave(behaviour)
    const error = await failureOf(image().start(imageRequest(), call))
    assert.equal(simulator.requests.length, asked + 1, 'it was sent once')
    assertOurWords(error)
    return error
  }

  async function stateAfter(...behaviours: VideoBehaviour[]): Promise<OperationState> {
    simulator.videos.behave(behaviours)
    const started = await video().start(videoRequest(), call)
    assert.ok('operation' in started)
    return await video().check!(started.operation, { signal })
  }

  for (const [status, vendorCode, code, isRetryable] of ROWS) {
    test(`${status} ${vendorCode} is ${code}`, async () => {
      const [billed, begun] = [simulator.billed(), simulator.videos.created()]
      const refused = [code, 'no', isRetryable, status]
      assert.deepEqual(told(await failedPicture(`error-${status}-${vendorCode}`)), FROM_BETWEEN.includes(status) ? unknown(status) : refused)
      simulator.videos.behave(`error-${status}-${vendorCode}`)
      const error = await failureOf(video().start(videoRequest(), call))
      // A task may be under way behind any 5xx.
      assert.deepEqual(told(error), status >= 500 ? unknown(status) : refused)
      assertOurWords(error)
      assert.deepEqual([simulator.billed(), simulator.videos.created()], [billed, begun])
    })
  }

  for (const [vendorCode, code, isRetryable] of new Map(ROWS.map(([, vendorCode, ...ours]) => [vendorCode, [vendorCode, ...ours] as const])).values()) {
    test(`${vendorCode} inside a 200 is ${code}, and free`, async () => {
      const inside = [code, 'no', isRetryable, 200]
      assert.deepEqual(told(await failedPicture(`item-error-${vendorCode}`)), inside)
      const state = await stateAfter(`task-error-${vendorCode}`)
      assert.ok(state.status === 'failed')
      assert.deepEqual(told(state.error), inside)
      assertOurWords(state.error)
    })
  }

  for (const [behaviour, code, charged] of [
    ['item-error-NeverHeardOf', 'provider_failed', 'no'],
    ['empty-unmade', 'provider_failed', 'no'],
    // Neither a picture nor a word on why: one may have been made.
    ['empty', 'provider_failed', 'unknown'],
    ['item-odd', 'provider_failed', 'unknown'],
    ['item-billed', 'provider_failed', 'yes'],
  ] as const) {
    test(`a 200 without a picture (${behaviour}) is ${code}, charged: ${charged}`, async () => {
      assert.deepEqual(told(await failedPicture(behaviour)), [code, charged, false, 200])
    })
  }

  test('an unknown code is told by its status', async () => {
    for (const [status, code, isRetryable] of [[400, 'provider_failed', false], [401, 'provider_misconfigured', false], [403, 'provider_misconfigured', false], [404, 'model_unavailable', false], [429, 'provider_rate_limited', true]] as const) {
      assert.deepEqual(told(await failedPicture(`error-${status}-NeverHeardOf`)), [code, 'no', isRetryable, status])
    }
    // Who says so is not known either.
    assert.deepEqual(told(await failedPicture('error-500-NeverHeardOf')), unknown(500))
  })

  describe('a task', () => {
    for (const status of ['queued', 'running'] as const) {
      test(`is ${status}`, async () => {
        const release = simulator.videos.hold(status)
        assert.deepEqual(await stateAfter().finally(release), { status })
      })
    }

    test('has succeeded, or was cancelled, or is in a state that nobody knows', async () => {
      const state = await stateAfter()
      assert.ok(state.status === 'succeeded' && state.outputs[0]?.type === 'url')
      assert.deepEqual(await stateAfter('task-no-url'), { ...state, outputs: [] })
      assert.ok(state.usage!.outputTokens > 0)
      assert.deepEqual(await stateAfter('task-cancelled'), { status: 'cancelled' })
      assert.deepEqual(await stateAfter('task-unknown-status'), { status: 'unknown', vendorStatus: 'paused' })
    })

    for (const [behaviour, code, isRetryable, status] of [
      ['task-error-NeverHeardOf', 'provider_failed', false, 200],
      ['task-expired', 'operation_expired', false, undefined],
    ] as const) {
      test(`has ended by ${behaviour}, unbilled`, async () => {
        const state = await stateAfter(behaviour)
        assert.ok(state.status === 'failed')
        assert.deepEqual(told(state.error), [code, 'no', isRetryable, status])
      })
    }

    test('is forgotten after a week', async () => {
      const error = await failureOf(stateAfter('task-forgotten'))
      assert.deepEqual(told(error), ['operation_lost', 'unknown', false, 404])
    })
  })
})
