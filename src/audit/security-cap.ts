/** Keeps a flood from filling the log: so many rows of a kind in a minute, and a count of the rest. */

export interface SecurityCap<T> {
  /** Whether one more of its kind may have a row now; else it is counted. */
  take(kind: string, sample: T): boolean
  /** Ends the minute: every count that is not zero is told. */
  end(): void
}

export interface SecurityCapOptions<T> {
  /** Rows of each kind. */
  perMinute: number
  /** Called with one of those left out, and how many they were. */
  onOmitted: (sample: T, count: number) => void
  minuteMs?: number | undefined
}

const MINUTE_MS = 60_000

export function createSecurityCap<T>({ perMinute, onOmitted, minuteMs = MINUTE_MS }: SecurityCapOptions<T>): SecurityCap<T> {
  const kinds = new Map<string, { taken: number; omitted: number; sample: T }>()
  let timer: NodeJS.Timeout | undefined

  function end(): void {
    clearTimeout(timer)
    timer = undefined
    const over = [...kinds.values()]
    kinds.clear()
    for (const { omitted, sample } of over) if (omitted > 0) onOmitted(sample, omitted)
  }

  return {
    take(kind, sample) {
      timer ??= setTimeout(end, minuteMs).unref()
      const count = kinds.get(kind) ?? { taken: 0, omitted: 0, sample }
      kinds.set(kind, count)
      if (count.taken < perMinute) {
        count.taken++
        return true
      }
      count.omitted++
      count.sample = sample
      return false
    },
    end,
  }
}
