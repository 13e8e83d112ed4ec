/** Redis, where there is one: that it answers, keeps what it is told, and hands on what is said. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { Redis } from 'ioredis'
import { toRedisOptions } from '../redis.ts'
import { need, type Check, type Context } from './context.ts'
import { faultOf } from './http.ts'
import { CannotRun, NotApplicable, type Notebook } from './report.ts'

const TIMEOUT_MS = 5000
/** Requests wait for its answer: more than this each time is felt. */
const SLOW_MS = 20
const ROUNDS = 10

export const redis: Check = {
  name: 'redis',
  needs: ['configuration'],
  timeoutMs: 20_000,
  async run(context, note) {
    const { url, rejectUnauthorized } = need(context, 'config').redis
    if (url === undefined) throw new NotApplicable('there is no REDIS_URL: each process counts by itself')
    const connect = () => new Redis(url, { ...toRedisOptions(url, rejectUnauthorized), lazyConnect: true, connectTimeout: TIMEOUT_MS, commandTimeout: TIMEOUT_MS, retryStrategy: () => null })
    const [speaker, listener] = [connect(), connect()]
    try {
      if (await open([speaker, listener], note)) await tryOut(context, speaker, listener, note)
    } finally {
      for (const client of [speaker, listener]) client.disconnect()
    }
  },
}

async function open(clients: Redis[], note: Notebook): Promise<boolean> {
  try {
    for (const client of clients) {
      let last: unknown
      client.on('error', (error) => (last = error))
      await client.connect().catch((error: unknown) => {
        throw last ?? error
      })
    }
    return true
  } catch (error) {
    note.problem({ code: 'redis.unreachable', subject: 'REDIS_URL', what: `Redis does not let us in: ${faultOf(error)}. Limits are counted by each process alone, and a signed request can be replayed at another one.`, mend: 'Set REDIS_URL as its host tells it (rediss:// where it wants TLS, and REDIS_TLS_REJECT_UNAUTHORIZED=false where its certificate is its own), or remove it.' })
    return false
  }
}

async function tryOut(context: Context, speaker: Redis, listener: Redis, note: Notebook): Promise<void> {
  const key = `darkroom:doctor:${randomUUID()}`
  try {
    const [first, second] = [await speaker.set(key, '1', 'PX', TIMEOUT_MS * 2, 'NX'), await speaker.set(key, '1', 'PX', TIMEOUT_MS * 2, 'NX')]
    if (first !== 'OK' || second !== null) note.problem({ code: 'redis.forgets', subject: 'REDIS_URL', what: 'Redis does not keep what it is told for the time that it is told: signed requests cannot be told from replays.', mend: 'Use a Redis of version 6 or later, or one that speaks as it does.' })
    await checkNews(context, speaker, listener, note)
    await checkPace(speaker, note)
    await checkMemory(speaker, note)
  } catch (error) {
    const fault = faultOf(error)
    if (/READONLY/.test(fault)) note.problem({ code: 'redis.read-only', subject: 'REDIS_URL', what: 'This Redis is a replica: nothing can be written.', mend: 'Point REDIS_URL at the primary.' })
    else throw new CannotRun(`Redis refused: ${fault}`)
  } finally {
    await speaker.del(key).catch(() => undefined)
  }
}

async function checkNews(context: Context, speaker: Redis, listener: Redis, note: Notebook): Promise<void> {
  const channel = `darkroom:doctor:${randomUUID()}`
  const signal = AbortSignal.any([context.signal(), AbortSignal.timeout(TIMEOUT_MS)])
  await listener.subscribe(channel)
  const heard = once(listener, 'message', { signal }).then(() => true, () => false)
  await speaker.publish(channel, 'hello')
  if (!(await heard)) note.problem({ code: 'redis.silent', subject: 'REDIS_URL', what: 'What is published on Redis is not heard: a provider that one process has given up is asked on by the others.', mend: 'Use a Redis that hands messages on (PUBLISH, SUBSCRIBE), not through a proxy that cuts them.' })
}

async function checkPace(speaker: Redis, note: Notebook): Promise<void> {
  const startedAt = performance.now()
  for (let round = 0; round < ROUNDS; round++) await speaker.ping()
  const ms = (performance.now() - startedAt) / ROUNDS
  note.fact(`answers in ${ms.toFixed(1)} ms`)
  if (ms > SLOW_MS) note.warning({ code: 'redis.slow', subject: 'REDIS_URL', what: `Redis takes ${ms.toFixed(0)} ms for an answer, and each request waits for some of them.`, mend: 'Use one in the region of the service.' })
}

async function checkMemory(speaker: Redis, note: Notebook): Promise<void> {
  const info = await speaker.info().catch(() => '')
  const [limit, policy] = [/^maxmemory:(\d+)/m.exec(info)?.[1], /^maxmemory_policy:(\S+)/m.exec(info)?.[1]]
  if (policy === undefined) return note.cannotTell('what it does when its memory is full')
  note.fact(`version ${/^(?:redis|valkey)_version:(\S+)/m.exec(info)?.[1] ?? 'unknown'}, ${policy}`)
  if (limit !== '0' && policy !== 'noeviction') note.warning({ code: 'redis.evicts', subject: 'maxmemory-policy', what: `When its memory is full, this Redis forgets what it was told (${policy}): limits begin anew, and a signed request may pass twice.`, mend: 'Set maxmemory-policy to noeviction: the service then goes on by itself while it is full.' })
}
