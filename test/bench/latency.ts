/** `latency`: how long a generation waits between its row and the provider being asked. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '../../src/supabase/database.ts'
import { startBackend, startOurs, startSimulator, type BenchUser } from './backend.ts'
import { canPin, SERVICE_CORE, STUB_CORE } from './cores.ts'
import { createClient, fixedRate } from './load.ts'
import type { Bench, Figure, Row, RowResult, Target } from './row.ts'
import { percentile, spread } from './statistics.ts'

const PER_SECOND = 20
/** Of six seconds each. */
const PORTIONS = 5
const PORTION = 120
const WARM_UP = 60
/** So many that nobody waits for a place: by default 20 generations of one user run at once. */
const USERS = 20
/** Long enough to be looked at while others start, short enough to end and be stored meanwhile. */
const RUNNING_MS = 3000
const LONGEST_WAIT_MS = 30_000

export const latency: Row = {
  name: 'latency',
  title: 'from a generation’s row to the call of its provider, web and worker apart',
  run,
}

interface Start {
  /** From the row until the worker has taken its job, and until it calls the provider. In milliseconds. */
  takenAfterMs: number
  calledAfterMs: number
}

interface Portion {
  starts: Start[]
  /** Until the caller has its 202. */
  answersMs: number[]
}

async function run(bench: Bench): Promise<RowResult> {
  bench.progress('starting the local Supabase, the simulated provider, a web process and a worker')
  const backend = await startBackend(bench)
  const simulator = await startSimulator(bench, { SIMULATOR_QUEUED_MS: 0, SIMULATOR_RUNNING_MS: RUNNING_MS })
  const env = { ...backend.env, ...simulator.env }
  const web = await startOurs(bench, env, 'web')
  await startOurs(bench, env, 'worker')
  const users: BenchUser[] = []
  while (users.length < USERS) users.push(await backend.signUp())

  await measure(web.ready.url, users, backend.database, WARM_UP)
  const portions: Portion[] = []
  for (let portion = 1; portion <= PORTIONS; portion++) {
    bench.progress(`${PER_SECOND} a second: portion ${portion} of ${PORTIONS}`)
    portions.push(await measure(web.ready.url, users, backend.database, PORTION))
  }
  await checkCreates(simulator.process, WARM_UP + PORTIONS * PORTION)
  return { figures: toFigures(portions), notes: NOTES, failures: [] }
}

async function measure(url: string, users: BenchUser[], database: Database, count: number): Promise<Portion> {
  const client = createClient()
  const ids: string[] = []
  const send = async () => {
    const user = users[ids.length % users.length]!
    const body = JSON.stringify({ prompt: 'A tea house in the rain', duration: 5 })
    const answer = await client.post(`${url}/api/videos/generate`, { authorization: `Bearer ${user.token}`, prefer: 'respond-async' }, body)
    if (answer.status !== 202) throw new Error(`An answer of status ${answer.status}: ${answer.body.slice(0, 500)}`)
    ids.push((JSON.parse(answer.body) as { id: string }).id)
  }
  const { latenciesMs } = await fixedRate(send, { perSecond: PER_SECOND, count })
  client.close()
  return { starts: await readStarts(database, ids), answersMs: latenciesMs }
}

/** @throws when some have not started in time. */
async function readStarts(database: Database, ids: string[]): Promise<Start[]> {
  const deadline = Date.now() + LONGEST_WAIT_MS
  for (;;) {
    const starts = await database.query<{ takenAfterMs: number; calledAfterMs: number }>(SELECT_STARTS, [ids])
    if (starts.length === ids.length) return starts
    if (Date.now() > deadline) throw new Error(`Of ${ids.length} generations only ${starts.length} have started after ${LONGEST_WAIT_MS / 1000} s.`)
    await sleep(100)
  }
}

/** The first job of a generation is the one that starts it. */
const SELECT_STARTS = `
  select extract(epoch from job.started_on - generation.created_at)::float8 * 1000 as "takenAfterMs",
    extract(epoch from submission.called_at - generation.created_at)::float8 * 1000 as "calledAfterMs"
  from public.generations generation
  join darkroom.submissions submission on submission.generation_id = generation.id
  cross join lateral (
    select started_on from pgboss.job where name = 'steps' and singleton_key = generation.id::text order by created_on limit 1
  ) as job
  where generation.id = any($1) and submission.called_at is not null`

/** @throws when the provider was not asked once for each. */
async function checkCreates(simulator: { ask<Answer>(question: string): Promise<Answer> }, expected: number): Promise<void> {
  // The last calls may still be on their way.
  await sleep(1000)
  const { created } = await simulator.ask<{ created: number }>('stats')
  if (created !== expected) throw new Error(`${expected} videos were asked for, and the provider has begun ${created}.`)
}

function toFigures(portions: Portion[]): Figure[] {
  const figure = (what: string, valueOf: (portion: Portion) => number, target?: Target): Figure => ({ what, unit: 'ms', ours: spread(portions.map(valueOf)), ...(target && { target }) })
  const taken = ({ starts }: Portion) => starts.map(({ takenAfterMs }) => takenAfterMs)
  const called = ({ starts }: Portion) => starts.map(({ calledAfterMs }) => calledAfterMs)
  return [
    figure('row to call, p50', (portion) => percentile(called(portion), 0.5), { of: 'ours', atMost: 100 }),
    figure('row to call, p99', (portion) => percentile(called(portion), 0.99), { of: 'ours', atMost: 500 }),
    figure('row to call, most', (portion) => Math.max(...called(portion))),
    figure('row to job taken, p50', (portion) => percentile(taken(portion), 0.5)),
    figure('row to job taken, p99', (portion) => percentile(taken(portion), 0.99)),
    figure('request to answer, p50', ({ answersMs }) => percentile(answersMs, 0.5)),
    figure('request to answer, p99', ({ answersMs }) => percentile(answersMs, 0.99)),
  ]
}

const NOTES = [
  canPin
    ? `The web process and the worker share core ${SERVICE_CORE}; the local Supabase with its Postgres, the simulated provider and the load share core ${STUB_CORE}.`
    : 'This machine cannot pin processes to cores: the service, its stubs and the load take each other’s time.',
  `Videos with \`Prefer: respond-async\`, ${PER_SECOND} a second at a fixed rate, in ${PORTIONS} portions of ${PORTION}, after ${WARM_UP} that are not counted. The same worker looks after those begun before and stores them.`,
  'By the clock of Postgres alone: from the beginning of the transaction that writes the row and its job, to the moment at which the claim is written, just before the provider is called. A job counts as taken when the transaction begins that takes it.',
]
