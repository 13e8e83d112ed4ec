/** What follows from restored rows, made by hand since their triggers are silent: the ledger's entries, and its balances. */
import type pg from 'pg'
import type { Table } from './catalog.ts'
import { OUTCOME, staged } from './staging.ts'

/** To be called when all rows are there. A second time it changes nothing. */
export async function balance(client: pg.Client, tables: readonly Table[]): Promise<void> {
  const has = (name: string) => tables.some((table) => table.name === name)
  if (!has('public.usage_ledger')) return
  await settleClosed(client)
  await forgetFreed(client)
  await makeBalances(client)
}

/** What was closed on the way gives back what was set aside for it. */
async function settleClosed(client: pg.Client): Promise<void> {
  await client.query(
    `select darkroom.settle(generation) from public.generations generation join ${staged('public.generations')} child on child.id = generation.id
     where child.${OUTCOME} = 'inserted' and generation.status in ('succeeded', 'failed', 'cancelled')
       and exists (select from public.usage_ledger where generation_id = generation.id and entry = 'reserve')
       and not exists (select from public.usage_ledger where generation_id = generation.id and entry = 'release')`,
  )
}

/** A file that went after the backup was made is there again. */
async function forgetFreed(client: pg.Client): Promise<void> {
  const shown = ['public.images', 'public.videos'].map((name) => `select storage_path from ${staged(name)} where ${OUTCOME} = 'inserted'`)
  await client.query(`delete from public.usage_ledger where entry = 'free' and path in (${shown.join(' union ')})`)
}

async function makeBalances(client: pg.Client): Promise<void> {
  const users = `select user_id from ${staged('public.usage_ledger')} union select user_id from ${staged('darkroom.accounts')} union select user_id from ${staged('darkroom.spending')}`
  await client.query(`insert into darkroom.accounts (user_id) select distinct user_id from public.usage_ledger where user_id in (${users}) on conflict do nothing`)
  const sum = (what: string, entries: string) => `coalesce(sum(${what}) filter (where entry in (${entries})), 0)::bigint`
  await client.query(
    `update darkroom.accounts account set used_bytes = used, reserved_bytes = reserved, reserved_micros = micros
     from (
       select owner.user_id, ${sum('bytes', `'store', 'free'`)} as used, ${sum('bytes', `'reserve', 'release'`)} as reserved, ${sum('cost_micros', `'reserve', 'release'`)} as micros
       from (${users}) as owner left join public.usage_ledger ledger on ledger.user_id = owner.user_id group by owner.user_id
     ) as totals
     where account.user_id = totals.user_id and (used_bytes, reserved_bytes, reserved_micros) is distinct from (used, reserved, micros)`,
  )
  const spent = `
    select user_id, date_trunc('month', created_at at time zone 'utc')::date as month, sum(cost_micros)::bigint as micros
    from public.usage_ledger where entry = 'charge' and cost_micros > 0 and user_id in (${users}) group by 1, 2`
  await client.query(`delete from darkroom.spending spending where user_id in (${users}) and not exists (select from (${spent}) as spent where spent.user_id = spending.user_id and spent.month = spending.month)`)
  await client.query(
    `insert into darkroom.spending as spending (user_id, month, micros) ${spent}
     on conflict (user_id, month) do update set micros = excluded.micros where spending.micros <> excluded.micros`,
  )
}
