/** How Runway's tasks are looked at and cancelled, by processes that did not start them. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { inspect } from 'node:util'
import type { Operation } from '../../src/generation/provider.ts'
import { createRunway } from '../../src/providers/runway.ts'
import { startRunwaySimulator, type RunwaySimulator } from '../simulator/runway.ts'
import type { RunwayWord } from '../simulator/runway-words.ts'
import { call, failureOf, signal, told, videoRequest } from '../support/provider-requests.ts'

describe('Runway', () => {
  let simulator: RunwaySimulator
  /** Another process, as it were, with each call. */
  const video = () => createRunway({ apiKey: simulator.apiKey, baseURL: simulator.baseURL }).video!({ vendorId: 'gen4.5' })
  const check = (operation: Operation) => video().check!(operation, { signal })
  const cancel = (operation: Operation) => video().cancel!(operation, { signal })

  /** A task that behaves so, as the vendor's next looks will find it. */
  async function started(...words: RunwayWord[]): Promise<Operation> {
    simulator.behave(words)
    const answer = await video().start(videoRequest(), call)
    assert.ok('operation' in answer)
    return answer.operation
  }
  /** The state that a task comes to in the end: it takes a step with every look. */
  async function ended(operation: Operation) {
    await check(operation)
    await check(operation)
    return await check(operation)
  }

  before(async () => {
    simulator = await startRunwaySimulator()
  })
  after(() => simulator.close())

  describe('tells how a task stands', () => {
    for (const [word, expected] of [
      ['pending', { status: 'queued' }],
      ['throttled', { status: 'queued' }],
    ] as const) {
      test(`${word}: ${expected.status}`, async () => {
        const operation = await started(word)
        assert.deepEqual(await ended(operation), expected)
      })
    }

    test('from queued to done, to a process that did not start it', async () => {
      const operation: Operation = JSON.parse(JSON.stringify(await started()))
      assert.deepEqual(Object.keys(operation), ['id'])
      assert.deepEqual(await check(operation), { status: 'queued' })
      assert.deepEqual(await check(operation), { status: 'running', progress: 0.5 })
      const state = await check(operation)
      assert.ok(state.status === 'succeeded' && state.outputs[0]?.type === 'url')
      assert.equal(state.outputs.length, 1)
      assert.equal(state.costMicros, 600_000)
      assert.equal((await fetch(state.outputs[0].url)).headers.get('content-type'), 'video/mp4')
    })

    test('succeeded without a word on its cost', async () => {
      const state = await ended(await started('no-cost'))
      assert.ok(state.status === 'succeeded' && !('costMicros' in state))
    })

    test('cancelled, and in a word that is not known', async () => {
      assert.deepEqual(await ended(await started('cancelled')), { status: 'cancelled' })
      assert.deepEqual(await ended(await started('unknown-state')), { status: 'unknown', vendorStatus: 'ARCHIVED' })
    })

    const failures: [word: RunwayWord, code: string, charged: string, chargedUntold: string, isRetryable: boolean][] = [
      ['safety-input-text', 'content_refused', 'yes', 'yes', false],
      ['safety-input-image', 'content_refused', 'yes', 'yes', false],
      ['safety-input-audio', 'content_refused', 'yes', 'yes', false],
      ['safety-output-video', 'content_refused', 'yes', 'yes', false],
      ['safety-output-image', 'content_refused', 'yes', 'yes', false],
      ['safety-output-text', 'content_refused', 'yes', 'yes', false],
      ['preprocessing-safety', 'content_refused', 'yes', 'yes', false],
      ['asset-invalid', 'invalid_request', 'no', 'unknown', false],
      ['preprocessing-internal', 'provider_failed', 'no', 'unknown', true],
      ['internal', 'provider_failed', 'no', 'unknown', true],
      ['third-party', 'provider_failed', 'no', 'unknown', true],
      ['bad-output', 'provider_failed', 'no', 'unknown', false],
      ['null-code', 'provider_failed', 'no', 'unknown', true],
      ['no-code', 'provider_failed', 'no', 'unknown', true],
    ]
    for (const [word, code, charged, chargedUntold, isRetryable] of failures) {
      test(`failed by ${word}: ${code}, charged as the vendor tells`, async () => {
        for (const [words, bill] of [[[word], charged], [[word, 'no-cost'], chargedUntold]] as [RunwayWord[], string][]) {
          const state = await ended(await started(...words))
          assert.equal(state.status, 'failed')
          assert.ok(state.status === 'failed')
          // What may be paid is not made twice.
          assert.deepEqual(told(state.error), [code, bill, isRetryable && bill === 'no', 200])
          assert.doesNotMatch(inspect(state.error, { depth: 9 }), /req-secret/)
        }
      })
    }

    test('forgotten: the operation is lost', async () => {
      const operation = await started('forgotten')
      assert.deepEqual(told(await failureOf(check(operation))), ['operation_lost', 'unknown', false, 404])
      assert.deepEqual(told(await failureOf(cancel(operation))), ['operation_lost', 'unknown', false, 404])
    })

    test('an operation that is none leads to no address', async () => {
      const arrived = simulator.calls.length
      for (const operation of [{}, { id: '../organization' }, { id: '..' }, { id: 'a/b' }, { id: 7 }]) assert.equal((await failureOf(check(operation as Operation))).code, 'operation_lost')
      assert.equal(simulator.calls.length, arrived)
    })

    for (const [word, code, isRetryable] of [
      ['check-error', 'provider_failed', true],
      ['check-proxy-error', 'provider_failed', true],
      ['check-overloaded', 'provider_failed', true],
      ['check-gateway-error', 'provider_failed', true],
      ['check-rate-limit', 'provider_rate_limited', true],
      ['check-html', 'provider_failed', true],
      ['check-drop', 'provider_failed', true],
      ['check-cut', 'provider_failed', true],
      ['check-auth', 'provider_misconfigured', false],
      ['check-page-404', 'provider_misconfigured', false],
    ] as const) {
      test(`a look that goes wrong by ${word} says nothing of the task`, async () => {
        const operation = await started(word)
        const error = await failureOf(check(operation))
        assert.deepEqual([error.code, error.charged, error.isRetryable], [code, 'no', isRetryable])
        assert.equal((await check(operation)).status, 'queued')
      })
    }

    test('a look that is given up costs nothing', async () => {
      const error = await failureOf(video().check!(await started(), { signal: AbortSignal.abort() }))
      assert.deepEqual(told(error), ['provider_timeout', 'no', true, undefined])
    })
  })

  describe('cancels', () => {
    const statusOf = (operation: Operation) => simulator.tasks.get(String(operation.id))?.status

    for (const word of ['pending', 'throttled'] as const) {
      test(`a task that is ${word}`, async () => {
        const operation = await started(word)
        assert.equal(await cancel(operation), true)
        assert.equal(statusOf(operation), 'CANCELLED')
        assert.equal(await cancel(operation), true)
      })
    }

    test('nothing that runs or is done: deleting would throw it away', async () => {
      const running = await started('running')
      await check(running)
      assert.equal(await cancel(running), false)
      assert.equal(statusOf(running), 'RUNNING')
      const done = await started()
      await ended(done)
      assert.equal(await cancel(done), false)
      assert.equal(statusOf(done), 'SUCCEEDED')
    })

    test('nothing where that cannot be told', async () => {
      const operation = await started('pending', 'check-error')
      assert.deepEqual(told(await failureOf(cancel(operation))), ['provider_failed', 'no', true, 500])
      assert.equal(statusOf(operation), 'PENDING')
    })
  })
})
