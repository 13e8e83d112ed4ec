import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { startModelArkSimulator, type ModelArkSimulator } from './simulator/modelark.ts'
import { forgetJobs } from './support/jobs.ts'
import { collect, exited, spawnMain, startProcess, type RunningProcess } from './support/process.ts'
import { eventually } from './support/service.ts'
import { signUp, sql, storedFiles, supabase, type TestUser } from './support/supabase.ts'

describe('the process', () => {
  let simulator: ModelArkSimulator
  let user: TestUser
  const running: ChildProcess[] = []
  before(async () => {
    simulator = await startModelArkSimulator()
    user = await signUp()
    await forgetJobs()
  })
  after(async () => {
    for (const child of running) child.kill('SIGKILL')
    await simulator.close()
  })

  async function start(role: string[] = [], env: Record<string, string> = {}): Promise<RunningProcess> {
    const started = await startProcess(role, { ARK_API_KEY: simulator.apiKey, ARK_BASE_URL: simulator.baseURL, ...env })
    running.push(started.child)
    return started
  }

  const generate = (url: string, body: unknown) => fetch(`${url}/api/images/generate`, { method: 'POST', headers: { authorization: `Bearer ${user.token}`, 'content-type': 'application/json' }, body: JSON.stringify(body) })
  const latest = async () => (await sql<{ id: string; status: string; error: { code: string } | null }>('select id, status, error from public.generations where user_id = $1 order by created_at desc limit 1', [user.id]))[0]

  test('refuses to start with one list of everything that is missing or wrong', async () => {
    const child = spawnMain({ PORT: 'abc', DATABASE_URL: 'postgresql://u:p@host:6543/db', MEDIA_ACCESS: 'secret', ARK_BASE_URL: 'ftp://x', TRUST_PROXY: '!!' })
    const names = ['PORT', 'SUPABASE_URL', 'SUPABASE_SECRET_KEY', 'SUPABASE_PUBLISHABLE_KEY', 'CORS_ORIGINS', 'MEDIA_ACCESS', 'DATABASE_URL', 'DATABASE_CA', 'ARK_BASE_URL', 'TRUST_PROXY']
    const errors = collect(child.stderr)
    assert.equal(await exited(child), 1)
    for (const name of names) assert.match(errors(), new RegExp(`- ${name}\\b`), errors())
    assert.doesNotMatch(errors(), /:p@|at file:/)
  })

  test('says what to do when the database has no schema, or the models file is wrong', async () => {
    const { errors, child } = await start([], { MODELS_FILE: path.resolve(import.meta.dirname, '../package.json') })
    assert.equal(await exited(child), 1)
    assert.match(errors(), /JSON array of models/)
    await sql('create database empty')
    const empty = await start([], { DATABASE_URL: supabase.databaseUrl.replace(/postgres$/, 'empty') })
    assert.equal(await exited(empty.child), 1)
    assert.match(empty.errors(), /npm run migrate/)
  })

  test('SIGTERM lets a picture that is being made be finished and answered, then exits 0', async () => {
    const { child, url } = await start()
    const creates = simulator.requests.length
    const release = simulator.hold()
    const request = generate(url, { prompt: 'Just in time' })
    await eventually(async () => simulator.requests.length > creates, 'the provider was asked')
    child.kill('SIGTERM')
    child.kill('SIGTERM')
    await eventually(async () => fetch(`${url}/health/live`).then(() => false, () => true), 'no new connection is taken')
    release()
    assert.equal((await request).status, 200)
    assert.equal(await exited(child), 0)
  })

  test('web and worker work apart, and web alone does no work', async () => {
    const web = await start(['web'])
    const request = generate(web.url, { prompt: 'Together apart' })
    await eventually(async () => (await latest())?.status === 'queued', 'it is queued')
    const worker = await start(['worker'])
    assert.equal(worker.url, 'undefined')
    assert.equal((await request).status, 200)
    for (const { child } of [web, worker]) {
      child.kill('SIGTERM')
      assert.equal(await exited(child), 0)
    }
  })

  test('kill -9 while the provider works: never asked twice, and told so', async () => {
    const { child, url } = await start()
    const creates = simulator.requests.length
    const release = simulator.hold()
    const request = generate(url, { prompt: 'Killed' }).catch(() => undefined)
    await eventually(async () => simulator.requests.length > creates, 'the provider was asked')
    child.kill('SIGKILL')
    await request
    release()
    const next = await start()
    await eventually(async () => (await latest())?.status === 'failed', 'it is settled', 60_000)
    assert.equal((await latest())!.error!.code, 'submission_unknown')
    assert.equal(simulator.requests.length - creates, 1)
    next.child.kill('SIGTERM')
    await exited(next.child)
  })

  test('kill -9 while storing: the next process stores the paid picture', async () => {
    const { child, url } = await start([], { SUPABASE_URL: supabase.url, DOWNLOAD_TIMEOUT_SECONDS: '60' })
    const creates = simulator.requests.length
    const fetches = simulator.fetches()
    simulator.behave('file-hang-once')
    const request = generate(url, { prompt: 'Killed later' }).catch(() => undefined)
    await eventually(async () => simulator.fetches() > fetches, 'it is being stored')
    assert.equal((await latest())?.status, 'storing')
    child.kill('SIGKILL')
    await request
    const next = await start()
    await eventually(async () => (await latest())?.status === 'succeeded', 'it is stored', 60_000)
    assert.equal(simulator.requests.length - creates, 1)
    assert.ok((await storedFiles(user.id)).some((file) => file.includes(`${user.id}/`)))
    next.child.kill('SIGTERM')
    assert.equal(await exited(next.child), 0)
  })
})
