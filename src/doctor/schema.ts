/** Whether everything is there that the migrations make, and is as they made it. */
import { collectParts, readMigrations, type Migration, type Parts } from '../supabase/migration-parts.ts'
import type { Source } from '../supabase/sql-statements.ts'
import { readCatalog, type Catalog } from './catalog.ts'
import { need, type Check } from './context.ts'
import type { Connection } from './connection.ts'
import { CannotRun, type Notebook } from './report.ts'

const APPLY = 'Apply it: `npm run migrate` with DATABASE_URL set, or `npx supabase db push`.'
/** Longer statements are not repeated: they are to be run from their file. */
const MAX_STATEMENT = 400

export const schema: Check = {
  name: 'schema',
  needs: ['database'],
  timeoutMs: 30_000,
  async run(context, note) {
    const connection = need(context, 'connection')
    const migrations = await readMigrations()
    const applied = await appliedVersions(connection)
    for (const { file } of migrations.filter(({ version }) => !applied.has(version))) note.problem({ code: 'schema.migration-missing', subject: file, what: `The migration ${file} is not applied.`, mend: APPLY })
    // What a missing migration would have made is not missed besides.
    const parts = collectParts(migrations.filter(({ version }) => applied.has(version)))
    const catalog = await readCatalog(connection, parts)
    if (parts.tables.size === 0) throw new CannotRun(await whyEmpty(connection, migrations))
    compareTables(parts, catalog, note)
    compareIndexes(parts, catalog, note)
    compareCode(parts, catalog, note)
    context.found.parts = parts
    context.found.tables = new Set(catalog.tables.keys())
    note.fact(`${applied.size} migrations, ${parts.tables.size} tables, ${parts.functions.size} functions`)
  },
}

async function appliedVersions({ query }: Connection): Promise<Set<string>> {
  const [found] = await query<{ exists: boolean }>(`select to_regclass('supabase_migrations.schema_migrations') is not null as exists`)
  if (!found?.exists) return new Set()
  return new Set((await query<{ version: string }>('select version from supabase_migrations.schema_migrations')).map(({ version }) => version))
}

/** A schema that was made by hand works, but the next migration would fail on it. */
async function whyEmpty({ query }: Connection, migrations: readonly Migration[]): Promise<string> {
  const [found] = await query<{ exists: boolean }>(`select to_regclass('public.generations') is not null as exists`)
  if (!found?.exists) return 'no migration is applied'
  return `the tables are there, but no migration is recorded: say which are applied, with \`npx supabase migration repair --status applied ${migrations.map(({ version }) => version).join(' ')}\``
}

function compareTables(parts: Parts, catalog: Catalog, note: Notebook): void {
  for (const [name, table] of parts.tables) {
    const found = catalog.tables.get(name)
    if (!found) {
      note.problem({ code: 'schema.table-missing', subject: name, what: `The table ${name} is missing.`, mend: again(table) })
      continue
    }
    if (table.rowSecurity && !found.rowSecurity) note.problem({ code: 'schema.rls-off', subject: name, what: `Row level security is off on ${name}: whoever is granted a row of it has all of them.`, mend: again(table.rowSecurity) })
    for (const [column, part] of table.columns) {
      const is = catalog.columns.get(`${name} ${column}`)
      if (!is) note.problem({ code: 'schema.column-missing', subject: `${name}.${column}`, what: `The column ${column} of ${name} is missing.`, mend: again(part) })
      else if (is.type !== catalog.types.get(part.type)) note.problem({ code: 'schema.column-type', subject: `${name}.${column}`, what: `The column ${column} of ${name} is not of the type ${part.type}.`, mend: `Change it back to ${part.type}.` })
      else if (is.isRequired !== part.isRequired) note.problem({ code: 'schema.column-null', subject: `${name}.${column}`, what: `The column ${column} of ${name} ${part.isRequired ? 'may be empty, and must not' : 'must not be empty, but may'}.`, mend: `alter table ${name} alter column ${column} ${part.isRequired ? 'set' : 'drop'} not null;` })
    }
    for (const [constraint, part] of table.constraints) {
      const is = catalog.constraints.get(`${name} ${constraint}`)
      if (!is?.isValid) note.problem({ code: 'schema.constraint-missing', subject: `${name}.${constraint}`, what: `The constraint ${constraint} of ${name} is ${is ? 'not validated' : 'missing'}.`, mend: is ? `alter table ${name} validate constraint ${constraint};` : again(part) })
    }
  }
}

function compareIndexes(parts: Parts, catalog: Catalog, note: Notebook): void {
  for (const [name, part] of parts.indexes) {
    const is = catalog.indexes.get(name)
    const what = !is ? 'is missing' : !is.isValid ? 'is not valid: its making was broken off' : part.isUnique && !is.isUnique ? 'is not unique' : undefined
    if (what === undefined) continue
    const harm = part.isUnique ? ' What must happen once may happen twice.' : ''
    note.problem({ code: 'schema.index-missing', subject: name, what: `The index ${name} of ${part.table} ${what}.${harm}`, mend: `${is ? `drop index ${name};\n` : ''}${again(part)}` })
  }
}

function compareCode(parts: Parts, catalog: Catalog, note: Notebook): void {
  for (const [key, part] of parts.triggers) {
    const is = catalog.triggers.get(key)
    const what = !is ? 'is missing' : !is.isEnabled ? 'is switched off' : is.runs === part.runs ? undefined : `runs ${is.runs} instead of ${part.runs}`
    if (what === undefined) continue
    note.problem({ code: 'schema.trigger-missing', subject: `${part.table}.${part.name}`, what: `The trigger ${part.name} of ${part.table} ${what}.`, mend: is && !is.isEnabled ? `alter table ${part.table} enable trigger ${part.name};` : again(part) })
  }
  for (const [signature, part] of parts.functions) {
    const is = catalog.functions.get(signature)
    if (!is) note.problem({ code: 'schema.function-missing', subject: signature, what: `The function ${signature} is missing.`, mend: again(part) })
    else if (is.isSecurityDefiner !== part.isSecurityDefiner || is.hasSearchPath !== part.hasSearchPath) note.problem({ code: 'schema.function-rights', subject: signature, what: `The function ${signature} does not run as its migration says: security definer and search_path differ.`, mend: again(part) })
    else if (is.body.replaceAll('\r\n', '\n') !== part.body) note.warning({ code: 'schema.function-changed', subject: signature, what: `The function ${signature} is not the one of its migration: it was changed by hand, or by a newer version than this.`, mend: again(part) })
  }
}

/** What to run, to have it made as it was. */
export function again({ file, sql }: Source): string {
  return sql.length > MAX_STATEMENT || sql.includes('$$') ? `Run again what supabase/migrations/${file} says of it: ${sql.split(/[\n(]/, 1)[0]!.trim()} …` : `${sql};`
}
