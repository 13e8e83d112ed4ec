/**
 * The audit log. Whoever writes to it never waits and never fails: what is told waits in memory, within bounds, until it is
 * encrypted and written together with others.
 */
import { randomUUID } from 'node:crypto'
import type { Logger } from '../log.ts'
import type { AuditEntry, AuditRow, AuditStore } from './audit-row.ts'
import { createEnvelope, type MasterKey } from './envelope.ts'
import { removeFromText } from './remove-secrets.ts'
import { createRowQueue, type RowCounts, type WaitingRow } from './row-queue.ts'
import { createSecurityCap } from './security-cap.ts'

export interface AuditStats extends RowCounts {
  /** Security events by their names, those that were left out too. */
  security: Readonly<Record<string, number>>
  /** Events and refusals without a row of their own, because there were too many in one minute. */
  omitted: number
}

export interface Audit {
  /** Whether there is a master key: nothing else is kept of bodies without one. */
  readonly keepsPayloads: boolean
  readonly maxPayloadBytes: number
  /** @param make is called at once; what it throws is counted and goes no further. */
  record(make: () => AuditEntry): void
  /** An event beside any call: a refused address, a forged signature, a replay. */
  security(event: string, about?: Omit<AuditEntry, 'event' | 'payload'>): void
  stats(): AuditStats
  /** Writes what waits, for at most so long. */
  stop(timeoutMs?: number): Promise<void>
}

export interface AuditOptions {
  store: AuditStore
  logger: Logger
  masterKeys: readonly MasterKey[]
  /** Of one payload. */
  maxPayloadBytes: number
  /** Rows that may wait. */
  queue: number
  /** Of payloads that wait. */
  queueBytes: number
  /** Security events, and refusals of strangers and of each user, that get a row of their own; of each kind. */
  securityPerMinute: number
  /** For tests. */
  flushMs?: number
  minuteMs?: number
}

const STOP_MS = 2000
const MAX_REASON = 300

export function createAudit(options: AuditOptions): Audit {
  const [current, ...older] = options.masterKeys
  const envelope = current && createEnvelope([current, ...older])
  const security: Record<string, number> = {}
  let omittedCount = 0
  const queue = createRowQueue({ ...options, toRow })
  const cap = createSecurityCap<AuditEntry>({ perMinute: options.securityPerMinute, minuteMs: options.minuteMs, onOmitted: tellOmitted })

  function add(entry: AuditEntry): void {
    const level = levelOf(entry)
    if (entry.event !== undefined) security[entry.event] = (security[entry.event] ?? 0) + 1
    const kind = kindOf(entry, level)
    if (kind !== undefined && !cap.take(kind, entry)) return void omittedCount++
    queue.add(level, () => toWaiting(entry))
  }

  /** One row for all that had none, with what they have in common. */
  function tellOmitted({ event, status, errorCode, userId }: AuditEntry, omitted: number): void {
    queue.add(levelOf({ event }), () => toWaiting({ event, status, errorCode, ...(status !== undefined && status < 500 && { userId }) }, omitted))
  }

  function toWaiting({ payload, ...entry }: AuditEntry, omitted?: number): WaitingRow {
    const isKept = envelope !== undefined && entry.userId !== undefined
    return { ...entry, id: randomUUID(), level: levelOf(entry), startedAt: entry.startedAt ?? performance.now(), omitted, payload: isKept ? payload?.() : undefined }
  }

  function toRow({ payload, ...row }: WaitingRow): AuditRow {
    return {
      ...row,
      // It is the caller's own, where it sent one.
      requestId: row.requestId && removeFromText(row.requestId),
      reason: row.reason && removeFromText(row.reason).slice(0, MAX_REASON),
      sealed: payload && envelope?.seal(row.id, payload),
    }
  }

  return {
    keepsPayloads: envelope !== undefined,
    maxPayloadBytes: options.maxPayloadBytes,
    record(make) {
      try {
        add(make())
      } catch (error) {
        queue.lose(error)
      }
    },
    security: (event, about) => add({ ...about, event }),
    stats: () => ({ ...queue.counts(), security: { ...security }, omitted: omittedCount }),
    async stop(timeoutMs = STOP_MS) {
      cap.end()
      await queue.stop(timeoutMs)
    },
  }
}

/** What is counted together where there is too much of it: what strangers are refused, and each user beyond a limit. */
function kindOf({ userId, status = 0, event, errorCode }: AuditEntry, level: AuditRow['level']): string | undefined {
  if (userId !== undefined && status >= 400 && status < 500) return `${userId} ${event} ${errorCode}`
  return level === 'security' || (userId === undefined && status >= 400) ? `${event} ${errorCode}` : undefined
}

const levelOf = ({ event }: AuditEntry): AuditRow['level'] => (event === undefined ? 'info' : 'security')
