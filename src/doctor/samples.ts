/**
 * Rows of the two users to try to read: one in each public table of ours, made through the service's own connection. What
 * a table wants is read from its columns, so that a new table needs nothing here. They end with their user.
 */
import { randomUUID } from 'node:crypto'
import type { Connection } from './connection.ts'
import { need, type Context } from './context.ts'
import type { Row, Samples, SampleTable } from './found.ts'
import { MARK } from './people.ts'
import type { Notebook } from './report.ts'

interface ColumnRow {
  table: string
  name: string
  type: string
  required: boolean
  filled: boolean
  /** Whether it is the primary key, all of it. */
  key: boolean
  /** The table that it refers to, and the constraint by which it does. */
  target: string | null
  by: string | null
  /** The conditions on it, as Postgres writes them. */
  checks: string[]
}

const SELECT_COLUMNS = `
  select relname as table, attname as name, format_type(atttypid, null) as type, attnotnull as required, atthasdef or attidentity <> '' as filled,
    exists (select from pg_index where indrelid = attrelid and indisprimary and indnkeyatts = 1 and indkey[0] = attnum) as key,
    case confrelid when to_regclass('auth.users') then 'auth.users' else (select relname from pg_class where oid = confrelid) end as target, conname as by,
    array(select pg_get_constraintdef(oid) from pg_constraint where conrelid = attrelid and contype = 'c' and conkey = array[attnum]) as checks
  from pg_attribute join pg_class on pg_class.oid = attrelid
    left join pg_constraint on conrelid = attrelid and contype = 'f' and conkey = array[attnum]
  where attrelid = any($1::regclass[]) and attnum > 0 and not attisdropped and attgenerated = '' order by array_position($1::regclass[], attrelid), attnum`

/** @returns the tables that have an owner, in the order in which their rows can be made. */
export async function insertSamples(context: Context, personIds: readonly string[], note: Notebook): Promise<Samples> {
  const connection = need(context, 'connection')
  const names = [...need(context, 'parts').tables.keys()].filter((name) => name.startsWith('public.') && need(context, 'tables').has(name))
  const columns = Map.groupBy(await connection.query<ColumnRow & Row>(SELECT_COLUMNS, [names]), ({ table }) => table)
  const tables: SampleTable[] = []
  const rows = new Map(personIds.map((id) => [id, new Map<string, Row>()]))
  for (const [name, ofTable] of columns) {
    const [owner, key] = [ofTable.find(({ target }) => target === 'auth.users')?.name, ofTable.find((column) => column.key)?.name]
    if (owner === undefined || key === undefined) {
      note.cannotTell(`who may see what of public.${name}: its rows belong to no user, or have no key of one column`)
      continue
    }
    try {
      for (const id of personIds) rows.get(id)!.set(name, await insertSample(connection, name, ofTable, { id, rows: rows.get(id)!, tables, bucket: need(context, 'config').media.bucket }))
      tables.push({ name, key, owner, parents: ofTable.flatMap(({ target, by }) => (target === null || by === null || !columns.has(target) ? [] : [{ table: target, by }])) })
    } catch (error) {
      note.problem({ code: 'rows.no-sample', subject: `public.${name}`, what: `A row of public.${name} cannot be made: ${error instanceof Error ? error.message : String(error)}.`, mend: 'See the check of the schema. A constraint or a trigger of your own may be in the way.' })
    }
  }
  return { tables, of: (personId) => rows.get(personId) ?? new Map<string, Row>() }
}

interface SampleOwner {
  id: string
  rows: Map<string, Row>
  /** Those that have one. */
  tables: readonly SampleTable[]
  bucket: string
}

async function insertSample({ query }: Connection, table: string, columns: readonly ColumnRow[], owner: SampleOwner): Promise<Row> {
  const given = columns.filter(({ name, required, filled, checks }) => (required && !filled) || isState(name, checks))
  const values = given.map((column) => valueOf(column, owner))
  const [row] = await query<{ row: Row }>(
    `insert into public.${table} (${given.map(({ name }) => `"${name}"`).join(', ')}) values (${given.map((_, index) => `$${index + 1}`).join(', ')}) returning to_jsonb(${table}) as row`,
    values,
  )
  return row!.row
}

/** No worker takes up what has succeeded. */
const DONE = 'succeeded'
const isState = (name: string, checks: readonly string[]): boolean => name === 'status' && checks.some((check) => check.includes(`'${DONE}'`))

function valueOf({ name, type, target, checks }: ColumnRow, owner: SampleOwner): unknown {
  if (target === 'auth.users') return owner.id
  if (target !== null) return owner.rows.get(target)?.[owner.tables.find((table) => table.name === target)?.key ?? 'id']
  if (isState(name, checks)) return DONE
  if (name === 'bucket') return owner.bucket
  // Under the user's own folder, so that what triggers note of it is found by it.
  if (name.endsWith('_path')) return `${owner.id}/${MARK}/${name}.png`
  const allowed = checks.map((check) => /'([^']*)'/.exec(check)?.[1]).find((word) => word !== undefined)
  return allowed ?? VALUES[type] ?? (type === 'uuid' ? randomUUID() : MARK)
}

const VALUES: Record<string, unknown> = {
  integer: 1,
  bigint: 1,
  smallint: 1,
  real: 1,
  numeric: 1,
  'double precision': 1,
  boolean: false,
  jsonb: '{}',
  json: '{}',
  bytea: Buffer.alloc(1),
  date: '2026-01-01',
  'timestamp with time zone': new Date(0),
}
