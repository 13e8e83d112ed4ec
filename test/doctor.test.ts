/**
 * Faults of a schema, each made, named by the doctor, and mended: by what the doctor itself says where that is SQL. A
 * project that is well gives nothing to say, before and after.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { collectParts, readMigrations, type Parts } from '../src/supabase/migration-parts.ts'
import { findingsOf, shorten, startPatient, tryFault, type Fault, type Patient } from './support/doctor.ts'

const parts: Parts = collectParts(await readMigrations())

const schema = (name: string, sql: string, named: string, mend?: string): Fault => ({ name, break: sql, named: [named], only: ['schema'], ...(mend !== undefined && { mend }) })
const sourceOf = (signature: string): string => `${parts.functions.get(signature)!.sql.replace(/^create function/, 'create or replace function')}; revoke execute on function ${signature} from public`

const made: Fault[] = [
  schema('a migration that is not applied', `drop function darkroom.reuse(uuid, varchar, interval); delete from supabase_migrations.schema_migrations where version = '20261122000009'`, 'schema.migration-missing 20261122000009_cache.sql', `${sourceOf('darkroom.reuse(uuid, varchar, interval)')}; insert into supabase_migrations.schema_migrations (version) values ('20261122000009')`),
  schema('a table that is missing', 'alter table darkroom.inputs rename to moved', 'schema.table-missing darkroom.inputs', 'alter table darkroom.moved rename to inputs'),
  schema('a column that is missing', 'alter table public.videos drop column duration_seconds', 'schema.column-missing public.videos.duration_seconds'),
  schema('a column of another type', 'alter table public.images alter column width type bigint', 'schema.column-type public.images.width', 'alter table public.images alter column width type integer'),
  schema('a column that may be empty', 'alter table public.images alter column sha256 drop not null', 'schema.column-null public.images.sha256'),
  schema('a unique index that is missing', 'drop index public.usage_ledger_charge_key', 'schema.index-missing public.usage_ledger_charge_key'),
  schema('a unique index that is none any more', 'drop index public.usage_ledger_reserve_key; create index usage_ledger_reserve_key on public.usage_ledger (generation_id)', 'schema.index-missing public.usage_ledger_reserve_key', `drop index public.usage_ledger_reserve_key; ${parts.indexes.get('public.usage_ledger_reserve_key')!.sql}`),
  schema('an index that is missing', 'drop index public.generations_open_idx', 'schema.index-missing public.generations_open_idx'),
  schema('a unique constraint that is missing', 'alter table public.images drop constraint images_generation_id_index_key', 'schema.constraint-missing public.images.images_generation_id_index_key', 'alter table public.images add constraint images_generation_id_index_key unique (generation_id, index)'),
  schema('a foreign key that is missing', 'alter table public.prompts drop constraint prompts_user_id_fkey', 'schema.constraint-missing public.prompts.prompts_user_id_fkey', 'alter table public.prompts add constraint prompts_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade'),
  schema('a condition that is missing', 'alter table darkroom.accounts drop constraint accounts_used_check', 'schema.constraint-missing darkroom.accounts.accounts_used_check', 'alter table darkroom.accounts add constraint accounts_used_check check (used_bytes >= 0)'),
  schema('a trigger that is missing', 'drop trigger count_file on public.images', 'schema.trigger-missing public.images.count_file'),
  schema('a trigger that is switched off', 'alter table public.generations disable trigger settle', 'schema.trigger-missing public.generations.settle'),
  schema('a function that is missing', 'drop function darkroom.lock_files(uuid)', 'schema.function-missing darkroom.lock_files(uuid)', sourceOf('darkroom.lock_files(uuid)')),
  schema('a function that was changed', `create or replace function darkroom.lock_files(owner uuid) returns void language sql set search_path = '' as $$ select null::void $$`, 'schema.function-changed darkroom.lock_files(uuid)', sourceOf('darkroom.lock_files(uuid)')),
  schema('a function that runs with the rights of its caller', 'alter function darkroom.settle(public.generations) security invoker', 'schema.function-rights darkroom.settle(public.generations)', 'alter function darkroom.settle(public.generations) security definer'),
  { name: 'a schema that was made by hand', break: 'alter schema supabase_migrations rename to kept', named: ['schema.migration-missing 20261122000001_darkroom.sql'], mend: 'alter schema kept rename to supabase_migrations', only: ['schema'] },
]

const rowSecurity: Fault[] = [...parts.tables.keys()].map((table) => ({
  name: `row level security off on ${table}`,
  break: `alter table ${table} disable row level security`,
  named: [`schema.rls-off ${table}`, ...(table.startsWith('public.') ? [`rows.read ${table}`, `rows.list ${table}`] : [])],
  only: table.startsWith('public.') ? ['rows'] : ['schema'],
}))

const policies: Fault[] = [...parts.policies.values()].map(({ name, table, command }) => ({
  name: `the policy "${name}" dropped`,
  break: `drop policy "${name}" on ${table}`,
  named: [`policies.missing ${table}: ${name}`, table === 'storage.objects' ? 'files.own-hidden media' : `rows.${command === 'delete' ? 'own-kept' : 'own-hidden'} ${table}`],
  only: ['policies', table === 'storage.objects' ? 'files' : 'rows'],
}))

describe('faults of a schema', () => {
  let patient: Patient
  before(async () => {
    patient = await startPatient()
  })
  after(() => patient.close())

  test('none in a project that is well, and nothing stays of the visit', async () => {
    const before = await patient.count()
    const report = await patient.examine()
    assert.deepEqual(findingsOf(report), [], shorten(report))
    assert.deepEqual(report.checks.filter(({ status }) => status !== 'ok').map(({ name }) => name), ['redis', 'realtime', 'providers', 'address'], shorten(report))
    assert.ok(report.ok)
    assert.deepEqual(await patient.count(), before)
  })

  for (const fault of [...made, ...rowSecurity, ...policies]) test(fault.name, () => tryFault(patient, fault))

  test('none once all of them are mended', async () => {
    const report = await patient.examine()
    assert.deepEqual(findingsOf(report), [], shorten(report))
  })
})
