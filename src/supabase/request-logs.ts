/** The audit log's rows. */
import { isIP } from 'node:net'
import { AppError } from '../errors.ts'
import type { AuditRow, AuditStore } from '../audit/audit-row.ts'
import { toJson, type Database } from './database.ts'

/** A log that somebody has locked is not waited for: the connection belongs to requests. */
const LOCK_TIMEOUT = `set local lock_timeout = '2s'`

/** How much later than in truth a call may seem to have arrived: its age is told, and takes its way to the database. */
const CLOCK_MARGIN = `interval '5 seconds'`

/**
 * What an erasure was about gets no row, and a payload none without its user's account. What a generation tells is read
 * from its row, so that no request carries it here.
 */
const INSERT = `
  with given as (
    select row.*, statement_timestamp() - age_ms * interval '1 millisecond' as created_at
    from jsonb_to_recordset($1) as row (id uuid, age_ms double precision, level varchar, event varchar, reason text, omitted integer, request_id text,
      user_id uuid, auth_method varchar, api_key_id varchar, ip inet, method varchar, route varchar, status integer, error_code varchar, latency_ms real,
      request_bytes bigint, response_bytes bigint, generation_id uuid)
  ), kept as (
    select given.* from given
    where not exists (select from darkroom.erasures erasure where erasure.user_id = given.user_id and given.created_at <= erasure.erased_at + ${CLOCK_MARGIN})
  ), logged as (
    insert into darkroom.request_logs (id, created_at, level, event, reason, omitted, request_id, user_id, auth_method, api_key_id, ip, method, route, status,
      error_code, latency_ms, request_bytes, response_bytes, generation_id, model, kind, cost_micros)
    select kept.id, kept.created_at, level, event, reason, omitted, request_id, coalesce(kept.user_id, generation.user_id), auth_method, api_key_id, ip, method,
      route, kept.status, error_code, latency_ms, request_bytes, response_bytes, kept.generation_id, generation.model, generation.kind, generation.cost_micros
    from kept left join public.generations generation on generation.id = kept.generation_id
    on conflict (id) do nothing returning id, user_id
  )
  insert into darkroom.request_payloads (log_id, user_id, key_id, data_key, payload)
  select logged.id, logged.user_id, sealed.key_id, sealed.data_key, sealed.payload
  from logged
  join unnest($2::uuid[], $3::varchar[], $4::bytea[], $5::bytea[]) as sealed (log_id, key_id, data_key, payload) on sealed.log_id = logged.id
  join auth.users account on account.id = logged.user_id`

export function createRequestLogs(database: Database): AuditStore {
  async function insert(rows: AuditRow[]): Promise<void> {
    const sealed = rows.flatMap((row) => (row.sealed ? [{ id: row.id, ...row.sealed }] : []))
    await database.transaction(async (tx) => {
      await tx(LOCK_TIMEOUT)
      // One moment for all, so that they stay in order, and the database's own clock: processes' clocks differ.
      const now = performance.now()
      await tx(INSERT, [toJson(rows.map((row) => ({ ...toColumns(row), age_ms: now - row.startedAt }))), sealed.map(({ id }) => id), sealed.map(({ keyId }) => keyId), sealed.map(({ dataKey }) => dataKey), sealed.map(({ payload }) => payload)])
    })
  }

  /** One row that the database does not take must not cost the others theirs. */
  async function insertWhatFits(rows: AuditRow[], isAgain = false): ReturnType<AuditStore['insert']> {
    try {
      await insert(rows)
      return { written: rows.length }
    } catch (error) {
      if (mayPass(error)) throw error
      // An account that ended in this moment is found to be gone by the next try.
      if (!isAgain && codeOf(error) === FOREIGN_KEY_VIOLATION) return await insertWhatFits(rows, true)
      if (rows.length === 1 || !isAboutData(error)) return { written: 0, refusal: error }
      const middle = Math.ceil(rows.length / 2)
      const [first, second] = [await insertWhatFits(rows.slice(0, middle)), await insertWhatFits(rows.slice(middle))]
      return { written: first.written + second.written, refusal: first.refusal ?? second.refusal }
    }
  }
  return { insert: (rows) => insertWhatFits(rows) }
}

const FOREIGN_KEY_VIOLATION = '23503'

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '')
const mayPass = (error: unknown): boolean => error instanceof AppError && error.code === 'database_unavailable'
/** Classes 22 and 23: a value that is not taken. */
const isAboutData = (error: unknown): boolean => /^2[23]/.test(codeOf(error))

function toColumns(row: AuditRow) {
  return {
    id: row.id,
    level: row.level,
    event: row.event,
    reason: row.reason,
    omitted: row.omitted,
    request_id: row.requestId,
    user_id: row.userId,
    auth_method: row.authMethod,
    api_key_id: row.apiKeyId,
    ip: toInet(row.ip),
    method: row.method,
    route: row.route,
    status: row.status,
    error_code: row.errorCode,
    latency_ms: row.latencyMs,
    request_bytes: row.requestBytes,
    response_bytes: row.responseBytes,
    generation_id: row.generationId,
  }
}

/** A proxy's header may hold anything. Postgres knows no zones, and an address is one however it is written. */
function toInet(ip: string | undefined): string | null {
  const address = (ip ?? '').replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '')
  return isIP(address) === 0 ? null : address
}
