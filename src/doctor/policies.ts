/** The policies: each of ours there and as it was made, and none beside them that nobody knows of. */
import type { PolicyPart } from '../supabase/migration-parts.ts'
import { need, type Check } from './context.ts'
import type { Notebook } from './report.ts'
import { again } from './schema.ts'

interface PolicyRow {
  table: string
  name: string
  command: string
  roles: string[]
  permissive: boolean
  using: string | null
  check: string | null
}

const SELECT_POLICIES = `
  select schemaname || '.' || tablename as table, policyname as name, lower(cmd) as command, roles::text[], permissive = 'PERMISSIVE' as permissive, qual as using, with_check as check
  from pg_policies where schemaname || '.' || tablename = any($1)`

export const policies: Check = {
  name: 'policies',
  needs: ['schema'],
  timeoutMs: 20_000,
  async run(context, note) {
    const connection = need(context, 'connection')
    const parts = need(context, 'parts')
    const ours = [...parts.policies.values()]
    const rows = await connection.query<PolicyRow & Record<string, unknown>>(SELECT_POLICIES, [[...new Set([...parts.tables.keys(), ...ours.map(({ table }) => table)])]])
    for (const part of ours) compare(part, rows.find(({ table, name }) => table === part.table && name === part.name), note)
    for (const row of rows) if (parts.tables.has(row.table) && !parts.policies.has(`${row.table} ${row.name}`)) tellUnknown(row, note)
    note.fact(`${ours.length} of ours`)
  },
}

function compare(part: PolicyPart, row: PolicyRow | undefined, note: Notebook): void {
  const named = { subject: `${part.table}: ${part.name}` }
  if (!row) {
    note.problem({ ...named, code: 'policies.missing', what: `The policy "${part.name}" on ${part.table} is missing: users are refused what is theirs.`, mend: again(part) })
    return
  }
  const differences = [
    row.command === part.command ? '' : `it is for ${row.command}, not for ${part.command}`,
    row.roles.toSorted().join() === part.roles.toSorted().join() ? '' : `it is for the roles ${row.roles.join(', ')}, not for ${part.roles.join(', ')}`,
    row.permissive ? '' : 'it is restrictive',
    plain(row.using) === plain(part.using) ? '' : `its condition is ${row.using ?? 'none'}, not ${part.using || 'none'}`,
    plain(row.check) === plain(part.check) ? '' : `what it lets be written is ${row.check ?? 'none'}, not ${part.check || 'none'}`,
  ].filter(Boolean)
  if (differences.length > 0) note.problem({ ...named, code: 'policies.changed', what: `The policy "${part.name}" on ${part.table} is not the one of its migration: ${differences.join('; ')}.`, mend: `drop policy "${part.name}" on ${part.table};\n${again(part)}` })
}

/** An app may have policies of its own here. What they open to whom is tried by the check of the rows. */
function tellUnknown({ table, name, command, roles, permissive, using, check }: PolicyRow, note: Notebook): void {
  if (!permissive) return
  const conditions = [using && `using (${using})`, check && `with check (${check})`].filter(Boolean).join(' ')
  note.warning({ code: 'policies.unknown', subject: `${table}: ${name}`, what: `The policy "${name}" on ${table} is of no migration here, and opens the table further: for ${command} to ${roles.join(', ')} ${conditions}.`, mend: `Keep it if it is meant; else drop policy "${name}" on ${table};` })
}

/** A condition without what Postgres adds when it writes one down: brackets, casts, names of columns, spaces. */
const plain = (condition: string | null): string => (condition ?? '').toLowerCase().replaceAll(/\sas\s\w+/g, '').replaceAll(/::[\w ]+/g, '').replaceAll(/[()\s]/g, '')
