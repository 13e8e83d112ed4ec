import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createMetrics } from '../../src/metrics/metrics.ts'
import { createSandbox } from '../../src/local/sandbox.ts'
import { readMetrics, type Samples } from '../support/metrics.ts'
import { startProcess } from '../support/process.ts'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, type TestUser } from '../support/supabase.ts'

const TOKEN = 'sixteen-characters-or-more'
const MODEL = 'seedream-4-0-250828'

describe('GET /metrics', () => {
  let service: TestService
  let user: TestUser
  before(async () => {
    service = await startTestService({ extras: createSandbox(), env: { METRICS_TOKEN: TOKEN, HEARTBEAT_AFTER_SECONDS: '1', PROVIDER_TIMEOUT_SECONDS: '60' } })
    user = await signUp()
  })
  after(() => service.close())

  const read = () => readMetrics(`${service.url}/metrics`, TOKEN)

  /** How much series grew by what `act` did. They are counted behind an answer, so `until` tells when all is counted. */
  async function growth(act: () => Promise<unknown>, until: (grown: (name: string, labels?: Record<string, string>) => number) => boolean): Promise<(name: string, labels?: Record<string, string>) => number> {
    const before = await read()
    await act()
    return await eventually(async () => {
      const now: Samples = await read()
      const grown = (name: string, labels?: Record<string, string>) => now.sum(name, labels) - before.sum(name, labels)
      return until(grown) && grown
    }, 'it is counted')
  }
  const generations = (outcome: string) => (grown: (name: string, labels?: Record<string, string>) => number) => grown('darkroom_generations_total', { outcome }) > 0

  test('is for whoever knows the token', async () => {
    const ask = (authorization: string) => fetch(`${service.url}/metrics`, { headers: authorization === '' ? {} : { authorization } })
    for (const wrong of ['', 'Bearer', `Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(0, -1)}`, `Basic ${TOKEN}`, `Bearer ${user.token}`, TOKEN]) {
      const response = await ask(wrong)
      assert.deepEqual([response.status, ((await response.json()) as { code: string }).code, response.headers.get('www-authenticate')], [401, 'unauthenticated', 'Bearer'], wrong)
    }
    const response = await ask(`Bearer ${TOKEN}`)
    assert.deepEqual([response.status, response.headers.get('cache-control')], [200, 'no-store'])
    assert.match(response.headers.get('content-type')!, /^text\/plain; version=0\.0\.4/)
    assert.equal((await fetch(`${service.url}/metrics`, { method: 'POST' })).status, 405)
  })

  test('tells of the process itself', async () => {
    const samples = await read()
    assert.deepEqual(samples.labels('darkroom_info'), [{ version: '0.1.0', role: 'both' }])
    for (const name of ['process_resident_memory_bytes', 'nodejs_eventloop_lag_p99_seconds', 'process_cpu_seconds_total']) assert.notEqual(samples.value(name), undefined, name)
  })

  test('counts a generation, its calls, its cost, its bytes and its request, each once', async () => {
    let fileSize = 0
    const grown = await growth(async () => {
      const response = await service.generate(user, { prompt: 'A cat', model: MODEL, n: 2 })
      const { images } = (await response.json()) as { images: { fileSize: number }[] }
      fileSize = images.reduce((sum, image) => sum + image.fileSize, 0)
    }, generations('succeeded'))
    const labels = { kind: 'image', provider: 'modelark', model: MODEL }
    assert.equal(grown('darkroom_generations_total'), 1)
    assert.equal(grown('darkroom_generations_total', { ...labels, outcome: 'succeeded' }), 1)
    assert.equal(grown('darkroom_generation_seconds_count', { kind: 'image', outcome: 'succeeded' }), 1)
    assert.equal(grown('darkroom_cost_usd_micros_total', labels), 60_000)
    assert.equal(grown('darkroom_stored_bytes_total', { kind: 'image' }), fileSize)
    assert.equal(grown('darkroom_provider_call_seconds_count', { provider: 'modelark', kind: 'image', call: 'start' }), 2)
    assert.equal(grown('darkroom_provider_call_errors_total'), 0)
    assert.equal(grown('darkroom_http_requests_total', { method: 'POST', route: '/api/images/generate', status: '2xx' }), 1)
    assert.equal(grown('darkroom_http_request_seconds_count', { method: 'POST', route: '/api/images/generate' }), 1)
    assert.equal(grown('darkroom_retries_total'), 0)
  })

  test('counts what fails by its code, and what is tried again', async () => {
    service.simulator.behave('rate-limit', 'rate-limit', 'moderation')
    const grown = await growth(() => service.generate(user, { prompt: 'A cat', model: MODEL, fallback: false }), generations('failed'))
    assert.equal(grown('darkroom_generations_total'), 1)
    assert.equal(grown('darkroom_generations_total', { kind: 'image', provider: 'modelark', model: MODEL, outcome: 'failed' }), 1)
    assert.equal(grown('darkroom_generation_failures_total', { kind: 'image', code: 'content_refused' }), 1)
    assert.equal(grown('darkroom_retries_total', { what: 'provider call' }), 2)
    const call = { provider: 'modelark', kind: 'image', call: 'start' }
    assert.equal(grown('darkroom_provider_call_seconds_count', call), 3)
    assert.equal(grown('darkroom_provider_call_errors_total', { ...call, code: 'provider_rate_limited' }), 2)
    assert.equal(grown('darkroom_provider_call_errors_total', { ...call, code: 'content_refused' }), 1)
    assert.equal(grown('darkroom_http_requests_total', { route: '/api/images/generate', status: '4xx' }), 1)
    assert.equal(grown('darkroom_stored_bytes_total'), 0)
    assert.equal(grown('darkroom_cost_usd_micros_total'), 0)
  })

  test('counts an answer that began early as what it said in the end, and a caller who hung up', async (t) => {
    const release = service.simulator.hold()
    t.after(release)
    const late = await growth(
      async () => {
        const response = await service.generate(user, { prompt: 'A slow cat: sim:moderation', model: MODEL })
        release()
        assert.equal(response.status, 200)
        await response.text()
      },
      (grown) => grown('darkroom_http_requests_total', { route: '/api/images/generate' }) > 0 && generations('failed')(grown),
    )
    assert.equal(late('darkroom_http_requests_total', { route: '/api/images/generate', status: '4xx' }), 1)
    const releaseAgain = service.simulator.hold()
    t.after(releaseAgain)
    const aborted = await growth(
      async () => {
        const gone = new AbortController()
        const response = await service.request('/api/images/generate', { method: 'POST', user, signal: gone.signal, headers: { 'content-type': 'application/json' }, body: '{"prompt":"A cat"}' })
        assert.equal(response.status, 200)
        gone.abort()
        releaseAgain()
      },
      (grown) => grown('darkroom_http_requests_total', { status: 'aborted' }) > 0 && generations('succeeded')(grown),
    )
    assert.equal(aborted('darkroom_http_requests_total', { route: '/api/images/generate' }), 1)
  })

  test('counts the looks at a video, and one that is cancelled', async (t) => {
    const made = await growth(() => service.generateVideo(user, { prompt: 'A bay' }), generations('succeeded'))
    assert.equal(made('darkroom_provider_call_seconds_count', { provider: 'modelark', kind: 'video', call: 'start' }), 1)
    assert.ok(made('darkroom_provider_call_seconds_count', { provider: 'modelark', kind: 'video', call: 'check' }) >= 1)
    const release = service.simulator.videos.hold('queued')
    t.after(release)
    const cancelled = await growth(async () => {
      const { id } = (await (await service.generateVideo(user, { prompt: 'Cancelled' }, { prefer: 'respond-async' })).json()) as { id: string }
      await eventually(async () => (await sql(`select from darkroom.submissions where generation_id = $1 and state = 'started'`, [id])).length > 0, 'it is started')
      await service.request(`/api/generations/${id}/cancel`, { method: 'POST', user })
    }, generations('cancelled'))
    assert.equal(cancelled('darkroom_generations_total'), 1)
    assert.equal(cancelled('darkroom_generations_total', { kind: 'video', provider: 'modelark' }), 1)
    assert.equal(cancelled('darkroom_provider_call_seconds_count', { kind: 'video', call: 'cancel' }), 1)
  })

  test('has no more series because strangers make up paths, methods, models and ids', async () => {
    const wander = async (times: number) => {
      for (let index = 0; index < times; index++) {
        const made = `${index}-${Math.random().toString(36).slice(2)}`
        for (const path of [`/${made}`, `/api/images/${made}`, `/api/generations/${made}`, `/docs/${made}`, `/metrics/${made}`, `/health?${made}`]) await service.request(path, { user })
        await service.request('/api/images/generate', { method: 'PROPFIND', user })
        await service.generate(user, { prompt: 'A cat', model: made })
      }
    }
    await wander(1)
    const first = await read()
    await wander(5)
    const second = await read()
    assert.equal(second.size, first.size)
    assert.ok(second.sum('darkroom_http_requests_total', { route: 'none', method: 'other' }) > 0)
    assert.ok(second.labels('darkroom_http_requests_total').every(({ route }) => route === 'none' || /^\/[a-z:/.-]+$/i.test(route!)))
  })
})

describe('metrics of the queue', () => {
  let service: TestService
  before(async () => {
    service = await startTestService({ env: { METRICS_TOKEN: TOKEN, USER_CONCURRENCY: '1', START_CONCURRENCY: '1', PROVIDER_TIMEOUT_SECONDS: '60' } })
  })
  after(() => service.close())

  test('tell what is due, what is due later and since when, and who waits for a place', async (t) => {
    t.after(service.simulator.hold())
    const [first, second] = [await signUp(), await signUp()]
    const start = async (user: TestUser) => await service.generate(user, { prompt: 'A cat' }, { prefer: 'respond-async' })
    const waiting = async () => (await sql('select from darkroom.requests where waiting')).length
    const before = await waiting()
    await start(first)
    await eventually(async () => service.simulator.requests.length === 1, 'one is in work')
    await start(first)
    await eventually(async () => (await waiting()) === before + 1, 'one waits for a place')
    await start(second)
    await sql(`update pgboss.job set start_after = now() - interval '1 hour' where name = 'pictures' and state = 'created'`)
    await start(second)
    const samples = await readMetrics(`${service.url}/metrics`, TOKEN)
    assert.equal(samples.value('darkroom_queue_readable'), 1)
    assert.equal(samples.value('darkroom_generations_waiting'), before + 2)
    assert.equal(samples.value('darkroom_queue_jobs', { queue: 'pictures', when: 'due' }), 1)
    assert.equal(samples.value('darkroom_queue_jobs', { queue: 'pictures', when: 'later' }), 0)
    assert.equal(Math.floor(samples.value('darkroom_queue_oldest_seconds', { queue: 'pictures' })! / 3600), 1)
    assert.equal(samples.value('darkroom_queue_oldest_seconds', { queue: 'stores' }), 0)
    assert.deepEqual(new Set(samples.labels('darkroom_queue_jobs').map(({ queue }) => queue)), new Set(['steps', 'pictures', 'stores', 'file-deletions', 'sweep', 'log-expiry']))
  })
})

describe('a worker without the API', () => {
  const start = (role: string[], env: Record<string, string>) => startProcess(role, { ARK_API_KEY: 'none', ...env })

  test('shows its metrics on a port of its own, to whoever knows the token', async () => {
    const worker = await start(['worker'], { METRICS_TOKEN: TOKEN, METRICS_PORT: '0' })
    const { metricsUrl } = worker.log.find(({ msg }) => msg === 'started') as { metricsUrl: string }
    assert.equal(worker.url, 'undefined')
    assert.match(metricsUrl, /^http:\/\/localhost:\d+\/metrics$/)
    const samples = await readMetrics(metricsUrl, TOKEN)
    assert.deepEqual(samples.labels('darkroom_info'), [{ version: '0.1.0', role: 'worker' }])
    assert.equal((await fetch(metricsUrl)).status, 401)
    assert.equal((await fetch(new URL('/health', metricsUrl))).status, 404)
    assert.equal(await worker.terminate(), 0)
  })

  test('shows nothing where it was given no port, and a web process shows its own beside the API', async () => {
    const worker = await start(['worker'], { METRICS_TOKEN: TOKEN })
    assert.equal(worker.log.find(({ msg }) => msg === 'started')!.metricsUrl, undefined)
    const web = await start(['web'], { METRICS_TOKEN: TOKEN, METRICS_PORT: '1' })
    assert.deepEqual((await readMetrics(`${web.url}/metrics`, TOKEN)).labels('darkroom_info'), [{ version: '0.1.0', role: 'web' }])
    assert.deepEqual([await worker.terminate(), await web.terminate()], [0, 0])
  })

  test('refuses to start with a port and no token, or with a token that can be guessed', async () => {
    for (const [env, problem] of [[{ METRICS_PORT: '9100' }, /METRICS_TOKEN is missing/], [{ METRICS_TOKEN: 'guess' }, /METRICS_TOKEN must have at least 16 characters/]] as const) {
      const { child, errors } = await start(['worker'], env)
      assert.equal(child.exitCode, 1)
      assert.match(errors(), problem)
    }
  })
})

describe('what was refused', () => {
  test('is counted by the limit that was hit, and security events by their kind', async () => {
    const service = await startTestService({ env: { METRICS_TOKEN: TOKEN, RATE_LIMIT_IP: '10', RATE_LIMIT_USER: '3', RATE_LIMIT_MODEL: '1', MAX_OPEN_GENERATIONS: '1' } })
    try {
      const [poor, eager, busy] = [await signUp(), await signUp(), await signUp()]
      await sql('insert into darkroom.accounts (user_id, quota_bytes) values ($1, 0)', [poor.id])
      const statuses = [(await service.generate(poor, { prompt: 'A cat' })).status]
      for (let index = 0; index < 4; index++) statuses.push((await service.request('/api/models', { user: eager })).status)
      statuses.push((await service.request('/api/models', { headers: { authorization: 'Bearer nonsense' } })).status)
      for (const prompt of ['One', 'Two']) statuses.push((await service.generate(busy, { prompt }, { prefer: 'respond-async' })).status)
      statuses.push((await service.generate(busy, { prompt: 'Three', model: MODEL }, { prefer: 'respond-async' })).status)
      for (let index = 0; index < 3; index++) statuses.push((await service.request('/api/models', { user: busy })).status)
      assert.deepEqual(statuses.slice(0, 7), [429, 200, 200, 200, 429, 401, 202])
      assert.equal(statuses.at(-1), 429)
      const samples = await eventually(async () => {
        const now = await readMetrics(`${service.url}/metrics`, TOKEN)
        return now.sum('darkroom_limits_hit_total') === statuses.filter((status) => status === 429).length && now
      }, 'all are counted')
      const hits = (limit: string) => samples.value('darkroom_limits_hit_total', { limit })
      assert.deepEqual([hits('quota_reached'), hits('rate_user'), hits('rate_model'), hits('rate_ip')], [1, 2, 2, 2], 'a model by any name is one')
      assert.equal(samples.value('darkroom_security_events_total', { event: 'token_refused' }), 1)
      assert.notEqual(samples.value('darkroom_audit_rows_total', { outcome: 'dropped' }), undefined)
    } finally {
      await service.close()
    }
  })
})

describe('without a METRICS_TOKEN', () => {
  test('there is no such path', async () => {
    const service = await startTestService()
    for (const authorization of ['Bearer', 'Bearer undefined', 'Bearer null']) {
      const response = await service.request('/metrics', { headers: { authorization } })
      assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [404, 'not_found'])
    }
    await service.close()
  })
})

describe('counting', () => {
  const create = () => createMetrics({ isOn: false, version: '0', role: 'web', isKnownModel: (id) => id === MODEL, providers: ['modelark'], readQueues: async () => undefined, readAudit: () => ({ written: 0, dropped: 0, payloadsDropped: 0, queued: 0, omitted: 0, security: {} }) })
  const end = { outcome: 'succeeded', kind: 'image', provider: 'modelark', model: MODEL, code: null, seconds: 1, storedBytes: 10, costMicros: 5 } as const

  test('knows models and providers by their lists, and any other as other', async () => {
    const metrics = create()
    metrics.generationEnded(end)
    for (const model of ['made-up', 'made-up-too']) metrics.generationEnded({ ...end, model, provider: 'gone' })
    const text = await metrics.read()
    assert.match(text, /generations_total\{kind="image",provider="modelark",model="seedream-4-0-250828",outcome="succeeded"\} 1\n/)
    assert.match(text, /generations_total\{kind="image",provider="other",model="other",outcome="succeeded"\} 2\n/)
    assert.doesNotMatch(text, /made-up|gone/)
  })

  test('counts limits by their names, however many there are', async () => {
    const metrics = create()
    metrics.limitHit('uploads')
    for (let index = 0; index < 1000; index++) metrics.limitHit(`made up ${index}`)
    const text = await metrics.read()
    assert.match(text, /limits_hit_total\{limit="uploads"\} 1\n/)
    assert.ok([...text.matchAll(/^darkroom_limits_hit_total\{/gm)].length <= 101)
  })

  test('never throws, and tells nothing of a queue that cannot be read', async () => {
    const metrics = create()
    metrics.generationEnded({ ...end, costMicros: -5 })
    metrics.generationEnded({ ...end, storedBytes: Number.NaN })
    metrics.httpRequest({ method: 'GET', route: '/', status: '2xx', seconds: Number.NaN })
    const text = await metrics.read()
    assert.match(text, /^darkroom_queue_readable 0$/m)
    assert.doesNotMatch(text, /^darkroom_(queue_jobs|queue_oldest_seconds|generations_waiting)[ {]/m)
  })
})
