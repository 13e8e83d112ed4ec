/** What Postgres's own tables say of the parts that migrations make. */
import type { Parts } from '../supabase/migration-parts.ts'
import type { Connection } from './connection.ts'

export interface Catalog {
  tables: Map<string, { rowSecurity: boolean }>
  /** By table and column. */
  columns: Map<string, { type: number; isRequired: boolean }>
  /** By table and name. */
  constraints: Map<string, { isValid: boolean }>
  indexes: Map<string, { isUnique: boolean; isValid: boolean }>
  triggers: Map<string, { runs: string; isEnabled: boolean }>
  /** By the signature as the migrations write it. */
  functions: Map<string, { body: string; isSecurityDefiner: boolean; hasSearchPath: boolean }>
  /** The number of each type, by the words that migrations have for it. */
  types: Map<string, number>
}

const TABLE = `quote_ident(nspname) || '.' || quote_ident(relname)`
const OF_OURS = `join pg_class class on class.oid = %TABLE% join pg_namespace namespace on namespace.oid = relnamespace where (${TABLE}) = any($1)`
const on = (column: string): string => OF_OURS.replace('%TABLE%', column)

export async function readCatalog({ query }: Connection, parts: Parts): Promise<Catalog> {
  const tables = [...new Set([...parts.tables.keys(), ...[...parts.policies.values()].map(({ table }) => table)])]
  const types = [...new Set([...parts.tables.values()].flatMap(({ columns }) => [...columns.values()].map(({ type }) => type)))]
  // One after the other: they share a session.
  return {
    tables: toMap(await query(`select ${TABLE} as key, relrowsecurity as "rowSecurity" from pg_namespace namespace join pg_class on relnamespace = namespace.oid and relkind in ('r', 'p') where (${TABLE}) = any($1)`, [tables])),
    columns: toMap(await query(`select ${TABLE} || ' ' || attname as key, atttypid::integer as type, attnotnull as "isRequired" from pg_attribute ${on('attrelid')} and attnum > 0 and not attisdropped`, [tables])),
    constraints: toMap(await query(`select ${TABLE} || ' ' || conname as key, convalidated as "isValid" from pg_constraint ${on('conrelid')} and contype in ('p', 'u', 'f', 'c', 'x')`, [tables])),
    indexes: toMap(await query(`select quote_ident(nspname) || '.' || (select relname from pg_class where oid = indexrelid) as key, indisunique as "isUnique", indisvalid as "isValid" from pg_index ${on('indrelid')}`, [tables])),
    triggers: toMap(await query(`select ${TABLE} || ' ' || tgname as key, (select pronamespace::regnamespace || '.' || proname from pg_proc where oid = tgfoid) as runs, tgenabled <> 'D' as "isEnabled" from pg_trigger ${on('tgrelid')} and not tgisinternal`, [tables])),
    functions: toMap(await query(`select signature as key, prosrc as body, prosecdef as "isSecurityDefiner", coalesce(array_to_string(proconfig, ',') like '%search_path=%', false) as "hasSearchPath" from unnest($1::text[]) as signature join pg_proc on oid = to_regprocedure(signature)`, [[...parts.functions.keys()]])),
    types: new Map((await query<{ name: string; type: number }>(`select name, to_regtype(name)::oid::integer as type from unnest($1::text[]) as name`, [types])).map(({ name, type }) => [name, type])),
  }
}

function toMap<Value>(rows: Record<string, unknown>[]): Map<string, Value> {
  return new Map(rows.map(({ key, ...value }) => [String(key), value as Value]))
}
