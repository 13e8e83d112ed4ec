/** The simulator is what other tests believe in, so it is tried itself: its rules, its counting, and its faults. */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { ALL_FORMATS, BufferSource, Input } from 'mediabunny'
import sharp, { type Sharp } from 'sharp'
import { eventually } from '../support/service.ts'
import { readBody } from './answers.ts'
import { startModelArkSimulator, type ModelArkSimulator, type SimulatorOptions, type VideoBehaviour } from './modelark.ts'

const PRO = 'seedance-1-0-pro-250528'
const FAST = 'seedance-1-0-pro-fast-251015'
const TWO = 'dreamina-seedance-2-0-260128'
const TWO_FIVE = 'dreamina-seedance-2-5-260628'

interface Task {
  id: string
  model: string
  status: string
  error: { code: string } | null
  content?: { video_url?: string; last_frame_url?: string }
  [setting: string]: unknown
}

interface ErrorAnswer {
  error: { code: string; message: string; type: string }
}

const text = (prompt: string) => ({ type: 'text', text: prompt })
const frame = (url: string, role: string | null = 'first_frame') => ({ type: 'image_url', image_url: { url }, ...(role !== null && { role }) })
const body = (prompt: string, more: Record<string, unknown> = {}) => ({ model: FAST, content: [text(prompt)], ...more })
const picture = (width: number, height: number) => sharp({ create: { width, height, channels: 3, background: 'teal' } })
const dataUri = async (image: Sharp, format = 'png') => `data:image/${format};base64,${(await image.toBuffer()).toString('base64')}`

/** A simulator as a client and a test see it. */
async function startClient(options: SimulatorOptions = {}) {
  const simulator = await startModelArkSimulator(options)
  const call = (path: string, init: RequestInit = {}) => fetch(simulator.baseURL + path, { headers: { authorization: `Bearer ${simulator.apiKey}` }, ...init })
  const json = async <T>(response: Response) => ({ status: response.status, body: (await response.json()) as T })
  const tasks = '/contents/generations/tasks'
  return {
    simulator,
    videos: simulator.videos,
    send: (body: unknown, init: RequestInit = {}) => call(tasks, { method: 'POST', body: JSON.stringify(body), ...init }),
    /** Creates a task that is accepted, and answers its id. */
    async create(body: unknown): Promise<string> {
      const { status, body: answer } = await json<{ id: string }>(await call(tasks, { method: 'POST', body: JSON.stringify(body) }))
      assert.equal(status, 200, JSON.stringify(answer))
      return answer.id
    },
    look: (id: string, init: RequestInit = {}) => call(`${tasks}/${id}`, init),
    check: async (id: string) => json<Task & ErrorAnswer>(await call(`${tasks}/${id}`)),
    list: async (query = '') => json<{ items: Task[]; total: number } & ErrorAnswer>(await call(`${tasks}?${query}`)),
    remove: async (id: string) => json<Partial<ErrorAnswer>>(await call(`${tasks}/${id}`, { method: 'DELETE' })),
    /** The task once it has ended, without counting looks. */
    async ended(id: string): Promise<Task> {
      const task = simulator.videos.tasks.get(id)!
      await eventually(async () => !['queued', 'running'].includes(task.status()), 'the task has ended')
      return (await json<Task>(await call(`${tasks}/${id}`))).body
    },
    close: () => simulator.close(),
  }
}

type Client = Awaited<ReturnType<typeof startClient>>

describe('creating a simulated video task', () => {
  let client: Client
  before(async () => {
    client = await startClient()
  })
  after(() => client.close())

  for (const [name, model, more] of [
    ['1.0 pro', PRO, { frames: 29, seed: 7, camera_fixed: true, service_tier: 'default' }],
    ['1.0 pro fast', FAST, { duration: 2, ratio: '9:16', resolution: '480p', watermark: false }],
    ['an endpoint', 'ep-20261101-abcde', { duration: 12, execution_expires_after: 3600 }],
    ['2.0', TWO, { duration: 15, resolution: '4k', generate_audio: false, priority: 9 }],
    ['2.0 fast', 'dreamina-seedance-2-0-fast-260128', { duration: -1, ratio: 'adaptive' }],
    ['2.0 mini', 'dreamina-seedance-2-0-mini-260615', { duration: 4, resolution: '720p', safety_identifier: 'user' }],
    ['2.5', TWO_FIVE, { duration: 30, output_format: 'mp4', omni_reference_task_type: 'auto' }],
  ] as const) {
    test(`${name} takes what it knows`, async () => {
      const id = await client.create(body('A cat', { model, ...more }))
      assert.match(id, /^cgt-\d{14}-[a-z0-9]{5}$/)
      assert.deepEqual(client.videos.requests.at(-1)!.body, body('A cat', { model, ...more }))
      assert.equal((await client.check(id)).body.model, name === 'an endpoint' ? FAST : model)
    })
  }

  const UNSUPPORTED = 'InvalidParameter.UnsupportedParameter'
  const refused: [name: string, body: unknown, status: number, code: string][] = [
    ['no model', { content: [text('A cat')] }, 400, 'MissingParameter'],
    ['no content, as a probe sends it', { model: FAST }, 400, 'MissingParameter'],
    ['no text and no picture', { model: FAST, content: [text(' ')] }, 400, 'MissingParameter'],
    ['an unknown model', body('A cat', { model: 'seedance-9' }), 404, 'InvalidEndpointOrModel.NotFound'],
    ['a retired lite model', body('A cat', { model: 'seedance-1-0-lite-t2v-250428' }), 404, 'InvalidEndpointOrModel.NotFound'],
    ['1.5 pro, which is shut down', body('A cat', { model: 'seedance-1-5-pro-251215' }), 404, 'InvalidEndpointOrModel.NotFound'],
    ['an unknown field', body('A cat', { fps: 24 }), 400, UNSUPPORTED],
    ['sound on 1.0', body('A cat', { generate_audio: false }), 400, UNSUPPORTED],
    ['camera_fixed on 2.0', body('A cat', { model: TWO, camera_fixed: false }), 400, UNSUPPORTED],
    ['frames on 2.0', body('A cat', { model: TWO, frames: 29 }), 400, UNSUPPORTED],
    ['output_format before 2.5', body('A cat', { model: TWO, output_format: 'mp4' }), 400, UNSUPPORTED],
    ['too short', body('A cat', { duration: 1 }), 400, 'InvalidParameter'],
    ['too long', body('A cat', { duration: 13 }), 400, 'InvalidParameter'],
    ['too short for 2.0', body('A cat', { model: TWO, duration: 3 }), 400, 'InvalidParameter'],
    ['too long for 2.0', body('A cat', { model: TWO, duration: 16 }), 400, 'InvalidParameter'],
    ['too long for 2.5', body('A cat', { model: TWO_FIVE, duration: 31 }), 400, 'InvalidParameter'],
    ['a duration as text', body('A cat', { duration: '5' }), 400, 'InvalidParameter'],
    ['a free duration on 1.0', body('A cat', { duration: -1 }), 400, 'InvalidParameter'],
    ['4k elsewhere', body('A cat', { model: TWO_FIVE, resolution: '4k' }), 400, 'InvalidParameter'],
    ['adaptive without a picture on 1.0', body('A cat', { ratio: 'adaptive' }), 400, 'InvalidParameter'],
    ['flex on 2.0', body('A cat', { model: TWO, service_tier: 'flex' }), 400, 'InvalidParameter'],
    ['frames off the raster', body('A cat', { frames: 30 }), 400, 'InvalidParameter'],
    ['a last frame on pro fast', body('A cat', { content: [text('A cat'), frame('https://example.com/1.png'), frame('https://example.com/2.png', 'last_frame')] }), 400, 'InvalidParameter'],
    ['frame and reference', body('A cat', { model: TWO, content: [frame('https://example.com/1.png'), frame('https://example.com/2.png', 'reference_image')] }), 400, 'InvalidParameter'],
    ['a frame on 2.5 with a ratio', { model: TWO_FIVE, content: [text('A cat'), frame('https://example.com/1.png')], ratio: '16:9' }, 400, 'InvalidParameter'],
    ['plain http', { model: FAST, content: [text('A cat'), frame('http://example.com/1.png')] }, 400, 'InvalidImageURL.InvalidFormat'],
    ['JSON that is none', 'A cat', 400, 'InvalidParameter'],
    ['more than 64 MB', body('A cat'.repeat(14_000_000)), 400, 'InvalidParameter'],
  ]
  for (const [name, sent, status, code] of refused) {
    test(`refuses ${name}`, async () => {
      const before = client.videos.created()
      const response = await client.send(sent)
      const { error } = (await response.json()) as ErrorAnswer
      assert.deepEqual([response.status, error.code, error.type], [status, code, status === 404 ? 'NotFound' : 'BadRequest'])
      assert.equal(client.videos.created(), before)
    })
  }

  test('refuses a wrong key, and still counts the request', async () => {
    const before = [client.videos.requests.length, client.videos.created()]
    assert.equal((await client.send(body('A cat'), { headers: { authorization: 'Bearer wrong' } })).status, 401)
    assert.deepEqual([client.videos.requests.length, client.videos.created()], [before[0]! + 1, before[1]])
  })

  test('keeps a first frame byte for byte, and fits an adaptive ratio to it', async () => {
    const bytes = await picture(400, 900).withExif({ IFD0: { Copyright: 'nobody' } }).jpeg().toBuffer()
    const url = `data:image/jpeg;base64,${bytes.toString('base64')}`
    for (const role of ['first_frame', null]) {
      const id = await client.create({ model: TWO_FIVE, content: [text('A cat'), frame(url, role)], ratio: 'adaptive' })
      const task = client.videos.tasks.get(id)!
      assert.ok(task.picture?.equals(bytes))
      assert.ok((await sharp(task.picture).metadata()).exif)
      assert.equal((await client.check(id)).body.ratio, '9:16')
    }
  })

  for (const [name, url] of [
    ['is too small', dataUri(picture(299, 400).png())],
    ['is too wide', dataUri(picture(1000, 399).png())],
    ['is named otherwise than it is', dataUri(picture(400, 400).png(), 'jpeg')],
    ['is named in capitals', dataUri(picture(400, 400).png(), 'PNG')],
    ['is cut short', dataUri(picture(400, 400).png()).then((uri) => uri.slice(0, -400))],
    ['is no base64', Promise.resolve('data:image/png;base64,***')],
    ['is no picture', Promise.resolve(`data:image/png;base64,${Buffer.from('A cat').toString('base64')}`)],
  ] as const) {
    test(`refuses a picture that ${name}`, async () => {
      assert.equal((await client.send({ model: FAST, content: [text('A cat'), frame(await url)] })).status, 400)
    })
  }

  test('tells what 1.x would have read from the prompt', async () => {
    const suffixes = []
    for (const [model, prompt] of [[FAST, 'A cat --dur 9 --wm true'], [FAST, 'A cat -- on a wall'], [TWO, 'A cat --dur 9']]) {
      suffixes.push(client.videos.tasks.get(await client.create(body(prompt!, { model })))!.parsedSuffix)
    }
    assert.deepEqual(suffixes, ['--dur 9 --wm true', undefined, undefined])
  })

  test('2.x keeps, ignores or refuses a seed, as it is told', async () => {
    const seeds = []
    for (const seedOn2 of ['kept', 'ignored', 'refused'] as const) {
      client.videos.quirks.seedOn2 = seedOn2
      const response = await client.send(body('A cat', { model: TWO, seed: 7 }))
      const { id } = (await response.json()) as { id?: string }
      seeds.push(id === undefined ? response.status : (await client.check(id)).body.seed === 7)
    }
    client.videos.quirks.seedOn2 = 'kept'
    assert.deepEqual(seeds, [true, false, 400])
  })
})

describe('the life of a simulated video task', () => {
  let client: Client
  before(async () => {
    client = await startClient()
  })
  after(() => client.close())

  test('is queued, runs and succeeds, each as long as it is held', async () => {
    const [releaseQueue, releaseRun] = [client.videos.hold('queued'), client.videos.hold('running')]
    const id = await client.create(body('Held', { seed: 4_294_967_295, duration: 3, return_last_frame: true }))
    assert.equal((await client.check(id)).body.status, 'queued')
    assert.equal((await client.check(id)).body.content, undefined)
    releaseQueue()
    assert.equal((await client.check(id)).body.status, 'running')
    releaseRun()
    const task = await client.ended(id)
    assert.deepEqual([task.status, task.seed, task.duration, task.ratio, task.resolution, task.error], ['succeeded', 4_294_967_295, 3, '16:9', '720p', null])
    assert.ok(Number.isInteger(task.created_at) && (task.updated_at as number) >= (task.created_at as number))
    assert.ok(task.content?.video_url && task.content.last_frame_url)
    assert.deepEqual([client.videos.tasks.get(id)!.checks, client.videos.tasks.get(id)!.status()], [4, 'succeeded'])
  })

  test('bills the tokens of the price list', async () => {
    const id = await client.create(body('Tokens', { model: PRO }))
    assert.deepEqual((await client.ended(id)).usage, { completion_tokens: 246_840, total_tokens: 246_840 })
  })

  test('tells its settings only at the end, when it is told to', async () => {
    client.videos.quirks.settings = 'succeeded'
    const release = client.videos.hold('running')
    const id = await client.create(body('Shy', { seed: 7, execution_expires_after: 86_400 }))
    const { body: running } = await client.check(id)
    assert.deepEqual([running.seed, running.duration, running.execution_expires_after], [undefined, undefined, 86_400])
    release()
    assert.equal((await client.ended(id)).seed, 7)
    client.videos.quirks.settings = 'always'
  })

  test('is listed newest first, by page and by filter', async () => {
    const release = client.videos.hold('queued')
    const first = await client.create(body('Listed', { model: TWO }))
    const second = await client.create(body('Listed'))
    const flex = await client.create(body('Listed', { service_tier: 'flex' }))
    const ids = async (query: string) => (await client.list(query)).body.items.map(({ id }) => id)
    assert.deepEqual(await ids('filter.status=queued'), [second, first])
    assert.deepEqual(await ids(`filter.task_ids=${first}&filter.task_ids=cgt-0`), [first])
    assert.deepEqual(await ids(`filter.model=${TWO}&filter.status=queued`), [first])
    assert.deepEqual(await ids('filter.service_tier=flex'), [flex])
    assert.deepEqual(await ids('page_num=2&page_size=1'), [first])
    assert.ok((await client.list('page_size=1')).body.total > 1)
    for (const query of ['page_size=501', 'page_size=0', 'filter.status=done', 'filter.task_ids[]=1']) assert.equal((await client.list(query)).status, 400, query)
    release()
  })

  test('is cancelled while queued, kept while running, deleted when over', async () => {
    const [releaseQueue, releaseRun] = [client.videos.hold('queued'), client.videos.hold('running')]
    const cancelled = await client.create(body('Cancelled'))
    assert.deepEqual(await client.remove(cancelled), { status: 200, body: {} })
    const running = await client.create(body('Running'))
    releaseQueue()
    assert.equal((await client.check(cancelled)).body.status, 'cancelled')
    assert.equal((await client.remove(cancelled)).status, 400)
    const refusal = await client.remove(running)
    assert.deepEqual([refusal.status, refusal.body.error?.code], [409, 'InvalidAction.RunningTaskDeletion'])
    releaseRun()
    await client.ended(running)
    assert.deepEqual(await client.remove(running), { status: 200, body: {} })
    assert.deepEqual([(await client.check(running)).status, (await client.remove(running)).status, client.videos.tasks.get(running)!.status()], [404, 404, 'deleted'])
    assert.equal((await client.list(`filter.task_ids=${running}`)).body.total, 0)
    assert.equal(client.videos.createsOf('Running'), 1)
  })

  test('is told to its callback at every change', async () => {
    const told: string[] = []
    const server = createServer((request, response) => {
      void readBody(request).then((bytes) => {
        told.push((JSON.parse(String(bytes)) as Task).status)
        response.end()
      })
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const telling = await startClient({ callbacks: true })
    await telling.create(body('Told', { callback_url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` }))
    await eventually(async () => told.length === 3, 'three callbacks')
    assert.deepEqual(told, ['queued', 'running', 'succeeded'])
    await telling.close()
    server.close()
  })
})

describe('a simulated video task that misbehaves', () => {
  let client: Client
  before(async () => {
    client = await startClient()
  })
  after(() => client.close())

  for (const [behaviour, status] of [['rate-limit', 429], ['rate-limit-long', 429], ['server-error', 500], ['proxy-error', 502], ['gateway-error', 504], ['proxy-conflict', 409], ['html', 200], ['moderation', 400], ['auth', 401], ['quota', 429], ['queue-full', 429], ['overdue', 403], ['not-found', 404], ['drop', 0], ['cut', 0]] as const) {
    test(`${behaviour} makes no task`, async () => {
      const before = client.videos.created()
      const answered = await client.send(body(`A cat sim:${behaviour}`)).then(async (response) => (await response.text(), response.status)).catch(() => 0)
      assert.deepEqual([answered, client.videos.created() - before], [status, 0])
    })
  }

  for (const [behaviour, status, made] of [['accept-drop', 0, 1], ['accept-cut', 0, 1], ['accept-500', 500, 1], ['accept-502', 502, 1], ['accept-twice', 0, 2]] as const) {
    test(`${behaviour} makes ${made}, listed with their seed`, async () => {
      const before = client.videos.created()
      const seed = 1000 + before
      client.videos.behave(behaviour)
      const answered = await client.send(body(behaviour, { seed })).then(async (response) => (await response.text(), response.status)).catch(() => 0)
      assert.deepEqual([answered, client.videos.created() - before, client.videos.createsOf(behaviour)], [status, made, made])
      assert.equal((await client.list()).body.items.filter((task) => task.seed === seed).length, made)
    })
  }

  for (const [behaviour, made] of [['accept-hang', 1], ['hang', 0]] as const) {
    test(`${behaviour} makes ${made} and never answers`, async () => {
      const before = [client.videos.requests.length, client.videos.created()]
      const giveUp = new AbortController()
      const answer = client.send(body(`A cat sim:${behaviour}`), { signal: giveUp.signal }).catch(() => 'given up')
      await eventually(async () => client.videos.requests.length > before[0]! && client.videos.created() === before[1]! + made, 'it was received')
      giveUp.abort()
      assert.equal(await answer, 'given up')
    })
  }

  test('a list call stumbles once, or leaves a task out twice', async () => {
    await client.send(body('A cat sim:list-error-once')).catch(() => undefined)
    assert.deepEqual([(await client.list()).status, (await client.list()).status], [500, 200])
    await client.send(body('Unlisted sim:unlisted-at-first')).catch(() => undefined)
    const [id] = [...client.videos.tasks.keys()].slice(-1)
    const totals = []
    for (let lists = 0; lists < 3; lists++) totals.push((await client.list(`filter.task_ids=${id}`)).body.total)
    assert.deepEqual(totals, [0, 0, 1])
  })

  for (const [behaviour, status, code] of [['task-failed', 'failed', 'OutputVideoSensitiveContentDetected'], ['task-failed-internal', 'failed', 'InternalServiceError'], ['task-expired', 'expired', undefined], ['task-cancelled', 'cancelled', undefined]] as const) {
    test(`${behaviour} ends as ${status}`, async () => {
      const task = await client.ended(await client.create(body(`A cat sim:${behaviour}`)))
      assert.deepEqual([task.status, task.error?.code, task.content], [status, code, undefined])
    })
  }

  test('a task has a status that nobody knows, no link, a duration as text, or is forgotten', async () => {
    const odd = await client.create(body('A cat sim:task-unknown-status'))
    assert.deepEqual([(await client.check(odd)).body.status, (await client.check(odd)).body.status], ['paused', 'paused'])
    assert.equal((await client.ended(odd)).status, 'succeeded')
    assert.deepEqual((await client.ended(await client.create(body('A cat sim:task-no-url')))).content, {})
    assert.equal((await client.ended(await client.create(body('A cat sim:task-duration-string')))).duration, '5')
    const forgotten = await client.create(body('A cat sim:task-forgotten'))
    assert.deepEqual([(await client.check(forgotten)).status, (await client.list(`filter.task_ids=${forgotten}`)).body.total, client.videos.tasks.has(forgotten)], [404, 0, true])
  })

  for (const [behaviour, status] of [['check-error-once', 500], ['check-rate-limit-once', 429], ['check-html-once', 200]] as const) {
    test(`${behaviour} passes`, async () => {
      const id = await client.create(body(`A cat sim:${behaviour}`))
      const first = await client.look(id)
      assert.deepEqual([first.status, first.headers.get('retry-after')], [status, status === 429 ? '1' : null])
      await first.text()
      assert.equal((await client.ended(id)).status, 'succeeded')
      assert.equal(client.videos.tasks.get(id)!.checks, 2)
    })
  }

  test('check-hang-once and file-hang-once pass', async () => {
    const id = await client.create(body('A cat sim:check-hang-once sim:file-hang-once'))
    const task = client.videos.tasks.get(id)!
    const hangs = async (ask: (signal: AbortSignal) => Promise<unknown>, arrived: () => boolean) => {
      const giveUp = new AbortController()
      const answer = ask(giveUp.signal).catch(() => 'given up')
      await eventually(async () => arrived(), 'it was asked')
      giveUp.abort()
      return answer
    }
    assert.equal(await hangs((signal) => client.look(id, { signal }), () => task.checks === 1), 'given up')
    const url = (await client.ended(id)).content!.video_url!
    assert.equal(await hangs((signal) => fetch(url, { signal }), () => task.fetches === 1), 'given up')
    assert.equal((await fetch(url)).status, 200)
  })
})

describe('the file of a simulated video task', () => {
  let client: Client
  const link = async (more: Record<string, unknown> = {}, ...behaviours: VideoBehaviour[]) => {
    client.videos.behave(behaviours)
    const task = await client.ended(await client.create(body('A cat', more)))
    return { id: task.id, url: task.content!.video_url!, task }
  }
  before(async () => {
    client = await startClient({ minVideoBytes: 700_001 })
  })
  after(() => client.close())

  test('plays as long as was asked, in its ratio, and is like no other', async () => {
    const hashes = new Set<string>()
    for (const [duration, ratio, shape] of [[2, '16:9', 16 / 9], [7, '9:16', 9 / 16], [7, '9:16', 9 / 16], [12, '1:1', 1]] as const) {
      const { id, url } = await link({ duration, ratio })
      const response = await fetch(url)
      const bytes = Buffer.from(await response.arrayBuffer())
      assert.deepEqual([response.headers.get('content-type'), response.headers.get('content-length'), bytes.length], ['video/mp4', '700001', 700_001])
      assert.ok(bytes.equals(await client.videos.file(id)))
      const input = new Input({ formats: ALL_FORMATS, source: new BufferSource(bytes) })
      const track = await input.getPrimaryVideoTrack()
      assert.deepEqual([await input.computeDuration(), track!.displayWidth / track!.displayHeight], [duration, shape])
      hashes.add(createHash('sha256').update(bytes).digest('hex'))
      assert.equal(client.videos.tasks.get(id)!.fetches, 1)
    }
    assert.deepEqual([hashes.size, client.videos.fetches()], [4, 4])
  })

  test('is there for a signed GET of a finished task alone', async () => {
    const { id, url, task } = await link({ return_last_frame: true })
    const release = client.videos.hold('running')
    const unfinished = url.replace(id, await client.create(body('A cat')))
    const statuses = await Promise.all([fetch(url, { method: 'HEAD' }), fetch(url.split('?')[0]!), fetch(unfinished), fetch(task.content!.last_frame_url!)])
    assert.deepEqual(statuses.map(({ status }) => status), [403, 403, 403, 200])
    assert.equal(client.videos.tasks.get(id)!.fetches, 0)
    release()
  })

  test('is cut, cut once, or cut without saying so', async () => {
    const read = async (url: string) => (await fetch(url)).arrayBuffer().then(({ byteLength }) => byteLength).catch(() => 'cut')
    const [always, first, silently] = [await link({}, 'file-cut'), await link({}, 'file-cut-once'), await link({}, 'file-truncated')]
    assert.deepEqual([await read(always.url), await read(always.url)], ['cut', 'cut'])
    assert.deepEqual([await read(first.url), await read(first.url)], ['cut', 700_001])
    const truncated = new Input({ formats: ALL_FORMATS, source: new BufferSource(await (await fetch(silently.url)).arrayBuffer()) })
    assert.equal(await truncated.getPrimaryVideoTrack(), null)
  })

  test('never ends, and says so or does not', async () => {
    for (const [behaviour, announced] of [['file-huge', '1099511627776'], ['file-endless', null]] as const) {
      const response = await fetch((await link({}, behaviour)).url)
      assert.equal(response.headers.get('content-length'), announced)
      let read = 0
      // Leaving the loop hangs up.
      for await (const chunk of response.body!) if ((read += (chunk as Uint8Array).length) > 2_000_000) break
      assert.ok(read > 2_000_000)
    }
  })

  for (const [behaviour, status, type] of [['file-html', 200, 'text/html'], ['file-wrong-type', 200, 'text/plain'], ['file-expired', 403, 'application/xml'], ['file-redirect-inward', 302, null], ['file-redirect-loop', 302, null]] as const) {
    test(`${behaviour} answers ${status}`, async () => {
      const response = await fetch((await link({}, behaviour)).url, { redirect: 'manual' })
      assert.deepEqual([response.status, response.headers.get('content-type')], [status, type])
      await response.arrayBuffer()
    })
  }

  test('stumbles once, or lies inward', async () => {
    const { url } = await link({}, 'file-error-once')
    assert.deepEqual([(await fetch(url)).status, (await fetch(url)).status], [503, 200])
    assert.match((await link({}, 'file-inward')).url, /169\.254/)
  })
})

describe('watching the simulated ModelArk', () => {
  test('handlers are told in order and waited for', async () => {
    const client = await startClient({ minVideoBytes: 5_000_000 })
    const events: string[] = []
    let letGo: () => void = () => undefined
    const gate = new Promise<void>((resolve) => (letGo = resolve))
    for (const event of ['create-received', 'create-accepted', 'check-received', 'check-answering', 'list-received', 'file-requested', 'file-half'] as const) {
      client.videos.on(event, ({ prompt, taskId, status }) => void events.push([event, prompt, taskId === undefined ? '' : 'task', status ?? ''].join(' ').trim()))
    }
    client.videos.on('file-half', () => gate)
    const id = await client.create(body('A cat'))
    await client.list()
    const task = await client.ended(id)
    const response = await fetch(task.content!.video_url!)
    let read = 0
    for await (const chunk of response.body!) {
      read += (chunk as Uint8Array).length
      if (read !== 2_500_000) continue
      await eventually(async () => events.includes('file-half A cat task'), 'half of the file is told')
      letGo()
    }
    assert.equal(read, 5_000_000)
    assert.deepEqual(events, ['create-received A cat', 'create-accepted A cat task', 'list-received', 'check-received A cat task', 'check-answering A cat task succeeded', 'file-requested A cat task', 'file-half A cat task'])
    assert.deepEqual(client.videos.stats(), { created: 1, creates: { 'A cat': 1 }, checks: 1, lists: 1, fetches: 1 })
    const off = client.videos.on('create-received', () => Promise.reject(new Error('The test cuts the line.')))
    await assert.rejects(client.send(body('A cat')))
    off()
    await client.create(body('A cat'))
    await client.close()
  })

  test('a child process tells its counts', async () => {
    const child = fork(new URL('main.ts', import.meta.url), { env: { ...process.env, SIMULATOR_PORT: '0', SIMULATOR_QUEUED_MS: '0', SIMULATOR_RUNNING_MS: '0' }, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    const [ready] = (await once(child, 'message')) as [Pick<ModelArkSimulator, 'baseURL' | 'apiKey'>]
    const made = await fetch(`${ready.baseURL}/contents/generations/tasks`, { method: 'POST', headers: { authorization: `Bearer ${ready.apiKey}` }, body: JSON.stringify(body('A cat')) })
    assert.equal(made.status, 200)
    child.send({ type: 'stats' })
    const [stats] = (await once(child, 'message')) as [unknown]
    assert.deepEqual(stats, { type: 'stats', created: 1, creates: { 'A cat': 1 }, checks: 0, lists: 0, fetches: 0 })
    child.disconnect()
    await once(child, 'exit')
  })
})
