import assert from 'node:assert/strict'
import { createServer, request as httpRequest, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, type TestUser } from '../support/supabase.ts'

interface GenerationAnswer {
  id: string
  status: string
  progress: number | null
  images: { bucketUrl: string }[]
  error: { code: string; message: string } | null
}

/** The raw text of an answer, read to its end. */
async function textOf(response: Response): Promise<string> {
  return await response.text()
}

describe('ways to wait', () => {
  let service: TestService
  let user: TestUser
  before(async () => {
    service = await startTestService({ env: { HEARTBEAT_AFTER_SECONDS: '1', HEARTBEAT_SECONDS: '1', PROVIDER_TIMEOUT_SECONDS: '60', SYNC_WAIT_SECONDS: '4' } })
    user = await signUp()
  })
  after(() => service.close())

  const generation = async (id: string): Promise<GenerationAnswer> => (await (await service.request(`/api/generations/${id}`, { user })).json()) as GenerationAnswer

  test('respond-async answers 202 at once, with where to look', async () => {
    const release = service.simulator.hold()
    const response = await service.generate(user, { prompt: 'A cat' }, { prefer: 'respond-async' })
    const answer = (await response.json()) as GenerationAnswer
    assert.equal(response.status, 202)
    assert.equal(response.headers.get('preference-applied'), 'respond-async')
    assert.equal(response.headers.get('location'), `/api/generations/${answer.id}`)
    assert.ok(['queued', 'running'].includes(answer.status))
    release()
    const done = await eventually(async () => {
      const now = await generation(answer.id)
      return now.status === 'succeeded' && now
    }, 'it succeeds')
    assert.equal(done.progress, 1)
    assert.equal((await fetch(done.images[0]!.bucketUrl)).status, 200)
  })

  test('wait=10 answers the result when it is there in time, and 202 when it is not', async () => {
    const quick = await service.generate(user, { prompt: 'A cat' }, { prefer: 'wait=10' })
    // The wait is never so long that the answer would have to begin before its status is known.
    assert.deepEqual([quick.status, quick.headers.get('preference-applied')], [200, 'wait=1'])
    const release = service.simulator.hold()
    const slow = await service.generate(user, { prompt: 'A cat' }, { prefer: 'handling=lenient, wait=0' })
    assert.deepEqual([slow.status, slow.headers.get('preference-applied')], [202, 'wait=0'])
    assert.match(slow.headers.get('location')!, /^\/api\/generations\//)
    release()
  })

  test('a silent request begins its answer early, and the JSON follows the white space', async () => {
    const release = service.simulator.hold()
    const pending = service.generate(user, { prompt: 'A slow cat' })
    const response = await pending
    assert.equal(response.status, 200)
    assert.match(response.headers.get('content-type')!, /application\/json/)
    release()
    const text = await textOf(response)
    assert.match(text, /^ +\{/)
    assert.equal((JSON.parse(text) as { images: unknown[] }).images.length, 1)
  })

  test('what fails after that is told in the body, with the status it would have had', async () => {
    const release = service.simulator.hold()
    service.simulator.behave('moderation')
    const response = await service.generate(user, { prompt: 'A slow cat' })
    release()
    const body = JSON.parse(await textOf(response)) as { status: number; code: string; error: string; requestId: string }
    assert.deepEqual([response.status, body.status, body.code], [200, 422, 'content_refused'])
    assert.equal(body.requestId, response.headers.get('x-request-id'))
    assert.ok(service.log.some(({ msg, code }) => msg === 'request' && code === 'content_refused'))
  })

  test('past the longest wait the body says that the work goes on', async () => {
    const release = service.simulator.hold()
    const response = await service.generate(user, { prompt: 'A very slow cat' })
    const body = JSON.parse(await textOf(response)) as { status: number; code: string; generationId: string }
    assert.deepEqual([body.status, body.code], [202, 'still_running'])
    release()
    await eventually(async () => (await generation(body.generationId)).status === 'succeeded', 'the work goes on')
  })

  test('behind a proxy that ends silent requests the answer arrives', async () => {
    const proxy = await startImpatientProxy(service.url, 1800)
    const release = service.simulator.hold()
    const pending = fetch(`http://127.0.0.1:${(proxy.address() as AddressInfo).port}/api/images/generate`, { method: 'POST', headers: { authorization: `Bearer ${user.token}`, 'content-type': 'application/json' }, body: '{"prompt":"A cat behind a proxy"}' })
    const response = await pending
    // Longer than the proxy bears silence.
    await eventually(async () => (await sql(`select from public.generations where user_id = $1 and status = 'running' and started_at < now() - interval '2500 milliseconds'`, [user.id])).length > 0, 'time passes')
    release()
    assert.equal(((await response.json()) as { images: unknown[] }).images.length, 1)
    proxy.closeAllConnections()
    proxy.close()
  })
})

/** A router like Heroku's: it ends a request that says nothing for too long. */
async function startImpatientProxy(target: string, silenceMs: number): Promise<Server> {
  const server = createServer((incoming, outgoing) => {
    const upstream = httpRequest(target + incoming.url, { method: incoming.method, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode!, answer.headers)
      answer.on('data', () => timer.refresh()).pipe(outgoing)
    })
    const timer = setTimeout(() => outgoing.destroy(), silenceMs)
    upstream.on('error', () => outgoing.destroy())
    outgoing.on('close', () => {
      clearTimeout(timer)
      upstream.destroy()
    })
    incoming.pipe(upstream)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

describe('generations', () => {
  let service: TestService
  let user: TestUser
  before(async () => {
    service = await startTestService({ env: { HEARTBEAT_SECONDS: '1', MAX_EVENT_STREAMS: '2', START_CONCURRENCY: '1', PROVIDER_TIMEOUT_SECONDS: '60' } })
    user = await signUp()
  })
  after(() => service.close())

  const start = async (prompt: string, as = user): Promise<GenerationAnswer> => (await (await service.generate(as, { prompt }, { prefer: 'respond-async' })).json()) as GenerationAnswer
  const ask = async (path: string, as = user, init: RequestInit = {}) => {
    const response = await service.request(`/api/generations${path}`, { user: as, ...init })
    return { status: response.status, body: (await response.json()) as GenerationAnswer & { generations: GenerationAnswer[]; nextCursor: string | null; code?: string } }
  }
  const ended = (id: string) => eventually(async () => ['succeeded', 'failed'].includes((await ask(`/${id}`)).body.status), 'it ends')

  test('are listed page by page, the newest first, filtered, and only to their owner', async () => {
    const owner = await signUp()
    const ids: string[] = []
    for (let index = 0; index < 5; index++) ids.unshift((await start(`Cat ${index}`, owner)).id)
    const seen: string[] = []
    let cursor = ''
    do {
      const { body } = await ask(`?limit=2${cursor}`, owner)
      seen.push(...body.generations.map(({ id }) => id))
      cursor = body.nextCursor === null ? '' : `&cursor=${body.nextCursor}`
    } while (cursor !== '')
    assert.deepEqual(seen, ids)
    await eventually(async () => (await ask('?status=succeeded', owner)).body.generations.length === 5, 'all succeed')
    assert.equal((await ask('?status=failed', owner)).body.generations.length, 0)
    assert.equal((await ask('?kind=video', owner)).body.generations.length, 0)
    assert.equal((await ask('', await signUp())).body.generations.length, 0)
    for (const bad of ['?limit=0', '?limit=1000', '?limit=x', '?cursor=nonsense', '?status=lost', '?order=asc', '?limit=1&limit=2']) assert.equal((await ask(bad, owner)).status, 400, bad)
  })

  test('of others, unknown ones and no uuids are all the same 404', async () => {
    const { id } = await start('Mine')
    const stranger = await signUp()
    for (const [path, init] of [[`/${id}`, {}], [`/${id}/events`, {}], [`/${id}/cancel`, { method: 'POST' }], ['/00000000-0000-4000-8000-000000000000', {}], ['/nonsense', {}]] as const) {
      assert.deepEqual([(await ask(path, stranger, init)).status, (await ask(path, stranger, init)).body.code], [404, 'not_found'], path)
    }
    await ended(id)
  })

  test('can be cancelled while they wait for their turn, and not once the provider works', async () => {
    const release = service.simulator.hold()
    const creates = service.simulator.requests.length
    const first = await start('In work')
    await eventually(async () => service.simulator.requests.length > creates, 'the first is in work')
    const second = await start('In the queue')
    const cancelled = await ask(`/${second.id}/cancel`, user, { method: 'POST' })
    assert.deepEqual([cancelled.status, cancelled.body.status], [200, 'cancelled'])
    assert.equal((await ask(`/${second.id}/cancel`, user, { method: 'POST' })).status, 200, 'twice is the same')
    assert.equal((await ask(`/${first.id}/cancel`, user, { method: 'POST' })).status, 409)
    release()
    await ended(first.id)
    assert.equal((await ask(`/${first.id}/cancel`, user, { method: 'POST' })).status, 409)
    assert.equal((await ask(`/${second.id}`)).body.status, 'cancelled')
    assert.equal(service.simulator.requests.length - creates, 1)
  })

  interface Event {
    id: string
    event: string
    data: GenerationAnswer
  }

  async function readEvents(id: string, headers: Record<string, string> = {}): Promise<{ events: Event[]; comments: number; type: string | null }> {
    const response = await service.request(`/api/generations/${id}/events`, { user, headers })
    const blocks = (await response.text()).split('\n\n').filter(Boolean)
    const events = blocks.flatMap((block) => {
      const fields = Object.fromEntries(block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]))
      return fields.data === undefined ? [] : [{ id: fields.id!, event: fields.event!, data: JSON.parse(fields.data) as GenerationAnswer }]
    })
    return { events, comments: blocks.filter((block) => block.startsWith(':')).length, type: response.headers.get('content-type') }
  }

  test('stream their progress as events, with a heartbeat, and end with their outcome', async () => {
    const release = service.simulator.hold()
    const { id } = await start('To be followed')
    const reading = readEvents(id)
    await eventually(async () => (await sql(`select from public.generations where id = $1 and started_at < now() - interval '1500 milliseconds'`, [id])).length > 0, 'time passes')
    release()
    const { events, comments, type } = await reading
    assert.match(type!, /^text\/event-stream/)
    assert.ok(comments >= 1)
    assert.deepEqual(events.map(({ event }) => event).slice(-1), ['succeeded'])
    assert.ok(events.length >= 2 && events.slice(0, -1).every(({ event }) => event === 'progress'))
    assert.equal(events.at(-1)!.data.images.length, 1)
    const versions = events.map(({ id: version }) => BigInt(version))
    assert.ok(versions.every((version, index) => index === 0 || version > versions[index - 1]!))
    // Whoever comes back later is told the end at once.
    const { events: again } = await readEvents(id, { 'last-event-id': events[0]!.id })
    assert.deepEqual(again.map(({ event }) => event), ['succeeded'])
  })

  test('of a failed generation end with failed', async () => {
    service.simulator.behave('moderation')
    const { id } = await start('Refused')
    const { events } = await readEvents(id)
    assert.deepEqual([events.at(-1)!.event, events.at(-1)!.data.error!.code], ['failed', 'content_refused'])
  })

  test('may be followed by so many streams at once and no more', async () => {
    const release = service.simulator.hold()
    const { id } = await start('Popular')
    const gone = new AbortController()
    const open = await Promise.all([1, 2].map(() => service.request(`/api/generations/${id}/events`, { user, signal: gone.signal })))
    assert.deepEqual(open.map(({ status }) => status), [200, 200])
    assert.equal((await ask(`/${id}/events`)).status, 429)
    gone.abort()
    await eventually(async () => {
      const response = await service.request(`/api/generations/${id}/events`, { user })
      await response.body?.cancel()
      return response.status === 200
    }, 'places are free again')
    release()
    await ended(id)
  })
})
