/**
 * What the migrations make, read from their own words: whoever looks whether a database has all of it, or gives back what
 * was granted, needs no second list. Statements of a form that is not known here are told as `unread`.
 */
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { changePrivileges, type Privileges } from './migration-privileges.ts'
import { createTable, alterTable, type TablePart } from './migration-tables.ts'
import { inBrackets, splitList, splitStatements, type Source } from './sql-statements.ts'

export interface Migration {
  /** The leading digits of the file's name. */
  version: string
  file: string
  sql: string
}

export interface IndexPart extends Source {
  table: string
  isUnique: boolean
}

export interface FunctionPart extends Source {
  /** What stands between the dollar signs: Postgres keeps it to the letter. */
  body: string
  isSecurityDefiner: boolean
  hasSearchPath: boolean
}

export interface TriggerPart extends Source {
  name: string
  table: string
  /** Schema and name. */
  runs: string
}

export interface PolicyPart extends Source {
  name: string
  table: string
  command: string
  roles: string[]
  using: string
  check: string
}

export interface Parts {
  /** By schema and name, as all others that Postgres names within a schema. */
  tables: Map<string, TablePart>
  indexes: Map<string, IndexPart>
  /** By the signature, types only. */
  functions: Map<string, FunctionPart>
  /** By table and name. */
  triggers: Map<string, TriggerPart>
  policies: Map<string, PolicyPart>
  privileges: Privileges
  /** Statements of which nothing is known. */
  unread: Source[]
}

const DIRECTORY = path.resolve(import.meta.dirname, '../../supabase/migrations')

/** Every migration of this version, oldest first. */
export async function readMigrations(directory = DIRECTORY): Promise<Migration[]> {
  const files = (await readdir(directory)).filter((file) => /^\d+_.*\.sql$/.test(file)).toSorted()
  return await Promise.all(files.map(async (file) => ({ version: file.slice(0, file.indexOf('_')), file, sql: (await readFile(path.join(directory, file), 'utf8')).replaceAll('\r\n', '\n') })))
}

/** What is there once these were applied, one after the other. */
export function collectParts(migrations: readonly Migration[]): Parts {
  const parts: Parts = { tables: new Map(), indexes: new Map(), functions: new Map(), triggers: new Map(), policies: new Map(), privileges: { tables: new Map(), functions: new Map() }, unread: [] }
  for (const { file, sql } of migrations) {
    for (const statement of splitStatements(sql)) {
      const source = { file, sql: statement }
      const isRead = READERS.some(([pattern, read]) => {
        const match = pattern.exec(statement)
        return match !== null && read(parts, match.groups ?? {}, source) !== false
      })
      if (!isRead) parts.unread.push(source)
    }
  }
  return parts
}

type Reader = (parts: Parts, found: Record<string, string | undefined>, source: Source) => void | false

const NAME = String.raw`(?<name>[\w.]+|"[^"]+")`
const TABLE = String.raw`(?<table>[\w.]+)`
const pattern = (text: string): RegExp => new RegExp(`^${text.replaceAll(' ', String.raw`\s+`)}`, 'i')

const READERS: readonly (readonly [RegExp, Reader])[] = [
  // Nothing to look for: rows, settings, comments, and what a block decides by itself.
  [/^(set|select|insert|update|comment|do|begin|commit|create\s+schema|notify)\b/i, () => undefined],
  [pattern(`create table (?:if not exists )?${TABLE}`), (parts, { table }, source) => void parts.tables.set(qualified(table), createTable(qualified(table), source))],
  [pattern(`alter table (?:if exists )?(?:only )?${TABLE} `), (parts, { table }, source) => alterTable(parts.tables.get(qualified(table)), source)],
  [pattern(`drop table (?:if exists )?${TABLE}`), (parts, { table }) => dropTable(parts, qualified(table))],
  [pattern(`create (?<unique>unique )?index (?:concurrently )?(?:if not exists )?${NAME} on ${TABLE}`), readIndex],
  [pattern(`drop index (?:concurrently )?(?:if exists )?${NAME}`), (parts, { name }) => void parts.indexes.delete(qualified(name))],
  [pattern(`create (?:or replace )?function ${NAME}`), readFunction],
  [pattern(`drop function (?:if exists )?${NAME}`), (parts, { name }, { sql }) => void parts.functions.delete(`${qualified(name)}(${argumentTypes(sql)})`)],
  [pattern(`create (?:or replace )?(?:constraint )?trigger ${NAME} .*? on ${TABLE} [^]*execute function (?<runs>[\\w.]+)`), readTrigger],
  [pattern(`drop trigger (?:if exists )?${NAME} on ${TABLE}`), (parts, { name, table }) => void parts.triggers.delete(`${qualified(table)} ${name}`)],
  [pattern(`create policy ${NAME} on ${TABLE}`), readPolicy],
  [pattern(`drop policy (?:if exists )?${NAME} on ${TABLE}`), (parts, { name, table }) => void parts.policies.delete(`${qualified(table)} ${unquoted(name)}`)],
  [/^(grant|revoke)\s/i, (parts, _found, source) => changePrivileges(parts.privileges, [...parts.tables.keys()], source.sql)],
]

export const qualified = (name = ''): string => (name.includes('.') ? name : `public.${name}`)
const unquoted = (name = ''): string => name.replaceAll('"', '')

function dropTable(parts: Parts, table: string): void {
  parts.tables.delete(table)
  parts.privileges.tables.delete(table)
  for (const group of [parts.indexes, parts.triggers, parts.policies]) for (const [key, part] of group) if (part.table === table) group.delete(key)
}

function readIndex(parts: Parts, { name, table, unique }: Record<string, string | undefined>, source: Source): void {
  // An index lives in the schema of its table.
  const schema = qualified(table).split('.')[0]
  parts.indexes.set(`${schema}.${name}`, { ...source, table: qualified(table), isUnique: unique !== undefined })
}

function readFunction(parts: Parts, { name }: Record<string, string | undefined>, source: Source): void {
  const outside = source.sql.replace(/(\$\w*\$)[\s\S]*?\1/, ' ')
  parts.functions.set(`${qualified(name)}(${argumentTypes(source.sql)})`, {
    ...source,
    body: /(\$\w*\$)([\s\S]*?)\1/.exec(source.sql)?.[2] ?? '',
    isSecurityDefiner: /\bsecurity\s+definer\b/i.test(outside),
    hasSearchPath: /\bset\s+search_path\b/i.test(outside),
  })
}

/** Each argument is a name and a type, with a default perhaps. */
function argumentTypes(sql: string): string {
  return splitList(inBrackets(sql))
    .map((argument) => argument.replace(/\s+default\s[\s\S]*/i, '').replace(/^\w+\s+(?=\S)/, ''))
    .join(', ')
}

function readTrigger(parts: Parts, { name, table, runs }: Record<string, string | undefined>, source: Source): void {
  parts.triggers.set(`${qualified(table)} ${name}`, { ...source, name: name!, table: qualified(table), runs: qualified(runs) })
}

function readPolicy(parts: Parts, { name, table }: Record<string, string | undefined>, source: Source): void {
  const rest = source.sql.slice(source.sql.indexOf(table!) + table!.length)
  const clause = (word: string): string => {
    const at = new RegExp(String.raw`\b${word}\s*\(`, 'i').exec(rest)
    return at ? inBrackets(rest.slice(at.index)) : ''
  }
  parts.policies.set(`${qualified(table)} ${unquoted(name)}`, {
    ...source,
    name: unquoted(name),
    table: qualified(table),
    command: (/\bfor\s+(\w+)/i.exec(rest)?.[1] ?? 'all').toLowerCase(),
    roles: splitList(/\bto\s+([\w\s,]+?)\s+(?:using|with)\b/i.exec(rest)?.[1] ?? 'public'),
    using: clause('using'),
    check: clause(String.raw`with\s+check`),
  })
}
