import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { createClient } from '@supabase/supabase-js'
import { openTarget } from '../../src/admin/target.ts'
import { backUp } from '../../src/backup/back-up.ts'
import { keptFile, MANIFEST } from '../../src/backup/manifest.ts'
import { restore } from '../../src/backup/restore.ts'
import { verifyBackup } from '../../src/backup/verify.ts'
import { backUpWhenDue, type LocalBackupsOptions } from '../../src/local/backups.ts'
import { findLocalProject, openLocalProject } from '../../src/local/open-project.ts'
import { removePostgresData } from '../../src/local/postgres.ts'
import type { StackFacts } from '../../src/local/running-stack.ts'
import { startStack, type Stack } from '../../src/local/stack.ts'
import { createLogger } from '../../src/log.ts'
import { emptyProject, listOf, project, projectWithWork } from '../support/backups.ts'
import { eventually, type LogLine } from '../support/service.ts'

const HOUR_MS = 3_600_000
const NOW = Date.UTC(2026, 10, 22, 12, 30, 15)

let root: string
before(async () => {
  root = await mkdtemp('/var/tmp/darkroom-local-backups-')
})
after(() => rm(root, { recursive: true, force: true }))

const names = async (directory: string) => (await readdir(directory)).toSorted()

describe('backups of the local project', () => {
  const signal = new AbortController().signal
  const lookAt = (hours: number, options: Partial<LocalBackupsOptions> & { directory: string }) => backUpWhenDue({ project, everyMs: 24 * HOUR_MS, keep: 3, now: () => NOW + hours * HOUR_MS, ...options }, signal)

  test('none while there is nothing to keep', async () => {
    await emptyProject()
    const directory = path.join(root, 'none')
    assert.ok((await lookAt(0, { directory })) > 0)
    assert.deepEqual(await names(directory), [])
  })

  test('are made when the last one is old enough, and the oldest go', async () => {
    await projectWithWork()
    const directory = path.join(root, 'kept')
    assert.equal(await lookAt(0, { directory }), 24 * HOUR_MS)
    assert.deepEqual(await names(directory), ['2026-11-22T12-30-15Z'])
    assert.equal(await lookAt(5, { directory }), 19 * HOUR_MS)
    assert.equal(await lookAt(-100, { directory }), 24 * HOUR_MS)
    for (const hours of [24, 48, 72]) await lookAt(hours, { directory })
    assert.deepEqual(await names(directory), ['2026-11-23T12-30-15Z', '2026-11-24T12-30-15Z', '2026-11-25T12-30-15Z'])
    for (const name of await names(directory)) await verifyBackup(path.join(directory, name))
  })

  test('share the files that are the same, and stand each by itself', async () => {
    const directory = path.join(root, 'shared')
    for (const hours of [0, 24]) await lookAt(hours, { directory })
    const [first, second] = (await names(directory)).map((name) => path.join(directory, name)) as [string, string]
    const [entry] = await listOf(second)
    assert.equal((await stat(keptFile(first, entry!))).ino, (await stat(keptFile(second, entry!))).ino)
    await lookAt(48, { directory, keep: 1 })
    assert.equal((await names(directory)).length, 1)
    await verifyBackup(path.join(directory, (await names(directory))[0]!))
  })

  test('what was damaged in the last one is not shared', async () => {
    const directory = path.join(root, 'damaged')
    await lookAt(0, { directory })
    const first = path.join(directory, (await names(directory))[0]!)
    for (const entry of await listOf(first)) await writeFile(keptFile(first, entry), Buffer.alloc(entry.size!, 7))
    await lookAt(24, { directory })
    await verifyBackup(path.join(directory, (await names(directory))[1]!))
  })

  test('what a killed run left counts for nothing and goes; what is not ours stays', async () => {
    const directory = path.join(root, 'left')
    await backUp({ project, directory: path.join(directory, '2026-11-22T12-00-00Z'), withFiles: true })
    await rm(path.join(directory, '2026-11-22T12-00-00Z', MANIFEST))
    await mkdir(path.join(directory, 'by-hand'))
    await lookAt(0, { directory })
    assert.deepEqual(await names(directory), ['2026-11-22T12-30-15Z', 'by-hand'])
  })
})

describe('the local project', () => {
  const log: LogLine[] = []
  const logger = createLogger({ level: 'warn', destination: { write: (line: string) => void log.push(JSON.parse(line) as LogLine) } })
  const stacks: Stack[] = []
  after(async () => {
    for (const stack of stacks) await stack.stop()
  })
  const start = async (directory: string, more: NodeJS.ProcessEnv = {}) => {
    const stack = await startStack({ env: { PATH: process.env.PATH, PORT: '3901', ...more }, logger, directory, keepsBackups: true })
    stacks.push(stack)
    return stack
  }
  const toProject = ({ SUPABASE_URL, DATABASE_URL, SUPABASE_SECRET_KEY }: NodeJS.ProcessEnv) => ({ supabaseUrl: SUPABASE_URL!, databaseUrl: DATABASE_URL!, databaseCa: undefined, secretKey: SUPABASE_SECRET_KEY!, isLocal: true })
  const signIn = async ({ SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, DEMO_EMAIL, DEMO_PASSWORD }: StackFacts) => {
    const client = createClient(SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, { auth: { persistSession: false, autoRefreshToken: false } })
    const { data, error } = await client.auth.signInWithPassword({ email: DEMO_EMAIL, password: DEMO_PASSWORD })
    assert.equal(error, null)
    return { client, user: data.user!, token: data.session!.access_token }
  }
  const draw = async ({ API_URL }: StackFacts, token: string) => {
    const answer = await fetch(`${API_URL}/api/images/generate`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: '{"prompt": "A lighthouse"}' })
    assert.equal(answer.status, 200, await answer.text())
  }

  test('is backed up by its run, and opened by commands while it does not run; a new one takes it over, users included', async () => {
    const directory = path.join(root, 'stack')
    await assert.rejects(openLocalProject(directory), /There is no local project here/)
    const stack = await start(directory, { BACKUP_HOURS: '0' })
    const before = await signIn(stack.facts)
    await draw(stack.facts, before.token)
    assert.deepEqual(await findLocalProject(directory), undefined, 'a process does not take itself for another one')
    await stack.stop()
    assert.ok(!(await names(directory)).includes('backups'))

    const stopped = await openTarget({ DATABASE_CA: 'of another project' }, directory)
    assert.deepEqual([stopped.isLocal, stopped.isAssumed, stopped.env.DATABASE_CA], [true, true, undefined])
    const byHand = path.join(root, 'by hand')
    const made = await backUp({ project: toProject(stopped.env), directory: byHand, withFiles: true })
    await stopped.close()
    assert.deepEqual([made.fetched, made.problems], [2, []])

    const again = await start(directory)
    const backups = path.join(directory, 'backups')
    await eventually(async () => (await names(backups).catch(() => [])).length === 1 && (await verifyBackup(path.join(backups, (await names(backups))[0]!)).catch(() => false)), 'a backup is made')
    await again.stop()
    await removePostgresData(path.join(directory, 'postgres'))

    const other = path.join(root, 'other stack')
    // Its port is another one than that of the backup.
    const holder = createServer().listen(Number(new URL(made.manifest.supabaseUrl).port), '127.0.0.1').on('error', () => undefined)
    const fresh = await start(other, { BACKUP_HOURS: '0' })
    holder.close()
    assert.notEqual(fresh.facts.SUPABASE_URL, made.manifest.supabaseUrl)
    const stranger = await signIn(fresh.facts)
    assert.notEqual(stranger.user.id, before.user.id)
    const report = await restore({ project: toProject({ ...fresh.facts }), directory: byHand, skipUnknownUsers: false })
    assert.deepEqual([report.files.uploaded, report.files.missing], [2, []])
    const after = await signIn(fresh.facts)
    assert.equal(after.user.id, before.user.id)
    const { data } = await after.client.from('images').select('storage_path, bucket_url')
    assert.equal(data!.length, 1)
    assert.equal((await after.client.storage.from('media').download(data![0]!.storage_path as string)).error, null)
    assert.equal((await fetch(data![0]!.bucket_url as string)).status, 200)
    await draw(fresh.facts, after.token)

    // And what is already the other's is not taken from them.
    await assert.rejects(restore({ project: toProject({ ...fresh.facts }), directory: byHand, skipUnknownUsers: false }), /not empty/)
    const busy = await restore({ project: toProject({ ...fresh.facts }), directory: byHand, skipUnknownUsers: false, merge: true })
    assert.ok(busy.rows.tables.every(({ inserted }) => inserted === 0))
    await fresh.stop()
    await removePostgresData(path.join(other, 'postgres'))
    assert.deepEqual(log, [])
  })
})
