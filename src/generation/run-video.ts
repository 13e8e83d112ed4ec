/**
 * Carries a video generation to its finished output in small steps: start, check again and again, and where the answer to
 * the paid call was lost, ask the provider what became of it. Each step reads what the rows say and is safe to run again.
 */
import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { AppError, ProviderError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { again, DONE, toRecordedError, toUnknown, type Outcomes, type RunResult } from './outcome.ts'
import type { FoundOperations, InputFile, Operation, Output, Provider, StartedVideo, VideoModel, VideoRequest, VideoState } from './provider.ts'
import type { GenerationWork, Records, Submission } from './records.ts'
import { callProvider, isWorthRepeating, type Pace } from './retry.ts'
import type { VideoPlan } from './video-request.ts'

export interface VideoStepsOptions {
  records: Records
  logger: Logger
  outcomes: Outcomes
  /** Where providers reach this service; undefined where it has no public address. */
  publicUrl: string | undefined
  /** Longest wait for an answer that is not itself the work. */
  callTimeoutMs: number
  /** How long a provider's link is taken to live. */
  outputLifetimeMs: number
  /** Least and longest pause between two looks at an operation. */
  checkMs: number
  maxCheckMs: number
  /** How long the provider is asked about a call whose answer was lost. */
  settleMs: number
  /** How long a provider that is too busy is asked again. */
  startPatienceMs: number
  /** How long a provider is taken to remember an operation. */
  operationLifetimeMs: number
  pace: Pace
}

export type VideoWork = GenerationWork & { plan: VideoPlan }

/** The name of the first frame among a request's files. */
export const FIRST_FRAME = 'firstFrame'

/** What a provider that is too busy is given before it is asked again, where it told no time. */
const BUSY_PAUSE_MS = 15_000
const FIRST_SETTLE_PAUSE_MS = 1000
/** A provider whose list does not answer is asked more and more seldom. */
const MAX_SETTLE_PAUSE_MS = 60_000

export function createVideoSteps(options: VideoStepsOptions): (work: VideoWork, provider: Provider, stopping: AbortSignal) => Promise<RunResult> {
  const { records, logger, outcomes, pace } = options
  const limit = () => ({ signal: AbortSignal.timeout(options.callTimeoutMs) })
  const lifetimeFromNow = () => new Date(Date.now() + options.outputLifetimeMs)

  return async (work, provider, stopping) => {
    const submission = work.submissions[0]!
    const model = provider.video!({ vendorId: work.plan.vendorId, family: work.plan.family })
    switch (submission.state) {
      case 'queued':
        return await start(work, submission, model, stopping)
      case 'starting':
        // Whoever called is gone, or its heartbeat is lost: should its answer come after all, that is written down.
        await records.saveUncertain(work.id, submission.index, toUnknown(work))
        return again(0)
      case 'uncertain':
        return await settle(work, submission, model)
      case 'started':
        return await check(work, submission, model)
      case 'accepted':
        return { done: false, retryAfterMs: 0, storeBy: submission.outputExpiresAt }
      default:
        return await outcomes.close(work, submission.error ?? toUnknown(work))
    }
  }

  async function start(work: VideoWork, { index }: Submission, model: VideoModel, stopping: AbortSignal): Promise<RunResult> {
    const firstFrame = work.plan.firstFrameFit && (await getFirstFrame(work))
    const callbackToken = randomBytes(24).toString('base64url')
    const request = toRequest(work, firstFrame, options.publicUrl && `${options.publicUrl}/api/callbacks/${work.id}/${index}/${callbackToken}`)
    const mark = { ...model.mark?.(request), callbackToken }
    const claimed = await records.claimSubmissions(work.id, [mark])
    // Without a place it waits without a job; a claim of somebody else's is theirs.
    if (!claimed) return DONE
    if (!claimed.includes(index)) return again(pace.minTimeoutMs)
    let started: StartedVideo
    try {
      started = await callProvider(() => model.start(request, { ...limit(), mark }), { stopping, pace })
    } catch (error) {
      return await notStarted(work, index, error, stopping)
    }
    await outcomes.persist(work, lifetimeFromNow(), () => records.saveStarted(work.id, index, started))
    return again(pauseAt(new Date()))
  }

  async function getFirstFrame(work: VideoWork): Promise<InputFile> {
    const file = await records.getInput(work.id, FIRST_FRAME)
    if (!file) throw new Error(`generation ${work.id} has lost its first frame`)
    return file
  }

  async function notStarted(work: VideoWork, index: number, error: unknown, stopping: AbortSignal): Promise<RunResult> {
    const { plan } = work
    const isPatient = Date.now() - work.createdAt.getTime() < options.startPatienceMs
    if (isWorthRepeating(error) && (stopping.aborted || isPatient)) {
      // Nothing was accepted: it is asked again later, here or elsewhere.
      await records.releaseSubmission(work.id, index)
      return again(stopping.aborted ? 0 : (error.retryAfterSeconds ?? 0) * 1000 || BUSY_PAUSE_MS)
    }
    logger.warn({ generationId: work.id, provider: plan.provider, model: plan.model, err: error }, 'a provider did not take the work on')
    if (error instanceof ProviderError && error.charged === 'no') {
      await outcomes.persist(work, lifetimeFromNow(), () => records.saveNotAccepted(work.id, index, 'refused', toRecordedError(error)))
      return await outcomes.close(work, toRecordedError(error))
    }
    await outcomes.persist(work, lifetimeFromNow(), () => records.saveUncertain(work.id, index, toRecordedError(error)))
    return again(FIRST_SETTLE_PAUSE_MS)
  }

  /** Asks the provider about a call whose answer was lost. What is found is followed; what is not is never sent again. */
  async function settle(work: VideoWork, submission: Submission, model: VideoModel): Promise<RunResult> {
    const { index, calledAt = work.createdAt, error = toUnknown(work) } = submission
    const uncertainMs = Date.now() - submission.updatedAt.getTime()
    let found: FoundOperations = { operations: [], isUndecided: false }
    try {
      found = await findOperations(work, submission, calledAt, model)
    } catch (failure) {
      logger.warn({ generationId: work.id, provider: work.plan.provider, err: failure }, 'a provider could not be asked about a lost answer')
      if (uncertainMs < options.operationLifetimeMs) return again(settlePause(uncertainMs))
    }
    const [operation, ...others] = found.operations
    if (operation && others.length === 0) {
      logger.info({ generationId: work.id, provider: work.plan.provider }, 'the work of a lost answer was found')
      await records.saveStarted(work.id, index, { operation, warnings: [] })
      return again(0)
    }
    const isHopeless = others.length > 0 || (!model.find && options.publicUrl === undefined)
    const patienceMs = found.isUndecided ? options.operationLifetimeMs : options.settleMs
    if (!isHopeless && uncertainMs < patienceMs) return again(settlePause(uncertainMs))
    await records.saveNotAccepted(work.id, index, 'unknown', error)
    return await outcomes.close(work, error)
  }

  async function findOperations(work: VideoWork, { toldOperation, mark }: Submission, since: Date, model: VideoModel): Promise<FoundOperations> {
    if (toldOperation && (await exists(toldOperation, model))) return { operations: [toldOperation], isUndecided: false }
    if (!mark || !model.find) return { operations: [], isUndecided: false }
    const { operations, isUndecided } = await model.find(mark, { ...limit(), since })
    const taken = await records.findTaken(work.id, operations)
    return { operations: operations.filter((operation) => !taken.some((other) => isDeepStrictEqual(other, operation))), isUndecided }
  }

  /** A callback's word is not enough: the provider itself must know the operation. */
  async function exists(operation: Operation, model: VideoModel): Promise<boolean> {
    try {
      await model.check(operation, limit())
      return true
    } catch (error) {
      if (error instanceof ProviderError && error.code === 'operation_lost') return false
      throw error
    }
  }

  async function check(work: VideoWork, submission: Submission, model: VideoModel): Promise<RunResult> {
    const { index, operation, calledAt = work.createdAt } = submission
    let state: VideoState
    try {
      if (Date.now() - calledAt.getTime() > options.operationLifetimeMs) throw new ProviderError('operation_lost', 'The provider never finished this video.', { provider: work.plan.provider, charged: 'unknown' })
      state = await model.check(operation!, limit())
    } catch (error) {
      logger.warn({ generationId: work.id, provider: work.plan.provider, err: error }, 'a look at an operation failed')
      if (error instanceof AppError && error.code === 'operation_lost') return await end(work, index, 'unknown', error)
      return again(error instanceof ProviderError && error.code === 'provider_rate_limited' ? pauseWhenBusy(error) : pauseAt(calledAt))
    }
    switch (state.status) {
      case 'succeeded':
        return await accept(work, index, state)
      case 'failed':
        return await end(work, index, state.error.charged === 'no' ? 'refused' : 'unknown', state.error)
      case 'cancelled':
        await records.cancelOperation(work.id)
        return DONE
      case 'unknown':
        logger.error({ generationId: work.id, provider: work.plan.provider, vendorStatus: state.vendorStatus }, 'a provider told a state that this service does not know')
        return again(pauseAt(calledAt))
      case 'running':
        // The last tenth of the way is storing.
        if (state.progress !== undefined) await records.saveProgress(work.id, toShare(state.progress * 0.9))
        return again(pauseAt(calledAt))
      default:
        return again(pauseAt(calledAt))
    }
  }

  async function accept(work: VideoWork, index: number, { outputs }: { outputs: Output[] }): Promise<RunResult> {
    const expiresAt = lifetimeFromNow()
    const [output] = outputs
    if (!output) return await end(work, index, 'unknown', new AppError('output_invalid', 'The provider finished without a video.'))
    await outcomes.persist(work, expiresAt, () => records.saveAccepted(work.id, index, { outputs, bytes: output.type === 'bytes' ? output.bytes : undefined, expiresAt, warnings: [] }))
    return { done: false, retryAfterMs: 0, storeBy: expiresAt }
  }

  async function end(work: VideoWork, index: number, state: 'refused' | 'unknown', error: AppError): Promise<RunResult> {
    await records.saveNotAccepted(work.id, index, state, toRecordedError(error))
    return await outcomes.close(work, toRecordedError(error))
  }

  /** Looks that were too many are spread out. */
  function pauseWhenBusy({ retryAfterSeconds = 0 }: ProviderError): number {
    return Math.max(retryAfterSeconds * 1000, options.maxCheckMs) * (0.8 + Math.random() * 0.8)
  }

  /** Young operations are looked at often, old ones after a tenth of their age; jittered, so that they do not come together. */
  function pauseAt(calledAt: Date): number {
    const age = Date.now() - calledAt.getTime()
    const pause = Math.min(Math.max(options.checkMs, age / 10), options.maxCheckMs)
    return pause * (0.8 + Math.random() * 0.4)
  }
}

/** Three digits are enough for a bar. */
const toShare = (progress: number): number => Math.round(Math.min(Math.max(progress, 0), 1) * 1000) / 1000

/** 1, 2, 4 … seconds, at most a minute, by how long it is uncertain already. */
const settlePause = (uncertainMs: number): number => Math.min(Math.max(FIRST_SETTLE_PAUSE_MS, uncertainMs), MAX_SETTLE_PAUSE_MS)

function toRequest({ plan }: VideoWork, firstFrame: InputFile | undefined, callbackUrl: string | undefined): VideoRequest {
  return {
    prompt: plan.prompt,
    duration: plan.duration,
    aspectRatio: plan.aspectRatio,
    resolution: plan.resolution,
    seed: plan.seed,
    generateAudio: plan.generateAudio,
    firstFrame,
    callbackUrl,
    providerOptions: plan.providerOptions,
  }
}
