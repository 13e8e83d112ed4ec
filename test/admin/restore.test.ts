import assert from 'node:assert/strict'
import { mkdtemp, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import pg from 'pg'
import { backUp } from '../../src/backup/back-up.ts'
import { readManifest } from '../../src/backup/manifest.ts'
import { restore, type RestoreOptions } from '../../src/backup/restore.ts'
import { KEPT_TABLES } from '../../src/backup/tables.ts'
import { applyMigrations } from '../../src/supabase/migrations.ts'
import { runAdmin } from '../support/audit.ts'
import { allFiles, allRows, emptyProject, listOf, makeWork, project, projectWithWork } from '../support/backups.ts'
import { HOSTED, POLICY_OWNER } from '../support/hosted.ts'
import { startTestService } from '../support/service.ts'
import { startResumableStorage } from '../support/resumable-storage.ts'
import { startStorageProxy } from '../support/storage-proxy.ts'
import { sql, supabase, type TestUser } from '../support/supabase.ts'

let root: string
before(async () => {
  root = await mkdtemp('/var/tmp/darkroom-restore-')
})
after(() => rm(root, { recursive: true, force: true }))

let count = 0
const newDirectory = () => path.join(root, String(count++))
const bringBack = (directory: string, more: Partial<RestoreOptions> = {}) => restore({ project, directory, skipUnknownUsers: false, ...more })

describe('a backup of finished work', () => {
  let user: TestUser
  let directory: string
  let rows: Awaited<ReturnType<typeof allRows>>
  let files: Awaited<ReturnType<typeof allFiles>>
  before(async () => {
    user = await projectWithWork()
    directory = newDirectory()
    await backUp({ project, directory, withFiles: true })
    ;[rows, files] = [await allRows(), await allFiles()]
  })
  beforeEach(emptyProject)

  async function assertNothingWritten(): Promise<void> {
    assert.deepEqual(Object.values(await allRows()).flat(), [])
    assert.deepEqual(await sql(`select name from storage.objects where bucket_id = 'media'`), [])
  }

  test('rows that differ are left as they are, and told', async () => {
    await bringBack(directory)
    const [video] = await sql<{ id: string; storage_path: string }>('select id, storage_path from public.videos')
    await sql(`update public.prompts set prompt = 'Another text' where type = 'image'`)
    await sql(`delete from public.videos where id = $1`, [video!.id])
    // Another row in its place, which holds what only one may have.
    await sql(`insert into public.videos select (jsonb_populate_record(null::public.videos, $1::jsonb)).*`, [JSON.stringify({ ...rows['public.videos']![0], id: crypto.randomUUID(), storage_path: 'elsewhere.mp4' })])
    await sql(`delete from public.images where index = 1`)
    const changed = await allRows()
    await assert.rejects(bringBack(directory), /not empty: it has 1 rows of public\.videos that the backup does not have\. With --merge/)
    const report = await bringBack(directory, { merge: true })
    const told = Object.fromEntries(report.rows.tables.map(({ name, inserted, same, differs }) => [name, [inserted, same, differs]]))
    assert.deepEqual([told['public.prompts'], told['public.videos'], told['public.images']], [[0, 1, 1], [0, 0, 1], [1, 1, 0]])
    // The second picture is stored again: its entry that it went is gone, and the balance says so.
    const again = rows['public.images']!.find(({ index }) => index === 1)!
    const ledger = changed['public.usage_ledger']!.filter(({ entry, path: key }) => !(entry === 'free' && key === again.storage_path))
    assert.equal(ledger.length, changed['public.usage_ledger']!.length - 1)
    const [account] = changed['darkroom.accounts'] as [{ used_bytes: number }]
    const balance = { ...account, used_bytes: account.used_bytes + (again.file_size as number) }
    assert.deepEqual(await allRows(), { ...changed, 'public.images': rows['public.images'], 'public.usage_ledger': ledger, 'darkroom.accounts': [balance] })
    assert.ok(report.rows.withoutRows.has(`media/${video!.storage_path}`))
    const { code, lines, errors } = await runAdmin(['restore', directory, '--merge'])
    assert.equal(code, 0)
    assert.deepEqual((lines[0]!.rows as Record<string, object>)['public.videos'], { inserted: 0, same: 0, differs: 1, skipped: 0 })
    assert.match(errors, new RegExp(`public\\.videos: 1 rows differ and were left as they are \\(${video!.id}\\)`))
  })

  test('users who are not there are refused, or left out with all that is theirs', async () => {
    const service = await startTestService()
    const gone = await makeWork(service)
    await bringBack(directory, { merge: true })
    const both = newDirectory()
    await backUp({ project, directory: both, withFiles: true })
    await service.close()
    await sql('delete from auth.users where id = $1', [gone.id])
    await emptyProject()
    await assert.rejects(bringBack(both), new RegExp(`A user is not in this project[^]*${gone.id}[^]*--skip-unknown-users`))
    await assertNothingWritten()
    const report = await bringBack(both, { skipUnknownUsers: true })
    assert.deepEqual(report.rows.unknownUsers, { count: 1, ids: [gone.id] })
    assert.equal(report.files.uploaded, 5)
    assert.deepEqual([await allRows(), await allFiles()], [rows, files])
    assert.equal((await sql(`select from storage.objects where name like $1 || '/%'`, [gone.id])).length, 0)
  })

  test('goes into a project of another address, and so do its links', async () => {
    const storage = await startResumableStorage()
    const moved = { ...project, supabaseUrl: storage.url }
    await assert.rejects(bringBack(directory, { project: moved }), new RegExp(`The backup is of ${supabase.url}.* say --into ${storage.url}`))
    await assert.rejects(bringBack(directory, { project: moved, into: supabase.url }), /--into names/)
    await assertNothingWritten()
    const into = storage.url
    const { files: outcome } = await bringBack(directory, { project: moved, into })
    assert.equal(outcome.uploaded, 5)
    const text = JSON.stringify(await allRows())
    assert.ok(!text.includes(supabase.url) && text.includes(`${storage.url}/storage/v1/object/public/media/`))
    assert.deepEqual(JSON.parse(text.replaceAll(storage.url, supabase.url)), JSON.parse(JSON.stringify(rows)))
    // And again: what was moved is the same there.
    const again = await bringBack(directory, { project: moved, into })
    assert.ok(again.rows.tables.every(({ inserted, differs }) => inserted + differs === 0))
    await storage.close()
  })

  test('files that Storage still lists and no longer has come back', async () => {
    await bringBack(directory)
    const folder = path.join(supabase.directory, 'storage')
    await rename(path.join(folder, 'media'), path.join(folder, 'lost'))
    await rm(path.join(folder, '.notes'), { recursive: true })
    const report = await bringBack(directory)
    assert.deepEqual([report.files.uploaded, report.files.there], [5, 0])
    assert.deepEqual(await allFiles(), files)
    await rm(path.join(folder, 'lost'), { recursive: true })
  })

  test('a file of another length takes its proper form again', async () => {
    await bringBack(directory)
    const [entry] = await listOf(directory)
    const headers = { authorization: `Bearer ${supabase.secretKey}`, apikey: supabase.secretKey, 'x-upsert': 'true', 'content-type': 'image/jpeg' }
    await fetch(`${supabase.url}/storage/v1/object/media/${entry!.path}`, { method: 'POST', headers, body: 'broken' })
    assert.equal((await bringBack(directory)).files.uploaded, 1)
    assert.deepEqual(await allFiles(), files)
  })

  test('a file counts as stored only once it reads back as it was', async () => {
    const proxy = await startStorageProxy()
    const video = (await listOf(directory)).find(({ contentType }) => contentType === 'video/mp4')!
    let lost = 1
    // Storage says that it has it, and has not.
    proxy.intercept = async (request) => (request === `POST /storage/v1/object/media/${video.path}` && lost-- > 0 ? { status: 200, body: '{}' } : undefined)
    const through = { ...project, supabaseUrl: proxy.url }
    assert.equal((await bringBack(directory, { project: through, into: proxy.url })).files.uploaded, 5)
    assert.deepEqual(await allFiles(), files)
    await emptyProject()
    lost = Infinity
    await assert.rejects(bringBack(directory, { project: through, into: proxy.url }), { code: 'storage_unavailable' })
    await proxy.close()
    assert.deepEqual((await bringBack(directory)).files.missing, [])
    assert.deepEqual(await allFiles(), files)
  })

  test('one at a time', async () => {
    const other = new pg.Client({ connectionString: supabase.databaseUrl })
    await other.connect()
    await other.query(`select pg_advisory_lock(hashtextextended('darkroom restore', 0))`)
    await assert.rejects(bringBack(directory), /Another restore/)
    await other.end()
    await assertNothingWritten()
  })

  test('one of rows alone tells which files are nowhere', async () => {
    await bringBack(directory)
    const alone = newDirectory()
    await backUp({ project, directory: alone, withFiles: false })
    await emptyProject()
    const { code, errors } = await runAdmin(['restore', alone])
    assert.equal(code, 1)
    for (const { bucket, path: key } of await listOf(directory)) assert.match(errors, new RegExp(`neither in Storage nor in the backup[^]*${bucket}/${key}`))
    assert.deepEqual(await allRows(), rows)
    assert.deepEqual((await bringBack(directory)).files, { uploaded: 5, uploadedBytes: Number((await readManifest(directory)).files.keptBytes), there: 0, missing: [] })
  })

  test('into a bucket that has to be made first', async () => {
    await sql(`delete from storage.buckets where id = 'media'`)
    await bringBack(directory)
    assert.deepEqual(await sql(`select public from storage.buckets where id = 'media'`), [{ public: true }])
    assert.deepEqual(await allFiles(), files)
    assert.equal((await user.client.storage.from('media').list(user.id)).error, null)
  })

  test('into a hosted project, whose owner is no superuser', async () => {
    await bringBack(directory)
    const alone = newDirectory()
    await backUp({ project, directory: alone, withFiles: false })
    const database = `hosted_${crypto.randomUUID().slice(0, 8)}`
    await sql(`create database ${database}`)
    const admin = new pg.Client({ connectionString: supabase.databaseUrl.replace(/postgres$/, database) })
    await admin.connect()
    await admin.query(HOSTED.replace('%DATABASE%', database) + POLICY_OWNER)
    await admin.query('insert into auth.users (id) values ($1)', [user.id])
    const hosted = { ...project, databaseUrl: supabase.databaseUrl.replace(/\/\/postgres:[^@]*@/, '//hosted_postgres:hosted@').replace(/postgres$/, database) }
    await applyMigrations({ url: hosted.databaseUrl })
    const meant = () => bringBack(alone, { project: hosted })
    try {
      await assert.rejects(meant(), /SUPABASE_URL and DATABASE_URL are of two projects/)
      assert.deepEqual((await admin.query('select from public.prompts')).rows, [])
      const [bucket] = await sql<{ created_at: string }>(`select created_at::text from storage.buckets where id = 'media'`)
      await admin.query('update storage.buckets set created_at = $1', [bucket!.created_at])
      const report = await meant()
      assert.deepEqual(report.rows.tables.map(({ name, inserted }) => [name, inserted]), report.manifest.tables.map((table) => [table.name, table.rows]))
      const copy = await backUp({ project: hosted, directory: newDirectory(), withFiles: false })
      assert.deepEqual(copy.manifest.tables, report.manifest.tables)
    } finally {
      await admin.end()
      await sql(`drop database ${database} with (force)`)
      await sql('drop role hosted_postgres')
      await sql('drop role hosted_admin')
    }
  })

  test('tables that number their rows go on where they were', async () => {
    await bringBack(directory)
    const tables = [...KEPT_TABLES, { name: 'darkroom.ledger' }]
    try {
      await sql(`create table darkroom.ledger (id bigint generated always as identity primary key, user_id uuid not null references auth.users (id), amount bigint not null, doubled bigint generated always as (amount * 2) stored)`)
      await sql(`create function darkroom.refuse() returns trigger language plpgsql as $$ begin raise exception 'never'; end $$`)
      await sql('insert into darkroom.ledger (user_id, amount) select $1, n from generate_series(1, 30) as n', [user.id])
      await sql('create trigger refuse before insert on darkroom.ledger for each row execute function darkroom.refuse()')
      const ledger = await sql('select * from darkroom.ledger order by id')
      const copy = newDirectory()
      await backUp({ project, directory: copy, withFiles: false, tables })
      await sql('truncate darkroom.ledger restart identity')
      await bringBack(copy, { tables })
      assert.deepEqual(await sql('select * from darkroom.ledger order by id'), ledger)
      await assert.rejects(sql('insert into darkroom.ledger (user_id, amount) values ($1, 1)', [user.id]), /never/)
      await sql('drop trigger refuse on darkroom.ledger')
      const [next] = await sql<{ id: string }>('insert into darkroom.ledger (user_id, amount) values ($1, 1) returning id', [user.id])
      assert.ok(Number(next!.id) > 30)
    } finally {
      await sql('drop table if exists darkroom.ledger; drop function if exists darkroom.refuse()')
    }
  })
})
