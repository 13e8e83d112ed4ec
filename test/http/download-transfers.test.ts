/** Downloads while they last: slow readers, cuts, limits of size, time and number, clients that go. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { get, type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { after, afterEach, before, describe, test } from 'node:test'
import { OTHER, serveFile, startDownloadApp, USER, type DownloadApp, type DownloadAppOptions } from '../support/downloads.ts'
import { makePng } from '../support/media-files.ts'
import { eventually } from '../support/service.ts'

const MIB = 1024 * 1024
const LINK = 'https://files.example.com/0.png'
const png = makePng(MIB)

/** A server that says no more than it is told to. */
function holdAfter(bytes: Buffer, length: number | undefined): { started: Promise<ServerResponse>; closed: Promise<unknown> } {
  const started = Promise.withResolvers<ServerResponse>()
  const closed = Promise.withResolvers<unknown>()
  app.respond = (_request, response) => {
    response.once('close', () => closed.resolve(undefined))
    response.writeHead(200, length === undefined ? {} : { 'content-length': length })
    response.write(bytes, () => started.resolve(response))
  }
  return { started: started.promise, closed: closed.promise }
}

interface Begun {
  request: ClientRequest
  response: IncomingMessage
  closed: Promise<unknown>
}

/** A client that reads only when it is told to. */
async function begin(link = LINK, user = USER): Promise<Begun> {
  const request = get(app.url + app.pathOf(link), { headers: { 'x-user': user } }).on('error', () => undefined)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  response.on('error', () => undefined)
  return { request, response, closed: new Promise((resolve) => response.once('close', resolve)) }
}

async function readAll(response: IncomingMessage): Promise<number> {
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) bytes += chunk.length
  return bytes
}

/** As much as came before the connection broke. */
async function readUntilCut({ response, closed }: Begun): Promise<number> {
  let bytes = 0
  response.on('data', (chunk: Buffer) => (bytes += chunk.length))
  await closed
  assert.equal(response.complete, false)
  return bytes
}

const requestLine = async (code?: string) => await eventually(async () => app.log.find((line) => line.msg === 'request' && (code === undefined || line.code === code)), `a request's line in the log: ${code}`)
const errors = () => app.log.filter(({ level, msg }) => level === 'error' && msg !== 'request')

let app: DownloadApp
function withApp(options: DownloadAppOptions): void {
  before(async () => {
    app = await startDownloadApp(options)
  })
  afterEach(() => void app.log.splice(0))
  after(() => app.close())
}

describe('a reader that takes nothing', () => {
  withApp({ maxBytes: 1024 * MIB })

  test('holds up its server: little is in memory, and nothing is lost', async () => {
    const size = 128 * MIB
    let written = 0
    const hash = createHash('sha256')
    app.respond = (_request, response) => {
      response.writeHead(200, { 'content-length': size })
      const more = () => {
        while (written < size) {
          written += MIB
          hash.update(png)
          if (!response.write(png)) return void response.once('drain', more)
        }
        response.end()
      }
      more()
    }
    const before = process.memoryUsage().arrayBuffers
    const { response } = await begin()
    let [seen, same] = [-1, 0]
    await eventually(async () => {
      same = written === seen ? same + 1 : 0
      seen = written
      return same > 20
    }, 'the server is held up')
    // What the system's own buffers of two connections take, at most.
    assert.ok(written < 40 * MIB, `${written / MIB} MiB were taken`)
    assert.ok(process.memoryUsage().arrayBuffers - before < 16 * MIB)
    const received = createHash('sha256')
    for await (const chunk of response as AsyncIterable<Buffer>) received.update(chunk)
    assert.equal(received.digest('hex'), hash.digest('hex'))
  })
})

describe('time', () => {
  withApp({ maxBytes: 256 * MIB, idleMs: 1500, maxUserDownloads: 1 })

  test('a client that stands still loses its place', async () => {
    const { closed } = holdAfter(makePng(64 * MIB), 64 * MIB)
    await begin()
    await closed
    assert.deepEqual([(await requestLine('output_unavailable')).status, errors()], [499, []])
    app.respond = serveFile(png)
    assert.equal((await (await app.download(LINK)).arrayBuffer()).byteLength, png.length)
  })

  test('a server that stands still is given up', async () => {
    const { closed } = holdAfter(png, 2 * MIB)
    assert.ok((await readUntilCut(await begin())) <= MIB)
    await closed
    await requestLine('output_unavailable')
  })

  test('one that is slow and goes on is not', async () => {
    app.respond = (_request, response) => {
      response.writeHead(200, { 'content-length': 25_000 })
      // Longer than one may stand still, all in all.
      let at = 0
      const timer = setInterval(() => {
        response.write(png.subarray(at, (at += 1000)))
        if (at < 25_000) return
        clearInterval(timer)
        response.end()
      }, 100)
    }
    assert.equal((await (await app.download(LINK)).arrayBuffer()).byteLength, 25_000)
  })

  test('so is one that does not begin', async () => {
    app.respond = () => undefined
    const response = await app.download(LINK)
    assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [502, 'output_unavailable'])
  })
})

describe('time as a whole', () => {
  withApp({ transferMs: 1500 })

  test('is limited, whatever passes', async () => {
    const { started, closed } = holdAfter(png.subarray(0, 5000), undefined)
    const { response } = await begin()
    const upstream = await started
    response.on('data', () => upstream.write('.'))
    await closed
    assert.equal(response.complete, false)
    assert.equal((await requestLine('output_unavailable')).status, 499)
  })
})

describe('the deadline of requests', () => {
  withApp({ deadlineMs: 1000, maxUserDownloads: 1 })

  test('does not end a download that has begun', async () => {
    const { started } = holdAfter(png.subarray(0, 5000), png.length)
    const { response } = await begin()
    const reading = readAll(response)
    // Began later, and is over.
    assert.equal((await fetch(`${app.url}/hang`, { headers: { 'x-user': OTHER } })).status, 503)
    ;(await started).end(png.subarray(5000))
    assert.equal(await reading, png.length)
  })

  test('ends one that does not begin, and its place is free', async () => {
    const closed = Promise.withResolvers<void>()
    app.respond = (_request, response) => void response.once('close', closed.resolve)
    assert.equal((await app.download(LINK)).status, 503)
    await closed.promise
    app.respond = serveFile(png)
    await eventually(async () => (await app.download(LINK)).status === 200, 'the place is free')
  })
})

describe('size', () => {
  withApp({ maxBytes: MIB })

  test('exactly the limit passes', async () => {
    for (const isChunked of [false, true]) {
      app.respond = serveFile(png, { isChunked })
      assert.equal((await (await app.download(LINK)).arrayBuffer()).byteLength, MIB)
    }
  })

  for (const [what, headers] of [['the whole', {}], ['a part', { range: 'bytes=0-10' }]] as const) {
    test(`a length beyond the limit is told before a byte of ${what} is sent`, async () => {
      app.respond = serveFile(makePng(MIB + 1))
      const response = await app.download(LINK, { headers })
      assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [502, 'output_too_large'])
    })
  }

  test('without a length the connection ends at the limit', async () => {
    const { closed } = holdAfter(makePng(4 * MIB), undefined)
    const begun = await begin()
    assert.equal(begun.response.headers['content-length'], undefined)
    assert.ok((await readUntilCut(begun)) <= MIB)
    await closed
    assert.deepEqual([(await requestLine('output_too_large')).status, errors()], [499, []])
  })

  test('a part that is longer than it says is cut at its end', async () => {
    app.respond = (request, response) => {
      if (request.headers.range === 'bytes=0-4099') return serveFile(png)(request, response)
      response.writeHead(206, { 'content-range': `bytes 5000-5999/${png.length}` }).end(png.subarray(5000, 90_000))
    }
    const response = await app.download(LINK, { headers: { range: 'bytes=5000-5999' } })
    assert.equal(response.headers.get('content-length'), '1000')
    await assert.rejects(response.arrayBuffer())
    await requestLine('output_unavailable')
  })
})

describe('a cut', () => {
  withApp({})

  for (const length of [undefined, png.length]) {
    test(`of the server’s connection ends the client’s, ${length === undefined ? 'without' : 'with'} a length`, async () => {
      const { started } = holdAfter(png.subarray(0, 300_000), length)
      const begun = await begin()
      ;(await started).destroy()
      assert.ok((await readUntilCut(begun)) <= 300_000)
      assert.deepEqual([(await requestLine('output_unavailable')).status, errors()], [499, []])
    })
  }

  test('before the type is known is told', async () => {
    const { started } = holdAfter(png.subarray(0, 3000), png.length)
    const answer = app.download(LINK)
    ;(await started).destroy()
    const response = await answer
    assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [502, 'output_unavailable'])
  })
})

describe('a client that goes', () => {
  withApp({ maxUserDownloads: 1 })

  test('takes the server’s connection along, and is no fault', async () => {
    const { closed } = holdAfter(png.subarray(0, 300_000), png.length)
    const { request, response } = await begin()
    await once(response, 'data')
    request.destroy()
    await closed
    assert.deepEqual([(await requestLine()).status, app.log.filter(({ level }) => level === 'error')], [499, []])
  })

  test('before anything came, too', async () => {
    const [arrived, closed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    app.respond = (_request, response) => {
      response.once('close', closed.resolve)
      arrived.resolve()
    }
    const request = get(app.url + app.pathOf(LINK), { headers: { 'x-user': USER } }).on('error', () => undefined)
    await arrived.promise
    request.destroy()
    await closed.promise
    app.respond = serveFile(png)
    await eventually(async () => (await app.download(LINK)).status === 200, 'the place is free')
  })
})

describe('places', () => {
  withApp({ maxDownloads: 3, maxUserDownloads: 2 })

  test('are limited for each user and for all, and given back', async () => {
    const { started } = holdAfter(png.subarray(0, 5000), undefined)
    const open = [await begin(), await begin()]
    await started
    const refused = async (user: string) => {
      const response = await app.download(LINK, { user })
      assert.deepEqual([response.status, response.headers.get('retry-after'), ((await response.json()) as { code: string }).code], [429, '5', 'rate_limited'])
    }
    await refused(USER)
    open.push(await begin(LINK, OTHER))
    await refused(OTHER)
    for (const { request } of open) request.destroy()
    app.respond = serveFile(png)
    await eventually(async () => (await app.download(LINK, { user: OTHER })).status === 200, 'there is room again')
    const { status } = await app.download('https://evil.com/')
    assert.equal(status, 403)
    const [first, second] = [await app.download(LINK), await app.download(LINK)]
    assert.deepEqual([first.status, second.status], [200, 200], 'a refused one holds no place')
    await Promise.all([first.arrayBuffer(), second.arrayBuffer()])
  })
})
