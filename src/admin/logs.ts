/** Prints the audit log, a line of JSON for each row, oldest first. */
import { createEnvelope, UnknownKeyError, type Envelope } from '../audit/envelope.ts'
import type { Database } from '../supabase/database.ts'
import { parseUserId, parseWholeNumber, UsageError, type AdminCommand } from './command.ts'

const PAGE = 500

export const logs: AdminCommand = {
  usage: `[--user <id>] [--since <when>] [--level info|security] [--limit <rows>] [--decrypt]

  --user     of one user alone
  --since    a time (2026-11-22T10:00:00Z) or how long ago (30m, 24h, 7d); 24h where absent
  --level    security: refusals and events alone
  --limit    no more rows than this
  --decrypt  with what was sent, which needs STORAGE_MASTER_KEY`,
  options: { user: { type: 'string' }, since: { type: 'string' }, level: { type: 'string' }, limit: { type: 'string' }, decrypt: { type: 'boolean' } },
  arguments: [],
  async run({ values, config, database, print }) {
    const filter: Filter = {
      userId: values.user === undefined ? null : parseUserId(values.user),
      since: parseSince(values.since ?? '24h'),
      level: parseLevel(values.level),
      limit: values.limit === undefined ? Infinity : parseWholeNumber('limit', values.limit, 1),
    }
    const [current, ...older] = config.masterKeys
    if (values.decrypt && !current) throw new UsageError('--decrypt needs STORAGE_MASTER_KEY.')
    const envelope = values.decrypt && current ? createEnvelope([current, ...older]) : undefined
    for await (const row of readRows(database, filter)) await print(toLine(row, envelope))
  },
}

interface Filter {
  userId: string | null
  since: Date
  level: string | null
  limit: number
}

interface LogRow extends Record<string, unknown> {
  id: string
  /** As text, since a Date has no microseconds. */
  position: string
  key_id: string | null
  data_key: Buffer | null
  payload: Buffer | null
}

const SELECT = `
  select log.id, log.created_at, log.created_at::text as position, level, event, reason, omitted, request_id, log.user_id, auth_method, api_key_id, host(ip) as ip, method, route,
    log.status, error_code, latency_ms, request_bytes::float8, response_bytes::float8, generation_id, log.model, log.kind,
    coalesce(generation.cost_micros, log.cost_micros)::float8 as cost_micros, payload.key_id, payload.data_key, payload.payload
  from darkroom.request_logs log
  left join public.generations generation on generation.id = log.generation_id
  left join darkroom.request_payloads payload on payload.log_id = log.id
  where log.created_at >= $1 and ($2::uuid is null or log.user_id = $2) and ($3::text is null or level = $3)
    and ($4::timestamptz is null or (log.created_at, log.id) > ($4, $5::uuid))
  order by log.created_at, log.id limit $6`

async function* readRows(database: Database, { userId, since, level, limit }: Filter): AsyncGenerator<LogRow> {
  let last: LogRow | undefined
  for (let left = limit; left > 0; ) {
    const size = Math.min(PAGE, left)
    const rows: LogRow[] = await database.query<LogRow>(SELECT, [since, userId, level, last?.position ?? null, last?.id ?? null, size])
    yield* rows
    if (rows.length < size) return
    left -= rows.length
    last = rows.at(-1)
  }
}

function toLine({ position: _position, key_id: keyId, data_key: dataKey, payload, ...row }: LogRow, envelope: Envelope | undefined): object {
  const known = Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null))
  if (keyId === null || dataKey === null || payload === null) return known
  return { ...known, ...(envelope ? open(envelope, row.id, { keyId, dataKey, payload }) : { keyId }) }
}

function open(envelope: Envelope, id: string, sealed: { keyId: string; dataKey: Buffer; payload: Buffer }): object {
  try {
    return { payload: JSON.parse(envelope.open(id, sealed).toString()) as unknown }
  } catch (error) {
    return { payloadError: error instanceof UnknownKeyError ? error.message : `The master key ${sealed.keyId} does not open it.` }
  }
}

const UNITS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 }

function parseSince(text: unknown): Date {
  const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(text as string) ?? []
  // Date takes nearly anything for a time.
  const [time = ''] = /^\d{4}-\d\d-\d\d.*$/.exec(text as string) ?? []
  const since = new Date(count === undefined ? time : Date.now() - Number(count) * UNITS[unit!]!)
  if (Number.isNaN(since.getTime())) throw new UsageError('--since must be a time (2026-11-22T10:00:00Z) or how long ago (30m, 24h, 7d).')
  return since
}

function parseLevel(level: unknown): string | null {
  if (level === undefined) return null
  if (level !== 'info' && level !== 'security') throw new UsageError('--level must be info or security.')
  return level
}
