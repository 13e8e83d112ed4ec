/**
 * What `kill -9` does at each named point of a generation: nothing is lost, nothing stays stuck, nothing is paid twice.
 * Doomed processes talk to Postgres and Storage through proxies that kill them at the point; what they leave behind is
 * finished by three workers that nobody harms.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { startModelArkSimulator, type ModelArkSimulator } from './simulator/modelark.ts'
import type { VideoEvent } from './simulator/modelark-videos.ts'
import { forgetJobs, putAsideJobs, takeUpJobs } from './support/jobs.ts'
import { startKillingProxy, type KillingProxy, type Moment } from './support/killing-proxy.ts'
import { exited, startProcess, type RunningProcess } from './support/process.ts'
import { eventually, toForm } from './support/service.ts'
import { signUp, sql, storedFiles, supabase, type TestUser } from './support/supabase.ts'

interface Point {
  name: string
  /** Words that the process sends to Postgres or Storage at that point. */
  sends?: { to: 'database' | 'storage'; words: string; moment: Moment }
  /** What the provider sees at that point. */
  sees?: VideoEvent
  /** Makes the generation come by there. */
  word?: string
  withPicture?: boolean
  /** Nobody can know whether the call was made, and it was not: it ends as that. */
  isUnknown?: boolean
}

const database = (words: string, moment: Moment) => ({ to: 'database' as const, words, moment })
const storage = (words: string, moment: Moment) => ({ to: 'storage' as const, words, moment })

const POINTS: Point[] = [
  { name: 'a job was taken', sends: database('join darkroom.requests request on', 'before') },
  { name: 'the first frame is read', sends: database('from darkroom.inputs where', 'after'), withPicture: true },
  { name: 'before the claim', sends: database('darkroom.claim_submissions', 'before') },
  { name: 'after the claim, before the call', sends: database('darkroom.claim_submissions', 'after'), isUnknown: true },
  { name: 'the provider received the call', sees: 'create-received' },
  { name: 'the provider received the call, and did nothing', sees: 'create-received', word: 'drop', isUnknown: true },
  { name: 'the provider accepted, no answer yet', sees: 'create-accepted' },
  { name: 'the provider accepted a picture, no answer yet', sees: 'create-accepted', withPicture: true },
  { name: 'before the operation is written down', sends: database(`set state = 'started'`, 'before') },
  { name: 'after the operation was written down', sends: database(`set state = 'started'`, 'after') },
  { name: 'before a lost answer is written down', sends: database(`set state = 'uncertain'`, 'before'), word: 'accept-drop' },
  { name: 'after a lost answer was written down', sends: database(`set state = 'uncertain'`, 'after'), word: 'accept-500' },
  { name: 'while the provider is asked for the lost task', sees: 'list-received', word: 'accept-drop' },
  { name: 'before the next look is put into the queue', sends: database('INSERT INTO pgboss', 'before') },
  { name: 'before a step is committed', sends: database('commit', 'before') },
  { name: 'after a step was committed', sends: database('commit', 'after') },
  { name: 'the provider is looked at', sees: 'check-received' },
  { name: 'the provider answers a look', sees: 'check-answering' },
  { name: 'before the output is written down', sends: database(`set state = 'accepted'`, 'before') },
  { name: 'after the output was written down', sends: database(`set state = 'accepted'`, 'after') },
  { name: 'the file is asked for', sees: 'file-requested' },
  { name: 'half of the file has come', sees: 'file-half' },
  { name: 'before the upload', sends: storage('/0.mp4', 'before') },
  { name: 'in the middle of the upload', sends: storage('/0.mp4', 'middle') },
  { name: 'after the upload, no answer yet', sends: storage('/0.mp4', 'after') },
  { name: 'before the row', sends: database('darkroom.record_videos', 'before') },
  { name: 'after the row', sends: database('darkroom.record_videos', 'after') },
]

const VIDEO_BYTES = 400_000
const ENV = { LOG_LEVEL: 'info', CHECK_SECONDS: '1', MAX_CHECK_SECONDS: '1', SETTLE_SECONDS: '5', STORE_RETRY_SECONDS: '1', CALL_TIMEOUT_SECONDS: '5', SHUTDOWN_SECONDS: '5' }

describe('kill -9', () => {
  let simulator: ModelArkSimulator
  let proxies: { database: KillingProxy; storage: KillingProxy }
  let user: TestUser
  let web: RunningProcess
  let env: Record<string, string>
  let picture: Buffer
  const running: RunningProcess[] = []
  const generations: { prompt: string; id: string; isUnknown: boolean }[] = []

  before(async () => {
    simulator = await startModelArkSimulator({ runningMs: 300, minVideoBytes: VIDEO_BYTES })
    env = { ...ENV, ARK_API_KEY: simulator.apiKey, ARK_BASE_URL: simulator.baseURL }
    proxies = { database: await startKillingProxy(supabase.databaseUrl), storage: await startKillingProxy(supabase.url) }
    user = await signUp()
    picture = await sharp({ create: { width: 640, height: 360, channels: 3, background: 'teal' } }).jpeg().toBuffer()
    await forgetJobs()
    web = await start(['web'], env)
  })
  after(async () => {
    for (const { child } of running) child.kill('SIGKILL')
    await proxies.database.close()
    await proxies.storage.close()
    await simulator.close()
  })

  async function start(role: string[], environment: Record<string, string>): Promise<RunningProcess> {
    const started = await startProcess(role, environment)
    running.push(started)
    return started
  }

  /** A process between the proxies. */
  const startDoomed = (role: string[]) =>
    start(role, { ...env, DATABASE_URL: supabase.databaseUrl.replace(/:\d+\/postgres$/, `:${proxies.database.port}/postgres`), SUPABASE_URL: `http://127.0.0.1:${proxies.storage.port}` })

  /** Waits until nothing of it is at work any more, so that each doomed process meets its own generation alone. */
  async function isGone({ child }: RunningProcess): Promise<void> {
    await exited(child)
    await Promise.all([proxies.database.quiet(), proxies.storage.quiet()])
  }

  const post = (url: string, prompt: string, withPicture: boolean, headers: Record<string, string> = {}) =>
    fetch(`${url}/api/videos/generate`, { method: 'POST', headers: { authorization: `Bearer ${user.token}`, ...headers }, body: toForm({ prompt, duration: '2', ...(withPicture && { image: picture }) }) })

  function strikeAt({ sends, sees }: Point, victim: RunningProcess): Promise<void> {
    const kill = () => void victim.child.kill('SIGKILL')
    if (sends) return proxies[sends.to].arm(sends.words, sends.moment, kill)
    return new Promise((resolve) => {
      const off = simulator.videos.on(sees!, async () => {
        off()
        kill()
        // The provider goes on once its caller is gone for good.
        await exited(victim.child)
        resolve()
      })
    })
  }

  describe('of a worker', () => {
    for (const point of POINTS) {
      test(point.name, async () => {
        const worker = await startDoomed(['worker'])
        const struck = strikeAt(point, worker)
        const prompt = `${point.name}${point.word ? ` sim:${point.word}` : ''} (${generations.length})`
        const answer = await post(web.url, prompt, point.withPicture ?? false, { prefer: 'respond-async' })
        assert.equal(answer.status, 202)
        const { id } = (await answer.json()) as { id: string }
        generations.push({ prompt, id, isUnknown: point.isUnknown ?? false })
        await struck
        await isGone(worker)
        await putAsideJobs(id)
        assert.equal(worker.child.signalCode, 'SIGKILL')
      })
    }
  })

  describe('of a web process', () => {
    const moments: [name: string, words: string, moment: Moment][] = [
      ['before the request is written down', 'insert into darkroom.idempotency_keys', 'before'],
      ['while it is written down', 'insert into darkroom.inputs', 'after'],
      ['before it is committed', 'commit', 'before'],
      ['after it was committed, no answer yet', 'commit', 'after'],
      ['while it waits for the result', 'where id = $1 and user_id = $2', 'after'],
    ]
    for (const [name, words, moment] of moments) {
      test(name, async () => {
        const doomed = await startDoomed(['web'])
        const struck = proxies.database.arm(words, moment, () => void doomed.child.kill('SIGKILL'))
        const prompt = `${name} (${generations.length})`
        const headers = { 'idempotency-key': `key-${generations.length}`, prefer: 'respond-async' }
        await post(doomed.url, prompt, true, headers).catch(() => undefined)
        await struck
        await isGone(doomed)
        // As any client does whose connection broke.
        const again = await post(web.url, prompt, true, headers)
        assert.equal(again.status, 202)
        generations.push({ prompt, id: ((await again.json()) as { id: string }).id, isUnknown: false })
      })
    }
  })

  test('three workers finish what was left: none lost, none stuck, none paid twice', async () => {
    await takeUpJobs()
    await Promise.all([1, 2, 3].map(() => start(['worker'], env)))
    const open = () => sql<{ id: string; status: string }>(`select id, status from public.generations where user_id = $1 and status in ('queued', 'running', 'storing')`, [user.id])
    await eventually(async () => (await open()).length === 0, 'every generation ends', 100_000)
    assert.equal((await sql('select from public.generations where user_id = $1', [user.id])).length, generations.length, 'one generation for each request')
    for (const { prompt, id, isUnknown } of generations) {
      const [row] = await sql<{ status: string; error: { code: string } | null; sha256: string | null; bucket_url: string }>('select status, error, sha256, bucket_url from public.generations left join public.videos on generation_id = generations.id where generations.id = $1', [id])
      const creates = simulator.videos.createsOf(prompt)
      if (isUnknown) {
        assert.deepEqual([row!.status, row!.error?.code, creates], ['failed', 'submission_unknown', 0], prompt)
        continue
      }
      assert.deepEqual([row!.status, creates], ['succeeded', 1], prompt)
      const task = [...simulator.videos.tasks.values()].find((one) => one.prompt === prompt)!
      const file = await fetch(row!.bucket_url.replace(/^http:\/\/[^/]+/, supabase.url))
      assert.equal(createHash('sha256').update(Buffer.from(await file.arrayBuffer())).digest('hex'), row!.sha256, prompt)
      assert.equal(createHash('sha256').update(await simulator.videos.file(task.id)).digest('hex'), row!.sha256, prompt)
    }
    const succeeded = generations.filter(({ isUnknown }) => !isUnknown).length
    assert.equal((await storedFiles(user.id)).length, succeeded, 'each file has its row')
    assert.deepEqual(await sql('select from darkroom.inputs'), [])
  })
})
