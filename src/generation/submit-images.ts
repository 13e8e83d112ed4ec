/** The paid calls of an image generation: each made at most once, each written down before and after. */
import { ProviderError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { ImagePlan } from './image-request.ts'
import { toRecordedError, toUnknown, type Outcomes } from './outcome.ts'
import type { Output, Provider, StartedImage } from './provider.ts'
import type { GenerationWork, Records } from './records.ts'
import { callProvider, isWorthRepeating, type Pace } from './retry.ts'

export interface SubmitImagesOptions {
  records: Records
  logger: Logger
  outcomes: Outcomes
  /** Longest wait for a picture. */
  providerTimeoutMs: number
  /** How long a provider's link is taken to live. */
  outputLifetimeMs: number
  pace: Pace
}

export interface SubmittedImages {
  /** What came in just now, by index, so that it need not be read back. */
  fresh: Map<number, Output>
  /** `handed-back`: something was given back unsent because the process must go; `waiting`: there is no place now. */
  outcome: 'submitted' | 'handed-back' | 'waiting'
}

type ImageWork = GenerationWork & { plan: ImagePlan }

export function createImageSubmission(options: SubmitImagesOptions): (work: ImageWork, provider: Provider, stopping: AbortSignal) => Promise<SubmittedImages> {
  const { records, logger, outcomes, pace } = options

  /** Starts what nobody has started; what another process left as `starting` has an unknown outcome and is not sent again. */
  return async (work, provider, stopping) => {
    const fresh = new Map<number, Output>()
    for (const submission of work.submissions.filter(({ state }) => state === 'starting')) {
      await records.saveNotAccepted(work.id, submission.index, 'unknown', toUnknown(work))
    }
    if (!work.submissions.some(({ state }) => state === 'queued')) return { fresh, outcome: 'submitted' }
    const claimed = await records.claimSubmissions(work.id, [])
    if (!claimed) return { fresh, outcome: 'waiting' }
    const submitted = await Promise.allSettled(claimed.map((index) => submitOne(work, provider, index, fresh, stopping)))
    // All have come to their end: nobody else takes this generation while a create of it is under way here.
    for (const result of submitted) if (result.status === 'rejected') throw result.reason
    const handedBack = submitted.some((result) => result.status === 'fulfilled' && result.value)
    return { fresh, outcome: handedBack ? 'handed-back' : 'submitted' }
  }

  /** @returns whether it was given back unsent. */
  async function submitOne(work: ImageWork, provider: Provider, index: number, fresh: Map<number, Output>, stopping: AbortSignal): Promise<boolean> {
    const { plan } = work
    const model = provider.image!({ vendorId: plan.vendorId, family: plan.family })
    const request = { prompt: plan.prompt, size: plan.requestSize, seed: plan.seed, negativePrompt: plan.negativePrompt, providerOptions: plan.providerOptions }
    const expiresAt = new Date(Date.now() + options.outputLifetimeMs)
    let started: StartedImage
    try {
      started = await callProvider(() => model.start(request, { signal: AbortSignal.timeout(options.providerTimeoutMs) }), { stopping, pace })
    } catch (error) {
      if (stopping.aborted && isWorthRepeating(error)) {
        await records.releaseSubmission(work.id, index)
        return true
      }
      logger.warn({ generationId: work.id, provider: plan.provider, model: plan.model, err: error }, 'a provider did not make the picture')
      const refused = error instanceof ProviderError && error.charged === 'no'
      await outcomes.persist(work, expiresAt, () => records.saveNotAccepted(work.id, index, refused ? 'refused' : 'unknown', toRecordedError(error)))
      return false
    }
    if (started.outputs[0]) fresh.set(index, started.outputs[0])
    await outcomes.persist(work, expiresAt, () => records.saveAccepted(work.id, index, { ...started, expiresAt }))
    return false
  }
}
