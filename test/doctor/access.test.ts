/** Faults of who may do what, in tables and in storage, and of the queue: each made, named by the doctor, and mended. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { collectParts, readMigrations } from '../../src/supabase/migration-parts.ts'
import { findingsOf, shorten, startPatient, tryFault, type Fault, type Patient } from '../support/doctor.ts'

const parts = collectParts(await readMigrations())
const policyOf = (table: string, name: string): string => parts.policies.get(`${table} ${name}`)!.sql

const rows: Fault[] = [
  {
    name: 'a policy that is too wide',
    break: 'alter policy "Users read their own images" on public.images using (true)',
    named: ['policies.changed public.images: Users read their own images', 'rows.read public.images', 'rows.list public.images'],
    only: ['policies', 'rows'],
  },
  {
    name: 'a policy for another role',
    break: `drop policy "Users read their own videos" on public.videos; ${policyOf('public.videos', 'Users read their own videos').replace('to authenticated', 'to service_role')}`,
    named: ['policies.changed public.videos: Users read their own videos', 'rows.own-hidden public.videos'],
    only: ['policies', 'rows'],
  },
  {
    name: 'a further policy that shows rows to everybody',
    break: 'create policy "Gallery" on public.videos for select to anon, authenticated using (true); grant select on public.videos to anon',
    named: ['policies.unknown public.videos: Gallery', 'privileges.too-wide public.videos: anon', ['rows.read public.videos', /without a sign-in reads/], ['rows.read public.videos', /another user reads/]],
    mend: 'drop policy "Gallery" on public.videos; revoke select on public.videos from anon',
    only: ['policies', 'privileges', 'rows'],
  },
  {
    name: 'rows that users may change',
    break: 'grant update on public.images to authenticated; create policy "Change" on public.images for update to authenticated using (true)',
    named: ['privileges.too-wide public.images: authenticated', 'rows.update public.images'],
    mend: 'drop policy "Change" on public.images; revoke update on public.images from authenticated',
    only: ['privileges', 'rows'],
  },
  {
    name: 'rows that others may take over',
    break: 'grant update on public.videos to authenticated; create policy "Change" on public.videos to authenticated using (true) with check (true)',
    named: [['rows.update public.videos', /takes a row of somebody else over/], 'rows.changed public.videos'],
    mend: 'drop policy "Change" on public.videos; revoke update on public.videos from authenticated',
    only: ['rows'],
  },
  {
    name: 'rows that others may delete',
    break: 'grant delete on public.images to authenticated; create policy "Delete" on public.images to authenticated using (true)',
    named: [['rows.delete public.images', /deletes a row of somebody else/], 'rows.lost public.images', 'rows.own-deleted public.images'],
    mend: 'drop policy "Delete" on public.images; revoke delete on public.images from authenticated',
    only: ['rows'],
  },
  {
    name: 'rows that users may insert',
    break: 'grant insert on public.prompts to authenticated; create policy "Insert" on public.prompts for insert to authenticated with check (user_id = auth.uid())',
    named: ['privileges.too-wide public.prompts: authenticated', ['rows.insert public.prompts', /inserts a row\./]],
    mend: 'drop policy "Insert" on public.prompts; revoke insert on public.prompts from authenticated',
    only: ['privileges', 'rows'],
  },
  {
    name: 'rows in the name of others',
    break: 'grant insert on public.prompts to anon, authenticated; create policy "Insert" on public.prompts for insert to anon, authenticated with check (true)',
    named: [['rows.insert public.prompts', /without a sign-in inserts a row in the name/], ['rows.insert public.prompts', /another user inserts a row in the name/]],
    mend: 'drop policy "Insert" on public.prompts; revoke insert on public.prompts from anon, authenticated',
    only: ['rows'],
  },
  {
    name: 'rows that show others by the way',
    break: 'alter policy "Users read their own prompts" on public.prompts using (true); alter policy "Users read their own generations" on public.generations using (true)',
    named: ['rows.embedded public.generations', 'rows.embedded public.prompts'],
    mend: 'alter policy "Users read their own prompts" on public.prompts using (user_id = (select auth.uid())); alter policy "Users read their own generations" on public.generations using (user_id = (select auth.uid()))',
    only: ['rows'],
  },
]

const grant = (name: string, sql: string, named: string, mend?: string): Fault => ({ name, break: sql, named: [named], only: ['privileges'], ...(mend !== undefined && { mend }) })

const grants: Fault[] = [
  grant('insert on images granted to users', 'grant insert on public.images to authenticated', 'privileges.too-wide public.images: authenticated'),
  grant('select granted to anon', 'grant select on public.prompts to anon', 'privileges.too-wide public.prompts: anon'),
  grant('one column granted to anon', 'grant select (prompt) on public.prompts to anon', 'privileges.too-wide public.prompts: anon', 'revoke select (prompt) on public.prompts from anon'),
  grant('select granted to all roles', 'grant select on public.generations to public', 'privileges.too-wide public.generations: anon', 'revoke select on public.generations from public'),
  grant('everything granted to anon, as projects used to', 'grant all on public.usage_ledger to anon', 'privileges.too-wide public.usage_ledger: anon'),
  grant("the service's state granted to users", 'grant select on darkroom.requests to authenticated', 'privileges.too-wide darkroom.requests: authenticated'),
  grant('a grant that is missing', 'revoke select on public.videos from authenticated', 'privileges.missing public.videos: authenticated'),
  grant('grants of the secret key that are missing', 'revoke insert, update on public.images from service_role', 'privileges.missing public.images: service_role'),
  grant('a function that anon may call', 'grant usage on schema darkroom to anon; grant execute on function darkroom.settle(public.generations) to anon', 'privileges.function-open darkroom.settle(generations): anon', 'revoke usage on schema darkroom from anon; revoke execute on function darkroom.settle(public.generations) from anon'),
  grant('a function that everybody may call', 'grant execute on function darkroom.lock_files(uuid) to public', 'privileges.function-open darkroom.lock_files(uuid): authenticated'),
  grant("the service's schema open to users", 'grant usage on schema darkroom to authenticated', 'privileges.schema-open darkroom: authenticated'),
  grant("the queue's schema open to anon", 'grant usage on schema pgboss to anon', 'privileges.schema-open pgboss: anon'),
]

const filePolicy = (name: string, command: string, roles: string, named: Fault['named'], env: Fault['env'] = {}): Fault => ({
  name,
  break: `create policy "Open" on storage.objects for ${command} to ${roles} ${command === 'insert' ? 'with check' : 'using'} (bucket_id = 'media')${env.MEDIA_ACCESS === 'private' ? `; update storage.buckets set public = false where id = 'media'` : ''}`,
  named,
  env,
  mend: `drop policy "Open" on storage.objects; update storage.buckets set public = true where id = 'media'`,
  only: ['files'],
})

const files: Fault[] = [
  filePolicy('files that users list and sign', 'select', 'authenticated', [['files.list media', /another user lists/], ['files.sign media', /another user/]]),
  filePolicy('files that anybody reads', 'select', 'anon', [['files.read media', /without a sign-in/]], { MEDIA_ACCESS: 'private' }),
  filePolicy('files that others read', 'select', 'authenticated', [['files.read media', /another user/]], { MEDIA_ACCESS: 'private' }),
  filePolicy('files that users upload', 'insert', 'authenticated', [['files.upload media', /another user uploads into the folder/], 'files.planted media']),
  filePolicy('files that anybody uploads', 'insert', 'anon', [['files.upload media', /without a sign-in uploads/]]),
  filePolicy('files that users change', 'all', 'authenticated', [['files.overwrite media', /another user/], ['files.copy media', /another user/], ['files.move media', /another user/]]),
  { ...filePolicy('files that users remove', 'delete', 'authenticated', ['files.remove media', 'files.lost media']), break: `create policy "Open" on storage.objects for delete to authenticated using (bucket_id = 'media'); create policy "See" on storage.objects for select to authenticated using (bucket_id = 'media')`, mend: 'drop policy "Open" on storage.objects; drop policy "See" on storage.objects' },
]

const bucket = (change: string): { break: string; mend: string; only: string[] } => ({ break: `update storage.buckets set ${change} where id = 'media'`, mend: `update storage.buckets set public = true, allowed_mime_types = null, file_size_limit = null where id = 'media'`, only: ['bucket'] })

const buckets: Fault[] = [
  { name: 'a bucket that is private by mistake', named: [['bucket.access media', /lead nowhere/]], ...bucket('public = false') },
  { name: 'a bucket that is public by mistake', env: { MEDIA_ACCESS: 'private' }, named: [['bucket.access media', /whoever has an address/]], only: ['bucket'] },
  { name: 'a bucket that takes pictures alone', named: [['bucket.types media', /does not take video\/mp4/]], ...bucket(`allowed_mime_types = array['image/*']`) },
  { name: 'a bucket whose limit is too small', named: [['bucket.size MAX_VIDEO_BYTES', /the bucket media takes none above 50 MiB/]], ...bucket('file_size_limit = 52428800') },
  { name: 'a bucket too small for pictures', named: ['bucket.size MAX_IMAGE_BYTES', 'bucket.size MAX_VIDEO_BYTES'], ...bucket('file_size_limit = 1048576') },
  { name: 'a bucket that is missing', env: { MEDIA_BUCKET: 'elsewhere' }, named: ['bucket.missing elsewhere'], only: ['bucket'] },
  { name: 'a bucket of another name without a policy', env: { MEDIA_BUCKET: 'films' }, break: `insert into storage.buckets (id, name, public) values ('films', 'films', true)`, mend: `delete from storage.buckets where id = 'films'`, named: ['files.own-hidden films'], only: ['files'] },
]

const job = (state: string, times: string): string => `insert into pgboss.job (name, policy, state, start_after, heartbeat_on) values ('steps', 'short', '${state}', ${times})`
const noJobs = 'delete from pgboss.job'
const asOwner = (sql: string): string => `set session_replication_role = replica; ${sql}; set session_replication_role = origin`

const queue: Fault[] = [
  { name: 'a queue that is stuck', break: job('created', `now() - interval '10 minutes', null`), named: [['queue.stuck steps', /1 job .* the oldest for 10 min/]], mend: noJobs },
  { name: 'a job of a dead worker', break: job('active', `now(), now() - interval '1 hour'`), named: ['queue.dead steps'], mend: noJobs },
  { name: 'jobs that were given up', break: job('failed', 'now(), null'), named: ['queue.failed steps'], mend: noJobs },
  { name: 'a queue that is missing', break: `create table public.kept as select * from pgboss.queue where name = 'stores'; delete from pgboss.queue where name = 'stores'`, named: ['queue.missing stores'], mend: 'insert into pgboss.queue select * from public.kept; drop table public.kept' },
  { name: "a newer version's queue", break: 'update pgboss.version set version = version + 1', named: ['queue.newer pgboss.version'], mend: 'update pgboss.version set version = version - 1' },
  { name: 'a queue whose tables were changed', break: 'alter table pgboss.warning add column extra integer', named: ['queue.drift pgboss'], mend: 'alter table pgboss.warning drop column extra' },
  {
    name: 'an open generation without a job',
    break: asOwner(`insert into public.generations (prompt_id, user_id, kind, requested_model, model, provider, bucket, status, updated_at) values (gen_random_uuid(), gen_random_uuid(), 'image', 'm', 'm', 'p', 'media', 'running', now() - interval '1 day')`),
    named: ['queue.orphans public.generations'],
    mend: asOwner('delete from public.generations'),
  },
  { name: 'files that cannot be removed', break: `insert into darkroom.file_deletions (bucket, path, attempts, last_error) values ('media', 'a', 12, 'The storage is away.')`, named: [['queue.deletions darkroom.file_deletions', /The storage is away/]], mend: 'delete from darkroom.file_deletions' },
].map((fault) => ({ ...fault, only: ['queue'] }) as Fault)

describe('faults of who may do what', () => {
  let patient: Patient
  before(async () => {
    patient = await startPatient()
  })
  after(() => patient.close())

  for (const fault of [...rows, ...grants, ...files, ...buckets, ...queue]) test(fault.name, () => tryFault(patient, fault))

  test('a queue of an earlier version, or none, is no fault: the next start makes it', async () => {
    await patient.sql('update pgboss.version set version = version - 1')
    const older = await patient.examine({}, { only: ['queue'] })
    await patient.sql('update pgboss.version set version = version + 1; alter schema pgboss rename to kept')
    const none = await patient.examine({}, { only: ['queue'] })
    await patient.sql('alter schema kept rename to pgboss')
    assert.ok(older.ok && none.ok, shorten(older) + shorten(none))
    assert.match(older.checks.at(-1)!.untold.join(), /the next start of the service brings it to/)
    assert.equal(none.checks.at(-1)!.status, 'not-applicable')
  })

  test('none once all of them are mended', async () => {
    const report = await patient.examine()
    assert.deepEqual(findingsOf(report), [], shorten(report))
  })
})
