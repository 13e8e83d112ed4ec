/**
 * Carries a generation of any kind from its row to its files. Each step reads what the rows say and is safe to run again,
 * even beside itself, so any process can go on where another one stopped.
 */
import type { ErrorCode } from '../errors.ts'
import { again, createOutcomes, DONE, isOpen, isUnderway, type RunResult } from './outcome.ts'
import { modelOf, prepareCall } from './prepare-call.ts'
import type { MediaModel, Output, Provider } from './provider.ts'
import type { GenerationWork, Plan, Submission } from './records.ts'
import { createOutputStore, type StoreOutputsOptions } from './store-outputs.ts'
import { createSubmissionSteps, type StepResult, type SubmissionStepsOptions } from './submission-steps.ts'

export interface GenerationRunnerOptions extends Omit<SubmissionStepsOptions, 'outcomes'>, Omit<StoreOutputsOptions, 'outcomes'> {
  providers: ReadonlyMap<string, Provider>
  /** Least pause before a failed store step is tried again. */
  storeRetryMs: number
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
/** How long a claim without an answer is tried to be given back; after that it counts as a call without an answer. */
const CLAIM_RETRY_MS = 60_000

/** Refusals that another vendor may not share. What is wrong with the request itself, or with its content, is final. */
const WORTH_ANOTHER: ReadonlySet<ErrorCode> = new Set(['provider_failed', 'provider_timeout', 'provider_rate_limited', 'provider_quota_reached', 'provider_misconfigured', 'model_unavailable', 'operation_expired'])

export function createGenerationRunner(options: GenerationRunnerOptions): GenerationRunner {
  const { records, providers, logger } = options
  const outcomes = createOutcomes(options)
  const storeOutputs = createOutputStore({ ...options, outcomes })
  const steps = createSubmissionSteps({ ...options, outcomes })

  async function findOpen(generationId: string): Promise<GenerationWork | undefined> {
    const work = await records.findWork(generationId)
    return work && isOpen(work) ? work : undefined
  }

  /** One step of every submission that is under way, side by side. @returns undefined when there is no place to start in. */
  async function stepAll(work: GenerationWork, provider: Provider, model: MediaModel<never>, stopping: AbortSignal): Promise<Map<number, StepResult> | undefined> {
    const calls = work.submissions.some(({ state }) => state === 'queued') ? await claim(work, provider) : new Map<number, never>()
    if (!calls) return undefined
    const take = async (submission: Submission): Promise<StepResult> => {
      const call = calls.get(submission.index)
      if (call) return await steps.start(work, submission.index, call, stopping)
      if (submission.state === 'starting') return await steps.takeOver(work, submission, model)
      if (submission.state === 'uncertain' || isTold(submission)) return await steps.settle(work, submission, model)
      return submission.state === 'started' ? await steps.check(work, submission, model) : { next: 'none' }
    }
    const taken = await Promise.allSettled(work.submissions.map(take))
    // All have come to their end: nobody else takes this generation while a call of it is under way here.
    for (const result of taken) if (result.status === 'rejected') throw result.reason
    return new Map(taken.map((result, position) => [work.submissions[position]!.index, (result as PromiseFulfilledResult<StepResult>).value]))
  }

  async function claim(work: GenerationWork, provider: Provider) {
    const inputs = await records.getInputs(work.id)
    const prepared = work.submissions.map(({ index }) => {
      const callbackAddress = options.publicUrl && `${options.publicUrl}/api/callbacks/${work.id}/${index}`
      return [index, prepareCall({ plan: work.plan, provider, inputs, callbackAddress })] as const
    })
    const claimed = await records.claimSubmissions(work.id, prepared.map(([, { mark }]) => mark)).catch(async (error: unknown) => {
      // It may have been written all the same; nobody was asked yet, so it is given back.
      const tokens = prepared.map(([, { callbackToken }]) => callbackToken)
      await outcomes.persist(work, new Date(Date.now() + CLAIM_RETRY_MS), () => records.releaseClaimed(work.id, tokens))
      throw error
    })
    return claimed && new Map(prepared.filter(([index]) => claimed.includes(index)))
  }

  /** What follows once every submission has taken its step. */
  async function goOn(work: GenerationWork, provider: Provider, results: Map<number, StepResult>, signals: StepSignals): Promise<RunResult> {
    const stepped = await records.findWork(work.id)
    if (!stepped) logger.info({ generationId: work.id, provider: work.plan.provider }, 'a generation was deleted while it was made')
    if (!stepped || !isOpen(stepped)) return DONE
    if (await tryNext(stepped)) return again(0)
    const fresh = new Map([...results].flatMap(([index, result]) => (result.next === 'store' ? [[index, result.output] as const] : [])))
    const pauses = [...results.values()].flatMap((result) => (result.next === 'step' ? [result.afterMs] : []))
    if (fresh.size > 0 && work.plan.kind !== 'image' && pauses.length === 0) return toStore(stepped)
    if (pauses.length > 0 && (fresh.size === 0 || work.plan.kind !== 'image')) return again(Math.min(...pauses))
    // Bytes are written down while they are stored: whichever is done first, they survive this process.
    const [result] = await Promise.all([storeOutputs(stepped, { ...signals, fresh, ...accessOf(provider) }), keepAllBytes(stepped, fresh)])
    return pauses.length > 0 ? again(Math.min(...pauses)) : result
  }

  /** The next model of the chain, where this one surely took nothing and another may. */
  async function tryNext(work: GenerationWork): Promise<boolean> {
    const { plan, submissions } = work
    const error = submissions.find(({ state }) => state === 'refused')?.error
    const [next, ...rest] = plan.fallbacks
    if (!next || !error || !WORTH_ANOTHER.has(error.code) || submissions.some(({ state }) => state !== 'refused')) return false
    const attempt = { model: plan.model, provider: plan.provider, error, at: new Date().toISOString() }
    const goesOn = await records.tryNext(work.id, { ...next, fallbacks: rest } as Plan, attempt)
    if (goesOn) logger.warn({ generationId: work.id, provider: plan.provider, model: plan.model, code: error.code, next: next.model }, 'a model took nothing, and another is asked')
    return goesOn
  }

  async function keepAllBytes(work: GenerationWork, fresh: ReadonlyMap<number, Output>): Promise<void> {
    const until = new Date(Date.now() + options.outputLifetimeMs)
    const keeping = [...fresh].flatMap(([index, output]) => (output.type === 'bytes' ? [outcomes.persist(work, until, () => records.keepBytes(work.id, index, output.bytes))] : []))
    await Promise.all(keeping)
  }

  async function leaveToOthers(work: GenerationWork, isUntouched: boolean): Promise<RunResult> {
    // What a provider works on is waited for: somebody may bring the key back.
    const patienceMs = isUntouched ? KEYLESS_WAIT_MS : options.operationLifetimeMs
    if (Date.now() - work.createdAt.getTime() < patienceMs) return again(KEYLESS_RETRY_MS)
    const error = { code: 'not_configured' as const, message: `This service has no key for ${work.plan.provider} any more.` }
    for (const { index } of work.submissions.filter(isUnderway)) await records.saveNotAccepted(work.id, index, isUntouched ? 'refused' : 'unknown', error)
    return await outcomes.close(work, error)
  }

  return {
    async run(generationId, signals) {
      const work = await records.findWork(generationId)
      if (!work || !(isOpen(work) || hasNews(work))) return DONE
      if (isOpen(work) && !work.submissions.some(isUnderway)) return toStore(work)
      const provider = providers.get(work.plan.provider)
      const model = modelOf(work.plan, provider)
      const isUntouched = work.submissions.every(({ state }) => state === 'queued')
      if (!provider || !model) return await leaveToOthers(work, isUntouched)
      // What nobody has asked for yet is left to a process that stays.
      if (isUntouched && signals.stopping.aborted) return again(0)
      const results = await stepAll(work, provider, model, signals.stopping)
      return results ? await goOn(work, provider, results, signals) : DONE
    },

    async store(generationId, signals) {
      const work = await findOpen(generationId)
      if (!work) return DONE
      return await storeOutputs(work, { ...signals, fresh: new Map(), ...accessOf(providers.get(work.plan.provider)) })
    },
  }
}

/** How the provider's files may be reached. */
const accessOf = (provider: Provider | undefined) => ({ trustedOrigin: provider?.trustedOrigin, downloadHeaders: provider?.downloadHeaders })

/** A callback named the work of a submission that was given up. */
const isTold = ({ state, toldOperation }: Submission): boolean => state === 'unknown' && toldOperation !== undefined

const hasNews = ({ status, submissions }: GenerationWork): boolean => status === 'failed' && submissions.some(isTold)

/** Storing is left to whoever is free, those first whose link dies first. */
function toStore({ submissions }: GenerationWork): RunResult {
  const times = submissions.flatMap(({ outputExpiresAt }) => (outputExpiresAt ? [outputExpiresAt.getTime()] : []))
  return { done: false, retryAfterMs: 0, storeBy: new Date(times.length > 0 ? Math.min(...times) : Date.now()) }
}
