/** How the steps of a generation end: closed, put off, or written down whatever it takes. Shared by every kind. */
import { AppError, ProviderError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { GenerationWork, RecordedError, Records, Submission } from './records.ts'
import { untilWritten, type Pace } from './retry.ts'

/** What the queue does next with the generation. */
export type RunResult =
  | { done: true }
  /** `storeBy`: what is left is to store a finished output, whose link lives until then. */
  | { done: false; retryAfterMs: number; storeBy?: Date | undefined }

export const DONE: RunResult = { done: true }

export const again = (retryAfterMs: number): RunResult => ({ done: false, retryAfterMs })

export interface OutcomeOptions {
  records: Records
  logger: Logger
  /** Least pause before a failed store step is tried again. */
  storeRetryMs: number
  pace: Pace
}

export type Outcomes = ReturnType<typeof createOutcomes>

/** Storing is tried again after a quarter of the generation's age, but at least so often. */
const MAX_STORE_PAUSE_MS = 600_000

export function createOutcomes({ records, logger, storeRetryMs, pace }: OutcomeOptions) {
  function logOutcome(work: GenerationWork, error?: RecordedError): void {
    const { plan } = work
    const fields = { generationId: work.id, userId: work.userId, kind: plan.kind, provider: plan.provider, model: plan.model, n: plan.n, durationMs: Date.now() - work.createdAt.getTime() }
    if (error) logger.warn({ ...fields, outcome: 'failed', code: error.code }, 'generation failed')
    else logger.info({ ...fields, outcome: 'succeeded' }, 'generation succeeded')
  }

  return {
    logOutcome,

    /** Ends a generation that cannot succeed. */
    async close(work: GenerationWork, { code, message }: RecordedError): Promise<RunResult> {
      const error = { code, message }
      // Refused when an answer came in at the last moment: the next run goes on with it.
      if (!(await records.fail(work.id, error))) return again(pace.minTimeoutMs)
      logOutcome(work, error)
      return DONE
    },

    /** Leaves a finished output for later: its link or its bytes are in the row. */
    async postpone(work: GenerationWork, reason: unknown, expiresAt: Date | undefined): Promise<RunResult> {
      const age = Date.now() - work.createdAt.getTime()
      const retryAfterMs = Math.max(storeRetryMs, Math.min(age / 4, MAX_STORE_PAUSE_MS))
      logger.warn({ generationId: work.id, provider: work.plan.provider, retryAfterMs, err: reason }, 'a finished output is not stored yet')
      const { code, message } = toRecordedError(reason)
      const until = expiresAt ? ` until ${expiresAt.toISOString()}` : ''
      await records.delay(work.id, { code, message: `${message} The ${nounOf(work)} is made and paid; storing it is tried again${until}.` })
      return { done: false, retryAfterMs, storeBy: expiresAt }
    },

    /** Writes down the outcome of a paid call, repeating the write until `until`. */
    persist<T>({ id: generationId }: GenerationWork, until: Date, write: () => Promise<T>): Promise<T> {
      return untilWritten(write, { until, pace, onFailure: (error) => logger.error({ generationId, err: error }, 'the outcome of a paid call cannot be written yet') })
    },
  }
}

/** What users call the output. */
export const nounOf = ({ plan }: GenerationWork): string => (plan.kind === 'image' ? 'picture' : plan.kind)

export const toUnknown = (work: GenerationWork): RecordedError => ({
  code: 'submission_unknown',
  message: `The connection to the provider was lost before it answered. The ${nounOf(work)} may have been made and paid, so it was not asked for again.`,
})

export const isOpen = (work: GenerationWork): boolean => ['queued', 'running', 'storing'].includes(work.status)

/** Whether its provider is still to be asked, or still at work. */
export const isUnderway = ({ state }: Submission): boolean => ['queued', 'starting', 'uncertain', 'started'].includes(state)

/** Whether the provider's link still works, as far as is known. */
export const isAlive = ({ outputExpiresAt }: Submission): boolean => outputExpiresAt === undefined || outputExpiresAt.getTime() > Date.now()

/** What a row may tell its owner: our own sentences, and for the unforeseen a dull one. */
export function toRecordedError(error: unknown): RecordedError {
  if (error instanceof AppError) return { code: error.code, message: error.message }
  return { code: 'internal_error', message: 'Something went wrong inside the service.' }
}

/** The same for a submission's own row, which also knows of a failure that was billed. */
export const toSubmissionError = (error: unknown): RecordedError & { charged?: 'yes' } => ({ ...toRecordedError(error), ...(error instanceof ProviderError && error.charged === 'yes' && { charged: 'yes' }) })
