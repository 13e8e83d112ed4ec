/** The queues: pg-boss in the project's own Postgres, sharing our pool, woken by our listener. */
import { randomUUID } from 'node:crypto'
import { PgBoss } from 'pg-boss'
import type { Logger } from '../log.ts'
import type { Database, Query } from '../supabase/database.ts'

/** Short steps: asking a provider, looking how far it is. */
export const GENERATIONS = 'generations'
/** Transfers of what is finished, those first whose link dies first. */
export const STORES = 'stores'
export const FILE_DELETIONS = 'file-deletions'
export const SWEEP = 'sweep'

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
const DONE_SECONDS = 3600

export interface Queue {
  boss: PgBoss
  /** Adds a generation's job in the caller's transaction. A generation that already waits in the queue is not added twice. */
  enqueueGeneration(query: Query, generationId: string): Promise<void>
  /** Has a generation's next step done now, whenever it was due. */
  hurryGeneration(generationId: string): Promise<void>
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
  for (const name of [GENERATIONS, STORES, FILE_DELETIONS]) await boss.createQueue(name, job)
  await boss.createQueue(SWEEP, { ...job, retryLimit: 0 })
  // What it reads of a queue on first use would wait for a connection that the transactions of those who use it hold.
  for (const name of [GENERATIONS, STORES, FILE_DELETIONS, SWEEP]) await boss.findJobs(name, { id: randomUUID() })

  async function enqueueGeneration(query: Query, generationId: string): Promise<void> {
    await boss.send(GENERATIONS, { generationId }, { singletonKey: generationId, ...boundTo(query) })
    await query('select pg_notify($1, $2)', [JOBS_CHANNEL, GENERATIONS])
  }

  return {
    boss,
    enqueueGeneration,
    async hurryGeneration(generationId) {
      await boss.upsert(GENERATIONS, { generationId }, { singletonKey: generationId, startAfter: new Date() })
      await database.query('select pg_notify($1, $2)', [JOBS_CHANNEL, GENERATIONS])
    },
    async wakeWaiting() {
      await database.transaction(async (tx) => {
        const woken = await tx<{ id: string }>('select darkroom.wake_waiting($1, $2) as id', [places.perProvider, places.perUser])
        for (const { id } of woken) await enqueueGeneration(tx, id)
      })
    },
    // With a database of ours pg-boss closes nothing; the dispatchers have waited for their jobs before.
    stop: () => boss.stop({ graceful: false, close: false }),
  }
}
