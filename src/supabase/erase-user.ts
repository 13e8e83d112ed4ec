/** Everything of a user out of the database, in steps that are short by themselves and safe to repeat. */
import type { Database } from './database.ts'

const BATCH = 500

/** What hangs on users in the schema that the frontend reads. All but the ledger goes with the prompts, and leaves its last entries there. */
const PUBLIC_TABLES = ['prompts', 'generations', 'images', 'videos', 'usage_ledger']

export interface Erased {
  /** How many rows there were, by table; those with none are left out. */
  rows: Record<string, number>
  /** Files that these rows stood for, which are now written down to be removed. */
  files: number
}

export async function eraseUser(database: Database, userId: string): Promise<Erased> {
  await forgetWhatWaits(database, userId)
  const [stored] = await database.query<{ files: number }>(
    `select coalesce(sum(1 + (thumbnail_path is not null)::integer), 0)::integer as files
     from (select thumbnail_path from public.images where user_id = $1 union all select thumbnail_path from public.videos where user_id = $1) as stored`,
    [userId],
  )
  const tables = [...PUBLIC_TABLES.map((name) => `public.${name}`), ...(await privateTables(database))]
  const rows: Record<string, number> = {}
  for (const table of tables) {
    const [found] = await database.query<{ count: number }>(`select count(*)::integer as count from ${table} where user_id = $1`, [userId])
    if (found!.count > 0) rows[table.slice(table.indexOf('.') + 1)] = found!.count
  }
  // Triggers write down the files of whatever goes.
  for (const table of ['public.prompts', 'public.usage_ledger', ...tables.filter((name) => name.startsWith('darkroom.'))]) await deleteAll(database, table, userId)
  return { rows, files: stored!.files }
}

/** Calls from before this moment, which processes may still hold, get no row: neither now nor by a write that is under way. */
async function forgetWhatWaits(database: Database, userId: string): Promise<void> {
  await database.query(
    `insert into darkroom.erasures (user_id, erased_at) values ($1, clock_timestamp()) on conflict (user_id) do update set erased_at = excluded.erased_at`,
    [userId],
  )
  // Whoever could not see that yet has written when the lock is given.
  await database.transaction((tx) => tx('lock table darkroom.request_logs in share mode'))
}

/** Every table of the service's own that knows users, whichever there are by now. */
async function privateTables(database: Database): Promise<string[]> {
  const rows = await database.query<{ name: string }>(
    `select format('%I.%I', namespace.nspname, class.relname) as name
     from pg_catalog.pg_class class
     join pg_catalog.pg_namespace namespace on namespace.oid = class.relnamespace
     join pg_catalog.pg_attribute attribute on attribute.attrelid = class.oid
     where namespace.nspname = 'darkroom' and class.relkind in ('r', 'p') and attribute.attname = 'user_id' and not attribute.attisdropped
       and class.relname <> 'erasures'
     order by class.relname`,
  )
  return rows.map(({ name }) => name)
}

async function deleteAll(database: Database, table: string, userId: string): Promise<void> {
  for (;;) {
    const gone = await database.query(`delete from ${table} where ctid = any(array(select ctid from ${table} where user_id = $1 limit ${BATCH})) returning 1`, [userId])
    if (gone.length === 0) return
  }
}

export interface FilesToRemove {
  /** Such as are due, or being removed by a worker in this moment. */
  now: number
  /** Folders that are looked at once more: a worker may still store something there. */
  later: number
}

/** A worker that takes some to remove puts them off by less than this. */
const SOON = `interval '10 minutes'`

export async function countFilesToRemove(database: Database, userId: string): Promise<FilesToRemove> {
  const [counts] = await database.query<{ now: number; later: number }>(
    `select count(*) filter (where not_before < now() + ${SOON})::integer as now, count(*) filter (where not_before >= now() + ${SOON})::integer as later
     from darkroom.file_deletions where starts_with(path, $1 || '/')`,
    [userId],
  )
  return counts!
}
