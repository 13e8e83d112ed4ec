/** What becomes of files in a backup: those that are amiss, and those that are large. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import path from 'node:path'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { backUp } from '../../src/backup/back-up.ts'
import { keptFile, readManifest, type FileEntry } from '../../src/backup/manifest.ts'
import { restore } from '../../src/backup/restore.ts'
import { runAdmin } from '../support/audit.ts'
import { allFiles, emptyProject, listOf, makeWork, project, projectWithWork } from '../support/backups.ts'
import { startResumableStorage } from '../support/resumable-storage.ts'
import { startTestService } from '../support/service.ts'
import { startStorageProxy, type StorageProxy } from '../support/storage-proxy.ts'
import { signUp, sql } from '../support/supabase.ts'

const MIB = 1024 * 1024
const FILE_BYTES = 96 * MIB
/** What a process may have resident while it copies that file, half of which it has by itself. */
const MEMORY_BYTES = 170 * MIB
/** Loaded into a process, it tells at the end the most that was resident at once. */
const TELL_MEMORY = `let peak=0;const look=()=>{peak=Math.max(peak,process.memoryUsage.rss())};setInterval(look,5).unref();process.on('exit',()=>{look();console.error('held',peak)})`

let root: string
before(async () => {
  root = await mkdtemp('/var/tmp/darkroom-backup-')
})
after(() => rm(root, { recursive: true, force: true }))

let count = 0
const newDirectory = () => path.join(root, String(count++))

describe('files that are not as their rows say', () => {
  let proxy: StorageProxy
  let entries: FileEntry[]
  let pictures: FileEntry[]
  let video: FileEntry
  before(async () => {
    await projectWithWork()
    const directory = newDirectory()
    await backUp({ project, directory, withFiles: true })
    entries = await listOf(directory)
    pictures = entries.filter(({ contentType }) => contentType === 'image/jpeg')
    video = entries.find(({ contentType }) => contentType === 'video/mp4')!
  })
  beforeEach(async () => {
    proxy = await startStorageProxy()
  })
  afterEach(() => proxy.close())
  const through = () => ({ ...project, supabaseUrl: proxy.url })
  const isFor = (request: string, { path: key }: FileEntry) => request === `GET /storage/v1/object/media/${key}`

  test('those whose rows are deleted while the backup is made', async () => {
    const service = await startTestService()
    const other = await makeWork(service)
    let deletion: Promise<unknown> | undefined
    proxy.intercept = async (request) => {
      if (!request.includes('/object/')) return undefined
      deletion ??= (async () => {
        const { error } = await other.client.from('prompts').delete().eq('user_id', other.id)
        assert.equal(error, null)
        // As soon as the worker is done.
        while ((await sql(`select from storage.objects where name like $1 || '/%'`, [other.id])).length > 0);
      })()
      await deletion
      return undefined
    }
    const directory = newDirectory()
    const { deletedMeanwhile, problems, manifest } = await backUp({ project: through(), directory, withFiles: true })
    await service.close()
    assert.deepEqual(problems, [])
    assert.equal(deletedMeanwhile.length, 5)
    assert.ok(deletedMeanwhile.every(({ path: key, problem }) => key.startsWith(other.id) && problem === 'missing'))
    assert.equal(manifest.files.problems, 5)
    assert.equal(manifest.tables.find(({ name }) => name === 'public.prompts')!.rows, 4)
  })

  test('those that are missing, differ, cannot be read, or have no proper path', async () => {
    const [missing, differing, unreadable] = [pictures[0]!, pictures[1]!, video]
    proxy.intercept = async (request) => {
      if (isFor(request, missing)) return { status: 400, body: '{"statusCode":"404","error":"not_found","message":"Object not found"}' }
      if (isFor(request, differing)) return { status: 200, body: Buffer.alloc(differing.size!, 1) }
      if (isFor(request, unreadable)) return { status: 500, body: '{"statusCode":"500","error":"internal","message":"The bytes are gone"}' }
      return undefined
    }
    const [row] = await sql<{ id: string; thumbnail_path: string }>('select id, thumbnail_path from public.images limit 1')
    await sql(`update public.images set thumbnail_path = '../' || thumbnail_path where id = $1`, [row!.id])
    const directory = newDirectory()
    const { code, errors } = await runAdmin(['backup', directory, '--files'], { SUPABASE_URL: proxy.url })
    await sql('update public.images set thumbnail_path = $2 where id = $1', [row!.id, row!.thumbnail_path])
    assert.equal(code, 1)
    assert.match(errors, new RegExp(`missing: media/${missing.path}`))
    const found = (await listOf(directory)).filter(({ problem }) => problem !== undefined)
    assert.deepEqual(new Map(found.map(({ path: key, problem }) => [key, problem])), new Map([[`../${row!.thumbnail_path}`, 'no proper path'], [missing.path, 'missing'], [differing.path, 'differs from its row'], [unreadable.path, 'unreadable']]))
    // It is a whole backup of all the rest.
    assert.deepEqual((await restore({ project, directory, skipUnknownUsers: false, into: project.supabaseUrl })).files.missing, [])
  })

  test('a transfer that breaks off is tried again', async () => {
    let isBroken = false
    proxy.intercept = async (request) => {
      if (isBroken || !isFor(request, video)) return undefined
      isBroken = true
      throw new Error('cut')
    }
    const { problems } = await backUp({ project: through(), directory: newDirectory(), withFiles: true })
    assert.deepEqual([isBroken, problems], [true, []])
  })

  test('a Storage that is away, or does not know the key, ends it, and the backup before stays whole', async () => {
    const directory = newDirectory()
    const { manifest } = await backUp({ project, directory, withFiles: true })
    await rm(keptFile(directory, entries[0]!))
    await assert.rejects(backUp({ project: { ...project, secretKey: 'sb_secret_wrong' }, directory, withFiles: true }), { code: 'storage_unavailable' })
    proxy.intercept = async (request) => (proxy.requests.length > 1 ? { status: 503, body: request } : undefined)
    await assert.rejects(backUp({ project: through(), directory, withFiles: true }), { code: 'storage_unavailable' })
    assert.deepEqual(await readManifest(directory), manifest)
    assert.equal((await backUp({ project, directory, withFiles: true })).fetched, 1)
  })
})

test('a large file passes through, out of Storage and back, without being held', async () => {
  await emptyProject()
  // The local Storage alone takes no file so large.
  const storage = await startResumableStorage()
  const service = await startTestService({ simulator: { minVideoBytes: FILE_BYTES }, env: { SUPABASE_URL: storage.url, DOWNLOAD_TIMEOUT_SECONDS: '30' } })
  try {
    const answer = await service.generateVideo(await signUp(), { prompt: 'A long one', duration: '2' })
    assert.equal(((await answer.json()) as { error?: string }).error, undefined)
    const files = await allFiles()
    const directory = newDirectory()
    const env = { NODE_OPTIONS: `--max-semi-space-size=1 --import=data:text/javascript,${encodeURIComponent(TELL_MEMORY)}`, SUPABASE_URL: storage.url }
    const run = async (...args: string[]) => {
      const { code, errors } = await runAdmin(args, env)
      assert.equal(code, 0, errors)
      const held = Number(/held (\d+)/.exec(errors)?.[1])
      assert.ok(held > 0 && held < MEMORY_BYTES, `${held / MIB} MiB were held`)
    }
    await run('backup', directory, '--files')
    await service.close()
    await emptyProject()
    storage.requests.length = 0
    await run('restore', directory)
    assert.ok(storage.requests.filter(({ method }) => method === 'PATCH').length >= FILE_BYTES / (6 * MIB))
    assert.deepEqual(await allFiles(), files)
  } finally {
    await service.close()
    await storage.close()
  }
})
