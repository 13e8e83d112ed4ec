/** Redis as the service uses it: what it gives, and what is not lost with it. */
import assert from 'node:assert/strict'
import { mkdtemp, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test, type TestContext } from 'node:test'
import { ConfigError, loadConfig } from '../src/config.ts'
import { newsChannel } from '../src/generation/model-news.ts'
import { createLogger } from '../src/log.ts'
import { createRedis } from '../src/redis.ts'
import { noRedis, startRedis, type TestRedis } from './support/redis.ts'
import { eventually, startTestService, type LogLine, type TestService } from './support/service.ts'
import { signUp, supabase, type TestUser } from './support/supabase.ts'

const LOST = /^Redis cannot be reached/
const BACK = 'Redis is back'
const CHANNEL = newsChannel(new URL(supabase.url).host)

describe('two processes on one Redis', { skip: noRedis }, () => {
  let redis: TestRedis
  let worker: TestService
  let web: TestService
  let user: TestUser
  before(async () => {
    redis = await startRedis()
    const file = path.join(await mkdtemp('/var/tmp/darkroom-redis-'), 'models.json')
    await writeFile(file, JSON.stringify([
      { id: 'seedream-4-0-250828', fallbacks: ['seedream-4-5-251128'] },
      { id: 'other', extends: 'seedream-4-0-250828', vendorId: 'ep-20261101-abcde', fallbacks: [] },
    ]))
    const env = { MODELS_FILE: file, REDIS_URL: redis.url, BREAKER_FAILURES: '3', BREAKER_SECONDS: '3600', MODEL_GONE_SECONDS: '3600' }
    worker = await startTestService({ env })
    web = await startTestService({ env, worker: false })
    user = await signUp()
    await eventually(async () => (await redis.listeners(CHANNEL)) === 2, 'both listen')
  })
  after(async () => {
    await web.close()
    await worker.close()
    const left = await redis.listeners(CHANNEL)
    await redis.close()
    assert.equal(left, 0)
  })

  const statesOf = async (service: TestService) => ((await (await service.request('/health')).json()) as { providers: Record<string, { leftAlone?: string[]; gone?: string[] }> }).providers.modelark!
  const usable = async (service: TestService) => ((await (await service.request('/api/images/models', { user })).json()) as { models: string[] }).models
  const ask = async (service: TestService, body: object = {}) => {
    const response = await service.generate(user, { prompt: 'A cat', size: '2048x2048', ...body })
    return { status: response.status, ...((await response.json()) as { model: string; code?: string; attempts: unknown[] }) }
  }
  const lines = (service: TestService, said: (message: string) => boolean) => service.log.filter(({ msg }) => said(msg))

  test('a model that failed in one is left alone in the other', async () => {
    for (let index = 0; index < 3; index++) {
      worker.simulator.behave('quota', 'ok')
      assert.equal((await ask(worker)).status, 200)
    }
    await eventually(async () => (await statesOf(web)).leftAlone?.length === 1, 'the other has heard')
    assert.deepEqual(await statesOf(web).then(({ leftAlone }) => leftAlone), ['seedream-4-0-250828'])
  })

  test('a model that is gone in one is planned around in the other', async () => {
    worker.simulator.behave('not-found')
    assert.equal((await ask(worker, { model: 'seedream-4-5-251128' })).code, 'model_unavailable')
    await eventually(async () => (await statesOf(web)).gone?.length === 1, 'the other has heard')
    assert.ok(!(await usable(web)).includes('seedream-4-5-251128'))
    const { status, code } = await ask(web, { model: 'seedream-4-5-251128' })
    assert.deepEqual([status, code, worker.simulator.requests.length], [502, 'model_unavailable', 7])
  })

  test('Redis dies, and nobody waits for it; it comes back, and they go on telling each other', async () => {
    await redis.kill()
    for (const service of [worker, web]) await eventually(async () => lines(service, (msg) => LOST.test(msg)).length > 0, 'it is noticed')
    for (const service of [worker, web, worker]) assert.equal((await ask(service, { model: 'other' })).status, 200)
    worker.simulator.behave('quota')
    assert.equal((await ask(worker, { model: 'other' })).code, 'provider_quota_reached')
    await redis.restart()
    for (const service of [worker, web]) await eventually(async () => lines(service, (msg) => msg === BACK).length > 0, 'it is back')
    worker.simulator.behave('not-found')
    assert.equal((await ask(worker, { model: 'other' })).code, 'model_unavailable')
    await eventually(async () => (await statesOf(web)).gone?.includes('ep-20261101-abcde'), 'the other has heard')
    for (const service of [worker, web]) {
      const said = lines(service, (msg) => msg.includes('Redis')).map(({ level, msg }) => [level, msg.split(':')[0]])
      assert.deepEqual(said, [['info', 'Redis is there'], ['warn', 'Redis cannot be reached'], ['info', BACK]])
    }
  })

  test('a Redis that is frozen keeps nobody waiting', async () => {
    const thaw = redis.freeze()
    try {
      worker.simulator.behave('quota')
      assert.equal((await ask(worker, { model: 'seedream-5-0-260128' })).code, 'provider_quota_reached')
      assert.equal((await ask(web, { model: 'seedream-5-0-260128' })).status, 200)
    } finally {
      thaw()
    }
  })
})

describe('the way to Redis', { skip: noRedis }, () => {
  let redis: TestRedis
  before(async () => {
    redis = await startRedis()
  })
  after(() => redis.close())

  function connect(t: TestContext, pingMs?: number) {
    const log: LogLine[] = []
    const logger = createLogger({ level: 'debug', destination: { write: (line: string) => void log.push(JSON.parse(line) as LogLine) } })
    const link = createRedis({ url: redis.url, rejectUnauthorized: true, logger, ...(pingMs !== undefined && { pingMs }) })
    t.after(() => link.close())
    const heard: string[] = []
    link.subscribe('news', (text) => heard.push(text))
    return { link, log, heard, says: (message: string | RegExp) => log.some(({ msg }) => (typeof message === 'string' ? msg === message : message.test(msg))) }
  }

  test('opens by itself when Redis comes later, and tells so once', async (t) => {
    await redis.kill()
    const { link, log, heard, says } = connect(t)
    link.publish('news', 'lost')
    await eventually(async () => says(LOST), 'it is not there')
    await redis.restart()
    await eventually(async () => says(BACK), 'it is there')
    link.publish('news', 'heard')
    await eventually(async () => heard.length > 0, 'it hears itself')
    assert.deepEqual([heard, log.length], [['heard'], 2])
  })

  test('notices a Redis that does not answer, and goes on when it does', async (t) => {
    const { link, log, heard, says } = connect(t, 50)
    await eventually(async () => says('Redis is there'), 'it is open')
    const thaw = redis.freeze()
    await eventually(async () => says(LOST), 'the silence is noticed')
    link.publish('news', 'lost')
    thaw()
    await eventually(async () => says(BACK), 'it is back')
    link.publish('news', 'heard')
    await eventually(async () => heard.length > 0, 'it hears itself')
    assert.deepEqual([heard, log.length], [['heard'], 3])
  })

  test('closes, whether Redis is there, gone or frozen', async (t) => {
    const open = connect(t)
    await eventually(async () => open.says('Redis is there'), 'it is open')
    await open.link.close()
    assert.equal(await redis.listeners('news'), 0)
    const frozen = connect(t)
    await eventually(async () => frozen.says('Redis is there'), 'it is open')
    const thaw = redis.freeze()
    await frozen.link.close()
    thaw()
    await connect(t).link.close()
    const lost = connect(t)
    await redis.kill()
    await eventually(async () => lost.says(LOST), 'it is lost')
    await lost.link.close()
    lost.link.publish('news', 'nobody')
    await redis.restart()
    assert.equal(await redis.listeners('news'), 0)
    assert.deepEqual([open.log.length, frozen.log.length], [1, 1])
  })
})

describe('without Redis', () => {
  test('a process says once that it is on its own', async () => {
    const service = await startTestService()
    await service.close()
    assert.deepEqual(service.log.filter(({ msg }) => /redis/i.test(msg)).map(({ level }) => level), ['info'])
  })

  test('the configuration names what is wrong with its variables', () => {
    const env = { SUPABASE_URL: 'https://ref.supabase.co', SUPABASE_SECRET_KEY: 'k', SUPABASE_PUBLISHABLE_KEY: 'k', DATABASE_URL: 'postgresql://localhost/db', CORS_ORIGINS: 'https://app.example.com' }
    const load = (more: Record<string, string>) => loadConfig({ ...env, ...more }, { providers: [] })
    for (const url of ['http://host:6379', 'host:6379', 'redis:host', 'redis://', 'redis:///0', 'rediss://host:99999', '/tmp/redis.sock']) assert.throws(() => load({ REDIS_URL: url }), (error) => error instanceof ConfigError && /^REDIS_URL must be a URL that begins with redis:\/\/ or rediss:\/\/$/.test(error.problems.join()), url)
    assert.throws(() => load({ REDIS_TLS_REJECT_UNAUTHORIZED: 'no' }), /REDIS_TLS_REJECT_UNAUTHORIZED/)
    assert.throws(() => load({ MODEL_GONE_SECONDS: '1h' }), /MODEL_GONE_SECONDS must be a whole number/)
    assert.deepEqual(load({ REDIS_URL: ' ' }).redis, { url: undefined, rejectUnauthorized: true })
    assert.deepEqual(load({ REDIS_URL: 'rediss://:secret@host:6380', REDIS_TLS_REJECT_UNAUTHORIZED: 'false' }).redis, { url: 'rediss://:secret@host:6380', rejectUnauthorized: false })
    assert.deepEqual([load({}).generation.breaker.goneMs, load({ MODEL_GONE_SECONDS: '0' }).generation.breaker.goneMs], [3_600_000, 0])
  })
})
