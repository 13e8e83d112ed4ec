/** What holds for every provider, whoever wrote it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { inspect } from 'node:util'
import type { Provider } from '../../src/generation/provider.ts'
import { createProviders, providerSettings } from '../../src/providers/registry.ts'
import { call, failureOf, imageRequest, videoRequest } from '../support/provider-requests.ts'

describe('every provider', () => {
  let calls = 0
  // Every vendor says 401 to a key that it does not know.
  const vendor = createServer((request, response) => {
    calls++
    request.resume()
    response.writeHead(401, { 'content-type': 'application/json' }).end('{"error":{"code":"invalid_api_key","message":"no"}}')
  })
  let baseURL: string
  before(async () => {
    await once(vendor.listen(0, '127.0.0.1'), 'listening')
    baseURL = `http://127.0.0.1:${(vendor.address() as AddressInfo).port}/v1`
  })
  after(() => vendor.close())

  const create = (id: string, apiKey: string): Provider => createProviders({ [id]: { apiKey, baseURL } }).get(id)!
  const start = (provider: Provider, signal = call.signal) => {
    const model = { vendorId: 'owner/stable-image-core' }
    return provider.image ? provider.image(model).start(imageRequest(), { ...call, signal }) : provider.video!(model).start(videoRequest(), { ...call, signal })
  }

  for (const { id } of providerSettings) {
    test(`${id} keeps a key that no header can hold to itself`, async () => {
      const error = await failureOf(start(create(id, 'secret-part\nof-a-key')))
      assert.equal(error.code, 'provider_misconfigured')
      assert.equal(error.charged, 'no')
      assert.ok(!inspect(error, { depth: Infinity }).includes('secret-part'))
    })

    test(`${id} says that nothing is paid when there was no time to ask`, async () => {
      const before = calls
      const error = await failureOf(start(create(id, 'a-key'), AbortSignal.abort()))
      assert.equal(error.code, 'provider_timeout')
      assert.equal(error.charged, 'no')
      assert.equal(calls, before)
    })
  }
})
