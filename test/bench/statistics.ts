import type { Spread } from './row.ts'

/** @param share 0.5 for the median, by the nearest rank. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}

export const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

export function spread(values: readonly number[]): Spread {
  return { min: Math.min(...values), median: percentile(values, 0.5), max: Math.max(...values) }
}

/** Of pairs that ran one after the other: what slows the machine for a while slows both halves of a pair. */
export function ratios(ours: readonly number[], peer: readonly number[]): Spread {
  return spread(ours.map((value, pair) => value / peer[pair]!))
}
