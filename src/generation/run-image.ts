/**
 * Carries an image generation from its row to its files: submit, store, record. Each step reads what the rows say and
 * is safe to run again, even beside itself, so any process can go on where another one stopped.
 */
import { AppError, ProviderError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { FileStore, Media } from './files.ts'
import type { Output, Provider, StartedImage } from './provider.ts'
import type { GenerationWork, RecordedError, Records, StoredImage, Submission } from './records.ts'
import { callProvider, isWorthRepeating, tryStep, untilWritten, type Pace } from './retry.ts'
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
  /** Least pause before a failed store step is tried again. */
  storeRetryMs: number
  /** Bounds how many pictures are fetched, decoded and uploaded at once. */
  storeConcurrency: <T>(task: () => Promise<T>) => Promise<T>
  pace: Pace
}

/** What the queue does next with the generation. */
export type RunResult = { done: true } | { done: false; retryAfterMs: number }

export type RunGeneration = (generationId: string, options: { stopping: AbortSignal }) => Promise<RunResult>

const DONE: RunResult = { done: true }
/** A worker without the provider's key leaves the work to one that has it, for so long. */
const KEYLESS_WAIT_MS = 120_000
const KEYLESS_RETRY_MS = 5000
/** Storing is tried again after a quarter of the generation's age, but at least so often. */
const MAX_STORE_PAUSE_MS = 600_000

export function createImageRunner(options: ImageRunnerOptions): RunGeneration {
  const { records, providers, logger } = options

  return async (generationId, { stopping }) => {
    const found = await records.findWork(generationId)
    if (!found || !isOpen(found)) return DONE
    const provider = providers.get(found.plan.provider)
    const isUntouched = found.submissions.every(({ state }) => state === 'queued')
    if (isUntouched && !provider?.image) return await leaveToOthers(found)
    // What nobody has asked for yet is left to a process that stays.
    if (isUntouched && stopping.aborted) return { done: false, retryAfterMs: 0 }
    const fresh = new Map<number, Output>()
    const handedBack = provider?.image ? await submitAll(found, provider, fresh, stopping) : false
    const work = await records.findWork(generationId)
    if (!work) logger.info({ generationId, provider: found.plan.provider }, 'a generation was deleted while it was made')
    if (!work || !isOpen(work)) return DONE
    // Bytes are written down while they are stored: whichever is done first, they survive this process.
    const [result] = await Promise.all([storeAll(work, provider?.trustedOrigin, fresh, stopping), keepAllBytes(work, fresh)])
    return handedBack ? { done: false, retryAfterMs: 0 } : result
  }

  async function leaveToOthers(work: GenerationWork): Promise<RunResult> {
    if (Date.now() - work.createdAt.getTime() < KEYLESS_WAIT_MS) return { done: false, retryAfterMs: KEYLESS_RETRY_MS }
    return await close(work, { code: 'not_configured', message: `This service has no key for ${work.plan.provider} any more.` })
  }

  /**
   * Starts what nobody has started; what another process left as `starting` has an unknown outcome and is not sent again.
   * @returns whether something was given back unsent because the process must go.
   */
  async function submitAll(work: GenerationWork, provider: Provider, fresh: Map<number, Output>, stopping: AbortSignal): Promise<boolean> {
    for (const submission of work.submissions.filter(({ state }) => state === 'starting')) {
      await records.saveNotAccepted(work.id, submission.index, 'unknown', UNKNOWN)
    }
    if (!work.submissions.some(({ state }) => state === 'queued')) return false
    const claimed = await records.claimSubmissions(work.id)
    const submitted = await Promise.allSettled(claimed.map((index) => submitOne(work, provider, index, fresh, stopping)))
    // All have come to their end: nobody else takes this generation while a create of it is under way here.
    for (const result of submitted) if (result.status === 'rejected') throw result.reason
    return submitted.some((result) => result.status === 'fulfilled' && result.value)
  }

  async function submitOne(work: GenerationWork, provider: Provider, index: number, fresh: Map<number, Output>, stopping: AbortSignal): Promise<boolean> {
    const { plan } = work
    const model = provider.image!({ vendorId: plan.vendorId, family: plan.family })
    const request = { prompt: plan.prompt, size: plan.requestSize, seed: plan.seed, negativePrompt: plan.negativePrompt, providerOptions: plan.providerOptions }
    const expiresAt = new Date(Date.now() + options.outputLifetimeMs)
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
      await persist(work, expiresAt, () => records.saveNotAccepted(work.id, index, refused ? 'refused' : 'unknown', toRecordedError(error)))
      return false
    }
    if (started.outputs[0]) fresh.set(index, started.outputs[0])
    await persist(work, expiresAt, () => records.saveAccepted(work.id, index, { ...started, expiresAt }))
    return false
  }

  async function keepAllBytes(work: GenerationWork, fresh: Map<number, Output>): Promise<void> {
    const until = new Date(Date.now() + options.outputLifetimeMs)
    const keeping = [...fresh].flatMap(([index, output]) => (output.type === 'bytes' ? [persist(work, until, () => records.keepBytes(work.id, index, output.bytes))] : []))
    await Promise.all(keeping)
  }

  function persist<T>({ id: generationId }: GenerationWork, until: Date, write: () => Promise<T>): Promise<T> {
    return untilWritten(write, { until, pace: options.pace, onFailure: (error) => logger.error({ generationId, err: error }, 'the outcome of a paid call cannot be written yet') })
  }

  /** Stores every accepted picture that has no row yet, then records them together. */
  async function storeAll(work: GenerationWork, trustedOrigin: string | undefined, fresh: Map<number, Output>, stopping: AbortSignal): Promise<RunResult> {
    const waiting = work.submissions.filter(({ state, isRecorded }) => state === 'accepted' && !isRecorded)
    const stored = await Promise.allSettled(waiting.map((submission) => storeOne(work, submission, trustedOrigin, fresh.get(submission.index), stopping)))
    const images = stored.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    const failures = work.submissions.flatMap(({ error }) => (error ? [error] : []))
    let delayed: { reason: unknown; submission: Submission } | undefined
    for (const [position, result] of stored.entries()) {
      if (result.status === 'fulfilled') continue
      const submission = waiting[position]!
      if (isFinal(result.reason) || !isAlive(submission)) {
        logger.warn({ generationId: work.id, provider: work.plan.provider, err: result.reason as unknown }, 'a finished picture could not be stored')
        failures.push(toRecordedError(result.reason))
        await records.saveLost(work.id, submission.index, toRecordedError(result.reason))
      } else delayed = { reason: result.reason, submission }
    }
    if (images.length > 0 || work.submissions.some(({ isRecorded }) => isRecorded)) {
      const result = await record(work, images, failures, waiting[0])
      if (result) return result
    }
    if (delayed) return await postpone(work, delayed.reason, delayed.submission.outputExpiresAt)
    return await close(work, failures.find(({ code }) => code !== 'submission_unknown') ?? failures[0] ?? UNKNOWN)
  }

  async function storeOne(work: GenerationWork, submission: Submission, trustedOrigin: string | undefined, fresh: Output | undefined, stopping: AbortSignal): Promise<StoredImage> {
    const step = async () => {
      const output = fresh ?? submission.output ?? (await keptBytes(work, submission))
      return await storeImage({ work, index: submission.index, output, trustedOrigin, media: options.media, files: options.files })
    }
    return await tryStep(() => options.storeConcurrency(step), { stopping, pace: options.pace })
  }

  async function keptBytes(work: GenerationWork, { index, hasBytes }: Submission): Promise<Output> {
    const bytes = hasBytes ? await records.getBytes(work.id, index) : undefined
    if (!bytes) throw new AppError('output_invalid', 'The provider answered without a picture.')
    return { type: 'bytes', bytes }
  }

  /** @returns undefined when others of the same generation are still to be stored. */
  async function record(work: GenerationWork, images: StoredImage[], failures: RecordedError[], submission: Submission | undefined): Promise<RunResult | undefined> {
    const warnings = failures.map(({ message }) => ({ type: 'partial' as const, message: `One of ${work.plan.n} pictures is missing: ${message}` }))
    try {
      const outcome = await tryStep(() => records.recordImages(work, options.files.bucket, images, warnings), { stopping: new AbortController().signal, pace: options.pace })
      if (outcome === 'partial') return undefined
      if (outcome === 'recorded') logOutcome(work, undefined)
      return DONE
    } catch (error) {
      // No file stays without its row: they are stored again when the row can be written.
      const isDatabaseAway = error instanceof AppError
      if (!isDatabaseAway) await options.files.remove(images.flatMap(({ storagePath, thumbnailPath }) => [storagePath, thumbnailPath])).catch(() => undefined)
      if (!isDatabaseAway && submission && !isAlive(submission)) {
        for (const { index } of work.submissions) await records.saveLost(work.id, index, toRecordedError(error))
        return await close(work, toRecordedError(error))
      }
      return await postpone(work, error, submission?.outputExpiresAt)
    }
  }

  async function close(work: GenerationWork, error: RecordedError): Promise<RunResult> {
    // Refused when an answer came in at the last moment: the next run stores it.
    if (!(await records.fail(work.id, error))) return { done: false, retryAfterMs: options.pace.minTimeoutMs }
    logOutcome(work, error)
    return DONE
  }

  /** Leaves a finished picture for later: its link or its bytes are in the row. */
  async function postpone(work: GenerationWork, reason: unknown, expiresAt: Date | undefined): Promise<RunResult> {
    const age = Date.now() - work.createdAt.getTime()
    const retryAfterMs = Math.max(options.storeRetryMs, Math.min(age / 4, MAX_STORE_PAUSE_MS))
    logger.warn({ generationId: work.id, provider: work.plan.provider, retryAfterMs, err: reason }, 'a finished picture is not stored yet')
    const { code, message } = toRecordedError(reason)
    const until = expiresAt ? ` until ${expiresAt.toISOString()}` : ''
    await records.delay(work.id, { code, message: `${message} The picture is made and paid; storing it is tried again${until}.` })
    return { done: false, retryAfterMs }
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

const isAlive = ({ outputExpiresAt }: Submission): boolean => outputExpiresAt === undefined || outputExpiresAt.getTime() > Date.now()

/** What will not get better by waiting. An error that nobody foresaw may: the picture is paid, so it is tried again. */
const isFinal = (error: unknown): boolean => error instanceof AppError && ['output_invalid', 'output_too_large', 'output_expired'].includes(error.code)

/** What a row may tell its owner: our own sentences, and for the unforeseen a dull one. */
function toRecordedError(error: unknown): RecordedError {
  if (error instanceof AppError) return { code: error.code, message: error.message }
  return { code: 'internal_error', message: 'Something went wrong inside the service.' }
}
