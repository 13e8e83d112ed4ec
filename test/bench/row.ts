/** What a row of the bench is, and what it brings back. */

/** Repeated measurements of one thing. */
export interface Spread {
  min: number
  median: number
  max: number
}

/** A line of the table. */
export interface Figure {
  what: string
  unit: string
  ours?: Spread
  peer?: Spread
  /** Ours divided by the peer's, of each pair of measurements that were taken one after the other. */
  ratio?: Spread
  target?: Target
}

/** What the median should be. It is told, never asserted: a slow machine is no bug. */
export type Target = { of: 'ours' | 'ratio' } & ({ atMost: number } | { atLeast: number })

export interface RowResult {
  figures: Figure[]
  /** How it was measured, and what makes the comparison kinder to one side. */
  notes: string[]
  /** Something broke: a wrong answer, a missing row. */
  failures: string[]
}

/** What a row is given. */
export interface Bench {
  /** Runs once the row is over, however it ended; the last one first. */
  defer(cleanUp: () => Promise<void>): void
  progress(text: string): void
}

export interface Row {
  name: string
  title: string
  run(bench: Bench): Promise<RowResult>
}
