/** Writes down jobs that have ended, together with what follows them: many in one transaction. */
import type { PgBoss } from 'pg-boss'
import type { Query } from '../supabase/database.ts'
import { boundTo, JOBS_CHANNEL } from './queue.ts'

export type Transact = <T>(work: (query: Query) => Promise<T>) => Promise<T>

/** What follows a job: itself again, or a job of another queue for the same key. */
export interface NextJob {
  afterMs: number
  /** The job's own queue where absent. */
  queue?: string
  /** Higher ones first. */
  priority?: number
}

export interface FinishedJob {
  job: { id: string; retryCount: number }
  data: object
  key: string
  next: NextJob | undefined
}

export interface Finisher {
  /** Resolves once it is written; rejects with the whole batch. A job that is not written down is run again. */
  finish(finished: FinishedJob): Promise<void>
}

/** How long a job that has ended waits for others to be written with. */
const GATHER_MS = 5

export function createFinisher({ boss, transact, queue }: { boss: PgBoss; transact: Transact; queue: string }): Finisher {
  let batch: FinishedJob[] = []
  let writing: Promise<void> | undefined

  async function write(): Promise<void> {
    await new Promise((resolve) => void setTimeout(resolve, GATHER_MS))
    const jobs = batch
    batch = []
    writing = undefined
    // What follows and the end of what was are one change: nothing is done twice, nothing is forgotten.
    await transact(async (query) => {
      const followers = Map.groupBy(jobs.filter(({ next }) => next), ({ next }) => next!.queue ?? queue)
      for (const [name, group] of followers) {
        await boss.insert(name, group.map(toInsert), boundTo(query))
        if (group.some(({ next }) => next!.afterMs === 0)) await query('select pg_notify($1, $2)', [JOBS_CHANNEL, name])
      }
      await boss.complete(queue, jobs.map(({ job }) => job), null, boundTo(query))
    })
  }

  return {
    finish(finished) {
      batch.push(finished)
      writing ??= write()
      return writing
    },
  }
}

const toInsert = ({ data, key, next }: FinishedJob) => ({
  data,
  singletonKey: key,
  startAfter: new Date(Date.now() + next!.afterMs),
  ...(next!.priority !== undefined && { priority: next!.priority }),
})
