import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { backUp } from '../../src/backup/back-up.ts'
import { keptFile, readManifest, tableFile, usersFile } from '../../src/backup/manifest.ts'
import { restore } from '../../src/backup/restore.ts'
import { KEPT_TABLES, LEFT_TABLES } from '../../src/backup/tables.ts'
import { runAdmin } from '../support/audit.ts'
import { allFiles, allRows, emptyProject, listOf, makeWork, project, projectWithWork } from '../support/backups.ts'
import { startTestService } from '../support/service.ts'
import { startStorageProxy } from '../support/storage-proxy.ts'
import { signUp, sql, supabase, type TestUser } from '../support/supabase.ts'

let root: string
let user: TestUser
before(async () => {
  root = await mkdtemp('/var/tmp/darkroom-backup-')
  user = await projectWithWork()
})
after(() => rm(root, { recursive: true, force: true }))

let count = 0
const newDirectory = () => path.join(root, String(count++))

describe('the command', () => {
  test('tells what there is, and what was not understood', async () => {
    const [list, help, ...refusals] = await Promise.all([['--help'], ['backup', '--help'], ['backup'], ['backup', root, '--file'], ['restore', 'a', 'b']].map((args) => runAdmin(args)))
    assert.match(list!.output, /^  backup .+[^]*^  restore /m)
    assert.match(help!.output, /--files/)
    for (const { code, errors } of refusals) {
      assert.equal(code, 2, errors)
      assert.doesNotMatch(errors, /\n\s+at /)
    }
  })

  test('names everything that is missing of a hosted project', async () => {
    const { code, errors } = await runAdmin(['backup', newDirectory()], { SUPABASE_URL: 'x', SUPABASE_SECRET_KEY: '', DATABASE_URL: 'postgresql://u:p@db.example.com:6543/postgres' })
    assert.equal(code, 1)
    for (const name of ['SUPABASE_URL', 'SUPABASE_SECRET_KEY', '6543', 'DATABASE_CA']) assert.match(errors, new RegExp(`- .*${name}`))
    assert.doesNotMatch(errors, /:p@/)
  })
})

describe('a backup', () => {
  test('comes back row by row and byte by byte, once and twice', async () => {
    const directory = newDirectory()
    const before = { rows: await allRows(), files: await allFiles() }
    assert.equal(Object.keys(before.files).length, 5)
    const made = await runAdmin(['backup', directory, '--files'])
    assert.equal(made.code, 0, made.errors)
    const [told] = made.lines as [{ rows: Record<string, number>; files: object }]
    assert.deepEqual([made.lines.length, told.rows['public.images'], told.files], [1, 2, { kept: true, count: 5, bytes: (await readManifest(directory)).files.keptBytes, fetched: 5, deletedMeanwhile: [], problems: [] }])
    assert.match(made.errors, /^public\.images: 2 rows$/m)
    await emptyProject()
    const first = await runAdmin(['restore', directory])
    assert.equal(first.code, 0, first.errors)
    const [done] = first.lines as [{ rows: Record<string, object>; files: object }]
    assert.deepEqual([done.rows['public.images'], done.files], [{ inserted: 2, same: 0, differs: 0, skipped: 0 }, { uploaded: 5, bytes: (await readManifest(directory)).files.keptBytes, there: 0, missing: 0 }])
    assert.match(first.errors, new RegExp(`^Into ${supabase.url}\\.$`, 'm'))
    for (let times = 1; times <= 2; times++) {
      assert.deepEqual({ rows: await allRows(), files: await allFiles() }, before)
      const { rows, files } = await restore({ project, directory, skipUnknownUsers: false })
      assert.deepEqual([files.uploaded, files.there, files.missing], [0, 5, []])
      for (const { name, inserted, differs, skipped } of rows.tables) assert.deepEqual({ name, inserted, differs, skipped }, { name, inserted: 0, differs: 0, skipped: 0 })
    }
    const { data } = await user.client.from('prompts').select('prompt, images(width, bucket_url), videos(bucket_url)').order('type')
    assert.deepEqual(data!.map(({ images, videos }) => [images.length, videos.length]), [[2, 0], [0, 1]])
    const paths = await sql<{ storage_path: string }>('select storage_path from public.videos')
    assert.equal((await user.client.storage.from('media').download(paths[0]!.storage_path)).error, null)
    const stranger = await signUp()
    assert.deepEqual((await stranger.client.from('prompts').select('id')).data, [])
  })

  test('begins nothing: no job, no news, no removal, and the triggers are as they were', async () => {
    const directory = newDirectory()
    await backUp({ project, directory, withFiles: true })
    const triggers = () => sql('select tgrelid::regclass::text, tgname, tgenabled from pg_trigger where not tgisinternal order by 1, 2')
    const before = await triggers()
    // As users do, whose files then wait to be removed.
    await sql('delete from public.prompts')
    assert.ok((await sql('select from darkroom.file_deletions')).length > 0)
    await restore({ project, directory, skipUnknownUsers: false })
    assert.deepEqual(await triggers(), before)
    assert.deepEqual(await sql('select path from darkroom.file_deletions'), [])
    assert.deepEqual(await sql(`select name from pgboss.job where state in ('created', 'retry', 'active') and name <> 'sweep'`), [])
    const files = await allFiles()
    const service = await startTestService()
    assert.equal((await service.generate(user, { prompt: 'Life goes on' })).status, 200)
    await sql('delete from public.prompts where prompt = $1', ['Life goes on'])
    await service.close()
    assert.deepEqual(await allFiles(), files)
  })

  test('of rows alone lists the files, and the next one fetches them', async () => {
    const directory = newDirectory()
    const { lines } = await runAdmin(['backup', directory])
    assert.deepEqual(lines[0]!.files, { kept: false, count: 5, bytes: 0, fetched: 0, deletedMeanwhile: [], problems: [] })
    const listed = await listOf(directory)
    assert.deepEqual(listed.map(({ contentType }) => contentType).toSorted(), ['image/jpeg', 'image/jpeg', 'image/webp', 'image/webp', 'video/mp4'])
    for (const { sha256, contentType } of listed) assert.equal(sha256 === null, contentType === 'image/webp')
    await restore({ project, directory, skipUnknownUsers: false })
    assert.equal((await backUp({ project, directory, withFiles: true })).fetched, 5)
    assert.ok((await listOf(directory)).every(({ size, sha256 }) => size! > 0 && sha256!.length === 64))
    // A later one of rows alone leaves them for the next one that wants files.
    assert.equal((await backUp({ project, directory, withFiles: false })).manifest.files.areKept, false)
    assert.equal((await backUp({ project, directory, withFiles: true })).fetched, 0)
  })

  test('into the same directory fetches what is missing or changed, and drops what is gone', async () => {
    const directory = newDirectory()
    const first = await backUp({ project, directory, withFiles: true })
    const entries = await listOf(directory)
    const damaged = [entries.find(({ contentType }) => contentType === 'video/mp4')!, entries.find(({ contentType }) => contentType === 'image/webp')!]
    for (const entry of damaged) await writeFile(keptFile(directory, entry), Buffer.alloc(entry.size!, 7))
    await rm(keptFile(directory, entries.find(({ contentType }) => contentType === 'image/jpeg')!))
    const second = await backUp({ project, directory, withFiles: true })
    assert.equal(second.fetched, 3)
    assert.deepEqual(second.manifest.tables, first.manifest.tables)
    assert.deepEqual(await listOf(directory), entries)
    const service = await startTestService()
    const other = await makeWork(service)
    assert.equal((await backUp({ project, directory, withFiles: true })).fetched, 5)
    await other.client.from('prompts').delete().eq('user_id', other.id)
    const last = await backUp({ project, directory, withFiles: true })
    await service.close()
    assert.deepEqual([last.fetched, last.manifest.files.count], [0, 5])
    const kept = (await readdir(directory, { recursive: true, withFileTypes: true })).map((entry) => entry.name)
    assert.ok(!kept.includes(other.id) && kept.includes(user.id))
    assert.equal(kept.filter((name) => name.startsWith('rows.')).length, 1)
  })

  test('holds no secret, and is for its owner alone', async () => {
    const directory = newDirectory()
    await mkdir(directory, { mode: 0o755 })
    user = await projectWithWork()
    const [{ token } = { token: '' }] = await sql<{ token: string }>('select callback_token as token from darkroom.submissions where callback_token is not null')
    assert.ok(token.length > 20)
    const manifest = (await backUp({ project, directory, withFiles: false })).manifest
    const entries = await readdir(directory, { recursive: true, withFileTypes: true })
    const names = entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name))
    for (const folder of [directory, ...entries.filter((entry) => entry.isDirectory()).map((entry) => path.join(entry.parentPath, entry.name))]) assert.equal((await stat(folder)).mode & 0o777, 0o700, folder)
    const secrets = [token, supabase.secretKey, supabase.jwtSecret, new URL(supabase.databaseUrl).password + '@']
    for (const name of names) {
      const text = await readFile(name, 'utf8')
      for (const secret of secrets) assert.ok(!text.includes(secret), name)
      assert.equal((await stat(name)).mode & 0o777, 0o600, name)
    }
    const columns = manifest.tables.flatMap((table) => table.columns)
    assert.deepEqual(columns.filter((column) => /secret|token|password/i.test(column)), [])
    assert.equal(await readFile(usersFile(directory, manifest), 'utf8'), `${user.id}\n`)
    assert.match(await readFile(tableFile(directory, manifest, 'public.prompts'), 'utf8'), /Two\\tlighthouses\\nin a \\\\ storm 🌊/)
  })
})

describe('what a backup must know', () => {
  test('every table of the migrations', async () => {
    const folder = path.resolve(import.meta.dirname, '../../supabase/migrations')
    const texts = await Promise.all((await readdir(folder)).map((file) => readFile(path.join(folder, file), 'utf8')))
    const tables = texts.flatMap((text) => [...text.matchAll(/create table (?:if not exists )?([a-z_."]+)/g)].map(([, name]) => name!))
    assert.deepEqual(tables.toSorted(), [...KEPT_TABLES.map(({ name }) => name), ...Object.keys(LEFT_TABLES)].toSorted())
  })

  test('a table or a file that nobody thought of is refused by name', async () => {
    const isRefused = async (name: RegExp) => {
      const directory = newDirectory()
      await assert.rejects(backUp({ project, directory, withFiles: false }), name)
      await assert.rejects(readManifest(directory), /no whole backup/)
    }
    try {
      await sql('create table darkroom.surprises (id int primary key)')
      await isRefused(/darkroom\.surprises/)
      await sql('drop table darkroom.surprises; create table public.songs (id int primary key)')
      await backUp({ project, directory: newDirectory(), withFiles: false })
      await sql('create trigger discard_files after delete on public.songs for each row execute function darkroom.discard_image_files()')
      await isRefused(/public\.songs/)
      await sql('drop table public.songs; alter table public.videos add column subtitles_path text')
      await isRefused(/public\.videos\.subtitles_path/)
    } finally {
      await sql('drop table if exists darkroom.surprises, public.songs; alter table public.videos drop column if exists subtitles_path')
    }
  })

  test('where it may write, and that nobody else does', async () => {
    const directory = newDirectory()
    await assert.rejects(backUp({ project, directory: path.resolve(import.meta.dirname), withFiles: false }), /no backup/)
    const proxy = await startStorageProxy()
    const asked = Promise.withResolvers<void>()
    const answering = Promise.withResolvers<void>()
    proxy.intercept = async () => {
      asked.resolve()
      await answering.promise
      return undefined
    }
    const running = backUp({ project: { ...project, supabaseUrl: proxy.url }, directory, withFiles: true })
    await asked.promise
    await assert.rejects(backUp({ project, directory, withFiles: true }), /Another backup into .* is under way/)
    answering.resolve()
    await running
    await proxy.close()
  })
})
