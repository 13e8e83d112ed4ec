/** The queues: pg-boss in the project's own Postgres, sharing our pool, woken by our listener. */
import { randomUUID } from 'node:crypto'
import { PgBoss } from 'pg-boss'
import type { Logger } from '../log.ts'
import type { Database, Query } from '../supabase/database.ts'

/** Short steps: starting an operation, looking how far it is. */
export const STEPS = 'steps'
/** Pictures, whose calls may take minutes: they must not hold up the looks at everything else. */
export const PICTURES = 'pictures'
/** Transfers of what is finished, those first whose link dies first. */
export const STORES = 'stores'
export const FILE_DELETIONS = 'file-deletions'
export const SWEEP = 'sweep'
export const LOG_EXPIRY = 'log-expiry'

/** Announces a job to idle workers, which otherwise look once a second. */
export const JOBS_CHANNEL = 'darkroom_jobs'
/** Announces that a waiting generation may start. */
export const PLACES_CHANNEL = 'darkroom_places'

/** A worker that died is noticed after this long: its heartbeat is over, and another takes its jobs. */
const HEARTBEAT_SECONDS = 10
const SUPERVISE_SECONDS = 5
/** A job lives as long as a provider's link at most; the heartbeat, not this, tells that a worker died. */
const EXPIRE_SECONDS = 86_399

/** A video leaves one finished job for each look at it: they are of no use later. */
const DONE_SECONDS = 120

export interface Queue {
  boss: PgBoss
  /** Adds a generation's job in the caller's transaction. A generation that already waits in the queue is not added twice. */
  enqueueGeneration(query: Query, generationId: string, kind: string): Promise<void>
  /** Has a generation's next step done now, whenever it was due. */
  hurryGeneration(generationId: string, kind: string): Promise<void>
  /** Gives jobs to waiting generations for which there is a place. */
  wakeWaiting(): Promise<void>
  stop(): Promise<void>
}

export interface QueueOptions {
  /** True in workers, which then look after expired jobs and schedules for all. */
  supervise: boolean
  /** How many generations may run at once at one provider and for one user, over all processes. */
  places: { perProvider: number; perUser: number }
}

/** Seconds are counted from 2025, so that they fit into pg-boss's integer beyond 2038. */
const EPOCH_MS = Date.UTC(2025)

/** The priority, for pg-boss takes the highest first, by which jobs are taken in the order of a time: when they were due, when their link dies. */
export const earliestFirst = (time: number): number => -Math.floor((time - EPOCH_MS) / 1000)

/** pg-boss's view of a transaction of ours. */
export const boundTo = (query: Query) => ({ db: { executeSql: async (text: string, values?: unknown[]) => ({ rows: await query(text, values) }) } })

export async function startQueue(database: Database, logger: Logger, { supervise, places }: QueueOptions): Promise<Queue> {
  const boss = new PgBoss({
    db: { executeSql: database.execute },
    schema: 'pgboss',
    supervise,
    schedule: supervise,
    superviseIntervalSeconds: SUPERVISE_SECONDS,
    // Expired jobs are looked for in this pass too, whatever the interval above.
    monitorIntervalSeconds: SUPERVISE_SECONDS,
  })
  boss.on('error', (error) => logger.warn({ err: error }, 'the job queue has a problem'))
  await boss.start()
  const job = { policy: 'short' as const, heartbeatSeconds: HEARTBEAT_SECONDS, expireInSeconds: EXPIRE_SECONDS, retryLimit: 100, retryDelay: 1, retryBackoff: true, retryDelayMax: 60, deleteAfterSeconds: DONE_SECONDS }
  const queues = { [STEPS]: job, [PICTURES]: job, [STORES]: job, [FILE_DELETIONS]: job, [SWEEP]: { ...job, retryLimit: 0 }, [LOG_EXPIRY]: { ...job, retryLimit: 0 } }
  for (const [name, { policy, ...settings }] of Object.entries(queues)) {
    await boss.createQueue(name, { policy, ...settings })
    // What an earlier version made keeps its settings otherwise.
    await boss.updateQueue(name, settings)
  }
  // What it reads of a queue on first use would wait for a connection that the transactions of those who use it hold.
  for (const name of Object.keys(queues)) await boss.findJobs(name, { id: randomUUID() })

  async function enqueueGeneration(query: Query, generationId: string, kind: string): Promise<void> {
    const queue = queueOf(kind)
    await boss.send(queue, { generationId }, { singletonKey: generationId, priority: earliestFirst(Date.now()), ...boundTo(query) })
    await query('select pg_notify($1, $2)', [JOBS_CHANNEL, queue])
  }

  async function wake(): Promise<void> {
    await database.transaction(async (tx) => {
      const woken = await tx<{ id: string; kind: string }>('select id, kind from darkroom.wake_waiting($1, $2) as woken (id) join public.generations using (id)', [places.perProvider, places.perUser])
      for (const [queue, group] of Map.groupBy(woken, ({ kind }) => queueOf(kind))) {
        await boss.insert(queue, group.map(({ id }) => ({ data: { generationId: id }, singletonKey: id, priority: earliestFirst(Date.now()) })), boundTo(tx))
        await tx('select pg_notify($1, $2)', [JOBS_CHANNEL, queue])
      }
    })
  }

  return {
    boss,
    enqueueGeneration,
    async hurryGeneration(generationId, kind) {
      const queue = queueOf(kind)
      await boss.upsert(queue, { generationId }, { singletonKey: generationId, startAfter: new Date(), priority: earliestFirst(Date.now()) })
      await database.query('select pg_notify($1, $2)', [JOBS_CHANNEL, queue])
    },
    wakeWaiting: onceAtATime(wake),
    // With a database of ours pg-boss closes nothing; the dispatchers have waited for their jobs before.
    stop: () => boss.stop({ graceful: false, close: false }),
  }
}

/** The queue of a generation's steps. */
export const queueOf = (kind: string): string => (kind === 'image' ? PICTURES : STEPS)

/** Calls that come while one is running are one more call after it. */
function onceAtATime(task: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  let isWanted = false
  return () => {
    isWanted = true
    running ??= (async () => {
      while (isWanted) {
        isWanted = false
        await task()
      }
    })().finally(() => (running = undefined))
    return running
  }
}
