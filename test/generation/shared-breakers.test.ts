/** What several processes know of a vendor's model together: each is an `observeProviders` of its own on one Redis. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test, type TestContext } from 'node:test'
import { z } from 'zod'
import { ProviderError, type ErrorCode } from '../../src/errors.ts'
import { MAX_GUARDED_MODELS, type BreakerOptions } from '../../src/generation/breakers.ts'
import { createNewsExchange, newsChannel } from '../../src/generation/model-news.ts'
import { observeProviders } from '../../src/generation/provider-health.ts'
import type { Provider } from '../../src/generation/provider.ts'
import { createLogger } from '../../src/log.ts'
import { createRedis, type RedisLink } from '../../src/redis.ts'
import { call, imageRequest } from '../support/provider-requests.ts'
import { noRedis, startRedis, type TestRedis } from '../support/redis.ts'
import { eventually } from '../support/service.ts'

type Outcome = 'ok' | ErrorCode

/** A vendor that does as it is told, as one process sees it. */
interface TestProcess {
  /** Asks for a picture. @returns how that ended; `left alone` and `gone` where the vendor was not asked. */
  ask(outcome: Outcome, model?: string): Promise<Outcome | 'left alone' | 'gone'>
  isLeftAlone(model?: string): boolean
  leftAlone(): string[]
  isGone(model?: string): boolean
  /** How often Redis was there, and there again. */
  opened(): number
}

const MODEL = 'model-1'

describe('processes that share a Redis', { skip: noRedis }, () => {
  let redis: TestRedis
  before(async () => {
    redis = await startRedis()
  })
  after(() => redis.close())

  /** @returns processes that hear each other, on a channel of their own, until the test ends. */
  async function begin(t: TestContext, count: number, options: Partial<BreakerOptions> = {}) {
    const channel = newsChannel(randomUUID())
    const join = async (): Promise<TestProcess> => {
      const others = await redis.listeners(channel)
      const link = createRedis({ url: redis.url, rejectUnauthorized: true, logger: createLogger({ level: 'silent' }) })
      t.after(() => link.close())
      const made = createProcess(link, channel, { failures: 3, pauseMs: 3_600_000, goneMs: 3_600_000, ...options })
      await eventually(async () => made.opened() === 1, 'Redis is there')
      assert.equal(await redis.listeners(channel), others + 1)
      return made
    }
    const processes: TestProcess[] = []
    for (let index = 0; index < count; index++) processes.push(await join())
    return { channel, join, processes }
  }

  /** Until `listener` has heard all that `speaker` has told: what one tells is heard in its order. */
  async function heard(speaker: TestProcess, listener: TestProcess): Promise<void> {
    const mark = randomUUID()
    await speaker.ask('model_unavailable', mark)
    await eventually(async () => listener.isGone(mark), 'the news arrive')
  }

  test('count failures together, and leave the model alone together', async (t) => {
    const { processes } = await begin(t, 2)
    const [one, two] = processes as [TestProcess, TestProcess]
    for (const code of ['provider_failed', 'provider_timeout'] as const) await one.ask(code)
    await heard(one, two)
    assert.equal(two.isLeftAlone(), false)
    assert.equal(await two.ask('provider_quota_reached'), 'provider_quota_reached')
    assert.equal(two.isLeftAlone(), true)
    await eventually(async () => one.isLeftAlone(), 'the other has heard')
    assert.deepEqual([await one.ask('ok'), await two.ask('ok'), await one.ask('ok', 'model-2')], ['left alone', 'left alone', 'ok'])
  })

  test('count no refusals and no busy moments', async (t) => {
    const { processes } = await begin(t, 2)
    const [one, two] = processes as [TestProcess, TestProcess]
    for (const code of ['content_refused', 'provider_rate_limited', 'invalid_request', 'content_refused'] as const) await one.ask(code)
    await heard(one, two)
    assert.deepEqual([one.leftAlone(), two.leftAlone()], [[], []])
  })

  test('a missing model is no outage, even where it is asked for all the same', async (t) => {
    const { processes } = await begin(t, 1, { goneMs: 0, failures: 1 })
    const [one] = processes as [TestProcess]
    for (let index = 0; index < 3; index++) assert.equal(await one.ask('model_unavailable'), 'model_unavailable')
    assert.deepEqual([one.leftAlone(), one.isGone()], [[], false])
  })

  test('a success anywhere ends the count everywhere', async (t) => {
    const { processes } = await begin(t, 2)
    const [one, two] = processes as [TestProcess, TestProcess]
    await one.ask('provider_failed')
    await one.ask('provider_failed')
    await heard(one, two)
    await two.ask('ok')
    await heard(two, one)
    await one.ask('provider_failed')
    await one.ask('provider_failed')
    assert.equal(one.isLeftAlone(), false)
  })

  test('a newcomer that has not heard of the failures ends the count too', async (t) => {
    const { processes, join } = await begin(t, 1)
    const [one] = processes as [TestProcess]
    await one.ask('provider_failed')
    await one.ask('provider_failed')
    const newcomer = await join()
    await newcomer.ask('ok')
    await heard(newcomer, one)
    await one.ask('provider_failed')
    assert.equal(one.isLeftAlone(), false)
  })

  test('a success ends what was counted while Redis was away', async (t) => {
    const { processes } = await begin(t, 2)
    const [one, two] = processes as [TestProcess, TestProcess]
    // What is told once need not be told again, as far as anybody knows.
    await one.ask('ok')
    await redis.kill()
    await two.ask('provider_failed')
    await two.ask('provider_failed')
    await redis.restart()
    await eventually(async () => one.opened() === 2 && two.opened() === 2, 'Redis is back')
    await one.ask('ok')
    await heard(one, two)
    await two.ask('provider_failed')
    assert.equal(two.isLeftAlone(), false)
  })

  test('try again after the pause, and go on', async (t) => {
    const { processes } = await begin(t, 2, { failures: 1, pauseMs: 30 })
    const [one, two] = processes as [TestProcess, TestProcess]
    await one.ask('provider_failed')
    await heard(one, two)
    await eventually(async () => (await one.ask('ok')) === 'ok', 'the pause is over')
    await eventually(async () => (await two.ask('ok')) === 'ok', 'the other goes on too')
  })

  test('are quiet while all is well', async (t) => {
    const { channel, processes } = await begin(t, 2)
    const said = await redis.record(channel)
    const types = () => said.map((text) => (JSON.parse(text) as { event: { type: string } }).event.type)
    const [one, two] = processes as [TestProcess, TestProcess]
    const work = async () => {
      for (let index = 0; index < 20; index++) await Promise.all([one.ask('ok'), two.ask('ok')])
      await heard(one, two)
      await heard(two, one)
    }
    await work()
    await eventually(async () => said.length >= 4, 'the first successes are told')
    assert.deepEqual(types().toSorted(), ['gone', 'gone', 'success', 'success'])
    await work()
    await one.ask('provider_failed')
    await heard(one, two)
    await work()
    await eventually(async () => types().filter((type) => type === 'gone').length === 7, 'all is said')
    assert.deepEqual(types().filter((type) => type !== 'gone').slice(2).toSorted(), ['failure', 'success', 'success'])
  })

  test('know of a model that is gone from the first that was told', async (t) => {
    const { processes } = await begin(t, 2)
    const [one, two] = processes as [TestProcess, TestProcess]
    assert.equal(await one.ask('model_unavailable'), 'model_unavailable')
    await heard(one, two)
    assert.deepEqual([await one.ask('ok'), await two.ask('ok'), await two.ask('ok', 'model-2')], ['gone', 'gone', 'ok'])
  })

  test('ask for it again after a while', async (t) => {
    const { processes } = await begin(t, 2, { goneMs: 1000 })
    const [one, two] = processes as [TestProcess, TestProcess]
    await one.ask('model_unavailable')
    await eventually(async () => two.isGone(), 'the other has heard')
    await eventually(async () => !one.isGone() && !two.isGone(), 'the time is over')
    assert.deepEqual([await one.ask('ok'), await two.ask('ok')], ['ok', 'ok'])
  })

  test('pass over whatever is no news', async (t) => {
    const { channel, processes } = await begin(t, 1, { failures: 1 })
    const [one] = processes as [TestProcess]
    const news = { from: 'somebody', provider: 'fake', model: MODEL, event: { type: 'failure' } }
    const nonsense = [
      '', 'null', '[]', '7', '{', '\0', '"failure"', '['.repeat(9000), 'x'.repeat(1_000_000),
      ...[{ from: 7 }, { from: undefined }, { provider: '' }, { provider: 'p'.repeat(301) }, { model: 'm'.repeat(301) }, { model: ['a'] }, { model: { toString: 1 } }, { event: 'failure' }, { event: { type: 'explosion' } }, { event: { type: 'gone' } }, { event: { type: 'gone', task: 'destroy' } }, { event: null }].map((part) => JSON.stringify({ ...news, ...part })),
    ]
    for (const text of nonsense) assert.equal(await redis.publish(channel, text), 1)
    await redis.publish(channel, JSON.stringify({ ...news, model: 'model-2', more: 'than is known' }))
    await eventually(async () => one.isLeftAlone('model-2'), 'what is news is heard')
    assert.deepEqual([one.leftAlone(), one.isGone(), await one.ask('ok')], [['model-2'], false, 'ok'])
  })

  test('keep so many models in mind and no more, the least recently used forgotten', async (t) => {
    const { channel, processes } = await begin(t, 1, { failures: 1 })
    const [one] = processes as [TestProcess]
    const say = (model: string) => redis.publish(channel, JSON.stringify({ from: 'somebody', provider: 'fake', model, event: { type: 'failure' } }))
    await say('first')
    for (let index = 0; index < MAX_GUARDED_MODELS; index++) await say(`model-${index}`)
    await eventually(async () => one.isLeftAlone(`model-${MAX_GUARDED_MODELS - 1}`), 'all is heard')
    assert.deepEqual([one.leftAlone().length, one.isLeftAlone('first'), one.isLeftAlone('model-0')], [MAX_GUARDED_MODELS, false, true])
  })
})

function createProcess(link: RedisLink, channel: string, options: BreakerOptions): TestProcess {
  let next: Outcome = 'ok'
  let calls = 0
  const fake: Provider = {
    id: 'fake',
    optionsSchema: z.strictObject({}),
    image: () => ({
      async start() {
        calls++
        if (next === 'ok') return { outputs: [], warnings: [] }
        throw new ProviderError(next, 'No.', { provider: 'fake', charged: 'no' })
      },
    }),
  }
  const { providers, health, isGone } = observeProviders(new Map([['fake', fake]]), { ...options, news: createNewsExchange(link, channel) })
  let opened = 0
  link.onOpen(() => opened++)
  const leftAlone = () => health().fake!.leftAlone ?? []
  return {
    async ask(outcome, model = MODEL) {
      next = outcome
      const before = calls
      try {
        await providers.get('fake')!.image!({ vendorId: model }).start(imageRequest(), { ...call, mark: {} })
        return 'ok'
      } catch (error) {
        assert.ok(error instanceof ProviderError && error.charged === 'no')
        if (calls > before) return error.code
        return error.code === 'model_unavailable' ? 'gone' : 'left alone'
      }
    },
    isLeftAlone: (model = MODEL) => leftAlone().includes(model),
    leftAlone,
    isGone: (model = MODEL) => isGone('fake', model),
    opened: () => opened,
  }
}
