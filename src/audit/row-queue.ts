/** Rows of the audit log on their way to the database: bounded in memory, written many at once, tried again while it is away. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Logger } from '../log.ts'
import type { AuditRow, AuditStore } from './audit-row.ts'

export interface WaitingRow extends Omit<AuditRow, 'sealed'> {
  payload: Buffer | undefined
}

export interface RowQueueOptions {
  store: AuditStore
  logger: Logger
  /** Encrypts: done just before the row is written. */
  toRow: (row: WaitingRow) => AuditRow
  /** Rows that may wait. The last tenth is for security events. */
  queue: number
  /** Of payloads that wait. */
  queueBytes: number
  flushMs?: number | undefined
}

export interface RowQueue {
  /** @param make is called if there is room. Neither it nor anything else here throws. */
  add(level: AuditRow['level'], make: () => WaitingRow): void
  /** Counts a row that could not be made. */
  lose(reason: unknown): void
  counts(): RowCounts
  /** Writes what waits, for at most so long, and takes nothing more. */
  stop(timeoutMs: number): Promise<void>
}

export interface RowCounts {
  written: number
  /** Rows that nobody will see: the queue was full, or the database did not take them. */
  dropped: number
  /** Payloads that were left out of rows, because those waiting were too large together. */
  payloadsDropped: number
  queued: number
}

const FLUSH_MS = 250
const BATCH = 200
/** Rows that are encrypted, in a millisecond or two, before others get their turn. */
const ROWS_A_TURN = 20
/** Pauses while the database is away double up to this. */
const MAX_RETRY_MS = 30_000

export function createRowQueue({ store, logger, toRow, queue, queueBytes, flushMs = FLUSH_MS }: RowQueueOptions): RowQueue {
  const waiting: WaitingRow[] = []
  const counts = { written: 0, dropped: 0, payloadsDropped: 0 }
  const report = createReport(logger, () => ({ ...counts, queued: waiting.length }))
  let waitingBytes = 0
  let failures = 0
  let timer: NodeJS.Timeout | undefined
  let flushing: Promise<void> | undefined
  let isStopped = false

  function drop(count: number, reason?: unknown): void {
    counts.dropped += count
    report.losses(reason)
  }

  function push(row: WaitingRow): void {
    const size = row.payload?.length ?? 0
    const fits = waitingBytes + size <= queueBytes
    if (fits) waitingBytes += size
    else counts.payloadsDropped++
    waiting.push(fits ? row : { ...row, payload: undefined })
    schedule(flushMs)
  }

  function schedule(afterMs: number): void {
    if (isStopped || timer || flushing) return
    timer = setTimeout(() => {
      timer = undefined
      flushing = flush().finally(() => {
        flushing = undefined
        if (waiting.length > 0) schedule(Math.min(MAX_RETRY_MS, flushMs * 2 ** failures))
      })
    }, afterMs).unref()
  }

  /** Ends with the queue, or at the first failure that may pass. */
  async function flush(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, BATCH)
      try {
        const { written, refusal } = await store.insert(await toRows(batch))
        failures = 0
        waiting.splice(0, batch.length)
        for (const { payload } of batch) waitingBytes -= payload?.length ?? 0
        counts.written += written
        if (written < batch.length) drop(batch.length - written, refusal)
      } catch (error) {
        if (failures++ === 0) logger.warn({ err: error, queued: waiting.length }, 'the audit log cannot be written and is tried again')
        return
      }
    }
  }

  async function toRows(batch: WaitingRow[]): Promise<AuditRow[]> {
    const rows: AuditRow[] = []
    for (const row of batch) {
      rows.push(toRow(row))
      if (rows.length % ROWS_A_TURN === 0) await nextTurn()
    }
    return rows
  }

  return {
    add(level, make) {
      if (isStopped || waiting.length >= (level === 'security' ? queue : queue * 0.9)) return drop(1)
      try {
        push(make())
      } catch (error) {
        drop(1, error)
      }
    },
    lose: (reason) => drop(1, reason),
    counts: () => ({ ...counts, queued: waiting.length }),
    async stop(timeoutMs) {
      isStopped = true
      clearTimeout(timer)
      const late = new Promise<void>((resolve) => void setTimeout(resolve, timeoutMs).unref())
      await Promise.race([(flushing ?? Promise.resolve()).then(flush), late])
      counts.dropped += waiting.length
      waiting.length = 0
      report.last()
    },
  }
}

const REPORT_MS = 60_000

/** Tells of losses at once, and then no more than once a minute. */
function createReport(logger: Logger, counts: () => RowCounts) {
  let told = 0
  let nextAt = 0
  function tell(reason?: unknown): void {
    const now = counts()
    told = now.dropped
    logger.warn({ ...now, ...(reason !== undefined && { err: reason }) }, 'rows of the audit log were dropped')
  }
  return {
    losses(reason: unknown) {
      if (performance.now() < nextAt) return
      nextAt = performance.now() + REPORT_MS
      tell(reason)
    },
    last() {
      if (counts().dropped > told) tell()
    },
  }
}
