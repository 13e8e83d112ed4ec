/** Parts of files: what is asked for is what comes, or the whole file, or a 416. */
import assert from 'node:assert/strict'
import { after, beforeEach, before, describe, test } from 'node:test'
import { parseContentRange, parseRange, partOf } from '../../src/media/byte-ranges.ts'
import { serveFile, startDownloadApp, USER, type DownloadApp } from '../support/downloads.ts'
import { makePng } from '../support/media-files.ts'

const SIZE = 10_000
const png = makePng(SIZE)
const ETAG = '"one"'
const MODIFIED = 'Sat, 21 Nov 2026 10:00:00 GMT'
const VALIDATORS = { etag: ETAG, 'last-modified': MODIFIED }
const LINK = 'https://files.example.com/0.png'

let app: DownloadApp
before(async () => {
  app = await startDownloadApp()
})
after(() => app.close())
beforeEach(() => {
  app.forget()
  app.respond = serveFile(png, { headers: VALIDATORS })
})

const ask = (headers: Record<string, string>, method = 'GET') => app.download(LINK, { method, headers })

/** Status, Content-Range and Content-Length, and whether the bytes are those. */
async function assertPart(response: Response, start: number, end: number): Promise<void> {
  assert.deepEqual([response.status, response.headers.get('content-range'), response.headers.get('content-length')], [206, `bytes ${start}-${end}/${SIZE}`, String(end - start + 1)])
  assert.deepEqual([response.headers.get('content-type'), response.headers.get('accept-ranges'), response.headers.get('etag')], ['image/png', 'bytes', ETAG])
  assert.deepEqual(Buffer.from(await response.arrayBuffer()), png.subarray(start, end + 1))
}

async function assertWhole(response: Response, bytes = png): Promise<void> {
  assert.deepEqual([response.status, response.headers.get('content-range'), response.headers.get('content-length')], [200, null, String(bytes.length)])
  assert.deepEqual(Buffer.from(await response.arrayBuffer()), bytes)
}

async function assertNothingThere(response: Response): Promise<void> {
  assert.deepEqual([response.status, response.headers.get('content-range'), response.headers.get('content-disposition')], [416, `bytes */${SIZE}`, null])
  assert.equal(((await response.json()) as { code: string }).code, 'range_not_satisfiable')
}

describe('a range', () => {
  for (const [range, start, end] of [
    ['bytes=0-', 0, 9999], ['bytes=0-0', 0, 0], ['bytes=0-1', 0, 1], ['bytes=9999-', 9999, 9999], ['bytes=5000-5999', 5000, 5999], ['bytes=5000-99999', 5000, 9999], ['bytes=-1', 9999, 9999], ['bytes=-500', 9500, 9999], ['bytes=-99999', 0, 9999], ['BYTES=1-2', 1, 2], ['bytes=000000000000001-2', 1, 2],
  ] as const) {
    test(`${range} is that part`, async () => assertPart(await ask({ range }), start, end))
  }
  for (const range of ['bytes=10000-', 'bytes=10000-10001', 'bytes=99999-', 'bytes=-0']) {
    test(`${range} is nowhere, and nobody is asked for it`, async () => {
      await assertNothingThere(await ask({ range }))
      assert.deepEqual(app.requests.map(({ headers }) => headers.range), ['bytes=0-4099'])
    })
  }
  for (const range of ['bytes=0-1,5-6', 'bytes=5-1', 'bytes=-', 'bytes=', 'bytes=a-b', 'bytes 0-1', 'items=0-1', 'bytes=1-2-3', 'bytes=0x1-2', 'bytes=1 - 2', 'bytes=9999999999999999999-', '0-1', 'bytes=--1']) {
    test(`${JSON.stringify(range)} is passed over`, async () => {
      await assertWhole(await ask({ range }))
      assert.deepEqual(app.requests.map(({ headers }) => headers.range), [undefined])
    })
  }

  test('of a server that knows none is answered with the whole', async () => {
    app.respond = serveFile(png, { ranges: false })
    for (const range of ['bytes=5000-', 'bytes=-5', 'bytes=99999-']) await assertWhole(await ask({ range }))
    assert.equal(app.requests.length, 3, 'the answer to the first question is used')
  })

  test('of a file in our storage is asked for with its key', async () => {
    await assertPart(await app.download(`${USER}/1/0.png`, { headers: { range: 'bytes=7000-' } }), 7000, 9999)
    assert.deepEqual(app.requests.map(({ headers }) => [headers.range, typeof headers.apikey]), [['bytes=0-4099', 'string'], ['bytes=7000-9999', 'string']])
  })

  test('of a file that is shorter than what tells its type', async () => {
    app.respond = serveFile(png.subarray(0, 100))
    const response = await ask({ range: 'bytes=50-' })
    assert.deepEqual([response.status, response.headers.get('content-range'), (await response.arrayBuffer()).byteLength], [206, 'bytes 50-99/100', 50])
  })

  test('of a file whose size nobody tells', async () => {
    app.respond = (request, response) => {
      const [, start, end] = /bytes=(\d+)-(\d*)/.exec(request.headers.range!)!
      if (Number(start) >= SIZE) return void response.writeHead(416).end()
      const last = Math.min(SIZE - 1, end === '' ? SIZE : Number(end))
      response.writeHead(206, { 'content-range': `bytes ${start}-${last}/*` }).end(png.subarray(Number(start), last + 1))
    }
    const response = await ask({ range: 'bytes=6000-' })
    assert.deepEqual([response.status, response.headers.get('content-range'), response.headers.get('content-length')], [206, 'bytes 6000-9999/*', '4000'])
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), png.subarray(6000))
    const beyond = await ask({ range: 'bytes=10000-' })
    assert.deepEqual([beyond.status, beyond.headers.get('content-range')], [416, null])
  })

  test('is not given of what is no picture, whatever lies in the range', async () => {
    const hidden = Buffer.concat([Buffer.from('<html>'.padEnd(5000)), png])
    app.respond = serveFile(hidden)
    assert.equal((await ask({ range: 'bytes=5000-' })).status, 415)
  })
})

describe('If-Range', () => {
  for (const [what, ifRange] of [['the mark', ETAG], ['the date', MODIFIED]] as const) {
    test(`with ${what} of the file gives the part, and is passed on`, async () => {
      await assertPart(await ask({ range: 'bytes=6000-', 'if-range': ifRange }), 6000, 9999)
      assert.equal(app.requests.at(-1)!.headers['if-range'], ifRange)
    })
  }
  for (const ifRange of ['"two"', 'W/"one"', 'one', 'Fri, 20 Nov 2026 10:00:00 GMT', 'nonsense']) {
    test(`${ifRange} gives the whole`, async () => assertWhole(await ask({ range: 'bytes=6000-', 'if-range': ifRange })))
  }

  test('beats a range that lies nowhere', async () => {
    await assertWhole(await ask({ range: 'bytes=99999-', 'if-range': '"two"' }))
    await assertNothingThere(await ask({ range: 'bytes=99999-', 'if-range': ETAG }))
  })

  test('of a file without marks gives the whole', async () => {
    app.respond = serveFile(png)
    await assertWhole(await ask({ range: 'bytes=6000-', 'if-range': ETAG }))
  })

  test('a server that looks at it by itself may answer with the whole', async () => {
    const other = makePng(8000)
    app.respond = (request, response) => serveFile(request.headers['if-range'] === undefined ? png : other, { ranges: request.headers['if-range'] === undefined, headers: VALIDATORS })(request, response)
    await assertWhole(await ask({ range: 'bytes=6000-', 'if-range': ETAG }), other)
  })
})

describe('an answer that does not fit the question', () => {
  /** The beginning as it should be, then this. */
  const thenAnswer = (status: number, headers: Record<string, string>, body: Buffer) => {
    app.respond = (request, response) => {
      if (request.headers.range === 'bytes=0-4099') return serveFile(png, { headers: VALIDATORS })(request, response)
      response.writeHead(status, headers).end(body)
    }
  }
  for (const [what, headers] of [
    ['another part', { 'content-range': 'bytes 0-99/10000', etag: ETAG }],
    ['more than was asked for', { 'content-range': 'bytes 5000-6999/10000', etag: ETAG }],
    ['a file of another size', { 'content-range': 'bytes 5000-5099/20000', etag: ETAG }],
    ['another file', { 'content-range': 'bytes 5000-5099/10000', etag: '"two"' }],
    ['a part that is none', { 'content-range': 'bytes 5000-4000/10000', etag: ETAG }],
    ['a part beyond its own size', { 'content-range': 'bytes 5000-5099/5050', etag: ETAG }],
    ['no word of which part it is', { etag: ETAG }],
    ['several parts', { 'content-type': 'multipart/byteranges; boundary=x', etag: ETAG }],
    ['another length', { 'content-range': 'bytes 5000-5099/10000', 'content-length': '50', etag: ETAG }],
  ] as const) {
    test(`${what} is refused before a byte is sent`, async () => {
      thenAnswer(206, headers, png.subarray(5000, 'content-length' in headers ? 5050 : 5100))
      const response = await ask({ range: 'bytes=5000-5099' })
      assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [502, 'output_invalid'])
    })
  }

  test('a part that nobody asked for is refused', async () => {
    app.respond = (_request, response) => void response.writeHead(206, { 'content-range': `bytes 0-9999/${SIZE}` }).end(png)
    assert.equal((await ask({})).status, 502)
  })

  test('a beginning that is none is refused', async () => {
    app.respond = (_request, response) => void response.writeHead(206, { 'content-range': `bytes 5000-9999/${SIZE}` }).end(png.subarray(5000))
    for (const [range, method] of [['bytes=5000-', 'GET'], ['', 'HEAD']] as const) assert.equal((await ask({ range }, method)).status, 502)
  })

  test('a server that refuses the first bytes of a file is asked for all of it', async () => {
    app.respond = (request, response) => (request.headers.range === undefined ? serveFile(png)(request, response) : void response.writeHead(416).end())
    await assertWhole(await ask({ range: 'bytes=5000-' }))
  })
})

describe('HEAD', () => {
  test('tells what GET would, from the file’s first bytes, without asking for HEAD', async () => {
    app.respond = (request, response) => (request.method === 'HEAD' ? void response.writeHead(403).end() : serveFile(png, { headers: VALIDATORS })(request, response))
    const [head, get] = [await ask({}, 'HEAD'), await ask({})]
    await get.arrayBuffer()
    for (const name of ['content-type', 'content-length', 'content-disposition', 'etag', 'last-modified', 'accept-ranges', 'cache-control', 'x-content-type-options', 'content-security-policy', 'vary']) {
      assert.equal(head.headers.get(name), get.headers.get(name), name)
    }
    assert.deepEqual([head.status, head.headers.get('content-length'), (await head.arrayBuffer()).byteLength], [200, String(SIZE), 0])
    assert.deepEqual(app.requests.map(({ method, headers }) => [method, headers.range]), [['GET', 'bytes=0-4099'], ['GET', undefined]])
  })

  test('passes over a range, and does without a server that knows none', async () => {
    const ranged = await ask({ range: 'bytes=5-6' }, 'HEAD')
    assert.deepEqual([ranged.status, ranged.headers.get('content-length')], [200, String(SIZE)])
    app.respond = serveFile(png, { ranges: false })
    const without = await ask({}, 'HEAD')
    assert.deepEqual([without.status, without.headers.get('content-length'), without.headers.get('accept-ranges')], [200, String(SIZE), null])
  })

  test('fails as GET does', async () => {
    app.respond = serveFile(Buffer.from('<html>'))
    assert.equal((await ask({}, 'HEAD')).status, 415)
    app.respond = serveFile(Buffer.alloc(0))
    assert.equal((await ask({}, 'HEAD')).status, 415)
    assert.equal((await app.download('https://evil.com/', { method: 'HEAD' })).status, 403)
  })
})

test('ranges as they are read', () => {
  assert.deepEqual(parseRange(' bytes=1-2 '), { start: 1, end: 2 })
  assert.deepEqual(partOf({ last: 5 }, 3), { start: 0, end: 2 })
  assert.equal(partOf({ start: 0, end: undefined }, 0), undefined)
  for (const header of ['bytes 0-1', 'bytes */5', 'items 0-1/5', 'bytes 0-5/5', 'bytes 0-1/5x', ['bytes 0-1/5', 'bytes 2-3/5'], undefined]) assert.equal(parseContentRange(header), undefined)
})
