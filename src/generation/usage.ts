/** What a user may use: bytes in storage, money in a month, generations at once. Counted by the rows, refused before anything is paid. */
import { AppError } from '../errors.ts'
import type { InputFile } from './provider.ts'
import type { Plan } from './records.ts'

/** The service's own, for users who have none. */
export interface UsageLimits {
  quotaBytes: number
  /** For a calendar month (UTC), in millionths of a US dollar; null where there is none. */
  budgetMicros: number | null
  /** Generations that one user may have queued, running or storing. */
  maxOpen: number
}

export interface Usage {
  bytes: number
  /** Set aside for generations that have not ended. */
  reservedBytes: number
  quotaBytes: number
  /** Such as `2026-11`. */
  month: string
  costMicros: number
  reservedMicros: number
  budgetMicros: number | null
  open: number
  maxOpen: number
}

/** What a generation is refused for. */
export type Exceeded = 'open' | 'storage' | 'budget' | 'price'

/** As many bytes as a picture's pixels have: no encoder needs more, but for a few of its own. */
const BYTES_PER_PIXEL = 4
const PICTURE_OVERHEAD = 65_536
const MIB = 1024 * 1024
/** Twice what good encoders need for a second. */
const VIDEO_BYTES_PER_SECOND: Readonly<Record<string, number>> = { '360p': MIB, '480p': MIB, '576p': MIB, '720p': 2 * MIB, '1080p': 4 * MIB, '4k': 16 * MIB }
const OTHER_BYTES_PER_SECOND = 4 * MIB

/** What is set aside for a plan and the files it works on, which are kept until it is done; the fallback that takes most decides. */
export function reservationOf(plan: Plan, inputs: Readonly<Record<string, InputFile>> = {}): { bytes: number; costMicros: number | null } {
  const plans: Plan[] = [plan, ...plan.fallbacks]
  // Of what may follow, an unknown price is nothing to refuse the first for.
  const costs = plans.map(({ estimatedCostMicros }) => estimatedCostMicros ?? 0)
  const inputBytes = Object.values(inputs).reduce((sum, { bytes }) => sum + bytes.length, 0)
  return { bytes: inputBytes + Math.max(...plans.map(toBytes)), costMicros: plan.estimatedCostMicros === null ? null : Math.max(...costs) }
}

function toBytes(plan: Plan): number {
  if (plan.kind === 'video') return plan.duration * (VIDEO_BYTES_PER_SECOND[plan.resolution.toLowerCase()] ?? OTHER_BYTES_PER_SECOND)
  return plan.n * (plan.requestSize.width * plan.requestSize.height * BYTES_PER_PIXEL + PICTURE_OVERHEAD)
}

/** When whoever has many generations open may try again. */
const OPEN_PAUSE_SECONDS = 30

export function toLimitError(exceeded: Exceeded, { maxOpen }: UsageLimits, now = new Date()): AppError {
  switch (exceeded) {
    case 'open':
      return new AppError('too_many_open', `You have ${maxOpen} generations open already. Wait for one to end, or cancel one.`, { retryAfterSeconds: OPEN_PAUSE_SECONDS })
    case 'storage':
      return new AppError('quota_reached', 'There is no room left in your storage for what this may make. Delete something first. GET /api/usage tells what is used.')
    case 'price':
      return new AppError('budget_reached', 'Nobody can say beforehand what this model costs, and you have a budget. Choose a model with a price: GET /api/models lists them.', { details: [{ path: 'model', message: 'has no known price' }] })
    case 'budget':
      return new AppError('budget_reached', 'This would cost more than what is left of your budget for this month. GET /api/usage tells what is spent.', { retryAfterSeconds: secondsToNextMonth(now) })
  }
}

const secondsToNextMonth = (now: Date): number => Math.ceil((Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1) - now.getTime()) / 1000)
