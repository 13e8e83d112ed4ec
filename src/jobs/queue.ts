/** The queue: pg-boss in the project's own Postgres, sharing our pool, woken by our listener. */
import { PgBoss } from 'pg-boss'
import type { Logger } from '../log.ts'
import type { Database, Query } from '../supabase/database.ts'

export const GENERATIONS = 'generations'
export const FILE_DELETIONS = 'file-deletions'
export const SWEEP = 'sweep'

/** Announces a job to idle workers, which otherwise look once a second. */
export const JOBS_CHANNEL = 'darkroom_jobs'

/** A worker that died is noticed after this long: its heartbeat is over, and another takes its jobs. */
const HEARTBEAT_SECONDS = 10
const SUPERVISE_SECONDS = 5
/** A job lives as long as a provider's link at most; the heartbeat, not this, tells that a worker died. */
const EXPIRE_SECONDS = 86_399

export interface Queue {
  boss: PgBoss
  /** Adds a generation's job in the caller's transaction. A generation that already waits in the queue is not added twice. */
  enqueueGeneration(query: Query, generationId: string, startAfterSeconds?: number): Promise<void>
  stop(): Promise<void>
}

/** @param options.supervise true in workers, which then look after expired jobs and schedules for all. */
export async function startQueue(database: Database, logger: Logger, options: { supervise: boolean }): Promise<Queue> {
  const boss = new PgBoss({
    db: { executeSql: database.execute },
    schema: 'pgboss',
    supervise: options.supervise,
    schedule: options.supervise,
    superviseIntervalSeconds: SUPERVISE_SECONDS,
    // Expired jobs are looked for in this pass too, whatever the interval above.
    monitorIntervalSeconds: SUPERVISE_SECONDS,
  })
  boss.on('error', (error) => logger.warn({ err: error }, 'the job queue has a problem'))
  await boss.start()
  const job = { policy: 'short' as const, heartbeatSeconds: HEARTBEAT_SECONDS, expireInSeconds: EXPIRE_SECONDS, retryLimit: 100, retryDelay: 1, retryBackoff: true, retryDelayMax: 60 }
  await boss.createQueue(GENERATIONS, job)
  await boss.createQueue(FILE_DELETIONS, job)
  await boss.createQueue(SWEEP, { ...job, retryLimit: 0 })
  return {
    boss,
    async enqueueGeneration(query, generationId, startAfterSeconds = 0) {
      await boss.send(GENERATIONS, { generationId }, { singletonKey: generationId, startAfter: startAfterSeconds, db: { executeSql: async (text, values) => ({ rows: await query(text, values) }) } })
      if (startAfterSeconds === 0) await query('select pg_notify($1, $2)', [JOBS_CHANNEL, GENERATIONS])
    },
    // With a database of ours pg-boss closes nothing; the dispatchers have waited for their jobs before.
    stop: () => boss.stop({ graceful: false, close: false }),
  }
}
