/** The one layer that repeats things: SDKs and the queue have their own retries switched off. */
import { setTimeout as sleep } from 'node:timers/promises'
import pRetry from 'p-retry'
import { AppError, ProviderError, type ErrorCode } from '../errors.ts'

const PROVIDER_TRIES = 3
const STORE_TRIES = 3
/** A vendor's Retry-After beyond this is not waited for: the caller is told instead. */
const MAX_RETRY_AFTER_SECONDS = 30

/** Failures of our own infrastructure and of file servers that may pass by themselves. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['database_unavailable', 'storage_unavailable', 'output_unavailable'])

export const isPassing = (error: unknown): error is AppError => error instanceof AppError && PASSING.has(error.code)

/** Delays grow by a factor of two, jittered so that callers do not come back together. */
export interface Pace {
  minTimeoutMs: number
  maxTimeoutMs: number
  /** Called whenever something is tried again. */
  onRetry?: (what: 'provider call' | 'step' | 'write') => void
}

/**
 * Calls a provider at most three times. A paid call is repeated only after an answer that proves that it was not
 * accepted, and not once the process is stopping: the failure then is the last one.
 */
export async function callProvider<T>(call: () => Promise<T>, options: { stopping: AbortSignal; pace: Pace }): Promise<T> {
  let lastError: unknown
  const callUnlessStopping = () => {
    // The pause before this try may have outlasted the process's time.
    if (lastError !== undefined && options.stopping.aborted) throw lastError
    if (lastError !== undefined) options.pace.onRetry?.('provider call')
    return call().catch((error: unknown) => {
      lastError = error
      throw error
    })
  }
  return await pRetry(callUnlessStopping, {
    retries: PROVIDER_TRIES - 1,
    ...toDelays(options.pace),
    shouldRetry: ({ error }) => isWorthRepeating(error) && !options.stopping.aborted,
    async onFailedAttempt({ error, retriesLeft }) {
      if (retriesLeft === 0 || !isWorthRepeating(error)) return
      await sleep((error.retryAfterSeconds ?? 0) * 1000, undefined, { signal: options.stopping }).catch(() => undefined)
    },
  })
}

/** Whether the provider surely took nothing, and may take it when it is asked again. */
export function isWorthRepeating(error: unknown): error is ProviderError {
  return error instanceof ProviderError && error.isRetryable && error.charged === 'no' && (error.retryAfterSeconds ?? 0) <= MAX_RETRY_AFTER_SECONDS
}

/** Tries a step of ours three times while its failure may pass. Such a step must be safe to repeat. */
export async function tryStep<T>(step: () => Promise<T>, options: { stopping: AbortSignal; pace: Pace }): Promise<T> {
  return await pRetry(counted(step, 'step', options.pace), { retries: STORE_TRIES - 1, ...toDelays(options.pace), shouldRetry: ({ error }) => isPassing(error) && !options.stopping.aborted })
}

/**
 * Repeats a write until the database takes it, whatever it says: what it records was paid for. Goes on while the process
 * is stopping, for as long as that is let live. Ends with the last error at `until`.
 */
export async function untilWritten<T>(write: () => Promise<T>, options: { until: Date; pace: Pace; onFailure: (error: unknown) => void }): Promise<T> {
  return await pRetry(counted(write, 'write', options.pace), {
    retries: Number.POSITIVE_INFINITY,
    ...toDelays(options.pace),
    maxRetryTime: Math.max(0, options.until.getTime() - Date.now()),
    onFailedAttempt: ({ error }) => options.onFailure(error),
  })
}

/** Tells of every time but the first. */
function counted<T>(task: () => Promise<T>, what: 'step' | 'write', { onRetry }: Pace): () => Promise<T> {
  let isFirst = true
  return () => {
    if (!isFirst) onRetry?.(what)
    isFirst = false
    return task()
  }
}

const toDelays = ({ minTimeoutMs, maxTimeoutMs }: Pace) => ({ minTimeout: minTimeoutMs, maxTimeout: maxTimeoutMs, randomize: true })
