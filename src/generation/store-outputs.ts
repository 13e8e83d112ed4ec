/** The last step of every kind: each accepted output into storage, then their rows and the success together. */
import { AppError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { FileStore, Media } from './files.ts'
import { again, DONE, isAlive, isUnderway, nounOf, toRecordedError, toUnknown, type Outcomes, type RunResult } from './outcome.ts'
import type { Output, Provider } from './provider.ts'
import type { GenerationWork, RecordedError, Records, StoredImage, StoredVideo, Submission } from './records.ts'
import { tryStep, type Pace } from './retry.ts'
import { storeImage } from './store-image.ts'
import { storeVideo } from './store-video.ts'

export interface StoreOutputsOptions {
  records: Records
  files: FileStore
  media: Media
  logger: Logger
  outcomes: Outcomes
  /** Longest transfer of one video. */
  videoTransferMs: number
  /** Bounds how many pictures are fetched, decoded and uploaded at once. */
  storeConcurrency: <T>(task: () => Promise<T>) => Promise<T>
  pace: Pace
}

export interface StoreContext {
  /** The one origin that may be private, see `Provider`. */
  trustedOrigin: string | undefined
  /** Headers that one of the provider's files needs, see `Provider`. */
  downloadHeaders: Provider['downloadHeaders']
  /** What came in just now, by index, so that it need not be read back. */
  fresh: ReadonlyMap<number, Output>
  stopping: AbortSignal
  /** Ends a transfer that another process must begin anew. */
  leaving: AbortSignal
}

type Stored = { kind: 'image'; file: StoredImage } | { kind: 'video'; file: StoredVideo }

/** An accepted output without link or bytes belongs to the process that holds it: after so long that one is gone. */
const BYTES_WAIT_MS = 60_000
const BYTES_RETRY_MS = 5000

export function createOutputStore(options: StoreOutputsOptions): (work: GenerationWork, context: StoreContext) => Promise<RunResult> {
  const { records, files, media, logger, outcomes, pace } = options

  return async (work, context) => {
    const waiting = work.submissions.filter(({ state, isRecorded }) => state === 'accepted' && !isRecorded)
    if (waiting.some((submission) => isHeldElsewhere(submission, context))) return { done: false, retryAfterMs: BYTES_RETRY_MS, storeBy: waiting[0]!.outputExpiresAt }
    const stored = await Promise.allSettled(waiting.map((submission) => storeOne(work, submission, context)))
    if (context.leaving.aborted && stored.some(({ status }) => status === 'rejected')) return { done: false, retryAfterMs: 0, storeBy: waiting[0]?.outputExpiresAt }
    const failures = work.submissions.flatMap(({ error }) => (error ? [error] : []))
    let delayed: { reason: unknown; submission: Submission } | undefined
    for (const [position, result] of stored.entries()) {
      if (result.status === 'fulfilled') continue
      const submission = waiting[position]!
      if (isFinal(result.reason) || !isAlive(submission)) {
        logger.warn({ generationId: work.id, provider: work.plan.provider, err: result.reason as unknown }, 'a finished output could not be stored')
        failures.push(toRecordedError(result.reason))
        await records.saveLost(work.id, submission.index, toRecordedError(result.reason))
      } else delayed = { reason: result.reason, submission }
    }
    const outputs = stored.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    if (outputs.length > 0 || work.submissions.some(({ isRecorded }) => isRecorded)) {
      const result = await record(work, outputs, failures, waiting[0])
      if (result) return result
    }
    if (work.submissions.some(isUnderway)) return again(0)
    if (delayed) return await outcomes.postpone(work, delayed.reason, delayed.submission.outputExpiresAt)
    return await outcomes.close(work, failures.find(({ code }) => code !== 'submission_unknown') ?? failures[0] ?? toUnknown(work))
  }

  async function storeOne(work: GenerationWork, submission: Submission, context: StoreContext): Promise<Stored> {
    const { plan } = work
    const { trustedOrigin, downloadHeaders, stopping, leaving } = context
    const outputOf = async () => context.fresh.get(submission.index) ?? submission.output ?? (await keptBytes(work, submission))
    if (plan.kind === 'image') {
      const step = async () => await storeImage({ work: { ...work, plan }, index: submission.index, output: await outputOf(), trustedOrigin, downloadHeaders, media, files })
      return { kind: 'image', file: await tryStep(() => options.storeConcurrency(step), { stopping, pace }) }
    }
    const step = async () => {
      const signal = AbortSignal.any([leaving, AbortSignal.timeout(options.videoTransferMs)])
      return await storeVideo({ work: { ...work, plan }, index: submission.index, output: await outputOf(), trustedOrigin, downloadHeaders, media, files, signal, onProgress: (share) => tellProgress(work, share) })
    }
    return { kind: 'video', file: await tryStep(step, { stopping, pace }) }
  }

  /** Of storing, the last tenth of the way; only where the provider told of its own progress before. */
  function tellProgress(work: GenerationWork, share: number): void {
    if (work.progress === null) return
    // The row may be away: the next share is told then.
    records.saveProgress(work.id, Math.round((0.9 + share * 0.09) * 1000) / 1000).catch(() => undefined)
  }

  async function keptBytes(work: GenerationWork, { index, hasBytes }: Submission): Promise<Output> {
    const bytes = hasBytes ? await records.getBytes(work.id, index) : undefined
    if (!bytes) throw new AppError('output_invalid', `The provider answered without a ${nounOf(work)}.`)
    return { type: 'bytes', bytes }
  }

  /** @returns undefined when others of the same generation are still to be stored. */
  async function record(work: GenerationWork, outputs: Stored[], failures: RecordedError[], submission: Submission | undefined): Promise<RunResult | undefined> {
    const warnings = failures.map(({ message }) => ({ type: 'partial' as const, message: `One of ${work.plan.n} ${nounOf(work)}s is missing: ${message}` }))
    try {
      const outcome = await tryStep(() => writeRows(work, outputs, warnings), { stopping: new AbortController().signal, pace })
      if (outcome === 'partial') return undefined
      if (outcome === 'recorded') outcomes.logOutcome(work)
      return DONE
    } catch (error) {
      // No file stays without its row: they are stored again when the row can be written.
      const isDatabaseAway = error instanceof AppError
      if (!isDatabaseAway && (await isUnrecorded(work))) await files.remove(outputs.flatMap(pathsOf)).catch(() => undefined)
      if (!isDatabaseAway && submission && !isAlive(submission)) {
        for (const { index } of work.submissions) await records.saveLost(work.id, index, toRecordedError(error))
        return await outcomes.close(work, toRecordedError(error))
      }
      return await outcomes.postpone(work, error, submission?.outputExpiresAt)
    }
  }

  /** Whether nobody else has recorded any of it meanwhile. */
  async function isUnrecorded({ id }: GenerationWork): Promise<boolean> {
    const now = await records.findWork(id)
    return now !== undefined && !now.submissions.some(({ isRecorded }) => isRecorded)
  }

  async function writeRows(work: GenerationWork, outputs: Stored[], warnings: { type: 'partial'; message: string }[]) {
    const images = outputs.flatMap((output) => (output.kind === 'image' ? [output.file] : []))
    const videos = outputs.flatMap((output) => (output.kind === 'video' ? [output.file] : []))
    return work.plan.kind === 'image' ? await records.recordImages(work, files.bucket, images, warnings) : await records.recordVideos(work, files.bucket, videos, warnings)
  }
}

/**
 * Whether another process received the output as bytes and has not written them down: seen when its heartbeat was lost
 * while it goes on. Its own steps are safe; giving the output up here would not be.
 */
function isHeldElsewhere({ index, output, hasBytes, updatedAt }: Submission, { fresh }: StoreContext): boolean {
  return !output && !hasBytes && !fresh.has(index) && Date.now() - updatedAt.getTime() < BYTES_WAIT_MS
}

/** What will not get better by waiting. An error that nobody foresaw may: the output is paid, so it is tried again. */
const isFinal = (error: unknown): boolean => error instanceof AppError && ['output_invalid', 'output_too_large', 'output_expired'].includes(error.code)

const pathsOf = (output: Stored): string[] => (output.kind === 'image' ? [output.file.storagePath, output.file.thumbnailPath] : [output.file.storagePath])
