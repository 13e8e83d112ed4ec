/**
 * What `kill -9` does to a backup and to a restore: nothing that looks whole and is not, and the next run goes on. The
 * doomed processes talk to Postgres and Storage through proxies that kill them at the point.
 */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { backUp } from '../../src/backup/back-up.ts'
import { readManifest } from '../../src/backup/manifest.ts'
import { restore } from '../../src/backup/restore.ts'
import { verifyBackup } from '../../src/backup/verify.ts'
import { startAdmin } from '../support/audit.ts'
import { allFiles, allRows, emptyProject, project, projectWithWork } from '../support/backups.ts'
import { startKillingProxy, type KillingProxy, type Moment } from '../support/killing-proxy.ts'
import { sql, supabase } from '../support/supabase.ts'

type Point = [name: string, to: 'database' | 'storage', words: string, moment: Moment]

const OF_A_BACKUP: Point[] = [
  ['while a table is written', 'database', 'from "darkroom"."submissions"', 'after'],
  ['as the files are listed', 'database', 'declare named_files', 'after'],
  ['after the rows', 'database', 'commit', 'after'],
  ['before a file is asked for', 'storage', '/0.mp4', 'before'],
  ['as a file comes', 'storage', '/1.thumb.webp', 'after'],
]

/** As a statement of its own, with its length before it. */
const COMMIT = '\u000bcommit\0'

const OF_A_RESTORE: Point[] = [
  ['as the rows come in', 'database', 'copy pg_temp."public videos"', 'middle'],
  ['after rows were written', 'database', 'insert into "darkroom"."submissions"', 'after'],
  ['before the commit', 'database', COMMIT, 'before'],
  ['after the commit', 'database', COMMIT, 'after'],
  ['before a file is stored', 'storage', 'POST /storage/v1/object/media/', 'before'],
  ['while a file is stored', 'storage', 'video/mp4', 'middle'],
  ['after a file was stored', 'storage', 'POST /storage/v1/object/media/', 'after'],
]

/** More than comes in one piece. */
const VIDEO_BYTES = 400_000

describe('kill -9', () => {
  let root: string
  let proxies: { database: KillingProxy; storage: KillingProxy }
  let rows: Awaited<ReturnType<typeof allRows>>
  let files: Awaited<ReturnType<typeof allFiles>>
  before(async () => {
    root = await mkdtemp('/var/tmp/darkroom-crash-')
    proxies = { database: await startKillingProxy(supabase.databaseUrl), storage: await startKillingProxy(supabase.url) }
    await projectWithWork({ minVideoBytes: VIDEO_BYTES })
    ;[rows, files] = [await allRows(), await allFiles()]
  })
  after(async () => {
    await proxies.database.close()
    await proxies.storage.close()
    await rm(root, { recursive: true, force: true })
  })

  /** Runs the command until the point, at which it dies. Resolves once nothing of it is at work any more. */
  async function killAt([, to, words, moment]: Point, ...args: string[]): Promise<void> {
    const url = new URL(supabase.databaseUrl)
    url.port = String(proxies.database.port)
    const supabaseUrl = `http://127.0.0.1:${proxies.storage.port}`
    const doomed = startAdmin(args[0] === 'restore' ? [...args, '--into', supabaseUrl] : args, { DATABASE_URL: url.href, SUPABASE_URL: supabaseUrl })
    const struck = proxies[to].arm(words, moment, () => void doomed.child.kill('SIGKILL'))
    const { code, errors } = await doomed.done
    assert.deepEqual([code, doomed.child.signalCode], [null, 'SIGKILL'], errors)
    await struck
    await Promise.all([proxies.database.quiet(), proxies.storage.quiet()])
  }

  describe('of a backup', () => {
    for (const point of OF_A_BACKUP) {
      test(point[0], async () => {
        const directory = path.join(root, point[0])
        await killAt(point, 'backup', directory, '--files')
        await assert.rejects(verifyBackup(directory), /no whole backup/)
        const { manifest } = await backUp({ project, directory, withFiles: true })
        assert.deepEqual(await verifyBackup(directory), manifest)
        // Files that are here are asked for no more.
        if (point[1] === 'storage') return
        // The one before stays what it was, until the new one is whole.
        await killAt(point, 'backup', directory, '--files')
        assert.deepEqual(await verifyBackup(directory), manifest)
        const next = await backUp({ project, directory, withFiles: true })
        assert.equal(next.fetched, 0)
        assert.deepEqual((await readdir(directory)).toSorted(), ['ABOUT.txt', 'files', 'manifest.json', next.manifest.folder].toSorted())
        const left = (await readdir(path.join(directory, 'files'), { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
        assert.equal(left.length, next.manifest.files.count)
      })
    }
  })

  describe('of a restore', () => {
    const directory = () => path.join(root, 'to be restored')
    before(async () => {
      await backUp({ project, directory: directory(), withFiles: true })
    })
    for (const point of OF_A_RESTORE) {
      test(point[0], async () => {
        await emptyProject()
        await killAt(point, 'restore', directory())
        assert.deepEqual(await sql(`select tgname from pg_trigger where tgenabled = 'D' and not tgisinternal`), [])
        const there = Object.values(await allRows()).map((table) => table.length)
        const all = Object.values(rows).map((table) => table.length)
        assert.deepEqual(there, there.every((length) => length === 0) ? all.map(() => 0) : all, 'all rows or none')
        assert.equal(there[0] === all[0], !OF_A_RESTORE.slice(0, 3).includes(point), 'what was committed stays')
        await restore({ project, directory: directory(), skipUnknownUsers: false })
        // What the doomed one brought back leads to where it thought it was.
        const found = JSON.parse(JSON.stringify(await allRows()).replaceAll(`http://127.0.0.1:${proxies.storage.port}`, supabase.url)) as typeof rows
        assert.deepEqual([found, await allFiles()], [JSON.parse(JSON.stringify(rows)), files])
        assert.equal((await readManifest(directory())).supabaseUrl, supabase.url)
      })
    }
  })
})
