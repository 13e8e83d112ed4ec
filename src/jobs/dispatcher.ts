/**
 * Takes jobs from one queue and runs them side by side. pg-boss's own workers poll each for itself, so that one
 * notification makes all of them ask at once; here one loop fetches as many jobs as there are free places, and jobs that
 * end together are written down together.
 */
import type { PgBoss } from 'pg-boss'
import type { Logger } from '../log.ts'
import { createFinisher, type FinishedJob, type NextJob, type Transact } from './finisher.ts'

export interface Dispatcher {
  /** Looks for jobs now. */
  wake(): void
  /** Takes no more jobs and waits for the running ones, at most `timeoutMs`. @returns how many were left running. */
  stop(timeoutMs: number): Promise<number>
}

export interface JobContext {
  /** Ends when the process must go: what can be handed back is. */
  stopping: AbortSignal
  /** Ends when what is still running must be left to another process. */
  leaving: AbortSignal
  /** How often this job was begun before, by handlers that threw or processes that died. */
  earlierAttempts: number
}

/** @returns what follows, or undefined when the work is done. */
export type JobHandler<T> = (data: T, context: JobContext) => Promise<NextJob | undefined>

export interface DispatcherOptions<T> {
  boss: PgBoss
  transact: Transact
  queue: string
  concurrency: number
  /** The key that keeps a job from waiting in the queue twice. */
  keyOf: (data: T) => string
  handler: JobHandler<T>
  logger: Logger
}

const POLL_MS = 1000
/** A third of the queue's heartbeat: two may get lost. */
const TOUCH_MS = 3000
/** Of the time to stop; the rest is for writing down what is handed back. */
const LEAVING_SHARE = 0.7

interface RunningJob {
  id: string
  retryCount: number
}

export function startDispatcher<T extends object>({ boss, transact, queue, concurrency, keyOf, handler, logger }: DispatcherOptions<T>): Dispatcher {
  const running = new Map<RunningJob, Promise<void>>()
  // Whose heart beats: all but those that are being written down, whose rows the finisher locks in an order of its own.
  const beating = new Set<RunningJob>()
  // A job whose heartbeat lapsed while the database was away may come back to the very process that still runs it.
  const byKey = new Map<string, Promise<NextJob | undefined>>()
  const stopping = new AbortController()
  const leaving = new AbortController()
  const finisher = createFinisher({ boss, transact, queue })
  let wakeUp: () => void = () => undefined
  let awake = false

  const touching = setInterval(() => {
    if (beating.size === 0) return
    const jobs = [...beating].map(({ id, retryCount }) => ({ id, retryCount }))
    boss.touch(queue, jobs).catch((error: unknown) => logger.warn({ queue, err: error }, 'the heartbeat of running jobs could not be sent'))
  }, TOUCH_MS)

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      const free = concurrency - running.size
      const fetched = free > 0 ? await fetchJobs(free) : 0
      if (free > 0 && fetched === free) continue
      await nextWake()
    }
  }

  async function fetchJobs(count: number): Promise<number> {
    try {
      const jobs = await boss.fetch<T>(queue, { batchSize: count })
      for (const job of jobs) start(job, job.data)
      return jobs.length
    } catch (error) {
      logger.warn({ queue, err: error }, 'no jobs could be fetched')
      return 0
    }
  }

  function start(job: RunningJob, data: T): void {
    const task = runJob(job, data).finally(() => {
      const wasFull = running.size >= concurrency
      running.delete(job)
      beating.delete(job)
      if (wasFull) wake()
    })
    running.set(job, task)
    beating.add(job)
  }

  async function runJob(job: RunningJob, data: T): Promise<void> {
    const key = keyOf(data)
    try {
      let result = byKey.get(key)
      if (!result) {
        result = handler(data, { stopping: stopping.signal, leaving: leaving.signal, earlierAttempts: job.retryCount })
        byKey.set(key, result)
        result.catch(() => undefined).finally(() => byKey.delete(key))
      }
      const next = await result
      beating.delete(job)
      await finisher.finish(toFinished(job, data, key, next))
    } catch (error) {
      logger.error({ queue, key, err: error }, 'a job failed and will be repeated')
      // Where this cannot be written either, the heartbeat ends and another worker takes the job.
      await boss.fail(queue, job).catch(() => undefined)
    }
  }

  function wake(): void {
    awake = true
    wakeUp()
  }

  async function nextWake(): Promise<void> {
    if (!awake) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, POLL_MS)
        wakeUp = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    awake = false
  }

  const looping = loop()
  return {
    wake,
    async stop(timeoutMs) {
      stopping.abort(new Error('the process is stopping'))
      wake()
      const leave = setTimeout(() => leaving.abort(new Error('the process is leaving')), timeoutMs * LEAVING_SHARE)
      const late = new Promise<'late'>((resolve) => void setTimeout(() => resolve('late'), timeoutMs).unref())
      await Promise.race([looping.then(() => Promise.all(running.values())), late])
      clearTimeout(leave)
      clearInterval(touching)
      return running.size
    },
  }
}

const toFinished = ({ id, retryCount }: RunningJob, data: object, key: string, next: NextJob | undefined): FinishedJob => ({ job: { id, retryCount }, data, key, next })
