import { AppError } from '../errors.ts'
import type { RunResult } from '../generation/outcome.ts'
import type { Records } from '../generation/records.ts'
import type { GenerationRunner } from '../generation/run-generation.ts'
import type { Logger } from '../log.ts'
import type { JobHandler } from './dispatcher.ts'
import { earliestFirst, STORES } from './queue.ts'

export interface GenerationJob {
  generationId: string
}

/** An error that nobody foresaw may be a passing one; after so many attempts it is taken for a fault of ours. */
const MAX_ATTEMPTS = 3
const RETRY_MS = 60_000

/** One step of a generation. It is never left open by an error that will not go away. */
export function generationJob(step: GenerationRunner['run'], records: Records, logger: Logger): JobHandler<GenerationJob> {
  return async ({ generationId }, { earlierAttempts, ...signals }) => {
    try {
      const result = await step(generationId, signals)
      return result.done ? undefined : toNext(result)
    } catch (error) {
      const isDatabaseAway = error instanceof AppError && error.code === 'database_unavailable'
      if (isDatabaseAway || earlierAttempts + 1 < MAX_ATTEMPTS) throw error
      const isEnded = await records.fail(generationId, { code: 'internal_error', message: 'Something went wrong inside the service.' })
      logger.error({ generationId, isEnded, err: error }, 'a generation cannot go on after an unforeseen error')
      // What was paid for is not given up: it is tried again until its link is over.
      return isEnded ? undefined : { afterMs: RETRY_MS }
    }
  }
}

/** Steps are taken in the order in which they are due. What is to be stored waits in a queue of its own, ordered by when its link dies. */
function toNext({ retryAfterMs, storeBy }: Extract<RunResult, { done: false }>) {
  if (!storeBy) return { afterMs: retryAfterMs, priority: earliestFirst(Date.now() + retryAfterMs) }
  return { afterMs: retryAfterMs, queue: STORES, priority: earliestFirst(storeBy.getTime()) }
}
