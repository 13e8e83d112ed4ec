/** Two processes with one Redis under the load of autocannon: the limit lets in exactly as many as it says. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import autocannon from 'autocannon'
import { startProcess, type RunningProcess } from './support/process.ts'
import { noRedis, startRedis, type TestRedis } from './support/redis.ts'
import { eventually } from './support/service.ts'
import { signUp, type TestUser } from './support/supabase.ts'

const LIMIT = 1000

describe('a limit over two processes', { skip: noRedis }, () => {
  let redis: TestRedis
  let processes: RunningProcess[] = []
  before(async () => {
    redis = await startRedis()
    const env = { REDIS_URL: redis.url, RATE_WINDOW_SECONDS: '3600', RATE_LIMIT_USER: String(LIMIT), LOG_LEVEL: 'info', ARK_API_KEY: 'nobody-asks' }
    processes = await Promise.all([startProcess(['web'], env), startProcess(['web'], env)])
    await eventually(async () => processes.every(({ log }) => log.some(({ msg }) => msg === 'Redis is there')), 'both are connected')
  })
  after(async () => {
    await Promise.all(processes.map((running) => running.kill()))
    await redis.close()
  })

  /** So many requests, half of them to each process, twenty at a time. @returns how many answers of each status there were. */
  async function fire(user: TestUser, amount: number): Promise<Record<string, number>> {
    const results = await Promise.all(processes.map(({ url }) => autocannon({ url: `${url}/api/models`, amount: amount / 2, connections: 10, headers: { authorization: `Bearer ${user.token}` } })))
    const counts: Record<string, number> = {}
    for (const { statusCodeStats, errors, timeouts } of results) {
      assert.deepEqual([errors, timeouts], [0, 0])
      for (const [status, { count }] of Object.entries(statusCodeStats ?? {})) counts[status] = (counts[status] ?? 0) + Number(count)
    }
    return counts
  }

  test('at the limit everything is answered, and then nothing', async () => {
    const user = await signUp()
    assert.deepEqual(await fire(user, LIMIT), { 200: LIMIT })
    assert.deepEqual(await fire(user, 200), { 429: 200 })
  })

  test('over the limit exactly so many are answered, and others’ are their own', async () => {
    const [eager, modest] = [await signUp(), await signUp()]
    const [over, within] = await Promise.all([fire(eager, 3 * LIMIT), fire(modest, 300)])
    assert.deepEqual(over, { 200: LIMIT, 429: 2 * LIMIT })
    assert.deepEqual(within, { 200: 300 })
  })

  test('no process has failed', () => {
    for (const { log, errors } of processes) assert.deepEqual([log.filter(({ level }) => level === 'error' || level === 'fatal'), errors()], [[], ''])
  })
})
