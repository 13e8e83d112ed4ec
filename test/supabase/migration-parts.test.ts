/** What is read from the migrations' words, against what Postgres made of them: neither has more than the other. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { collectParts, readMigrations } from '../../src/supabase/migration-parts.ts'
import { API_ROLES } from '../../src/supabase/migration-privileges.ts'
import { sql } from '../support/supabase.ts'

const parts = collectParts(await readMigrations())
const tables = [...parts.tables.keys()]
const sorted = (items: Iterable<string>): string[] => [...items].toSorted()
const names = async (text: string, values: unknown[] = [tables]): Promise<string[]> => sorted((await sql<{ name: string }>(text, values)).map(({ name }) => name))

test('every statement of the migrations is understood', () => {
  assert.deepEqual(parts.unread, [])
})

test('the tables and their columns are those of the database', async () => {
  assert.deepEqual(sorted(tables), await names(`select schemaname || '.' || tablename as name from pg_tables where schemaname in ('public', 'darkroom') and (schemaname || '.' || tablename = any($1) or schemaname = 'darkroom')`))
  const columns = tables.flatMap((table) => [...parts.tables.get(table)!.columns].map(([name, { type, isRequired }]) => [table, name, type, isRequired] as const))
  const read = await Promise.all(columns.map(async ([table, name, type, isRequired]) => `${table}.${name} ${(await sql<{ type: string }>('select to_regtype($1)::text as type', [type]))[0]!.type} ${isRequired}`))
  assert.deepEqual(sorted(read), await names(`select nspname || '.' || relname || '.' || attname || ' ' || atttypid::regtype || ' ' || attnotnull as name from pg_attribute join pg_class on pg_class.oid = attrelid join pg_namespace on pg_namespace.oid = relnamespace where nspname || '.' || relname = any($1) and attnum > 0 and not attisdropped`))
})

test('so are constraints, indexes, triggers, functions and policies', async () => {
  const ours = `join pg_class class on class.oid = %s join pg_namespace on pg_namespace.oid = relnamespace and nspname || '.' || relname = any($1)`
  assert.deepEqual(sorted(tables.flatMap((table) => [...parts.tables.get(table)!.constraints.keys()].map((name) => `${table} ${name}`))), await names(`select nspname || '.' || relname || ' ' || conname as name from pg_constraint ${ours.replace('%s', 'conrelid')} where contype in ('p', 'u', 'f', 'c', 'x')`))
  assert.deepEqual(sorted(parts.indexes.keys()), await names(`select nspname || '.' || (select relname from pg_class where oid = indexrelid) as name from pg_index ${ours.replace('%s', 'indrelid')} where not exists (select from pg_constraint where conindid = indexrelid)`))
  assert.deepEqual(sorted([...parts.triggers].map(([key, { runs }]) => `${key} ${runs}`)), await names(`select nspname || '.' || relname || ' ' || tgname || ' ' || tgfoid::regproc as name from pg_trigger ${ours.replace('%s', 'tgrelid')} where not tgisinternal`))
  const signatures = await names(`select to_regprocedure(signature)::text as name from unnest($1::text[]) as signature`, [[...parts.functions.keys()]])
  assert.deepEqual(signatures, await names(`select oid::regprocedure::text as name from pg_proc where pronamespace = 'darkroom'::regnamespace`, []))
  assert.deepEqual(sorted(parts.policies.keys()), await names(`select schemaname || '.' || tablename || ' ' || policyname as name from pg_policies where schemaname || '.' || tablename = any($1)`, [[...tables, 'storage.objects']]))
})

test('the local project grants what the migrations do, and nothing more', async () => {
  const read = [...parts.privileges.tables].flatMap(([table, byRole]) => [...byRole].flatMap(([role, held]) => [...held].map((privilege) => `${table} ${role} ${privilege}`)))
  const found = await names(
    `select nspname || '.' || relname || ' ' || coalesce(grantee_role.rolname, 'public') || ' ' || lower(privilege_type) as name
     from pg_class join pg_namespace on pg_namespace.oid = relnamespace cross join aclexplode(relacl) as acl left join pg_roles grantee_role on grantee_role.oid = acl.grantee
     where nspname || '.' || relname = any($1) and coalesce(grantee_role.rolname, 'public') = any($2)`,
    [tables, API_ROLES],
  )
  assert.deepEqual(sorted(read), found)
})

test('what a later migration takes away is not looked for', () => {
  const sqlOf = (text: string) => ({ version: '1', file: '1_a.sql', sql: text })
  const { tables: left, indexes, functions, triggers, policies, privileges } = collectParts([
    sqlOf(`create table public.a (id integer primary key, b text constraint a_b_check check (b <> ';')); -- a; comment
      create index a_b_idx on public.a (b); create function public.f(x integer default 1) returns void language sql as $$ select 1; $$;
      create trigger t after insert on public.a for each row execute function public.f(); create policy "P" on public.a using (true);
      grant select, insert on public.a to anon; create table public.gone (id integer); create index gone_idx on public.gone (id)`),
    sqlOf(`alter table public.a drop column b, drop constraint a_b_check, add column c varchar not null; drop index public.a_b_idx; drop trigger t on public.a;
      drop policy "P" on public.a; drop function public.f(integer); revoke insert on public.a from anon; drop table public.gone`),
  ])
  const a = left.get('public.a')!
  assert.deepEqual([[...left.keys()], [...a.columns].map(([name, { type, isRequired }]) => [name, type, isRequired]), [...a.constraints.keys()]], [['public.a'], [['id', 'integer', true], ['c', 'varchar', true]], ['a_pkey']])
  assert.deepEqual([indexes.size, functions.size, triggers.size, policies.size], [0, 0, 0, 0])
  assert.deepEqual([...privileges.tables.get('public.a')!.get('anon')!], ['select'])
})
