/** What works in the background: a dispatcher for each queue, woken by the database. */
import { setTimeout as sleep } from 'node:timers/promises'
import { deleteFilesJob } from './delete-files.ts'
import { startDispatcher, type JobHandler } from './dispatcher.ts'
import { expireLogsJob } from './expire-logs.ts'
import { FILE_DELETIONS, JOBS_CHANNEL, LOG_EXPIRY, PICTURES, PLACES_CHANNEL, STEPS, STORES, SWEEP, type Queue } from './queue.ts'
import type { GenerationJob } from './run-generation.ts'
import { sweepJob } from './sweep.ts'
import type { Logger } from '../log.ts'
import type { Database } from '../supabase/database.ts'
import type { Storage } from '../supabase/storage.ts'

export interface WorkerOptions {
  database: Database
  queue: Queue
  storage: Storage
  logger: Logger
  startConcurrency: number
  storeConcurrency: number
  retentionDays: number
  isPublic: boolean
  run: JobHandler<GenerationJob>
  store: JobHandler<GenerationJob>
}

/** Bucket first, then one dispatcher a queue; each is woken by the channel that announces its jobs. */
export async function startWorkers({ database, queue, storage, logger, startConcurrency, storeConcurrency, retentionDays, isPublic, run, store }: WorkerOptions): Promise<(timeoutMs: number) => Promise<void>> {
  const { boss } = queue
  const stopping = new AbortController()
  const prepared = prepareBucket(storage, logger, stopping.signal)
  // A private picture must not reach a bucket that is still public: until that is settled its generation waits.
  const oncePrepared = (handler: JobHandler<GenerationJob>): JobHandler<GenerationJob> => async (job, context) => (isPublic || (await prepared) ? await handler(job, context) : { afterMs: 0 })
  const common = { boss, logger, transact: database.transaction }
  const dispatchers = {
    [STEPS]: startDispatcher<GenerationJob>({ ...common, queue: STEPS, concurrency: startConcurrency, keyOf: ({ generationId }) => generationId, handler: oncePrepared(run) }),
    [PICTURES]: startDispatcher<GenerationJob>({ ...common, queue: PICTURES, concurrency: startConcurrency, keyOf: ({ generationId }) => generationId, handler: oncePrepared(run) }),
    [STORES]: startDispatcher<GenerationJob>({ ...common, queue: STORES, concurrency: storeConcurrency, keyOf: ({ generationId }) => generationId, handler: oncePrepared(store) }),
    [FILE_DELETIONS]: startDispatcher({ ...common, queue: FILE_DELETIONS, concurrency: 1, keyOf: () => 'all', handler: deleteFilesJob(database, storage, logger) }),
    [SWEEP]: startDispatcher({ ...common, queue: SWEEP, concurrency: 1, keyOf: () => 'all', handler: sweepJob(database, queue, storage.bucket, logger) }),
    [LOG_EXPIRY]: startDispatcher({ ...common, queue: LOG_EXPIRY, concurrency: 1, keyOf: () => 'all', handler: expireLogsJob(database, { retentionDays }, logger) }),
  }
  const ignore = () => undefined
  await database.listen(JOBS_CHANNEL, (name) => {
    for (const [of, dispatcher] of Object.entries(dispatchers)) if (name === of || name === '') dispatcher.wake()
  })
  // Whoever is not heard is found by the sweep.
  await database.listen(PLACES_CHANNEL, () => void queue.wakeWaiting().catch(ignore))
  await database.listen('darkroom_file_deletions', () => void boss.send(FILE_DELETIONS, {}, { singletonKey: 'all' }).then(dispatchers[FILE_DELETIONS].wake, ignore))
  await boss.schedule(SWEEP, '* * * * *')
  await boss.schedule(LOG_EXPIRY, '7 * * * *')
  return async (timeoutMs) => {
    stopping.abort()
    const left = await Promise.all(Object.values(dispatchers).map((dispatcher) => dispatcher.stop(timeoutMs)))
    if (left.some((count) => count > 0)) logger.warn({ left }, 'jobs were still running at the end: another worker takes them')
  }
}

const PREPARE_RETRY_MS = 2000

/** Tries until the bucket is what the configuration says. @returns false when `stopping` ends it before. */
async function prepareBucket(storage: Storage, logger: Logger, stopping: AbortSignal): Promise<boolean> {
  while (!stopping.aborted) {
    try {
      await storage.prepareBucket()
      return true
    } catch (error) {
      logger.warn({ err: error }, 'the bucket cannot be prepared yet: where it is to be private, no generation is worked on before')
    }
    await sleep(PREPARE_RETRY_MS, undefined, { signal: stopping }).catch(() => undefined)
  }
  return false
}
