import type { RunGeneration } from '../generation/run-image.ts'
import type { JobHandler } from './dispatcher.ts'

export interface GenerationJob {
  generationId: string
}

/** One generation, as far as it can be taken now. */
export function runGenerationJob(run: RunGeneration): JobHandler<GenerationJob> {
  return async ({ generationId }, options) => {
    const result = await run(generationId, options)
    return result.done ? undefined : result.retryAfterMs
  }
}
