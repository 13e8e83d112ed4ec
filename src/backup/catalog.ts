/** The service's tables as the database has them, held against the list of those that are known. */
import pg from 'pg'
import { KEPT_TABLES, LEFT_TABLES, type KeptTable } from './tables.ts'

export interface Table extends KeptTable {
  /** All that can be written, in the table's order. */
  columns: string[]
  /** Columns whose values a sequence gives. */
  sequences: string[]
  /** The columns of the primary key. */
  key: string[]
  references: Reference[]
  triggers: Trigger[]
}

export interface Reference {
  columns: string[]
  parent: string
  parentColumns: string[]
  /** Whether a row stays, without it, when its parent goes. */
  isOptional: boolean
}

export interface Trigger {
  name: string
  /** As Postgres has it: O for those that fire, A for those that always do. */
  mode: 'O' | 'A'
}

/** The users belong to Supabase Auth: they are in no backup of ours. */
export const USERS_TABLE = 'auth.users'

/** Those of the private schema, and those of the public one that call into it. */
const FIND_TABLES = `
  select format('%s.%s', schema.nspname, class.relname) as name
  from pg_class class join pg_namespace schema on schema.oid = class.relnamespace
  where class.relkind in ('r', 'p') and not class.relispartition and (schema.nspname = 'darkroom' or schema.nspname = 'public' and exists (
    select from pg_trigger trigger join pg_proc on pg_proc.oid = trigger.tgfoid
    where trigger.tgrelid = class.oid and not trigger.tgisinternal and pg_proc.pronamespace = to_regnamespace('darkroom')))
  order by 1`

const DESCRIBE_TABLE = `
  select
    array(select attname::text from pg_attribute where attrelid = class.oid and attnum > 0 and not attisdropped and attgenerated = '' order by attnum) as columns,
    array(select attname::text from pg_attribute where attrelid = class.oid and attnum > 0 and not attisdropped
      and pg_get_serial_sequence($1, attname::text) is not null order by attnum) as sequences,
    array(select attname::text from pg_index, unnest(indkey) with ordinality as part (number, place) join pg_attribute on attnum = number
      where indrelid = class.oid and indisprimary and attrelid = class.oid order by place) as key,
    array(select jsonb_build_object(
        'columns', (select jsonb_agg(attname order by place) from unnest(conkey) with ordinality as part (number, place) join pg_attribute on attnum = number and attrelid = conrelid),
        'parent', (select format('%s.%s', nspname, relname) from pg_class parent join pg_namespace on pg_namespace.oid = relnamespace where parent.oid = confrelid),
        'parentColumns', (select jsonb_agg(attname order by place) from unnest(confkey) with ordinality as part (number, place) join pg_attribute on attnum = number and attrelid = confrelid),
        'isOptional', confdeltype = 'n')
      from pg_constraint where conrelid = class.oid and contype = 'f' order by conname) as references,
    array(select jsonb_build_object('name', tgname, 'mode', tgenabled) from pg_trigger where tgrelid = class.oid and not tgisinternal and tgenabled in ('O', 'A') order by tgname) as triggers
  from pg_class class where class.oid = to_regclass($1)`

/**
 * @returns the kept tables, those first that others refer to.
 * @throws when the schema is not there, or holds what this version does not know.
 */
export async function readTables(client: pg.ClientBase, kept: readonly KeptTable[] = KEPT_TABLES): Promise<Table[]> {
  const { rows: found } = await client.query<{ name: string }>(FIND_TABLES)
  const unknown = found.filter(({ name }) => LEFT_TABLES[name] === undefined && !kept.some((table) => table.name === name))
  if (unknown.length > 0) throw new Error(`Nothing is known here of ${unknown.map(({ name }) => name).join(', ')}: src/backup/tables.ts must say whether a backup keeps it. Is the database newer than this version?`)
  const tables: Table[] = []
  for (const table of kept) tables.push(await readTable(client, table))
  return parentsFirst(tables)
}

async function readTable(client: pg.ClientBase, table: KeptTable): Promise<Table> {
  const { rows } = await client.query<Pick<Table, 'columns' | 'sequences' | 'key' | 'references' | 'triggers'>>(DESCRIBE_TABLE, [table.name])
  if (!rows[0]) throw new Error(`The database has no table ${table.name}. Run \`npm run migrate\` with DATABASE_URL set, or \`npx supabase db push\`.`)
  const { columns, ...rest } = rows[0]
  const files = table.files?.map(({ path }) => path) ?? []
  const unknown = columns.filter((column) => column.endsWith('_path') && !files.includes(column))
  if (unknown.length > 0) throw new Error(`Nothing is known here of the files of ${unknown.map((column) => `${table.name}.${column}`).join(', ')}: src/backup/tables.ts must name them.`)
  return { ...table, ...rest, columns: columns.filter((column) => !table.without?.includes(column)) }
}

function parentsFirst(tables: Table[]): Table[] {
  const sorted: Table[] = []
  while (sorted.length < tables.length) {
    const isThere = (name: string) => sorted.some((table) => table.name === name)
    const waits = ({ name, references }: Table) => references.some(({ parent }) => parent !== name && !isThere(parent) && tables.some((table) => table.name === parent))
    const next = tables.find((table) => !isThere(table.name) && !waits(table))
    if (!next) throw new Error('Tables refer to one another in a circle: there is no order in which they could be restored.')
    sorted.push(next)
  }
  return sorted
}

/** A table's name as SQL. */
export const quote = (table: string): string => table.split('.').map(pg.escapeIdentifier).join('.')
export const quoteColumn = (column: string): string => pg.escapeIdentifier(column)
export const quoteAll = (columns: readonly string[]): string => columns.map(quoteColumn).join(', ')

/** The values of a table's columns as they are written. */
export const valuesOf = ({ columns, instead }: Pick<Table, 'columns' | 'instead'>): string =>
  columns.map((column) => (instead?.[column] === undefined ? quoteColumn(column) : `${instead[column]} as ${quoteColumn(column)}`)).join(', ')

/** One query for the files of all tables, each with the table's rows taken from `from`. Undefined where there are none. */
export function filesQuery(tables: readonly Table[], from: (table: Table) => string): string {
  const parts = tables.flatMap((table) =>
    (table.files ?? []).map(({ path, size = 'null', sha256 = 'null', mediaType }) => `select bucket, ${path} as path, (${size})::float8 as size, ${sha256}::text as sha256, ${mediaType}::text as media_type from ${from(table)} where ${path} is not null`),
  )
  return parts.join(' union all ')
}
