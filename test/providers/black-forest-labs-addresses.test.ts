/** Where Black Forest Labs is asked about its work: its answers name the address, and the key goes along. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ProviderError } from '../../src/errors.ts'
import type { Operation, OperationState, Provider } from '../../src/generation/provider.ts'
import { blackForestLabsSetting, createBlackForestLabs } from '../../src/providers/black-forest-labs.ts'
import { startBflSimulator } from '../simulator/black-forest-labs.ts'
import { call, signal, videoRequest } from '../support/provider-requests.ts'

const SECRET = 'bfl-key-of-nobody'

describe('Black Forest Labs is followed at its own addresses alone', () => {
  /** A vendor that gives these answers, one after the other. */
  function answering(...answers: (() => Response)[]) {
    const asked: { url: string; key: string | null }[] = []
    const send = (async (input: string, init?: RequestInit) => {
      asked.push({ url: input, key: new Headers(init?.headers).get('x-key') })
      assert.equal(init?.redirect, 'manual')
      return answers.shift()!()
    }) as unknown as typeof fetch
    return { asked, provider: (baseURL = blackForestLabsSetting.baseURL) => createBlackForestLabs({ apiKey: SECRET, baseURL, fetch: send }) }
  }
  const taken = (pollingUrl: string) => () => Response.json({ id: 'task', polling_url: pollingUrl })
  const pending = () => Response.json({ status: 'Pending' })
  const moved = (location: string) => () => new Response(null, { status: 307, headers: { location } })
  async function follow(provider: Provider): Promise<{ operation: Operation; state: OperationState | ProviderError }> {
    const model = provider.video!({ vendorId: 'flux-3-video' })
    const answer = await model.start(videoRequest(), call)
    assert.ok('operation' in answer)
    return { operation: answer.operation, state: await model.check!(answer.operation, { signal }).catch((error: unknown) => error as ProviderError) }
  }

  test('by its regions, at the vendor', async () => {
    const vendor = answering(taken('https://api.us1.bfl.ai/v1/get_result?id=task'), pending)
    const { state } = await follow(vendor.provider())
    assert.deepEqual(state, { status: 'queued' })
    assert.deepEqual(vendor.asked, [{ url: 'https://api.bfl.ai/v1/flux-3-video', key: SECRET }, { url: 'https://api.us1.bfl.ai/v1/get_result?id=task', key: SECRET }])
  })

  test('where it moved to, without the key', async () => {
    const vendor = answering(taken('https://api.bfl.ai/v1/get_result'), moved('https://api.eu2.bfl.ai/v1/get_result?id=task'), pending)
    assert.deepEqual((await follow(vendor.provider())).state, { status: 'queued' })
    assert.deepEqual(vendor.asked.slice(1), [{ url: 'https://api.bfl.ai/v1/get_result?id=task', key: SECRET }, { url: 'https://api.eu2.bfl.ai/v1/get_result?id=task', key: null }])
  })

  for (const elsewhere of ['https://elsewhere.example/v1', 'https://api.bfl.ai.elsewhere.example/v1', 'https://notbfl.ai/v1', 'http://api.bfl.ai/v1', 'https://api.bfl.ai:8443/v1', 'http://169.254.169.254/v1', 'file:///etc/passwd']) {
    test(`never at ${elsewhere}`, async () => {
      const linked = answering(taken(`${elsewhere}/get_result`), pending)
      const { operation, state } = await follow(linked.provider())
      assert.deepEqual([operation.pollingUrl, state], ['https://api.bfl.ai/v1/get_result', { status: 'queued' }])
      const redirected = answering(taken('https://api.bfl.ai/v1/get_result'), moved(`${elsewhere}/get_result`))
      const error = (await follow(redirected.provider())).state
      assert.ok(error instanceof ProviderError)
      assert.deepEqual([error.code, error.charged, error.isRetryable], ['provider_failed', 'no', true])
      assert.equal(redirected.asked.length, 2)
    })
  }

  test('nor at the vendor where a gateway took the work on', async () => {
    const gateway = answering(taken('https://api.us1.bfl.ai/v1/get_result?id=task'), pending)
    await follow(gateway.provider('https://gateway.example/bfl/v1/'))
    assert.deepEqual(gateway.asked.map(({ url }) => url), ['https://gateway.example/bfl/v1/flux-3-video', 'https://gateway.example/bfl/v1/get_result?id=task'])
  })

  test('over real HTTP too', async () => {
    const simulator = await startBflSimulator({ apiKey: SECRET })
    simulator.behave('foreign-link')
    const { operation, state } = await follow(createBlackForestLabs(simulator))
    await simulator.close()
    assert.deepEqual([operation.pollingUrl, state.status], [`${simulator.baseURL}/get_result`, 'succeeded'])
  })

  test('and keeps no key that is echoed', async () => {
    const vendor = answering(taken(`https://api.bfl.ai/v1/get_result?key=${SECRET}`), pending)
    assert.ok(!JSON.stringify(await follow(vendor.provider())).includes(SECRET))
  })
})
