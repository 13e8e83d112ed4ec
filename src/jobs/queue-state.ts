/** How much waits in the queues, for whoever watches the service. */
import type { QueueState } from '../metrics/metrics.ts'
import type { Database } from '../supabase/database.ts'

/** Asking often must not become load, and a database that is slow must not hold up who asks. */
const CACHE_MS = 5000
const TIMEOUT_MS = 2000

/** Reads an index of what waits, and nothing of what is done. */
const COUNT_JOBS = `
  select queue.name as queue,
    count(job.name) filter (where job.start_after <= now())::float8 as due,
    count(job.name) filter (where job.start_after > now())::float8 as later,
    coalesce(extract(epoch from now() - min(job.start_after) filter (where job.start_after <= now())), 0)::float8 as "oldestSeconds"
  from unnest($1::text[]) as queue (name)
  left join pgboss.job job on job.name = queue.name and job.state < 'active' and not job.blocked
  group by queue.name`

/** @returns what reads the state, at most every five seconds; undefined when the database does not tell in time. */
export function createQueueState(database: Database, queues: readonly string[], now: () => number = Date.now): () => Promise<QueueState | undefined> {
  let cached: { at: number; state: Promise<QueueState | undefined> } | undefined

  async function read(): Promise<QueueState> {
    return await database.transaction(async (query) => {
      await query(`set local statement_timeout = ${TIMEOUT_MS}`)
      const rows = await query<QueueState['queues'][number]>(COUNT_JOBS, [queues])
      const [row] = await query<{ waiting: number }>('select count(*)::float8 as waiting from darkroom.requests where waiting')
      return { queues: rows, waiting: row!.waiting }
    })
  }

  async function readInTime(): Promise<QueueState | undefined> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), TIMEOUT_MS)))
    try {
      return await Promise.race([read(), late])
    } catch {
      return undefined
    } finally {
      clearTimeout(timer)
    }
  }

  return () => {
    if (!cached || now() - cached.at > CACHE_MS) cached = { at: now(), state: readInTime() }
    return cached.state
  }
}
