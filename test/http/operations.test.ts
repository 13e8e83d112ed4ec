/** What becomes of a video when the provider, its answers or its files misbehave. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { VideoBehaviour } from '../simulator/modelark-video-words.ts'
import { findFreePort } from '../../src/local/ports.ts'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { deletionsAreDue, signUp, sql, storedFiles } from '../support/supabase.ts'

interface Answer {
  error?: string
  code?: string
  status?: number
  generationId: string
  video_url?: string
}

/** What the provider does, what its user is told, and how many videos were made: never two. */
const ENDS: [behaviour: VideoBehaviour, status: number, code: string, made: number][] = [
  ['rate-limit-long', 429, 'provider_rate_limited', 0],
  ['moderation', 422, 'content_refused', 0],
  ['auth', 503, 'provider_misconfigured', 0],
  ['overdue', 503, 'provider_misconfigured', 0],
  ['quota', 429, 'provider_quota_reached', 0],
  ['queue-full', 429, 'provider_quota_reached', 0],
  ['not-found', 502, 'model_unavailable', 0],
  ['server-error', 502, 'submission_unknown', 0],
  ['proxy-error', 502, 'submission_unknown', 0],
  ['drop', 502, 'submission_unknown', 0],
  ['html', 502, 'submission_unknown', 0],
  ['hang', 504, 'provider_timeout', 0],
  ['accept-twice', 502, 'submission_unknown', 2],
  ['task-failed', 422, 'content_refused', 1],
  ['task-failed-internal', 502, 'provider_failed', 1],
  ['task-expired', 504, 'operation_expired', 1],
  ['task-cancelled', 409, 'conflict', 1],
  ['task-forgotten', 502, 'operation_lost', 1],
  ['task-no-url', 502, 'output_invalid', 1],
  ['file-html', 502, 'output_invalid', 1],
  ['file-truncated', 502, 'output_invalid', 1],
  ['file-huge', 502, 'output_too_large', 1],
  ['file-endless', 502, 'output_too_large', 1],
  ['file-inward', 502, 'output_invalid', 1],
  ['file-redirect-inward', 502, 'output_invalid', 1],
  ['file-redirect-loop', 502, 'output_invalid', 1],
  ['file-expired', 502, 'output_expired', 1],
]

/** What passes: each ends with the one video that was paid for. */
const PASSES: VideoBehaviour[] = [
  'accept-drop', 'accept-cut', 'accept-500', 'accept-502', 'accept-hang', 'unlisted-at-first', 'list-error-once', 'list-rate-limit-once',
  'check-error-once', 'check-rate-limit-once', 'check-hang-once', 'check-html-once', 'task-unknown-status', 'task-duration-string',
  'file-wrong-type', 'file-cut-once', 'file-error-once', 'file-hang-once',
]

describe('a video whose provider misbehaves', () => {
  let service: TestService
  before(async () => {
    service = await startTestService({ env: { MAX_VIDEO_BYTES: '5000000' } })
  })
  after(() => service.close())

  describe('all at once', { concurrency: 8 }, () => {
    for (const [behaviour, status, code, made] of ENDS) {
      test(`${behaviour} ends as ${code}`, async () => {
        const prompt = `A bay: sim:${behaviour} ends`
        const user = await signUp()
        const response = await service.generateVideo(user, { prompt })
        const answer = (await response.json()) as Answer
        assert.deepEqual([response.status, answer.code], [status, code], JSON.stringify(answer))
        assert.match(answer.error!, /^[A-Z].*\.$/)
        assert.doesNotMatch(answer.error!, /021secretvendorid|secret-signature|127\.0\.0\.1|169\.254|InternalService|cgt-/)
        assert.equal(service.simulator.videos.createsOf(prompt), made)
        const [row] = await sql<{ status: string; finished_at: Date | null }>('select status, finished_at from public.generations where id = $1', [answer.generationId])
        assert.equal(row!.status, code === 'conflict' ? 'cancelled' : 'failed')
        assert.notEqual(row!.finished_at, null)
        assert.equal((await sql('select from public.videos where generation_id = $1', [answer.generationId])).length, 0)
        assert.deepEqual(await sql('select from darkroom.inputs where generation_id = $1', [answer.generationId]), [])
        await deletionsAreDue()
      await eventually(async () => (await storedFiles(user.id)).length === 0, 'no file is left')
      })
    }
    for (const behaviour of PASSES) {
      test(`${behaviour} is got over, with one video`, async () => {
        const prompt = `A bay: sim:${behaviour} passes`
        const user = await signUp()
        const response = await service.generateVideo(user, { prompt })
        let answer = (await response.json()) as Answer
        // What is finished and not stored yet is told as such.
        if (answer.code === 'output_unavailable') answer = await eventually(async () => (await sql(`select from public.generations where id = $1 and status = 'succeeded'`, [answer.generationId])).length > 0 && answer, 'it is stored')
        else assert.equal(response.status, 200, JSON.stringify(answer))
        assert.equal(service.simulator.videos.createsOf(prompt), 1)
        assert.equal((await storedFiles(user.id)).length, 1)
      })
    }
  })

  test('none of it is a fault of ours', () => {
    assert.deepEqual(service.log.filter(({ msg }) => msg === 'a job failed and will be repeated'), [])
  })

  test('a state that nobody knows is logged as an error', async () => {
    assert.ok(service.log.some(({ level, vendorStatus }) => level === 'error' && vendorStatus === 'paused'))
  })

  for (const [name, fields] of [['with a seed of the user’s own', { seed: '42' }], ['of a family without seeds', { model: 'dreamina-seedance-2-0-mini-260615' }]] as const) {
    test(`a lost task ${name} is found again`, async () => {
      service.simulator.videos.quirks.settings = 'succeeded'
      // One like it is under way at the same time.
      const other = service.generateVideo(await signUp(), { prompt: `Other ${name}`, ...fields })
      await other
      service.simulator.videos.behave('accept-drop')
      const response = await service.generateVideo(await signUp(), { prompt: `Lost ${name}`, ...fields })
      assert.equal(response.status, 200, await response.clone().text())
      assert.equal(service.simulator.videos.createsOf(`Lost ${name}`), 1)
      const { generationId } = (await response.json()) as Answer
      const [row] = await sql<{ operation: { id: string } }>('select operation from darkroom.submissions where generation_id = $1', [generationId])
      assert.equal(service.simulator.videos.tasks.get(row!.operation.id)!.prompt, `Lost ${name}`)
      service.simulator.videos.quirks.settings = 'always'
    })
  }
})

describe('a provider that is too busy for a video', () => {
  let service: TestService
  before(async () => {
    service = await startTestService({ env: { START_PATIENCE_SECONDS: '60' } })
  })
  after(() => service.close())

  test('is asked again later, where there is patience', async () => {
    service.simulator.videos.behave('rate-limit', 'rate-limit', 'rate-limit', 'ok')
    const user = await signUp()
    const pending = service.generateVideo(user, { prompt: 'Patience' })
    const isGivenBack = async () => (await sql(`select from darkroom.submissions join public.generations on id = generation_id where user_id = $1 and state = 'queued' and status = 'running'`, [user.id])).length === 1
    await eventually(async () => service.simulator.videos.requests.length === 3 && (await isGivenBack()), 'it is given back')
    // The time has come.
    await eventually(async () => (await sql(`update pgboss.job set start_after = now() where name = 'steps' and state = 'created' returning id`)).length > 0, 'it waits in the queue')
    assert.equal((await pending).status, 200)
    assert.equal(service.simulator.videos.createsOf('Patience'), 1)
  })

  test('can be cancelled while it is not asked', async () => {
    service.simulator.videos.behave('rate-limit', 'rate-limit', 'rate-limit')
    const user = await signUp()
    const { id } = (await (await service.generateVideo(user, { prompt: 'Impatience' }, { prefer: 'respond-async' })).json()) as { id: string }
    await eventually(async () => (await sql(`select from darkroom.submissions join public.generations on id = generation_id where id = $1 and state = 'queued' and status = 'running'`, [id])).length === 1, 'it is given back')
    const response = await service.request(`/api/generations/${id}/cancel`, { method: 'POST', user })
    assert.equal(((await response.json()) as { status: string | number }).status, 'cancelled')
    assert.equal(service.simulator.videos.createsOf('Impatience'), 0)
  })
})

describe('callbacks', () => {
  let service: TestService
  before(async () => {
    // Below what the system gives to outgoing connections.
    const port = await findFreePort(10_000 + Math.floor(Math.random() * 9000))
    service = await startTestService({ simulator: { callbacks: true }, env: { PORT: String(port), PUBLIC_URL: `http://127.0.0.1:${port}`, CHECK_SECONDS: '60', MAX_CHECK_SECONDS: '60' } })
  })
  after(() => service.close())

  test('hurry the next look, and name a task whose answer was lost', async () => {
    const user = await signUp()
    const told = await service.generateVideo(user, { prompt: 'Called', model: 'dreamina-seedance-2-0-mini-260615' })
    assert.equal(told.status, 200, await told.clone().text())
    service.simulator.videos.behave('accept-drop')
    const found = await service.generateVideo(user, { prompt: 'Called twice', model: 'dreamina-seedance-2-0-mini-260615' })
    assert.equal(found.status, 200, await found.clone().text())
    assert.equal(service.simulator.videos.createsOf('Called twice'), 1)
  })

  test('that come after the provider was given up open the generation again', async () => {
    const user = await signUp()
    service.simulator.videos.behave('drop')
    const lost = await service.generateVideo(user, { prompt: 'Given up', model: 'dreamina-seedance-2-0-mini-260615' })
    const { generationId } = (await lost.json()) as Answer
    const [given] = await sql<{ callback_token: string; state: string }>('select callback_token, state from darkroom.submissions where generation_id = $1', [generationId])
    assert.equal(given!.state, 'unknown')
    // A task that nobody of ours has, as if the vendor had been late with it.
    const other = await service.generateVideo(user, { prompt: 'The late one', model: 'dreamina-seedance-2-0-mini-260615' }, { prefer: 'respond-async' })
    const { id: otherId } = (await other.json()) as { id: string }
    const task = await eventually(async () => [...service.simulator.videos.tasks.values()].find(({ prompt }) => prompt === 'The late one'), 'it is taken on')
    const call = (id: string) => service.request(`/api/callbacks/${generationId}/0/${given!.callback_token}`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: JSON.stringify({ id }) })
    // What belongs to another generation is not given away, whoever says so.
    assert.equal((await call(task.id)).status, 204)
    await eventually(async () => (await sql(`select from public.generations where id = $1 and status = 'succeeded'`, [otherId])).length > 0, 'the other is done')
    assert.equal((await sql(`select from public.generations where id = $1 and status = 'failed'`, [generationId])).length, 1)
    await sql('delete from public.prompts using public.generations where prompts.id = prompt_id and generations.id = $1', [otherId])
    assert.equal((await call(task.id)).status, 204)
    await eventually(async () => (await sql(`select from public.generations where id = $1 and status = 'succeeded'`, [generationId])).length > 0, 'it is stored')
  })

  test('from strangers are nothing', async () => {
    const call = (address: string, body: unknown) => service.request(`/api/callbacks/${address}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    const [row] = await sql<{ generation_id: string; callback_token: string }>(`select generation_id, callback_token from darkroom.submissions join public.generations on id = generation_id where provider = 'modelark' and kind = 'video' and callback_token is not null order by created_at desc limit 1`)
    const task = { id: 'cgt-20261101120000-abcde' }
    assert.equal((await call(`${row!.generation_id}/0/${'x'.repeat(32)}`, task)).status, 404)
    assert.equal((await call(`6f0c7d2e-2f6b-4a53-9a4c-0a4f8a1b2c3d/0/${row!.callback_token}`, task)).status, 404)
    assert.equal((await call(`nobody/0/${row!.callback_token}`, task)).status, 404)
    assert.equal((await call(`${row!.generation_id}/0/${row!.callback_token}`, { id: '../../keys' })).status, 400)
    assert.equal((await call(`${row!.generation_id}/0/${row!.callback_token}`, task)).status, 204)
  })
})

describe('cancelling a video', () => {
  let service: TestService
  before(async () => {
    service = await startTestService()
  })
  after(() => service.close())

  const start = async (status: 'queued' | 'running') => {
    const user = await signUp()
    const release = service.simulator.videos.hold(status)
    const { id } = (await (await service.generateVideo(user, { prompt: `Cancelled while ${status}` }, { prefer: 'respond-async' })).json()) as { id: string }
    await eventually(async () => (await sql(`select from darkroom.submissions where generation_id = $1 and state = 'started'`, [id])).length > 0, 'it is started')
    const response = await service.request(`/api/generations/${id}/cancel`, { method: 'POST', user })
    return { id, release, response, task: [...service.simulator.videos.tasks.values()].at(-1)! }
  }

  test('reaches the provider while that can stop it', async () => {
    const { response, task, release } = await start('queued')
    assert.deepEqual([response.status, ((await response.json()) as { status: string }).status], [200, 'cancelled'])
    assert.equal(task.status(), 'cancelled')
    release()
  })

  test('is refused once the provider works, and the video is kept', async () => {
    const { id, response, release } = await start('running')
    assert.deepEqual([response.status, ((await response.json()) as Answer).code], [409, 'conflict'])
    release()
    await eventually(async () => (await sql(`select from public.generations where id = $1 and status = 'succeeded'`, [id])).length > 0, 'it succeeds')
  })
})

describe('cancelling a video that is finished, but was not looked at since', () => {
  let service: TestService
  before(async () => {
    service = await startTestService({ env: { CHECK_SECONDS: '600', MAX_CHECK_SECONDS: '600' } })
  })
  after(() => service.close())

  test('does not throw it away: the vendor would delete it', async () => {
    const user = await signUp()
    const { id } = (await (await service.generateVideo(user, { prompt: 'Too late' }, { prefer: 'respond-async' })).json()) as { id: string }
    const task = await eventually(async () => (await sql(`select from darkroom.submissions where generation_id = $1 and state = 'started'`, [id])).length > 0 && [...service.simulator.videos.tasks.values()].at(-1), 'it is started')
    await eventually(async () => task.status() === 'succeeded', 'it is finished there')
    assert.equal((await service.request(`/api/generations/${id}/cancel`, { method: 'POST', user })).status, 409)
    assert.equal(task.status(), 'succeeded')
  })
})
