import { AppError } from '../errors.ts'
import type { Records } from '../generation/records.ts'
import type { RunGeneration } from '../generation/run-image.ts'
import type { Logger } from '../log.ts'
import type { JobHandler } from './dispatcher.ts'

export interface GenerationJob {
  generationId: string
}

/** An error that nobody foresaw may be a passing one; after so many attempts it is taken for a fault of ours. */
const MAX_ATTEMPTS = 3
const RETRY_MS = 60_000

/** One generation, as far as it can be taken now. It is never left open by an error that will not go away. */
export function runGenerationJob(run: RunGeneration, records: Records, logger: Logger): JobHandler<GenerationJob> {
  return async ({ generationId }, { stopping, earlierAttempts }) => {
    try {
      const result = await run(generationId, { stopping })
      return result.done ? undefined : result.retryAfterMs
    } catch (error) {
      const isDatabaseAway = error instanceof AppError && error.code === 'database_unavailable'
      if (isDatabaseAway || earlierAttempts + 1 < MAX_ATTEMPTS) throw error
      const isEnded = await records.fail(generationId, { code: 'internal_error', message: 'Something went wrong inside the service.' })
      logger.error({ generationId, isEnded, err: error }, 'a generation cannot go on after an unforeseen error')
      // What was paid for is not given up: it is tried again until its link is over.
      return isEnded ? undefined : RETRY_MS
    }
  }
}
