/**
 * A provider's model that fails again and again, or is gone, is left alone for a while: whoever asks for it is told, or
 * served by another, at once. What other processes tell of their calls counts like one's own.
 */
import { BrokenCircuitError, circuitBreaker, CircuitState, ConsecutiveBreaker, handleWhen, type CircuitBreakerPolicy } from 'cockatiel'
import { LRUCache } from 'lru-cache'
import { ProviderError, type ErrorCode } from '../errors.ts'
import type { ModelNews, NewsExchange } from './model-news.ts'
import type { Task } from './provider.ts'

export interface BreakerOptions {
  /** Failures in a row after which a model is left alone. */
  failures: number
  /** How long, before one call may try it again. */
  pauseMs: number
  /** How long a model is not asked for after its vendor said that it has none such; 0: it is asked all the same. */
  goneMs: number
  /** The other processes, where they can be reached. */
  news?: NewsExchange | undefined
}

/** A piece of work for a vendor's model. */
export interface Target {
  provider: string
  model: string
  task: Task
}

export interface Breakers {
  /** @throws {ProviderError} `provider_failed` or `model_unavailable`, charged 'no', while the model is left alone. */
  guard<T>(target: Target, call: () => Promise<T>): Promise<T>
  isGone(provider: string, model: string, task: Task): boolean
  /** The vendor's ids of a provider's models that are left alone now because they failed. */
  listOpen(provider: string): string[]
  /** And of those that are gone, for some work at least. */
  listGone(provider: string): string[]
}

interface Guarded {
  provider: string
  model: string
  circuit: CircuitBreakerPolicy
  /** Until when it is left alone since it failed, in milliseconds of `performance.now()`. */
  openUntil: number
  /** Whether other processes may count failures that the next success here refutes. */
  isDoubted: boolean
  /** Until when it is gone, by the work; the same clock. */
  goneUntil: Map<Task, number>
}

/** The catalog has some hundred; what other processes tell must not take all memory. The least recently used is forgotten. */
export const MAX_GUARDED_MODELS = 1000

/** What says that the vendor is in trouble, or we with it; a refusal of the request or a busy moment says nothing of that. */
const OUTAGES: ReadonlySet<ErrorCode> = new Set(['provider_failed', 'provider_timeout', 'submission_unknown', 'provider_misconfigured', 'provider_quota_reached'])

/** Stands for a failure that another process has seen. */
const FAILED_ELSEWHERE = new Error('A call of another process failed.')

const isOutage = (error: unknown): boolean => error === FAILED_ELSEWHERE || (error instanceof ProviderError && OUTAGES.has(error.code))

export function createBreakers({ failures, pauseMs, goneMs, news }: BreakerOptions): Breakers {
  const models = new LRUCache<string, Guarded>({ max: MAX_GUARDED_MODELS })

  function guardedModel(provider: string, model: string): Guarded {
    const key = keyOf(provider, model)
    const known = models.get(key)
    if (known) return known
    const circuit = circuitBreaker(handleWhen(isOutage), { halfOpenAfter: pauseMs, breaker: new ConsecutiveBreaker(failures) })
    // What others have counted before is not known here: the first success is told.
    const made: Guarded = { provider, model, circuit, openUntil: 0, isDoubted: true, goneUntil: new Map() }
    circuit.onBreak(() => (made.openUntil = performance.now() + pauseMs))
    models.set(key, made)
    return made
  }

  /** A healthy system is quiet: a success is told only where somebody may count failures, or leave the model alone. */
  function succeeded(guarded: Guarded): void {
    if (guarded.isDoubted) news?.tell({ ...idsOf(guarded), event: { type: 'success' } })
    // One that was asked before the others failed leaves the circuit open.
    guarded.isDoubted = guarded.circuit.state !== CircuitState.Closed
  }

  function failed(guarded: Guarded, task: Task, error: unknown): void {
    if (!(error instanceof ProviderError)) return
    if (OUTAGES.has(error.code)) {
      guarded.isDoubted = true
      news?.tell({ ...idsOf(guarded), event: { type: 'failure' } })
    } else if (error.code === 'model_unavailable' && goneMs > 0 && !isGoneNow(guarded, task)) {
      guarded.goneUntil.set(task, performance.now() + goneMs)
      news?.tell({ ...idsOf(guarded), event: { type: 'gone', task } })
    }
  }

  function hear({ provider, model, event }: ModelNews): void {
    const guarded = event.type === 'success' ? models.get(keyOf(provider, model)) : guardedModel(provider, model)
    if (!guarded) return
    if (event.type === 'gone') {
      if (goneMs > 0) guarded.goneUntil.set(event.task, performance.now() + goneMs)
      return
    }
    if (event.type === 'failure') guarded.isDoubted = true
    // A trial of one's own is under way, and will tell.
    if (guarded.circuit.state === CircuitState.HalfOpen) return
    const repeat = async () => {
      if (event.type === 'failure') throw FAILED_ELSEWHERE
    }
    void guarded.circuit.execute(repeat).catch(() => undefined)
  }

  /** Some have just come, or come back: they may count failures that nobody here has heard of. */
  function doubtAll(): void {
    for (const guarded of models.values()) guarded.isDoubted = true
  }

  news?.listen({ onNews: hear, onOpen: doubtAll })

  const listOf = (provider: string, isListed: (guarded: Guarded) => boolean) => [...models.values()].filter((guarded) => guarded.provider === provider && isListed(guarded)).map(({ model }) => model).toSorted()

  return {
    async guard({ provider, model, task }, call) {
      const guarded = guardedModel(provider, model)
      if (isGoneNow(guarded, task)) throw new ProviderError('model_unavailable', 'The provider said a while ago that it does not offer this model, and is not asked again yet. Choose another one.', { provider, charged: 'no' })
      try {
        const result = await guarded.circuit.execute(call)
        succeeded(guarded)
        return result
      } catch (error) {
        failed(guarded, task, error)
        if (!(error instanceof BrokenCircuitError)) throw error
        throw new ProviderError('provider_failed', 'The provider has failed several times in a row and is left alone for a moment. Try again soon, or choose another model.', { provider, charged: 'no', retryAfterSeconds: Math.ceil(pauseMs / 1000), cause: error })
      }
    },
    isGone(provider, model, task) {
      const guarded = models.peek(keyOf(provider, model))
      return guarded !== undefined && isGoneNow(guarded, task)
    },
    listOpen: (provider) => listOf(provider, ({ circuit, openUntil }) => circuit.state === CircuitState.Open && openUntil > performance.now()),
    listGone: (provider) => listOf(provider, (guarded) => [...guarded.goneUntil.keys()].some((task) => isGoneNow(guarded, task))),
  }
}

const keyOf = (provider: string, model: string): string => JSON.stringify([provider, model])

const idsOf = ({ provider, model }: Guarded) => ({ provider, model })

/** What cannot generate is gone for everything; without an address for edits it may generate all the same. */
const isGoneNow = ({ goneUntil }: Guarded, task: Task): boolean => ['generate' as const, task].some((one) => (goneUntil.get(one) ?? 0) > performance.now())
