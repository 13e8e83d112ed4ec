/** What a call to ModelArk that goes wrong says of the bill. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createModelArk } from '../../src/providers/modelark.ts'
import { startModelArkSimulator, type ModelArkSimulator } from '../simulator/modelark.ts'
import { call, failureOf, imageRequest, picture, signal, told, videoRequest } from '../support/provider-requests.ts'

describe('calls to ModelArk', () => {
  let simulator: ModelArkSimulator
  before(async () => {
    simulator = await startModelArkSimulator({ runningMs: 0 })
  })
  after(() => simulator.close())

  const image = () => createModelArk(simulator).image!({ vendorId: 'seedream-4-0-250828' })
  const video = () => createModelArk(simulator).video!({ vendorId: 'seedance-1-0-pro-250528' })

  for (const task of ['remove-background'] as const) {
    test(`refuses to ${task}, which would be paid and ignore the picture`, async () => {
      const error = await failureOf(image().start(imageRequest({ task, images: [await picture('teal')] }), call))
      assert.deepEqual(told(error), ['invalid_request', 'no', false, undefined])
      assert.equal(simulator.requests.length, 0)
    })
  }

  test('what may have been paid is never called worth repeating', async () => {
    simulator.behave('proxy-error', 'gateway-error')
    for (const status of [502, 504]) assert.deepEqual(told(await failureOf(image().start(imageRequest(), call))), ['submission_unknown', 'unknown', false, status])
    simulator.videos.behave('accept-500', 'accept-502')
    for (const status of [500, 502]) assert.deepEqual(told(await failureOf(video().start(videoRequest(), call))), ['submission_unknown', 'unknown', false, status])
  })

  for (const [word, code, status] of [['check-drop-once', 'provider_failed', undefined], ['check-proxy-error-once', 'provider_failed', 502], ['check-hang-once', 'provider_timeout', undefined]] as const) {
    test(`a look that fails by ${word} costs nothing and may be repeated`, async () => {
      simulator.videos.behave(word)
      const started = await video().start(videoRequest(), call)
      assert.ok('operation' in started)
      const limit = word === 'check-hang-once' ? AbortSignal.timeout(200) : signal
      assert.deepEqual(told(await failureOf(video().check!(started.operation, { signal: limit }))), [code, 'no', true, status])
      assert.equal((await video().check!(started.operation, { signal })).status, 'succeeded')
    })
  }
})
