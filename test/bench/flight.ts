/** `flight`: ten thousand videos that a provider works on, looked after by one worker process. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Operation } from '../../src/generation/provider.ts'
import type { VideoPlan } from '../../src/generation/video-request.ts'
import { earliestFirst, STEPS, type Queue } from '../../src/jobs/queue.ts'
import type { Database } from '../../src/supabase/database.ts'
import { startBackend, startOurs, startSimulator } from './backend.ts'
import type { Watched } from './child.ts'
import { canPin, SERVICE_CORE, STUB_CORE, watchCores } from './cores.ts'
import { createVideoMaker } from './made-videos.ts'
import type { Bench, Figure, Row, RowResult, Target } from './row.ts'
import { percentile } from './statistics.ts'

const VIDEOS = 10_000
const MIB = 1024 * 1024
const SETTLE_MS = 2000
const MEASURED_MS = 120_000
/** What is left to write the rows and jobs before the first of them is due. */
const LEAD_MS = 10_000
/** How old they are, evenly: so that some are looked at every five seconds and most every thirty. */
const OLDEST_MS = 3_600_000
/** The defaults of CHECK_SECONDS and MAX_CHECK_SECONDS. */
const CHECK_MS = { least: 5000, most: 30_000 }
const BATCH = 1000

/** One video between two looks at it. */
interface Flight {
  generationId: string
  /** When it was looked at before, and when it is to be again. */
  checkedAt: number
  dueAt: number
}

export const flight: Row = {
  name: 'flight',
  title: `${VIDEOS.toLocaleString('en-US')} videos in flight on one worker process`,
  run,
}

async function run(bench: Bench): Promise<RowResult> {
  bench.progress('starting the database, the simulated provider and a worker')
  const backend = await startBackend(bench)
  const { id: userId } = await backend.signUp()
  // None of them ends while it is looked at.
  const simulator = await startSimulator(bench, { SIMULATOR_QUEUED_MS: 0, SIMULATOR_RUNNING_MS: 86_400_000 })
  const { plan, queue, start } = await createVideoMaker(bench, backend, simulator)
  const worker = await startOurs(bench, { ...backend.env, ...simulator.env, PROVIDER_CONCURRENCY: String(VIDEOS), USER_CONCURRENCY: String(VIDEOS) }, 'worker')
  await sleep(SETTLE_MS)
  await worker.watch()
  const { memory: idle } = await worker.watched()

  bench.progress(`having the provider begin ${VIDEOS} videos`)
  const operations = await start(VIDEOS)
  const firstDueAt = Date.now() + LEAD_MS
  const flights = await insertFlights(backend.database, { userId, plan, operations, firstDueAt })
  await insertJobs(backend.database, queue, flights)
  const checksBefore = await countChecks(simulator.process)
  const late = Date.now() - firstDueAt
  if (late > 0) throw new Error(`The rows were written ${late} ms too late to be measured.`)
  await sleep(firstDueAt - Date.now())

  bench.progress(`watching for ${MEASURED_MS / 1000} s`)
  await worker.watch()
  const busySince = watchCores()
  await sleep(MEASURED_MS)
  const busy = busySince()
  const watched = await worker.watched()
  const checks = (await countChecks(simulator.process)) - checksBefore
  const looks = await readLooks(backend.database)
  const repeated = await countRepeated(backend.database)
  return { figures: toFigures(watched, looks, { checks, repeated, idleMemory: idle.peak, stubsBusy: busy[STUB_CORE] ?? Number.NaN }), notes: NOTES, failures: [] }
}

const countChecks = async (simulator: { ask<Answer>(question: string): Promise<Answer> }): Promise<number> => (await simulator.ask<{ checks: number }>('stats')).checks

/** As the steps of a video leave its rows once the provider has taken it on; in bulk, since one by one it takes minutes. */
async function insertFlights(database: Database, { userId, plan, operations, firstDueAt }: { userId: string; plan: VideoPlan; operations: Operation[]; firstDueAt: number }): Promise<Flight[]> {
  const ages = operations.map((_, index) => (OLDEST_MS * index) / operations.length)
  const rows = await database.query<{ id: string }>(INSERT_FLIGHTS, [userId, plan.prompt, plan.model, plan.requestedModel, plan.provider, JSON.stringify(plan), operations.map((operation) => JSON.stringify(operation)), ages.map((age) => new Date(firstDueAt - age).toISOString())])
  return rows.map(({ id }, index) => {
    const interval = Math.min(Math.max(CHECK_MS.least, ages[index]! / 10), CHECK_MS.most)
    const dueAt = firstDueAt + Math.random() * interval
    return { generationId: id, checkedAt: dueAt - interval, dueAt }
  })
}

const INSERT_FLIGHTS = `
  with flight as materialized (
    select gen_random_uuid() as id, gen_random_uuid() as prompt_id, operation, called_at, position
    from unnest($7::jsonb[], $8::timestamptz[]) with ordinality as given (operation, called_at, position)
  ), prompt as (
    insert into public.prompts (id, user_id, prompt, model_used, type) select prompt_id, $1, $2, $3, 'video' from flight
  ), generation as (
    insert into public.generations (id, prompt_id, user_id, kind, requested_model, model, provider, status, bucket, created_at, started_at)
    select id, prompt_id, $1, 'video', $4, $3, $5, 'running', 'media', called_at, called_at from flight
  ), request as (
    insert into darkroom.requests (generation_id, plan) select id, $6::jsonb from flight
  ), submission as (
    insert into darkroom.submissions (generation_id, index, state, operation, mark, called_at) select id, 0, 'started', operation, '{}', called_at from flight
  )
  select id from flight order by position`

async function insertJobs(database: Database, { boss }: Queue, flights: Flight[]): Promise<void> {
  for (let at = 0; at < flights.length; at += BATCH) {
    const batch = flights.slice(at, at + BATCH)
    await boss.insert(STEPS, batch.map(({ generationId, dueAt }) => ({ data: { generationId }, singletonKey: generationId, startAfter: new Date(dueAt), priority: earliestFirst(dueAt) })))
  }
  // A job is written down when the look before it ended.
  await database.query(
    `update pgboss.job set created_on = flight.checked_at from unnest($2::text[], $3::timestamptz[]) as flight (id, checked_at)
     where job.name = $1 and job.singleton_key = flight.id`,
    [STEPS, flights.map(({ generationId }) => generationId), flights.map(({ checkedAt }) => new Date(checkedAt).toISOString())],
  )
}

interface Look {
  /** How much later it was than it should have been, and how much later that is, measured by its pause. */
  latenessMs: number
  lateness: number
}

/** Those that happened, and those that should have. */
async function readLooks(database: Database): Promise<Look[]> {
  return await database.query<{ latenessMs: number; lateness: number }>(
    `select lateness * 1000 as "latenessMs", lateness / pause as lateness
     from (
       select extract(epoch from coalesce(started_on, now()) - start_after)::float8 as lateness, extract(epoch from start_after - created_on)::float8 as pause
       from pgboss.job where name = $1 and start_after < now()
     ) as look`,
    [STEPS],
  )
}

/** @returns how many looks had to be repeated, since their job was lost. @throws when a video is not where it was. */
async function countRepeated(database: Database): Promise<number> {
  const [row] = await database.query<{ running: number; repeated: number }>(
    `select (select count(*)::integer from public.generations where status = 'running') as running,
       (select count(*)::integer from pgboss.job where name = $1 and retry_count > 0) as repeated`,
    [STEPS],
  )
  if (row!.running !== VIDEOS) throw new Error(`Of ${VIDEOS} videos only ${row!.running} are still in flight.`)
  return row!.repeated
}

function toFigures(watched: Watched, looks: Look[], { checks, repeated, idleMemory, stubsBusy }: { checks: number; repeated: number; idleMemory: number; stubsBusy: number }): Figure[] {
  const figure = (what: string, unit: string, value: number, target?: Target): Figure => ({ what, unit, ours: { min: value, median: value, max: value }, ...(target && { target }) })
  const lateness = looks.map((look) => look.lateness)
  const perSecond = (checks * 1000) / watched.durationMs
  return [
    figure('memory over idle', 'MiB', (watched.memory.peak - idleMemory) / MIB, { of: 'ours', atMost: 200 }),
    figure('lateness of a look, most', 'of its pause', Math.max(...lateness), { of: 'ours', atMost: 1 }),
    figure('lateness of a look, p99', 'of its pause', percentile(lateness, 0.99)),
    figure('lateness of a look, p50', 'ms', percentile(looks.map(({ latenessMs }) => latenessMs), 0.5)),
    figure('lateness of a look, most', 'ms', Math.max(...looks.map(({ latenessMs }) => latenessMs))),
    figure('event loop p99', 'ms', watched.loopDelayMs.p99, { of: 'ours', atMost: 20 }),
    figure('event loop, most', 'ms', watched.loopDelayMs.max),
    figure('looks', '1/s', perSecond),
    figure('looks repeated', '', repeated, { of: 'ours', atMost: 0 }),
    figure('processor, of one core', '%', (watched.cpuMs / watched.durationMs) * 100),
    figure('processor time of a look', 'ms', watched.cpuMs / checks),
    figure('stubs’ core busy', '%', stubsBusy * 100),
  ]
}

const NOTES = [
  canPin ? `The worker is a process of its own on core ${SERVICE_CORE}; the simulated provider, Postgres and the bench share core ${STUB_CORE}.` : 'This machine cannot pin processes to cores: worker and stubs take each other’s time.',
  `The videos are 0 to ${OLDEST_MS / 60_000} minutes old, evenly, and never end; their looks are spread over their pauses, which grow from 5 s to 30 s by their age (the defaults). The rows and jobs are written by the bench; the provider was really asked to begin each.`,
  'Lateness: from when a look was due until its job was taken, divided by the pause before it; 1 stands for a look that comes after twice its pause. Looks that are due and have not come count with what they are late already.',
  'Event loop: how much later a timer of 10 ms fires.',
  'PROVIDER_CONCURRENCY (200) and USER_CONCURRENCY (20) are raised to let so many be in flight at all.',
  'ModelArk is said to allow an account about 20 looks at tasks a second. By this row’s pauses 20 a second is what about 550 videos need; ten thousand would get one look in 500 s each, and the others would be answered 429. So many need callbacks (PUBLIC_URL), or one call of its list for many tasks.',
]
