/** The nonces of signed requests: each is good once, for as long as its request's timestamp is. */
import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'
import { AppError } from '../errors.ts'

/** Who signed: a nonce is distinct for each key, and room is counted for each user. */
export interface Signer {
  userId: string
  keyId: string
}

export interface NonceStore {
  /**
   * Remembers a key's nonce for `ttlMs`, at once: of many equal calls one is first.
   * @returns false when it is known already.
   * @throws {AppError} when it cannot be remembered: its request must be refused then.
   */
  remember(signer: Signer, nonce: string, ttlMs: number): Promise<boolean>
}

export interface MemoryNonceOptions {
  /** Nonces kept of one user, so that nobody fills the store for all: not by several keys either. */
  perUser: number
  total: number
  /** In milliseconds, and never backwards. */
  now?: () => number
}

const SLOT_MS = 1000

/**
 * Nonces of this process alone. When it is full it refuses: to forget one early would let its request in a second time.
 */
export function createMemoryNonces({ perUser, total, now = () => performance.now() }: MemoryNonceOptions): NonceStore {
  /** By user, each nonce with its key. */
  const seen = new Map<string, Set<string>>()
  /** What ends in each second, so that forgetting costs no search. */
  const slots = new Map<number, [userId: string, keyAndNonce: string][]>()
  let count = 0
  let sweptTo = Math.floor(now() / SLOT_MS)

  function forgetEnded(): void {
    for (const present = Math.floor(now() / SLOT_MS); sweptTo < present; sweptTo++) {
      for (const [userId, keyAndNonce] of slots.get(sweptTo) ?? []) forget(userId, keyAndNonce)
      slots.delete(sweptTo)
    }
  }

  function forget(userId: string, keyAndNonce: string): void {
    const nonces = seen.get(userId)!
    nonces.delete(keyAndNonce)
    if (nonces.size === 0) seen.delete(userId)
    count--
  }

  function full(): AppError {
    const firstEnd = Math.min(...slots.keys()) + 1
    return new AppError('rate_limited', 'Too many signed requests were made lately: no more of them can be told from replays. Try again later.', { retryAfterSeconds: Math.max(1, firstEnd - sweptTo) })
  }

  return {
    async remember({ userId, keyId }, nonce, ttlMs) {
      forgetEnded()
      const nonces = seen.get(userId) ?? new Set()
      const keyAndNonce = `${keyId} ${nonce}`
      if (nonces.has(keyAndNonce)) return false
      if (nonces.size >= perUser || count >= total) throw full()
      // Never before its end: the slot is swept once the second after it has begun.
      const slot = Math.ceil((now() + ttlMs) / SLOT_MS)
      const ending = slots.get(slot) ?? []
      slots.set(slot, ending)
      ending.push([userId, keyAndNonce])
      seen.set(userId, nonces.add(keyAndNonce))
      count++
      return true
    },
  }
}

const PREFIX = 'darkroom:nonce'

/**
 * Nonces of all processes, as long as Redis is there: what one has seen the others refuse. Each remembers its own too, so
 * that no process takes the same request twice whatever becomes of Redis.
 */
export function createSharedNonces(redis: Redis, own: NonceStore): NonceStore {
  return {
    async remember(signer, nonce, ttlMs) {
      if (!(await own.remember(signer, nonce, ttlMs))) return false
      // It fails at once, or within its time limit, while Redis is away: requests go on meanwhile.
      const key = `${PREFIX}:${createHash('sha256').update(`${signer.keyId} ${nonce}`).digest('base64url')}`
      const isNew = await redis.set(key, '1', 'PX', Math.ceil(ttlMs), 'NX').then((answer) => answer === 'OK', () => true)
      return isNew
    },
  }
}
