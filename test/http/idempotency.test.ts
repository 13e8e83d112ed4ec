import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, type TestUser } from '../support/supabase.ts'

describe('Idempotency-Key', () => {
  let service: TestService
  let other: TestService
  let user: TestUser
  before(async () => {
    service = await startTestService()
    // A second process of the same deployment: it asks the same provider.
    other = await startTestService({ env: { ARK_BASE_URL: service.simulator.baseURL, ARK_API_KEY: service.simulator.apiKey } })
    user = await signUp()
  })
  after(async () => {
    await other.close()
    await service.close()
  })

  const post = (key: string, body: unknown, from = service, as = user) => from.generate(as, body, { 'idempotency-key': key })
  type Answer = { generationId: string; images: { id: string }[]; code: string }
  const answerOf = async (response: Promise<Response>): Promise<Answer> => (await (await response).json()) as Answer
  const creates = () => service.simulator.requests.length + other.simulator.requests.length

  test('fifty at once over two processes make one generation, one create, and get one answer', async () => {
    const [key, before] = [randomUUID(), creates()]
    const release = service.simulator.hold()
    const pending = Array.from({ length: 50 }, (_, index) => answerOf(post(key, { prompt: 'One cat' }, index % 2 === 0 ? service : other)))
    await eventually(async () => creates() > before, 'the provider was asked')
    release()
    const answers = await Promise.all(pending)
    assert.equal(new Set(answers.map(({ generationId }) => generationId)).size, 1)
    assert.equal(new Set(answers.map(({ images }) => images[0]!.id)).size, 1)
    assert.equal(creates() - before, 1)
    assert.equal((await sql('select from public.generations where user_id = $1', [user.id])).length, 1)
  })

  test('replays the answer afterwards, whatever the order of the JSON', async () => {
    const [key, before] = [randomUUID(), creates()]
    const first = await answerOf(post(key, { prompt: 'A cat', size: '1024x1024' }))
    const again = await post(key, { size: '1024x1024', prompt: ' A cat' })
    assert.equal(again.headers.get('idempotency-replayed'), 'true')
    assert.deepEqual(await again.json(), first)
    assert.equal(creates() - before, 1)
  })

  test('replays a failure too, and pays for nothing', async () => {
    const [key, before] = [randomUUID(), creates()]
    service.simulator.behave('moderation')
    const first = await post(key, { prompt: 'A refused cat' })
    const again = await post(key, { prompt: 'A refused cat' })
    assert.deepEqual([first.status, again.status], [422, 422])
    assert.equal(creates() - before, 1)
  })

  test('with another body is a 422, and means nothing to another user', async () => {
    const key = randomUUID()
    const { generationId } = await answerOf(post(key, { prompt: 'A cat' }))
    const response = await post(key, { prompt: 'A dog' })
    assert.deepEqual([response.status, ((await response.json()) as Answer).code], [422, 'idempotency_mismatch'])
    const stranger = await signUp()
    assert.notEqual((await answerOf(post(key, { prompt: 'A cat' }, service, stranger))).generationId, generationId)
  })

  test('of a deleted generation is not paid again, and is free after a day', async () => {
    const [key, before] = [randomUUID(), creates()]
    await answerOf(post(key, { prompt: 'Soon deleted' }))
    await user.client.from('prompts').delete().eq('prompt', 'Soon deleted')
    assert.equal((await post(key, { prompt: 'Soon deleted' })).status, 404)
    assert.equal(creates() - before, 1)
    await sql(`update darkroom.idempotency_keys set created_at = now() - interval '25 hours' where key = $1`, [key])
    assert.equal((await post(key, { prompt: 'Another use' })).status, 200)
    assert.equal(creates() - before, 2)
  })

  test('a request that was refused takes no key', async () => {
    const key = randomUUID()
    assert.equal((await post(key, { prompt: '' })).status, 400)
    assert.equal((await post(key, { prompt: 'A cat' })).status, 200)
  })

  for (const key of ['with space', 'a'.repeat(256)]) {
    test(`${JSON.stringify(key.slice(0, 12))} is no key`, async () => {
      assert.equal((await post(key, { prompt: 'A cat' })).status, 400)
    })
  }
})
