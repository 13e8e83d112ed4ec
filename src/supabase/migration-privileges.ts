/** What the migrations grant and take away, of tables and functions. */
import { splitList } from './sql-statements.ts'

/** Roles of the Data API, and everybody. */
export const API_ROLES = ['public', 'anon', 'authenticated', 'service_role'] as const
export const TABLE_PRIVILEGES = ['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger'] as const

export interface Privileges {
  /** By table, then by role. */
  tables: Map<string, Map<string, Set<string>>>
  /** By schema and name: the roles that may execute it. */
  functions: Map<string, Set<string>>
}

const STATEMENT = /^(grant|revoke)\s+([\s\S]+?)\s+on\s+(all\s+tables\s+in\s+schema|all\s+functions\s+in\s+schema|all\s+sequences\s+in\s+schema|schema|function|sequence|table)?\s*([\s\S]+?)\s+(?:to|from)\s+([\w\s,]+)$/i

/** @returns false for a statement of another form. */
export function changePrivileges(privileges: Privileges, known: readonly string[], sql: string): void | false {
  const match = STATEMENT.exec(sql)
  if (!match) return false
  const [, verb = '', words = '', kind = 'table', names = '', roles = ''] = match
  const change = { isGrant: verb.toLowerCase() === 'grant', roles: splitList(roles.toLowerCase()) }
  const of = kind.toLowerCase().replaceAll(/\s+/g, ' ')
  const targets = splitList(names).map((name) => name.trim())
  if (of === 'table') for (const table of targets) changeTable(privileges, table.includes('.') ? table : `public.${table}`, words, change)
  if (of === 'all tables in schema') for (const table of known.filter((name) => targets.includes(name.split('.')[0]!))) changeTable(privileges, table, words, change)
  if (of === 'function') for (const name of targets) changeFunction(privileges, name.replace(/\s*\([\s\S]*$/, ''), change)
  if (of === 'all functions in schema') for (const name of privileges.functions.keys()) if (targets.includes(name.split('.')[0]!)) changeFunction(privileges, name, change)
}

interface Change {
  isGrant: boolean
  roles: string[]
}

function changeTable(privileges: Privileges, table: string, words: string, { isGrant, roles }: Change): void {
  const wanted = /^all\b/i.test(words) ? TABLE_PRIVILEGES : splitList(words.toLowerCase())
  const ofTable = privileges.tables.get(table) ?? new Map<string, Set<string>>()
  privileges.tables.set(table, ofTable)
  for (const role of roles) {
    const held = ofTable.get(role) ?? new Set()
    ofTable.set(role, isGrant ? held.union(new Set(wanted)) : held.difference(new Set(wanted)))
  }
}

function changeFunction(privileges: Privileges, name: string, { isGrant, roles }: Change): void {
  const held = privileges.functions.get(name) ?? new Set<string>()
  privileges.functions.set(name, isGrant ? held.union(new Set(roles)) : held.difference(new Set(roles)))
}
