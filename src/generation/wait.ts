/** Waits for generations to end, in whichever process they run: rows are the truth, notifications only say when to look. */
import { AppError } from '../errors.ts'
import type { Generation, Records } from './records.ts'

export interface GenerationWaiter {
  /**
   * @returns the generation once it has ended, or once its owner should be told that storing it is delayed.
   * @throws {AppError} `database_unavailable` when the row cannot be read for too long, `shutting_down` when the
   *   process must go, `not_found` when it was deleted. Undefined when `signal` ends the wait.
   */
  wait(generationId: string, userId: string, signal: AbortSignal): Promise<Generation | undefined>
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

  return {
    async wait(generationId, userId, signal) {
      let changed = false
      let wakeUp: () => void = () => undefined
      const notice = () => {
        changed = true
        wakeUp()
      }
      const stop = subscribe(waiting, generationId, notice)
      const ended = AbortSignal.any([signal, stopping.signal])
      ended.addEventListener('abort', notice)
      let unreadableSince: number | undefined
      try {
        while (!signal.aborted) {
          changed = false
          // What ended in the last moment is still answered: the row is read once more after the stop.
          const isLast = stopping.signal.aborted
          try {
            const generation = await records.find(generationId, userId)
            unreadableSince = undefined
            if (!generation) throw new AppError('not_found', 'This generation was deleted.', { generationId })
            if (isSettled(generation)) return generation
          } catch (error) {
            if (!(error instanceof AppError) || error.code !== 'database_unavailable') throw error
            unreadableSince ??= Date.now()
            if (Date.now() - unreadableSince >= patienceMs) {
              throw new AppError('database_unavailable', 'The database cannot be reached. What was asked for is still being worked on: look for it again in a moment.', { cause: error, generationId, retryAfterSeconds: 10 })
            }
          }
          if (isLast) throw new AppError('shutting_down', 'The service is restarting. What was asked for goes on: look for it again in a moment.', { generationId, retryAfterSeconds: 5 })
          if (!changed) await nextWake((resolve) => (wakeUp = resolve), pollMs)
        }
        return undefined
      } finally {
        ended.removeEventListener('abort', notice)
        stop()
      }
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

function nextWake(register: (resolve: () => void) => void, timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, timeoutMs)
    register(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
