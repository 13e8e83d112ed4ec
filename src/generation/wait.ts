/** Follows generations, in whichever process they run: rows are the truth, notifications only say when to look. */
import { AppError } from '../errors.ts'
import type { Generation, Records } from './records.ts'

export interface GenerationWaiter {
  /**
   * @returns the generation once it has ended, or once its owner should be told that storing it is delayed; undefined
   *   when `signal` ends the wait.
   * @throws {AppError} `database_unavailable` when the row cannot be read for too long, `shutting_down` when the
   *   process must go, `not_found` when it was deleted.
   */
  wait(generationId: string, userId: string, signal: AbortSignal): Promise<Generation | undefined>
  /** The generation now, and again whenever it may have changed. Ends and throws as `wait` does. */
  follow(generationId: string, userId: string, signal: AbortSignal): AsyncGenerator<Generation, void>
  /** Ends every wait with `shutting_down`. */
  stop(): void
}

export interface WaiterOptions {
  records: Records
  /** Subscribes to the ids of generations that changed; `''` stands for any. */
  onChange: (handler: (generationId: string) => void) => void
  /** How long the database may be away before waiting callers are told. */
  patienceMs: number
  /** A look at the row now and then, should a notification get lost. */
  pollMs?: number
}

const DEFAULT_POLL_MS = 2000

export function createGenerationWaiter({ records, onChange, patienceMs, pollMs = DEFAULT_POLL_MS }: WaiterOptions): GenerationWaiter {
  const waiting = new Map<string, Set<() => void>>()
  const stopping = new AbortController()

  onChange((generationId) => {
    const wakeUps = generationId === '' ? [...waiting.values()].flatMap((set) => [...set]) : [...(waiting.get(generationId) ?? [])]
    for (const wakeUp of wakeUps) wakeUp()
  })

  /** @returns undefined while the database is away, but not yet for too long. */
  async function read(generationId: string, userId: string, patience: { until?: number }): Promise<Generation | undefined> {
    try {
      const generation = await records.find(generationId, userId)
      delete patience.until
      if (generation) return generation
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'database_unavailable') throw error
      patience.until ??= Date.now() + patienceMs
      if (Date.now() < patience.until) return undefined
      throw new AppError('database_unavailable', 'The database cannot be reached. What was asked for is still being worked on: look for it again in a moment.', { cause: error, generationId, retryAfterSeconds: 10 })
    }
    throw new AppError('not_found', 'This generation was deleted.', { generationId })
  }

  async function* follow(generationId: string, userId: string, signal: AbortSignal): AsyncGenerator<Generation, void> {
    const bell = createBell(pollMs)
    const unsubscribe = subscribe(waiting, generationId, bell.ring)
    const ended = AbortSignal.any([signal, stopping.signal])
    ended.addEventListener('abort', bell.ring)
    const patience = {}
    try {
      while (!signal.aborted) {
        bell.reset()
        // What ended in the last moment is still told: the row is read once more after the stop.
        const isLast = stopping.signal.aborted
        const generation = await read(generationId, userId, patience)
        if (generation) yield generation
        if (isLast) throw new AppError('shutting_down', 'The service is restarting. What was asked for goes on: look for it again in a moment.', { generationId, retryAfterSeconds: 5 })
        if (!signal.aborted) await bell.heard()
      }
    } finally {
      ended.removeEventListener('abort', bell.ring)
      unsubscribe()
    }
  }

  return {
    follow,
    async wait(generationId, userId, signal) {
      for await (const generation of follow(generationId, userId, signal)) if (isSettled(generation)) return generation
      return undefined
    },
    stop: () => stopping.abort(),
  }
}

const isSettled = ({ status, error }: Generation): boolean => ['succeeded', 'failed', 'cancelled'].includes(status) || (status === 'storing' && error !== null)

function subscribe(waiting: Map<string, Set<() => void>>, generationId: string, wakeUp: () => void): () => void {
  const set = waiting.get(generationId) ?? new Set()
  waiting.set(generationId, set.add(wakeUp))
  return () => {
    set.delete(wakeUp)
    if (set.size === 0) waiting.delete(generationId)
  }
}

/** Rung while somebody looks at the row, it is heard at the next wait: no change gets lost in between. */
function createBell(timeoutMs: number) {
  let rung = false
  let wakeUp: () => void = () => undefined
  return {
    ring(): void {
      rung = true
      wakeUp()
    },
    reset(): void {
      rung = false
    },
    async heard(): Promise<void> {
      if (rung) return
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs)
        wakeUp = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    },
  }
}
