/** A signed request is good once, whichever process it is sent to. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { makeKey, sendRaw, sign, type RawRequest, type TestKey } from '../support/api-keys.ts'
import { noRedis, startRedis, type TestRedis } from '../support/redis.ts'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { signUp, type TestUser } from '../support/supabase.ts'

describe('nonces of two processes', { skip: noRedis }, () => {
  let redis: TestRedis
  let services: TestService[]
  let user: TestUser
  let key: TestKey
  before(async () => {
    redis = await startRedis()
    services = [await startTestService({ env: { REDIS_URL: redis.url } }), await startTestService({ env: { REDIS_URL: redis.url }, worker: false })]
    user = await signUp()
    key = await makeKey(services[0]!.url, user)
    await eventually(async () => services.every(({ log }) => log.some(({ msg }) => msg === 'Redis is there')), 'both are connected')
  })
  after(async () => {
    for (const service of services) await service.close()
    await redis.close()
  })

  const signed = () => sign(key, { method: 'GET', target: '/api/models', headers: [] })
  const statuses = async (request: RawRequest, times: number) => (await Promise.all(Array.from({ length: times }, (_, index) => sendRaw(services[index % 2]!.url, request)))).map(({ status }) => status)

  test('are remembered together: of forty equal requests one is let in', async () => {
    const answers = await statuses(signed(), 40)
    assert.deepEqual([answers.filter((status) => status === 200).length, answers.filter((status) => status === 401).length], [1, 39])
  })

  test('are those of one key: another of the same user may have the same', async () => {
    const [other, nonce] = [await makeKey(services[0]!.url, user), 'the-same-nonce-of-two-keys']
    for (const one of [key, other]) assert.deepEqual(new Set(await statuses(sign(one, { method: 'GET', target: '/api/models', headers: [] }, { nonce }), 2)), new Set([200, 401]))
  })

  test('are remembered by each while Redis is away, and requests go on', async () => {
    const before = signed()
    assert.deepEqual((await statuses(before, 1)), [200])
    await redis.kill()
    const answers = await statuses(signed(), 40)
    assert.equal(answers.filter((status) => status === 200).length, 2, 'one in each')
    assert.deepEqual(await statuses(before, 1), [401], 'what it has seen itself')
  })
})
