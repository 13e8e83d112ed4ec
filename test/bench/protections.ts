/**
 * `protections`: what a request pays for all that stands between a stranger and the bill: security headers, CORS, rate
 * limits, scopes, deadlines, the log, the audit log with encrypted bodies, metrics.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import autocannon from 'autocannon'
import { noRedis, startRedis } from '../support/redis.ts'
import { makeKey, sign, type TestKey } from '../support/api-keys.ts'
import type { TestUser } from '../support/supabase.ts'
import { startBackend, startOurs, type BenchUser } from './backend.ts'
import { startChild, type Child } from './child.ts'
import { canPin, SERVICE_CORE, STUB_CORE } from './cores.ts'
import type { Bench, Figure, Row, RowResult } from './row.ts'
import { ratios, spread } from './statistics.ts'

const PAIRS = 5
const CONNECTIONS = 32
const REQUESTS = 3000
const WARM_UPS = 1500

export const protections: Row = { name: 'protections', title: 'what a request pays for limits, keys, headers, audit log and metrics', run }

interface Measurement {
  /** Processor time of the service, all threads. */
  cpuMs: number
  p50Ms: number
  p99Ms: number
}

interface Call {
  service: Child<{ url: string }>
  /** Makes the headers and the body of the next request. */
  request: () => { method: 'GET' | 'POST'; path: string; headers: Record<string, string>; body?: string }
}

async function run(bench: Bench): Promise<RowResult> {
  bench.progress('starting the local Supabase and four services')
  const backend = await startBackend(bench)
  const user = await backend.signUp()
  const on = { ...backend.env, ARK_API_KEY: 'nobody-asks', LOG_LEVEL: 'info', METRICS_TOKEN: 'sixteen-characters-or-more', STORAGE_MASTER_KEY: `bench:${randomBytes(32).toString('base64')}`, API_NONCES_PER_USER: '10000000', API_NONCES: '10000000' }
  const ours = await startOurs(bench, on, 'web')
  const bare = await startChild<{ url: string }>(bench, { script: 'serve-unprotected.ts', core: SERVICE_CORE, env: on })
  const keyless = await startOurs(bench, { ...on, STORAGE_MASTER_KEY: '' }, 'web')
  const shared = noRedis === undefined ? await startWithRedis(bench, on) : undefined
  const key = await makeKey(ours.ready.url, user as TestUser)

  const comparisons: [what: string, ours: Call, peer: Call][] = [
    ['all of it, against none', usageBy(ours, user.token), usageBy(bare, user.token)],
    ['an API key, against a token', usageBy(ours, key.key), usageBy(ours, user.token)],
    ['a signed request, against a token', signedUsage(ours, key), usageBy(ours, user.token)],
    ['a dry run whose body is kept encrypted, against one whose is not', dryRun(ours, user), dryRun(keyless, user)],
    ...(shared ? [['limits counted in Redis, against in memory', usageBy(shared, user.token), usageBy(ours, user.token)] as [string, Call, Call]] : []),
  ]
  const figures: Figure[] = []
  for (const [what, ...sides] of comparisons) figures.push(...(await compare(bench, what, sides)))
  const { written, dropped } = await auditRows(ours.ready.url, on.METRICS_TOKEN)
  return { figures, notes: [...NOTES, `Of the audit log’s rows ${written} were written and ${dropped} dropped.`], failures: dropped > 0 ? [`${dropped} rows of the audit log were dropped.`] : [] }
}

async function startWithRedis(bench: Bench, env: Record<string, string>): Promise<Child<{ url: string }>> {
  const redis = await startRedis()
  bench.defer(() => redis.close())
  return await startOurs(bench, { ...env, REDIS_URL: redis.url }, 'web')
}

const usageBy = (service: Call['service'], credential: string): Call => ({ service, request: () => ({ method: 'GET', path: '/api/usage', headers: { authorization: `Bearer ${credential}` } }) })

const signedUsage = (service: Call['service'], key: TestKey): Call => ({
  service,
  request: () => ({ method: 'GET', path: '/api/usage', headers: Object.fromEntries(sign(key, { method: 'GET', target: '/api/usage', headers: [] }).headers) }),
})

const dryRun = (service: Call['service'], { token }: BenchUser): Call => ({
  service,
  request: () => ({
    method: 'POST',
    path: '/api/images/generate?dryRun=true',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: `A lighthouse in a storm, ${randomUUID()}`, size: '1024x1024', model: 'seedream-4-0-250828' }),
  }),
})

async function compare(bench: Bench, what: string, [ours, peer]: [Call, Call]): Promise<Figure[]> {
  for (const call of [ours, peer]) await measure(call, WARM_UPS)
  const pairs: { ours: Measurement[]; peer: Measurement[] } = { ours: [], peer: [] }
  for (let pair = 1; pair <= PAIRS; pair++) {
    bench.progress(`${what}: pair ${pair} of ${PAIRS}`)
    pairs.ours.push(await measure(ours, REQUESTS))
    pairs.peer.push(await measure(peer, REQUESTS))
  }
  const figure = (name: string, unit: string, key: keyof Measurement): Figure => {
    const [a, b] = [pairs.ours.map((one) => one[key]), pairs.peer.map((one) => one[key])]
    return { what: `${what}: ${name}`, unit, ours: spread(a), peer: spread(b), ratio: ratios(a, b) }
  }
  return [figure('processor time', 'ms each', 'cpuMs'), figure('latency p50', 'ms', 'p50Ms'), figure('latency p99', 'ms', 'p99Ms')]
}

/** @throws when an answer is none of status 200. */
async function measure({ service, request }: Call, amount: number): Promise<Measurement> {
  const before = await service.usage()
  const result = await autocannon({ url: service.ready.url, connections: CONNECTIONS, amount, requests: [{ setupRequest: (given) => Object.assign(given, request()) }] })
  const { cpuMs } = await service.usage()
  if (result['2xx'] !== amount || result.errors > 0) throw new Error(`${result.non2xx} answers of another status, ${result.errors} errors: ${JSON.stringify(result.statusCodeStats)}\n${service.lastWords()}`)
  return { cpuMs: (cpuMs - before.cpuMs) / amount, p50Ms: result.latency.p50, p99Ms: result.latency.p99 }
}

async function auditRows(url: string, token: string): Promise<{ written: number; dropped: number }> {
  const text = await (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } })).text()
  const count = (outcome: string) => Number(new RegExp(`audit_rows_total\\{outcome="${outcome}"\\} (\\d+)`).exec(text)?.[1])
  return { written: count('written'), dropped: count('dropped') }
}

const NOTES = [
  canPin
    ? `Services are processes of their own on core ${SERVICE_CORE}, under load one at a time; the local Supabase, Redis and the load generator (autocannon, in the bench itself) share core ${STUB_CORE}.`
    : 'This machine cannot pin processes to cores: services, stubs and load take each other’s time.',
  `${CONNECTIONS} connections, ${REQUESTS} requests each time. GET /api/usage is one query; its processor time is all threads’, what is written behind the answers included.`,
  '"None" is Koa, the check of the token and the query: no request id, headers, CORS, limits, deadline, log, audit log or metrics.',
  'Signing takes the load generator’s time too: what counts there is the processor time.',
]
