/** Many processes on one queue: two web and three workers, restarted one after the other while they work. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startModelArkSimulator, type ModelArkSimulator } from './simulator/modelark.ts'
import { forgetJobs } from './support/jobs.ts'
import { startProcess, type RunningProcess } from './support/process.ts'
import { eventually, toForm } from './support/service.ts'
import { signUp, sql, storedFiles, supabase, type TestUser } from './support/supabase.ts'
import { startLine, type Line } from './support/outage.ts'

/** Two hundred requests come at once: with few connections they would wait too long on a slow machine. */
const ENV = { DATABASE_POOL_SIZE: '16', LOG_LEVEL: 'info', CHECK_SECONDS: '1', MAX_CHECK_SECONDS: '1', SETTLE_SECONDS: '10', STORE_RETRY_SECONDS: '1', SHUTDOWN_SECONDS: '10' }

describe('two web and three worker processes', () => {
  let simulator: ModelArkSimulator
  let env: Record<string, string>
  let webs: RunningProcess[] = []
  let workers: RunningProcess[] = []
  let storageLine: Line
  before(async () => {
    simulator = await startModelArkSimulator({ queuedMs: 500, runningMs: 2500 })
    storageLine = await startLine(supabase.url)
    env = { ...ENV, ARK_API_KEY: simulator.apiKey, ARK_BASE_URL: simulator.baseURL, SUPABASE_URL: `http://127.0.0.1:${storageLine.port}` }
    await forgetJobs()
    webs = await Promise.all([0, 1].map(() => startProcess(['web'], env)))
    workers = await Promise.all([0, 1, 2].map(() => startProcess(['worker'], env)))
  })
  after(async () => {
    for (const { child } of [...webs, ...workers]) child.kill('SIGKILL')
    await storageLine.close()
    await simulator.close()
  })

  const post = async (web: RunningProcess, user: TestUser, prompt: string): Promise<string> => {
    const response = await fetch(`${web.url}/api/videos/generate`, { method: 'POST', headers: { authorization: `Bearer ${user.token}`, prefer: 'respond-async' }, body: toForm({ prompt, duration: '2' }) })
    assert.equal(response.status, 202, await response.clone().text())
    return ((await response.json()) as { id: string }).id
  }

  const statusesOf = async (users: TestUser[]) =>
    Object.fromEntries((await sql<{ status: string; count: number }>('select status, count(*)::int as count from public.generations where user_id = any($1) group by status', [users.map(({ id }) => id)])).map(({ status, count }) => [status, count]))

  test('200 videos at once succeed with one create each, whatever is restarted meanwhile', async () => {
    const users = await Promise.all(Array.from({ length: 10 }, signUp))
    const prompts = Array.from({ length: 200 }, (_, index) => `Film ${index}.`)
    await Promise.all(prompts.map((prompt, index) => post(webs[index % 2]!, users[index % 10]!, prompt)))
    for (const fleet of [workers, webs]) {
      for (const [index, old] of fleet.entries()) {
        const isWorker = fleet === workers
        fleet[index] = await startProcess([isWorker ? 'worker' : 'web'], env)
        assert.equal(await old.terminate(), 0, old.errors())
      }
    }
    await eventually(async () => Object.keys(await statusesOf(users)).every((status) => ['succeeded', 'failed', 'cancelled'].includes(status)), 'all have ended', 90_000)
    assert.deepEqual(await statusesOf(users), { succeeded: 200 })
    for (const prompt of prompts) assert.equal(simulator.videos.createsOf(prompt), 1, prompt)
    for (const user of users) assert.equal((await storedFiles(user.id)).length, 20)
  })

  test('Postgres crashing and Storage away for a while lose nothing and pay nothing twice', async () => {
    const user = await signUp()
    const prompts = Array.from({ length: 12 }, (_, index) => `Storm ${index}.`)
    await Promise.all(prompts.map((prompt, index) => post(webs[index % 2]!, user, prompt)))
    storageLine.cut()
    const [backend] = await sql<{ pid: number }>(`select pid from pg_stat_activity where application_name = 'darkroom' limit 1`)
    // A backend that is killed takes the whole server through its crash recovery: every session is lost.
    process.kill(backend!.pid, 'SIGKILL')
    await eventually(async () => (await sql('select 1').catch(() => [])).length > 0, 'Postgres is back')
    await eventually(async () => (await sql(`select from public.generations where user_id = $1 and status = 'storing' and error ->> 'code' = 'storage_unavailable'`, [user.id]).catch(() => [])).length >= 6, 'finished videos cannot be stored', 60_000)
    storageLine.restore()
    await eventually(async () => (await statusesOf([user])).succeeded === 12, 'all succeed', 90_000)
    for (const prompt of prompts) assert.equal(simulator.videos.createsOf(prompt), 1, prompt)
  })
})

describe('places', () => {
  let simulator: ModelArkSimulator
  let workers: RunningProcess[] = []
  let web: RunningProcess | undefined
  before(async () => {
    simulator = await startModelArkSimulator({ runningMs: 300 })
    const env = { ...ENV, USER_CONCURRENCY: '2', PROVIDER_CONCURRENCY: '3', ARK_API_KEY: simulator.apiKey, ARK_BASE_URL: simulator.baseURL }
    await forgetJobs()
    web = await startProcess(['web'], env)
    workers = await Promise.all([0, 1].map(() => startProcess(['worker'], env)))
  })
  after(async () => {
    for (const running of [web, ...workers]) running?.child.kill('SIGKILL')
    await simulator.close()
  })

  const openTasks = () => [...simulator.videos.tasks.values()].filter((task) => ['queued', 'running'].includes(task.status()))

  test('are limited for each user and each provider over all processes, and nobody’s queue holds up another’s', async () => {
    const [greedy, modest] = [await signUp(), await signUp()]
    const release = simulator.videos.hold('running')
    let most = 0
    const off = simulator.videos.on('create-accepted', () => (most = Math.max(most, openTasks().length)))
    const post = (user: TestUser, prompt: string) => fetch(`${web!.url}/api/videos/generate`, { method: 'POST', headers: { authorization: `Bearer ${user.token}`, prefer: 'respond-async' }, body: toForm({ prompt, duration: '2' }) })
    for (let index = 0; index < 10; index++) assert.equal((await post(greedy, `Greedy ${index}.`)).status, 202)
    await eventually(async () => simulator.videos.created() === 2, 'two of one user are under way', 60_000)
    assert.equal((await post(modest, 'Modest.')).status, 202)
    await eventually(async () => simulator.videos.createsOf('Modest.') === 1, 'another user has a place', 60_000)
    const [row] = await sql<{ count: number }>(`select count(*)::int as count from public.generations where user_id = $1 and status = 'queued'`, [greedy.id])
    assert.deepEqual([simulator.videos.created(), row!.count], [3, 8])
    release()
    await eventually(async () => (await sql(`select from public.generations where user_id = any($1) and status = 'succeeded'`, [[greedy.id, modest.id]])).length === 11, 'all succeed', 60_000)
    assert.ok(most <= 3, `${most} were under way at once`)
    off()
  })
})
