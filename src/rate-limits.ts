/**
 * Requests counted in fixed windows: by all processes together in Redis where there is one, and by each for itself while
 * there is none. (koa-ratelimit would fail every request with Redis, keeps every caller in memory for ever, and knows only
 * its own headers.)
 */
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes, type RateLimiterAbstract } from 'rate-limiter-flexible'
import type { Redis } from 'ioredis'

/** `model` and the kinds are counted for each user. */
export type LimitName = 'ip' | 'user' | 'images' | 'videos' | 'model'

export interface RateLimitsOptions {
  windowSeconds: number
  /** Requests in a window; 0 for no limit. */
  limits: Readonly<Record<LimitName, number>>
  redis: Redis | undefined
}

export interface Verdict {
  name: LimitName
  isAllowed: boolean
  limit: number
  remaining: number
  /** Until the window is over. */
  resetSeconds: number
  windowSeconds: number
}

export interface RateLimits {
  /** Counts one request. @returns undefined where there is no such limit. Never fails. */
  take(name: LimitName, key: string): Promise<Verdict | undefined>
}

export function createRateLimits({ windowSeconds, limits, redis }: RateLimitsOptions): RateLimits {
  const limiters = new Map<LimitName, RateLimiterAbstract>()
  for (const [name, points] of Object.entries(limits) as [LimitName, number][]) {
    if (points > 0) limiters.set(name, createLimiter({ points, duration: windowSeconds, keyPrefix: `darkroom:rate:${name}` }, redis))
  }
  return {
    async take(name, key) {
      const limiter = limiters.get(name)
      if (!limiter) return undefined
      const { result, isAllowed } = await consume(limiter, key)
      return { name, isAllowed, limit: limits[name], remaining: result.remainingPoints, resetSeconds: Math.max(1, Math.ceil(result.msBeforeNext / 1000)), windowSeconds }
    },
  }
}

function createLimiter(options: { points: number; duration: number; keyPrefix: string }, redis: Redis | undefined): RateLimiterAbstract {
  const memory = new RateLimiterMemory(options)
  if (!redis) return memory
  // Whoever is over the limit is not looked up again before the window ends.
  return new RateLimiterRedis({ ...options, storeClient: redis, insuranceLimiter: memory, rejectIfRedisNotReady: true, inMemoryBlockOnConsumed: options.points + 1 })
}

async function consume(limiter: RateLimiterAbstract, key: string): Promise<{ result: RateLimiterRes; isAllowed: boolean }> {
  try {
    return { result: await limiter.consume(key), isAllowed: true }
  } catch (refusal) {
    if (refusal instanceof RateLimiterRes) return { result: refusal, isAllowed: false }
    throw refusal
  }
}
