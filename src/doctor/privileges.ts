/** Who may do what by grants: what the migrations grant, and nothing more. */
import { API_ROLES, TABLE_PRIVILEGES, type Privileges } from '../supabase/migration-privileges.ts'
import type { Connection } from './connection.ts'
import { need, type Check } from './context.ts'
import { CannotRun, type Notebook } from './report.ts'

/** Everybody has what `public` has, so the three are asked, and `public` is looked up for the mend. */
const ROLES = API_ROLES.filter((role) => role !== 'public')
/** Schemas that belong to the service alone. */
const PRIVATE_SCHEMAS = ['darkroom', 'pgboss']

export const privileges: Check = {
  name: 'privileges',
  needs: ['schema'],
  timeoutMs: 20_000,
  async run(context, note) {
    const connection = need(context, 'connection')
    const { privileges: wanted } = need(context, 'parts')
    const tables = need(context, 'tables')
    const [{ count } = { count: 0 }] = await connection.query<{ count: number }>('select count(*)::integer from pg_roles where rolname = any($1)', [ROLES])
    if (count < ROLES.length) throw new CannotRun('this is no database of a Supabase project: it lacks the roles anon, authenticated and service_role')
    const ours = [...wanted.tables.keys()].filter((table) => tables.has(table))
    await checkTables(connection, wanted, ours, note)
    await checkSchemas(connection, note)
    await checkFunctions(connection, wanted, note)
    if (note.findings.length === 0) note.fact(`${ours.length} tables, as granted by the migrations`)
  },
}

interface TableRow {
  table: string
  role: string
  privilege: string
  held: boolean
  byAll: boolean
}

/** A privilege on one column lets that column out, so it counts. */
const SELECT_TABLE_PRIVILEGES = `
  select name as table, role, privilege,
    case when privilege in ('select', 'insert', 'update', 'references') then has_any_column_privilege(role, name, privilege) else has_table_privilege(role, name, privilege) end as held,
    exists (select from aclexplode((select relacl from pg_class where oid = name::regclass)) as acl where grantee = 0 and lower(privilege_type) = privilege) as "byAll"
  from unnest($1::text[]) as name, unnest($2::text[]) as role, unnest($3::text[]) as privilege`

async function checkTables({ query }: Connection, wanted: Privileges, tables: string[], note: Notebook): Promise<void> {
  const rows = await query<TableRow & Record<string, unknown>>(SELECT_TABLE_PRIVILEGES, [tables, ROLES, TABLE_PRIVILEGES])
  const isGranted = ({ table, role, privilege }: TableRow) => wanted.tables.get(table)?.get(role)?.has(privilege) ?? false
  for (const ofOne of Map.groupBy(rows, ({ table, role }) => `${table}: ${role}`).values()) {
    judgeExcess(ofOne.filter((row) => row.held && !isGranted(row)), note)
    judgeLack(ofOne.filter((row) => !row.held && isGranted(row)), note)
  }
}

const list = (rows: readonly TableRow[]): string => rows.map(({ privilege }) => privilege).join(', ')

function judgeExcess(rows: readonly TableRow[], note: Notebook): void {
  const [first] = rows
  if (!first) return
  const { table, role } = first
  const from = rows.some(({ byAll }) => byAll) ? `public, ${role}` : role
  const finding = { code: 'privileges.too-wide', subject: `${table}: ${role}`, what: `The role ${role} holds on ${table} what no migration grants: ${list(rows)}.`, mend: `revoke ${list(rows)} on ${table} from ${from};` }
  // Whoever has the secret key may have much; the browser's roles may not.
  if (role === 'service_role') note.warning(finding)
  else note.problem(finding)
}

function judgeLack(rows: readonly TableRow[], note: Notebook): void {
  const [first] = rows
  if (!first) return
  const { table, role } = first
  note.problem({ code: 'privileges.missing', subject: `${table}: ${role}`, what: `The role ${role} lacks on ${table} what a migration grants: ${list(rows)}.`, mend: `grant ${list(rows)} on ${table} to ${role};` })
}

async function checkSchemas({ query }: Connection, note: Notebook): Promise<void> {
  const rows = await query<{ schema: string; role: string }>(`select schema, role from unnest($1::text[]) as schema, unnest($2::text[]) as role where to_regnamespace(schema) is not null and has_schema_privilege(role, schema, 'usage')`, [PRIVATE_SCHEMAS, ROLES])
  for (const { schema, role } of rows) note.problem({ code: 'privileges.schema-open', subject: `${schema}: ${role}`, what: `The role ${role} may use the schema ${schema}, which is the service's own.`, mend: `revoke usage on schema ${schema} from ${role}, public;` })
}

const SELECT_EXECUTABLE = `
  select pg_proc.oid::regprocedure::text as function, pronamespace::regnamespace || '.' || proname as name, role
  from pg_proc, unnest($1::text[]) as role where pronamespace = to_regnamespace('darkroom') and has_function_privilege(role, pg_proc.oid, 'execute')`

async function checkFunctions({ query }: Connection, wanted: Privileges, note: Notebook): Promise<void> {
  for (const { function: signature, name, role } of await query<{ function: string; name: string; role: string }>(SELECT_EXECUTABLE, [ROLES])) {
    if (wanted.functions.get(name)?.has(role)) continue
    note.problem({ code: 'privileges.function-open', subject: `${signature}: ${role}`, what: `The role ${role} may call ${signature}, which acts with the rights of its owner.`, mend: `revoke execute on function ${signature} from ${role}, public;` })
  }
}
