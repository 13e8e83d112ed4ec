/**
 * The steps of one submission, of whatever kind: start it, look how far it is, and where the answer to the paid call was
 * lost, ask the provider what became of it. Each step reads what the rows say and is safe to run again.
 */
import { isDeepStrictEqual } from 'node:util'
import { AppError, ProviderError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { toRecordedError, toSubmissionError, toUnknown, type Outcomes } from './outcome.ts'
import type { PreparedCall } from './prepare-call.ts'
import { costOf } from './price.ts'
import type { FoundOperations, MediaModel, Operation, OperationState, Output, Started } from './provider.ts'
import type { GenerationWork, Records, Submission } from './records.ts'
import { callProvider, isWorthRepeating, type Pace } from './retry.ts'

export interface SubmissionStepsOptions {
  records: Records
  logger: Logger
  outcomes: Outcomes
  /** Where providers reach this service; undefined where it has no public address. */
  publicUrl: string | undefined
  /** Longest wait for an answer that is the work itself. */
  providerTimeoutMs: number
  /** Longest wait for any other answer. */
  callTimeoutMs: number
  /** How long a provider's link is taken to live. */
  outputLifetimeMs: number
  /** Least and longest pause between two looks at an operation. */
  checkMs: number
  maxCheckMs: number
  /** How long the provider is asked about a call whose answer was lost. */
  settleMs: number
  /** How long a provider that is too busy for an operation is asked again. */
  startPatienceMs: number
  /** How long a provider is taken to remember an operation. */
  operationLifetimeMs: number
  pace: Pace
}

/** What a step leaves: nothing more to do, a finished output in hand, or a next step after a pause. */
export type StepResult = { next: 'none' } | { next: 'store'; output: Output } | { next: 'step'; afterMs: number }

const NOTHING: StepResult = { next: 'none' }
const stepAfter = (afterMs: number): StepResult => ({ next: 'step', afterMs })

/** What a provider that is too busy is given before it is asked again, where it told no time. */
const BUSY_PAUSE_MS = 15_000
/** A link may die behind a pause that is too long. */
const MAX_BUSY_PAUSE_MS = 600_000
const FIRST_SETTLE_PAUSE_MS = 1000
/** A provider whose list does not answer is asked more and more seldom. */
const MAX_SETTLE_PAUSE_MS = 60_000

export function createSubmissionSteps(options: SubmissionStepsOptions) {
  const { records, logger, outcomes, pace } = options
  const limit = () => ({ signal: AbortSignal.timeout(options.callTimeoutMs) })
  const lifetimeFromNow = () => new Date(Date.now() + options.outputLifetimeMs)

  /** Makes the paid call of a submission that the caller has claimed. */
  async function start(work: GenerationWork, index: number, { model, start: call }: PreparedCall, stopping: AbortSignal): Promise<StepResult> {
    const timeoutMs = model.check ? options.callTimeoutMs : options.providerTimeoutMs
    let started: Started
    try {
      started = await callProvider(() => call(AbortSignal.timeout(timeoutMs)), { stopping, pace })
    } catch (error) {
      return await notStarted(work, index, model, error, stopping)
    }
    if ('outputs' in started) return await accept(work, index, started)
    const { operation } = started
    await outcomes.persist(work, lifetimeFromNow(), () => records.saveStarted(work.id, index, { ...started, operation }))
    return stepAfter(pauseAt(new Date()))
  }

  async function notStarted(work: GenerationWork, index: number, model: MediaModel<never>, error: unknown, stopping: AbortSignal): Promise<StepResult> {
    const { plan } = work
    // Whoever waits for a picture is told that the provider is busy; an operation takes its time anyway.
    const pauseMs = error instanceof ProviderError && error.isRetryable && error.charged === 'no' ? (error.retryAfterSeconds ?? 0) * 1000 || BUSY_PAUSE_MS : Infinity
    const isPatient = model.check !== undefined && plan.fallbacks.length === 0 && Date.now() - work.createdAt.getTime() + pauseMs < options.startPatienceMs
    if (isPatient || (stopping.aborted && isWorthRepeating(error))) {
      // Nothing was accepted: it is asked again later, here or elsewhere.
      await records.releaseSubmission(work.id, index)
      return stepAfter(stopping.aborted ? 0 : pauseMs)
    }
    logger.warn({ generationId: work.id, provider: plan.provider, model: plan.model, err: error }, 'a provider did not take the work on')
    const isRefused = error instanceof ProviderError && error.charged === 'no'
    if (!isRefused && canBeFound(model)) {
      await outcomes.persist(work, lifetimeFromNow(), () => records.saveUncertain(work.id, index, toRecordedError(error)))
      return stepAfter(FIRST_SETTLE_PAUSE_MS)
    }
    await outcomes.persist(work, lifetimeFromNow(), () => records.saveNotAccepted(work.id, index, isRefused ? 'refused' : 'unknown', toSubmissionError(error)))
    return NOTHING
  }

  /** Whether anything can tell what became of a call without an answer. */
  const canBeFound = (model: MediaModel<never>): boolean => model.find !== undefined || (model.parseCallback !== undefined && options.publicUrl !== undefined)

  /** What another process left as starting. Should its answer come after all, that is written down. */
  async function takeOver(work: GenerationWork, { index }: Submission, model: MediaModel<never>): Promise<StepResult> {
    if (canBeFound(model)) {
      await records.saveUncertain(work.id, index, toUnknown(work))
      return stepAfter(0)
    }
    await records.saveNotAccepted(work.id, index, 'unknown', toUnknown(work))
    return NOTHING
  }

  /** Asks the provider about a call whose answer was lost. What is found is followed; what is not is never sent again. */
  async function settle(work: GenerationWork, submission: Submission, model: MediaModel<never>): Promise<StepResult> {
    const { index, error = toUnknown(work) } = submission
    const uncertainMs = Date.now() - submission.updatedAt.getTime()
    let found: FoundOperations = { operations: [], isUndecided: false }
    try {
      found = await findOperations(work, submission, model)
    } catch (failure) {
      logger.warn({ generationId: work.id, provider: work.plan.provider, err: failure }, 'a provider could not be asked about a lost answer')
      if (uncertainMs < options.operationLifetimeMs) return stepAfter(settlePause(uncertainMs))
    }
    const [operation, ...others] = found.operations
    if (operation && others.length === 0) {
      logger.info({ generationId: work.id, provider: work.plan.provider }, 'the work of a lost answer was found')
      await records.saveStarted(work.id, index, { operation, warnings: [] })
      return stepAfter(0)
    }
    const patienceMs = found.isUndecided ? options.operationLifetimeMs : options.settleMs
    // Of several with the same mark a callback can still tell which it is.
    const mayBeTold = model.parseCallback !== undefined && options.publicUrl !== undefined
    if ((others.length === 0 || mayBeTold) && canBeFound(model) && uncertainMs < patienceMs) return stepAfter(settlePause(uncertainMs))
    await records.saveNotAccepted(work.id, index, 'unknown', error)
    return NOTHING
  }

  async function findOperations(work: GenerationWork, { toldOperation, mark, calledAt = work.createdAt }: Submission, model: MediaModel<never>): Promise<FoundOperations> {
    const isTold = toldOperation !== undefined && (await exists(toldOperation, model))
    const { operations, isUndecided } = isTold ? { operations: [toldOperation], isUndecided: false } : mark && model.find ? await model.find(mark, { ...limit(), since: calledAt }) : { operations: [], isUndecided: false }
    const taken = await records.findTaken(work.id, operations)
    return { operations: operations.filter((operation) => !taken.some((other) => isDeepStrictEqual(other, operation))), isUndecided }
  }

  /** A callback's word is not enough: the provider itself must know the operation. */
  async function exists(operation: Operation, model: MediaModel<never>): Promise<boolean> {
    try {
      await model.check!(operation, limit())
      return true
    } catch (error) {
      if (error instanceof ProviderError && error.code === 'operation_lost') return false
      throw error
    }
  }

  /** Looks once how far an operation is. */
  async function check(work: GenerationWork, submission: Submission, model: MediaModel<never>): Promise<StepResult> {
    const { index, operation, calledAt = work.createdAt } = submission
    let state: OperationState
    try {
      if (Date.now() - calledAt.getTime() > options.operationLifetimeMs) throw new ProviderError('operation_lost', 'The provider never finished what was asked for.', { provider: work.plan.provider, charged: 'unknown' })
      state = await model.check!(operation!, limit())
    } catch (error) {
      logger.warn({ generationId: work.id, provider: work.plan.provider, err: error }, 'a look at an operation failed')
      if (error instanceof AppError && error.code === 'operation_lost') return await end(work, index, 'unknown', error)
      return stepAfter(error instanceof ProviderError && error.code === 'provider_rate_limited' ? pauseWhenBusy(error) : pauseAt(calledAt))
    }
    switch (state.status) {
      case 'succeeded':
        return await accept(work, index, { ...state, warnings: [] })
      case 'failed':
        return await end(work, index, state.error.charged === 'no' ? 'refused' : 'unknown', state.error)
      case 'cancelled':
        await records.cancelOperation(work.id)
        return NOTHING
      case 'unknown':
        logger.error({ generationId: work.id, provider: work.plan.provider, vendorStatus: state.vendorStatus }, 'a provider told a state that this service does not know')
        return stepAfter(pauseAt(calledAt))
      case 'running':
        // The last tenth of the way is storing; the progress of one of several would mislead.
        if (state.progress !== undefined && work.submissions.length === 1) await records.saveProgress(work.id, toShare(state.progress * 0.9))
        return stepAfter(pauseAt(calledAt))
      default:
        return stepAfter(pauseAt(calledAt))
    }
  }

  async function accept(work: GenerationWork, index: number, { outputs, usage, costMicros = costOf(work.plan.tokenPrice, usage), ...rest }: { outputs: Output[] } & Pick<Started, 'warnings' | 'providerRequestId' | 'costMicros' | 'usage'>): Promise<StepResult> {
    const expiresAt = lifetimeFromNow()
    const [output] = outputs
    if (!output) return await end(work, index, 'unknown', new AppError('output_invalid', 'The provider finished without a result.'))
    // A picture's bytes are written down while it is stored; anything else is stored by whoever is free.
    const bytes = output.type === 'bytes' && work.plan.kind !== 'image' ? output.bytes : undefined
    await outcomes.persist(work, expiresAt, () => records.saveAccepted(work.id, index, { ...rest, costMicros, outputs, bytes, expiresAt }))
    return { next: 'store', output }
  }

  async function end(work: GenerationWork, index: number, state: 'refused' | 'unknown', error: AppError): Promise<StepResult> {
    await records.saveNotAccepted(work.id, index, state, toSubmissionError(error))
    return NOTHING
  }

  /** Looks that were too many are spread out. */
  function pauseWhenBusy({ retryAfterSeconds = 0 }: ProviderError): number {
    return Math.min(Math.max(retryAfterSeconds * 1000, options.maxCheckMs), MAX_BUSY_PAUSE_MS) * (0.8 + Math.random() * 0.8)
  }

  /** Young operations are looked at often, old ones after a tenth of their age; jittered, so that they do not come together. */
  function pauseAt(calledAt: Date): number {
    const age = Date.now() - calledAt.getTime()
    const pause = Math.min(Math.max(options.checkMs, age / 10), options.maxCheckMs)
    return pause * (0.8 + Math.random() * 0.4)
  }

  return { start, takeOver, settle, check }
}

/** Three digits are enough for a bar. */
const toShare = (progress: number): number => Math.round(Math.min(Math.max(progress, 0), 1) * 1000) / 1000

/** 1, 2, 4 … seconds, at most a minute, by how long it is uncertain already. */
const settlePause = (uncertainMs: number): number => Math.min(Math.max(FIRST_SETTLE_PAUSE_MS, uncertainMs), MAX_SETTLE_PAUSE_MS)
