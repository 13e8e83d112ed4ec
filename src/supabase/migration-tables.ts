/** Tables as the migrations make and change them: columns, constraints, row level security. */
import { inBrackets, splitList, withoutBrackets, type Source } from './sql-statements.ts'

export interface ColumnPart extends Source {
  /** As written; Postgres may have a longer word for it. */
  type: string
  isRequired: boolean
}

export interface TablePart extends Source {
  columns: Map<string, ColumnPart>
  /** By name: written, or the one that Postgres gives. */
  constraints: Map<string, Source>
  /** The statement that switches row level security on. */
  rowSecurity: Source | undefined
}

const COLUMN = /^(\w+)\s+(.+?)(?=\s+(?:not\s+null|null|default|primary|unique|references|constraint|check|generated|collate)\b|\s*$)/i

export function createTable(name: string, source: Source): TablePart {
  const table: TablePart = { ...source, columns: new Map(), constraints: new Map(), rowSecurity: undefined }
  for (const item of splitList(inBrackets(source.sql))) {
    if (/^(constraint|primary\s+key|unique|check|foreign\s+key)\b/i.test(item)) addConstraint(table, name, item, source)
    else addColumn(table, name, item, source)
  }
  return table
}

/** @returns false when one of the changes is of a form that is not known here. */
export function alterTable(table: TablePart | undefined, source: Source): void | false {
  const [, name = '', changes = ''] = /^alter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?([\w.]+)\s+([\s\S]*)$/i.exec(source.sql) ?? []
  if (!table) return false
  for (const change of splitList(changes)) if (!applyChange(table, name, change, { ...source, sql: `alter table ${name} ${change}` })) return false
}

function applyChange(table: TablePart, name: string, change: string, source: Source): boolean {
  const match = (pattern: RegExp) => pattern.exec(change) ?? undefined
  const added = match(/^add\s+column\s+(?:if\s+not\s+exists\s+)?([\s\S]+)/i)?.[1]
  const constraint = match(/^add\s+(constraint\s[\s\S]+)/i)?.[1]
  const droppedColumn = match(/^drop\s+column\s+(?:if\s+exists\s+)?(\w+)/i)?.[1]
  const droppedConstraint = match(/^drop\s+constraint\s+(?:if\s+exists\s+)?(\w+)/i)?.[1]
  const altered = match(/^alter\s+column\s+(\w+)\s+(set|drop)\s+not\s+null/i)
  const retyped = match(/^alter\s+column\s+(\w+)\s+(?:set\s+data\s+)?type\s+([\w\s]+?)(?:\s+using\b|$)/i)
  if (added !== undefined) addColumn(table, name, added, source)
  else if (constraint !== undefined) addConstraint(table, name, constraint, source)
  else if (droppedColumn !== undefined) table.columns.delete(droppedColumn)
  else if (droppedConstraint !== undefined) table.constraints.delete(droppedConstraint)
  else if (altered) setColumn(table, altered[1]!, { isRequired: altered[2]!.toLowerCase() === 'set' })
  else if (retyped) setColumn(table, retyped[1]!, { type: retyped[2]!.trim() })
  else if (match(/^enable\s+row\s+level\s+security/i)) table.rowSecurity = source
  else return /^(alter\s+column\s+\w+\s+(set|drop)\s+(default|storage|statistics)|validate\s+constraint|owner\s+to|set\s*\(|replica\s+identity)\b/i.test(change)
  return true
}

function setColumn(table: TablePart, name: string, change: Partial<ColumnPart>): void {
  const column = table.columns.get(name)
  if (column) table.columns.set(name, { ...column, ...change })
}

function addColumn(table: TablePart, tableName: string, text: string, source: Source): void {
  const flat = withoutBrackets(text).replaceAll(/\s+/g, ' ')
  const [, name = '', type = ''] = COLUMN.exec(flat) ?? []
  const rest = flat.slice(name.length)
  table.columns.set(name, { ...source, type, isRequired: /\b(not null|primary key|as identity)\b/i.test(rest) })
  // Each constraint of a column has its own name or, as the suffix, its kind.
  const short = tableName.replace(/^.*\./, '')
  for (const [, written, kind = ''] of rest.matchAll(/(?:constraint (\w+) )?\b(primary key|unique|references|check)\b/gi)) {
    table.constraints.set(written ?? (/^primary/i.test(kind) ? `${short}_pkey` : `${short}_${name}_${SUFFIXES[kind.toLowerCase()]!}`), source)
  }
}

const SUFFIXES: Record<string, string> = { unique: 'key', references: 'fkey', check: 'check' }

function addConstraint(table: TablePart, tableName: string, text: string, source: Source): void {
  const written = /^constraint\s+(\w+)/i.exec(text)?.[1]
  const short = tableName.replace(/^.*\./, '')
  const columns = splitList(inBrackets(text)).join('_')
  const given = /^primary/i.test(text) ? `${short}_pkey` : /^unique/i.test(text) ? `${short}_${columns}_key` : /^foreign/i.test(text) ? `${short}_${columns}_fkey` : `${short}_check`
  table.constraints.set(written ?? given, source)
}
