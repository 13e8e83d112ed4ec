/** Ends a generation at its owner's wish: here where nobody was asked yet, at the provider where that can still stop. */
import { AppError, ProviderError } from '../errors.ts'
import { modelOf } from './prepare-call.ts'
import type { Provider } from './provider.ts'
import type { Records } from './records.ts'

export interface CancelOptions {
  records: Records
  providers: ReadonlyMap<string, Provider>
  /** Longest wait for the provider's answer. */
  callTimeoutMs: number
}

/** @returns whether it is cancelled now; false when it goes on or has ended. @throws {AppError} `provider_failed` when the provider cannot be asked. */
export type CancelGeneration = (generationId: string, userId: string) => Promise<boolean>

export function createCancelGeneration({ records, providers, callTimeoutMs }: CancelOptions): CancelGeneration {
  return async (generationId, userId) => {
    if (await records.cancel(generationId, userId)) return true
    const work = await records.findWork(generationId)
    if (!work || work.userId !== userId || work.status !== 'running') return false
    const { plan, submissions } = work
    const operation = submissions.find(({ state }) => state === 'started')?.operation
    const model = modelOf(plan, providers.get(plan.provider))
    if (!operation || !model?.cancel) return false
    try {
      if (!(await model.cancel(operation, { signal: AbortSignal.timeout(callTimeoutMs) }))) return false
    } catch (error) {
      // Forgotten there: the next look at it ends the generation.
      if (error instanceof ProviderError && error.code === 'operation_lost') return false
      throw new AppError('provider_failed', 'The provider could not be asked to stop it right now. Try again in a moment.', { cause: error, generationId })
    }
    return await records.cancelOperation(generationId)
  }
}
