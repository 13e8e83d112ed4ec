/**
 * Carries a generation of any kind from its row to its files. Each step reads what the rows say and is safe to run again,
 * even beside itself, so any process can go on where another one stopped.
 */
import type { Logger } from '../log.ts'
import type { FileStore, Media } from './files.ts'
import type { ImagePlan } from './image-request.ts'
import { again, createOutcomes, DONE, isOpen, type RunResult } from './outcome.ts'
import type { Provider } from './provider.ts'
import type { GenerationWork, Records } from './records.ts'
import type { Pace } from './retry.ts'
import { createVideoSteps, type VideoWork } from './run-video.ts'
import { createOutputStore } from './store-outputs.ts'
import { createImageSubmission } from './submit-images.ts'

export interface GenerationRunnerOptions {
  records: Records
  files: FileStore
  media: Media
  providers: ReadonlyMap<string, Provider>
  logger: Logger
  publicUrl: string | undefined
  providerTimeoutMs: number
  callTimeoutMs: number
  outputLifetimeMs: number
  checkMs: number
  maxCheckMs: number
  settleMs: number
  startPatienceMs: number
  operationLifetimeMs: number
  storeRetryMs: number
  videoTransferMs: number
  storeConcurrency: <T>(task: () => Promise<T>) => Promise<T>
  pace: Pace
}

export interface StepSignals {
  /** The process must go: nothing new is begun. */
  stopping: AbortSignal
  /** It goes now: what cannot end in time is handed back. */
  leaving: AbortSignal
}

export interface GenerationRunner {
  /** The next step of a generation: ask the provider, or look how far it is. */
  run(generationId: string, signals: StepSignals): Promise<RunResult>
  /** Stores what the provider has finished. */
  store(generationId: string, signals: StepSignals): Promise<RunResult>
}

/** A worker without the provider's key leaves the work to one that has it, for so long. */
const KEYLESS_WAIT_MS = 120_000
const KEYLESS_RETRY_MS = 5000

export function createGenerationRunner(options: GenerationRunnerOptions): GenerationRunner {
  const { records, providers, logger } = options
  const outcomes = createOutcomes(options)
  const storeOutputs = createOutputStore({ ...options, outcomes })
  const submitImages = createImageSubmission({ ...options, outcomes })
  const stepVideo = createVideoSteps({ ...options, outcomes })

  async function findOpen(generationId: string): Promise<GenerationWork | undefined> {
    const work = await records.findWork(generationId)
    return work && isOpen(work) ? work : undefined
  }

  async function runImages(work: GenerationWork & { plan: ImagePlan }, provider: Provider, signals: StepSignals): Promise<RunResult> {
    const { fresh, outcome } = await submitImages(work, provider, signals.stopping)
    if (outcome === 'waiting') return DONE
    const submitted = await records.findWork(work.id)
    if (!submitted) logger.info({ generationId: work.id, provider: work.plan.provider }, 'a generation was deleted while it was made')
    if (!submitted || !isOpen(submitted)) return DONE
    // Bytes are written down while they are stored: whichever is done first, they survive this process.
    const [result] = await Promise.all([storeOutputs(submitted, { ...signals, fresh, trustedOrigin: provider.trustedOrigin }), keepAllBytes(submitted, fresh)])
    return outcome === 'handed-back' ? again(0) : result
  }

  async function keepAllBytes(work: GenerationWork, fresh: Awaited<ReturnType<typeof submitImages>>['fresh']): Promise<void> {
    const until = new Date(Date.now() + options.outputLifetimeMs)
    const keeping = [...fresh].flatMap(([index, output]) => (output.type === 'bytes' ? [outcomes.persist(work, until, () => records.keepBytes(work.id, index, output.bytes))] : []))
    await Promise.all(keeping)
  }

  async function leaveToOthers(work: GenerationWork, isUntouched: boolean): Promise<RunResult> {
    // What a provider works on is waited for: somebody may bring the key back.
    if (!isUntouched || Date.now() - work.createdAt.getTime() < KEYLESS_WAIT_MS) return again(KEYLESS_RETRY_MS)
    return await outcomes.close(work, { code: 'not_configured', message: `This service has no key for ${work.plan.provider} any more.` })
  }

  return {
    async run(generationId, signals) {
      const work = await findOpen(generationId)
      if (!work) return DONE
      const provider = providers.get(work.plan.provider)
      const isUntouched = work.submissions.every(({ state }) => state === 'queued')
      const isToStore = work.submissions.every(({ state }) => !['queued', 'starting', 'uncertain', 'started'].includes(state))
      if (isToStore) return { done: false, retryAfterMs: 0, storeBy: firstExpiry(work) }
      if (!provider?.[work.plan.kind]) return await leaveToOthers(work, isUntouched)
      // What nobody has asked for yet is left to a process that stays.
      if (isUntouched && signals.stopping.aborted) return again(0)
      return isImageWork(work) ? await runImages(work, provider, signals) : await stepVideo(work as VideoWork, provider, signals.stopping)
    },

    async store(generationId, signals) {
      const work = await findOpen(generationId)
      if (!work) return DONE
      return await storeOutputs(work, { ...signals, fresh: new Map(), trustedOrigin: providers.get(work.plan.provider)?.trustedOrigin })
    },
  }
}

const isImageWork = (work: GenerationWork): work is GenerationWork & { plan: ImagePlan } => work.plan.kind === 'image'

/** When the first of the provider's links dies. */
function firstExpiry({ submissions }: GenerationWork): Date {
  const times = submissions.flatMap(({ outputExpiresAt }) => (outputExpiresAt ? [outputExpiresAt.getTime()] : []))
  return new Date(times.length > 0 ? Math.min(...times) : Date.now())
}
