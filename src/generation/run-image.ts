/**
 * Carries an image generation from its row to its files: submit, store, record. Each step reads what the rows say and
 * is safe to run again, so any process can go on where another one stopped.
 */
import { AppError, ProviderError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { FileStore, Media } from './files.ts'
import type { Output, Provider, StartedImage } from './provider.ts'
import type { GenerationWork, RecordedError, Records, StoredImage } from './records.ts'
import { callProvider, isPassing, isWorthRepeating, tryStep, untilWritten, type Pace } from './retry.ts'
import { storeImage } from './store-image.ts'

export interface ImageRunnerOptions {
  records: Records
  files: FileStore
  media: Media
  providers: ReadonlyMap<string, Provider>
  logger: Logger
  /** Longest wait for one answer of a provider. */
  providerTimeoutMs: number
  /** How long a provider's link is taken to live. */
  outputLifetimeMs: number
  /** Pause before a failed store step is tried again. */
  storeRetryMs: number
  /** Bounds how many pictures are in memory at once. */
  storeConcurrency: <T>(task: () => Promise<T>) => Promise<T>
  pace: Pace
}

/** What the queue does next with the generation. */
export type RunResult = { done: true } | { done: false; retryAfterMs: number }

export type RunGeneration = (generationId: string, options: { stopping: AbortSignal }) => Promise<RunResult>

const DONE: RunResult = { done: true }

export function createImageRunner(options: ImageRunnerOptions): RunGeneration {
  const { records, providers, logger } = options

  return async (generationId, { stopping }) => {
    const found = await records.findWork(generationId)
    if (!found || !isOpen(found)) return DONE
    const provider = providers.get(found.plan.provider)
    if (!provider?.image) {
      await records.fail(generationId, { code: 'not_configured', message: `This service has no key for ${found.plan.provider} any more.` })
      return DONE
    }
    // What nobody has asked for yet is left to a process that stays.
    if (stopping.aborted && found.submissions.every(({ state }) => state === 'queued')) return { done: false, retryAfterMs: 0 }
    const fresh = await submitAll(found, provider, stopping)
    // Handed back while a refused create was waiting to be repeated: nothing was accepted.
    if (stopping.aborted && fresh.handedBack) return { done: false, retryAfterMs: 0 }
    const work = await records.findWork(generationId)
    if (!work || !isOpen(work)) return DONE
    const result = await storeAll(work, provider, fresh.outputs, stopping)
    if (result.done) logOutcome(work, result.error)
    return result.done ? DONE : result
  }

  /** Starts what nobody has started; what another process left as `starting` has an unknown outcome and stays unpaid twice. */
  async function submitAll(work: GenerationWork, provider: Provider, stopping: AbortSignal) {
    const outputs = new Map<number, Output[]>()
    for (const submission of work.submissions.filter(({ state }) => state === 'starting')) {
      await records.saveNotAccepted(work.id, submission.index, 'unknown', UNKNOWN)
    }
    if (!work.submissions.some(({ state }) => state === 'queued')) return { outputs, handedBack: false }
    const claimed = await records.claimSubmissions(work.id)
    const handedBack = await Promise.all(claimed.map((index) => submitOne(work, provider, index, outputs, stopping)))
    return { outputs, handedBack: handedBack.includes(true) }
  }

  /** @returns whether the submission was given back unsent because the process must go. */
  async function submitOne(work: GenerationWork, provider: Provider, index: number, outputs: Map<number, Output[]>, stopping: AbortSignal): Promise<boolean> {
    const { plan } = work
    const model = provider.image!({ vendorId: plan.vendorId, family: plan.family })
    const request = { prompt: plan.prompt, size: plan.requestSize, seed: plan.seed, negativePrompt: plan.negativePrompt, providerOptions: plan.providerOptions }
    const expiresAt = new Date(Date.now() + options.outputLifetimeMs)
    const persist = persistUntil(work.id, expiresAt)
    let started: StartedImage
    try {
      started = await callProvider(() => model.start(request, { signal: AbortSignal.timeout(options.providerTimeoutMs) }), { stopping, pace: options.pace })
    } catch (error) {
      if (stopping.aborted && isWorthRepeating(error)) {
        await records.releaseSubmission(work.id, index)
        return true
      }
      logger.warn({ generationId: work.id, provider: plan.provider, model: plan.model, err: error }, 'a provider did not make the picture')
      const refused = error instanceof ProviderError && error.charged === 'no'
      await persist(() => records.saveNotAccepted(work.id, index, refused ? 'refused' : 'unknown', toRecordedError(error)))
      return false
    }
    outputs.set(index, started.outputs)
    await persist(() => records.saveAccepted(work.id, index, { outputs: started.outputs, expiresAt, providerRequestId: started.providerRequestId, warnings: started.warnings }))
    return false
  }

  function persistUntil(generationId: string, until: Date) {
    return <T>(write: () => Promise<T>) =>
      untilWritten(write, {
        until,
        pace: options.pace,
        onFailure: (error) => logger.error({ generationId, err: error }, 'the outcome of a paid call cannot be written yet'),
      })
  }

  /** Stores every accepted picture, then records them all at once. */
  async function storeAll(work: GenerationWork, provider: Provider, fresh: Map<number, Output[]>, stopping: AbortSignal): Promise<RunResult & { error?: RecordedError }> {
    const accepted = work.submissions.filter(({ state }) => state === 'accepted')
    const failures = work.submissions.flatMap(({ error }) => (error ? [error] : []))
    const settled = await Promise.allSettled(
      accepted.map(async (submission) => {
        const output = (fresh.get(submission.index) ?? submission.outputs)[0]
        if (!output) throw new AppError('submission_unknown', 'The picture was made, but the process that received it ended before it could be kept.')
        const step = () => storeImage({ work, index: submission.index, output, provider, ...options })
        return await options.storeConcurrency(() => tryStep(step, { stopping, pace: options.pace }))
      }),
    )
    const images = settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    for (const [position, result] of settled.entries()) {
      if (result.status === 'fulfilled') continue
      const submission = accepted[position]!
      if (isPassing(result.reason) && isAlive(submission.outputExpiresAt)) {
        return await postpone(work, submission.index, fresh.get(submission.index), result.reason, submission.outputExpiresAt)
      }
      logger.warn({ generationId: work.id, provider: work.plan.provider, err: result.reason as unknown }, 'a finished picture could not be stored')
      failures.push(toRecordedError(result.reason))
    }
    if (images.length === 0) return await close(work, failures)
    return await record(work, images, failures)
  }

  async function record(work: GenerationWork, images: StoredImage[], failures: RecordedError[]): Promise<RunResult & { error?: RecordedError }> {
    const warnings = failures.map(({ message }) => ({ type: 'partial' as const, message: `One of ${work.plan.n} pictures is missing: ${message}` }))
    await persistUntil(work.id, new Date(Date.now() + options.outputLifetimeMs))(() => records.recordImages(work, options.files.bucket, images, warnings))
    return DONE
  }

  async function close(work: GenerationWork, failures: RecordedError[]): Promise<RunResult & { error?: RecordedError }> {
    const error = failures.find(({ code }) => code !== 'submission_unknown') ?? failures[0] ?? UNKNOWN
    await records.fail(work.id, error)
    return { done: true, error }
  }

  /** Keeps a finished picture for later: its link is in the row, its bytes go there. */
  async function postpone(work: GenerationWork, index: number, fresh: Output[] | undefined, reason: unknown, expiresAt: Date | undefined): Promise<RunResult> {
    const bytes = fresh?.find((output) => output.type === 'bytes')?.bytes
    if (bytes) await records.keepBytes(work.id, index, bytes)
    const { code, message } = toRecordedError(reason)
    const until = expiresAt ? ` until ${expiresAt.toISOString()}` : ''
    await records.delay(work.id, { code, message: `${message} The picture is made and paid; storing it is tried again${until}.` })
    logger.warn({ generationId: work.id, provider: work.plan.provider, retryAfterMs: options.storeRetryMs, err: reason }, 'a finished picture is not stored yet')
    return { done: false, retryAfterMs: options.storeRetryMs }
  }

  function logOutcome(work: GenerationWork, error: RecordedError | undefined): void {
    const { plan } = work
    const fields = { generationId: work.id, userId: work.userId, provider: plan.provider, model: plan.model, n: plan.n, durationMs: Date.now() - work.createdAt.getTime() }
    if (error) logger.warn({ ...fields, outcome: 'failed', code: error.code }, 'generation failed')
    else logger.info({ ...fields, outcome: 'succeeded' }, 'generation succeeded')
  }
}

const UNKNOWN: RecordedError = {
  code: 'submission_unknown',
  message: 'The connection to the provider was lost before it answered. The picture may have been made and paid, so it was not asked for again.',
}

const isOpen = (work: GenerationWork): boolean => ['queued', 'running', 'storing'].includes(work.status)

const isAlive = (expiresAt: Date | undefined): boolean => expiresAt === undefined || expiresAt.getTime() > Date.now()

/** What a row may tell its owner: our own sentences, and for the unforeseen a dull one. */
function toRecordedError(error: unknown): RecordedError {
  if (error instanceof AppError) return { code: error.code, message: error.message }
  return { code: 'internal_error', message: 'Something went wrong inside the service.' }
}
