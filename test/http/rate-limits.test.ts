/** Limits on requests: exact, told beforehand, and for nobody else than who reaches them. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { noRedis, startRedis, type TestRedis } from '../support/redis.ts'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, type TestUser } from '../support/supabase.ts'

describe('limits on requests', () => {
  let service: TestService
  before(async () => {
    service = await startTestService({ env: { TRUST_PROXY: '1', RATE_WINDOW_SECONDS: '3600', RATE_LIMIT_IP: '40', RATE_LIMIT_USER: '10', RATE_LIMIT_IMAGES: '4', RATE_LIMIT_VIDEOS: '2', RATE_LIMIT_MODEL: '3' } })
  })
  after(() => service.close())

  let address = 0
  /** Each test comes from an address of its own. */
  const somewhere = (): Record<string, string> => ({ 'x-forwarded-for': `203.0.113.${++address}` })
  const look = (user: TestUser | undefined, headers: Record<string, string>) => service.request('/api/models', { ...(user && { user }), headers })
  const statuses = (responses: Response[]) => responses.map(({ status }) => status)

  test('of a user: so many and no more, whatever is asked at once', async () => {
    const [user, other] = [await signUp(), await signUp()]
    const from = somewhere()
    const answers = await Promise.all(Array.from({ length: 25 }, () => look(user, from)))
    assert.deepEqual([statuses(answers).filter((status) => status === 200).length, statuses(answers).filter((status) => status === 429).length], [10, 15])
    const refused = answers.find(({ status }) => status === 429)!
    const body = (await refused.json()) as { code: string; error: string }
    assert.equal(body.code, 'rate_limited')
    assert.match(body.error, /10 in 3600 seconds are allowed/)
    const seconds = Number(refused.headers.get('retry-after'))
    assert.ok(seconds > 3500 && seconds <= 3600)
    assert.equal((await look(other, from)).status, 200)
  })

  test('are told in the standard’s headers, and shown to pages', async () => {
    const user = await signUp()
    const response = await look(user, { ...somewhere(), origin: 'https://app.example.com' })
    assert.equal(response.headers.get('ratelimit-policy'), '"ip";q=40;w=3600, "user";q=10;w=3600')
    assert.match(response.headers.get('ratelimit')!, /^"ip";r=39;t=3600, "user";r=9;t=3600$/)
    assert.match(response.headers.get('access-control-expose-headers')!, /RateLimit,RateLimit-Policy/)
  })

  test('of an address: counted before anybody is known, for strangers too', async () => {
    const from = somewhere()
    const answers = await Promise.all(Array.from({ length: 50 }, () => look(undefined, from)))
    assert.deepEqual([statuses(answers).filter((status) => status === 401).length, statuses(answers).filter((status) => status === 429).length], [40, 10])
    assert.equal((await look(undefined, somewhere())).status, 401)
  })

  test('of an address: what the client writes before the trusted hop does not matter', async () => {
    const from = somewhere()['x-forwarded-for']!
    const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => look(undefined, { 'x-forwarded-for': `198.51.100.${index}, ${from}` })))
    assert.equal(statuses(answers).filter((status) => status === 429).length, 10)
  })

  test('of an address: an IPv6 network is one, and so is an address written in two ways', async () => {
    const network = await Promise.all(Array.from({ length: 50 }, (_, index) => look(undefined, { 'x-forwarded-for': `2001:db8:1:2:${index}::1` })))
    assert.equal(statuses(network).filter((status) => status === 429).length, 10)
    assert.equal((await look(undefined, { 'x-forwarded-for': '2001:db8:1:3::1' })).status, 401)
    const mapped = await Promise.all(Array.from({ length: 50 }, (_, index) => look(undefined, { 'x-forwarded-for': index % 2 ? '192.0.2.77' : '::ffff:192.0.2.77' })))
    assert.equal(statuses(mapped).filter((status) => status === 429).length, 10)
  })

  test('of pictures and of a model: what is refused is neither written nor paid', async () => {
    const user = await signUp()
    const from = somewhere()
    const paid = service.simulator.billed()
    const ask = (model: string, index: number) => service.generate(user, { prompt: `Limited ${index}.`, model }, from)
    const answers = []
    for (let index = 0; index < 6; index++) answers.push(await ask(index < 4 ? 'seedream-4-0-250828' : 'seedream-4-5-251128', index))
    assert.deepEqual(statuses(answers), [200, 200, 200, 429, 429, 429])
    assert.match(((await answers[3]!.json()) as { error: string }).error, /Too many requests for this model/)
    assert.match(((await answers[4]!.json()) as { error: string }).error, /Too many pictures asked for/)
    assert.deepEqual([service.simulator.billed() - paid, (await sql('select from public.prompts where user_id = $1', [user.id])).length], [3, 3])
    assert.equal((await service.request('/api/images/generate?dryRun=true', { method: 'POST', user, headers: { ...from, 'content-type': 'application/json' }, body: '{"prompt":"Dry."}' })).status, 200)
  })

  test('of videos: are not those of pictures', async () => {
    const user = await signUp()
    const from = somewhere()
    const answers = []
    for (let index = 0; index < 3; index++) answers.push(await service.generateVideo(user, { prompt: `Limited film ${index}.`, model: 'seedance-1-0-pro-fast-251015', duration: '2' }, { ...from, prefer: 'respond-async' }))
    assert.deepEqual(statuses(answers), [202, 202, 429])
    assert.equal((await service.generate(user, { prompt: 'A picture.' }, from)).status, 200)
  })
})

describe('a window', () => {
  test('ends', async () => {
    const service = await startTestService({ env: { RATE_WINDOW_SECONDS: '1', RATE_LIMIT_USER: '2' } })
    const user = await signUp()
    const look = async () => (await service.request('/api/models', { user })).status
    await eventually(async () => (await look()) === 429, 'the limit is reached')
    await eventually(async () => (await look()) === 200, 'the window ends')
    await service.close()
  })
})

describe('two processes on one Redis', { skip: noRedis }, () => {
  let redis: TestRedis
  let services: TestService[] = []
  before(async () => {
    redis = await startRedis()
    const env = { REDIS_URL: redis.url, RATE_WINDOW_SECONDS: '3600', RATE_LIMIT_USER: '50' }
    services = [await startTestService({ env }), await startTestService({ env, worker: false })]
  })
  after(async () => {
    for (const service of services) await service.close()
    await redis.close()
  })

  const ask = async (user: TestUser, count: number) => {
    const answers = await Promise.all(Array.from({ length: count }, (_, index) => services[index % 2]!.request('/api/models', { user })))
    return answers.filter(({ status }) => status === 200).length
  }

  test('count together, to the last request', async () => {
    const user = await signUp()
    await eventually(async () => services.every(({ log }) => log.some(({ msg }) => msg === 'Redis is there')), 'both are connected')
    assert.deepEqual([await ask(user, 120), await ask(user, 20)], [50, 0])
  })

  test('go on by themselves while it is away or silent, and together again when it is back', async () => {
    const user = await signUp()
    const melt = redis.freeze()
    // Each by itself: twice the limit, after a moment.
    assert.equal(await ask(user, 120), 100)
    melt()
    await redis.kill()
    assert.equal(await ask(user, 20), 0, 'what each has counted still counts')
    assert.equal(await ask(await signUp(), 120), 100)
    await redis.restart()
    const isBack = async () => {
      const newcomer = await signUp()
      return (await ask(newcomer, 120)) === 50
    }
    await eventually(isBack, 'they count together again', 60_000)
  })
})
