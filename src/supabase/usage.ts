/** A user's balances, as the ledger keeps them. */
import type { Usage, UsageLimits } from '../generation/usage.ts'
import type { Query } from './database.ts'

interface UsageRow {
  used_bytes: string
  reserved_bytes: string
  quota_bytes: string
  month: string
  micros: string
  reserved_micros: string
  budget_micros: string | null
  open: number
}

const SELECT_USAGE = `
  select coalesce(used_bytes, 0) as used_bytes, coalesce(reserved_bytes, 0) as reserved_bytes, coalesce(quota_bytes, $2) as quota_bytes,
    to_char(now() at time zone 'utc', 'YYYY-MM') as month, coalesce(micros, 0) as micros, coalesce(reserved_micros, 0) as reserved_micros,
    coalesce(budget_micros, $3) as budget_micros,
    (select count(*)::integer from public.generations where user_id = $1 and status in ('queued', 'running', 'storing')) as open
  from (select $1::uuid as user_id) as owner
  left join darkroom.accounts using (user_id)
  left join darkroom.spending on spending.user_id = owner.user_id and month = date_trunc('month', now() at time zone 'utc')`

/** @throws {AppError} `database_unavailable` */
export async function findUsage(query: Query, userId: string, { quotaBytes, budgetMicros, maxOpen }: UsageLimits): Promise<Usage> {
  const [row] = await query<UsageRow & Record<string, unknown>>(SELECT_USAGE, [userId, quotaBytes, budgetMicros])
  const { used_bytes, reserved_bytes, quota_bytes, month, micros, reserved_micros, budget_micros, open } = row!
  return {
    bytes: Number(used_bytes),
    reservedBytes: Number(reserved_bytes),
    quotaBytes: Number(quota_bytes),
    month,
    costMicros: Number(micros),
    reservedMicros: Number(reserved_micros),
    budgetMicros: budget_micros === null ? null : Number(budget_micros),
    open,
    maxOpen,
  }
}

/**
 * Sets a limit of one user's own; null for the service's default.
 * @returns false when there is no such user. @throws {AppError} `database_unavailable`
 */
export async function setLimit(query: Query, userId: string, name: 'quota_bytes' | 'budget_micros', value: number | null): Promise<boolean> {
  const rows = await query(
    `insert into darkroom.accounts (user_id, ${name}) select id, $2 from auth.users where id = $1
     on conflict (user_id) do update set ${name} = excluded.${name} returning 1`,
    [userId, value],
  )
  return rows.length > 0
}
