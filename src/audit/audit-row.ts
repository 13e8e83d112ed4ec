/** What the audit log is told of, and what becomes of it. */
import type { Sealed } from './envelope.ts'

/** A call, or what is known of one. Texts are ours, never a caller's, but for the request id. */
export interface AuditEntry {
  /** When it arrived, as `performance.now()` tells it. Now where absent. */
  startedAt?: number
  requestId?: string | undefined
  userId?: string | undefined
  /** How the caller proved who it is: `token`, … */
  authMethod?: string | undefined
  /** The API key behind the call. */
  apiKeyId?: string | undefined
  ip?: string | undefined
  method?: string | undefined
  /** The pattern. */
  route?: string | undefined
  status?: number | undefined
  errorCode?: string | undefined
  latencyMs?: number | undefined
  requestBytes?: number | undefined
  responseBytes?: number | undefined
  generationId?: string | undefined
  /** Makes it a security event. */
  event?: string | undefined
  reason?: string | undefined
  /** Makes JSON without secrets. Asked for, and kept, only for a user, and only where there is a master key. */
  payload?: (() => Buffer) | undefined
}

export interface AuditRow extends Omit<AuditEntry, 'payload'> {
  id: string
  level: 'info' | 'security'
  startedAt: number
  /** How many others this row stands for. */
  omitted: number | undefined
  sealed: Sealed | undefined
}

export interface AuditStore {
  /**
   * Writes rows; one that is there already is left as it is.
   * @returns how many could be written, and why the others never will be.
   * @throws when the same may work later.
   */
  insert(rows: AuditRow[]): Promise<{ written: number; refusal?: unknown }>
}
