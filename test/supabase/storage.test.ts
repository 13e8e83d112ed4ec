import assert from 'node:assert/strict'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import type { FileStream } from '../../src/generation/files.ts'
import { createStorage, type Storage } from '../../src/supabase/storage.ts'
import { startResumableStorage, type ResumableStorage } from '../support/resumable-storage.ts'
import { storedFiles, sql, supabase } from '../support/supabase.ts'

const MIB = 1024 * 1024
const CHUNK = 6 * MIB
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const storageAt = (url: string, options: { timeoutMs?: number; bucket?: string } = {}) =>
  createStorage({ url, secretKey: supabase.secretKey, bucket: 'media', access: 'public', signedUrlSeconds: 60, timeoutMs: 10_000, ...options })

const local = storageAt(supabase.url)
/** Of 15 MiB: two whole chunks and a part of one. */
const large = randomBytes(15 * MIB)
const wholeChunks = large.subarray(0, 2 * CHUNK)

before(() => local.prepareBucket())

interface SourceOptions {
  contentLength?: number | undefined
  pieceLength?: number
  /** After so many bytes. */
  failAfter?: number
}

/** A file on its way that may fail on it. */
function source(bytes: Buffer, { pieceLength = 60_000, failAfter = Infinity, ...options }: SourceOptions = {}): FileStream {
  function* pieces() {
    for (let at = 0; at < bytes.length; at += pieceLength) {
      if (at >= failAfter) throw new AppError('output_invalid', 'It is no video.')
      yield bytes.subarray(at, at + pieceLength)
    }
    if (failAfter <= bytes.length) throw new AppError('output_invalid', 'It is no video.')
  }
  return { body: Readable.from(pieces(), { objectMode: false }), contentLength: 'contentLength' in options ? options.contentLength : bytes.length }
}

async function stored(path: string): Promise<{ hash: string; bytes: number; type: string | null; cache: string | null }> {
  const answer = await fetch(local.publicUrl(path)!)
  assert.equal(answer.status, 200)
  const bytes = new Uint8Array(await answer.arrayBuffer())
  return { hash: sha256(bytes), bytes: bytes.length, type: answer.headers.get('content-type'), cache: answer.headers.get('cache-control') }
}

const newFolder = () => `test-${randomUUID()}`

/** The same of a Storage with resumable uploads and of one without: what a caller sees is the same. */
function behavesAlike(getStorage: () => Storage): void {
  test('a large file arrives as it was, with its type, to be kept for ever', async () => {
    for (const contentLength of [large.length, undefined]) {
      const [path, progress]: [string, number[]] = [`${newFolder()}/0.mp4`, []]
      await getStorage().putStream(path, source(large, { contentLength }), 'video/mp4', { onProgress: (bytes) => progress.push(bytes) })
      const { cache, ...rest } = await stored(path)
      assert.deepEqual(rest, { hash: sha256(large), bytes: large.length, type: 'video/mp4' })
      assert.match(cache ?? '', /max-age=31536000/)
      assert.equal(progress.at(-1), large.length)
      assert.deepEqual(progress, [...progress].sort((a, b) => a - b))
    }
  })

  test('takes the place of what was there before', async () => {
    const path = `${newFolder()}/0.mp4`
    await getStorage().putStream(path, source(large), 'video/mp4')
    const other = randomBytes(7 * MIB)
    await getStorage().putStream(path, source(other), 'video/mp4')
    assert.equal((await stored(path)).hash, sha256(other))
  })

  for (const [when, failAfter] of [['at its beginning', 0], ['on its way', 10 * MIB], ['at its very end', large.length]] as const) {
    test(`a file that fails ${when} fails with its own error, and nothing of it is stored`, async () => {
      for (const [bytes, contentLength] of [[large, large.length], [large, undefined], [wholeChunks, wholeChunks.length], [wholeChunks, undefined]] as const) {
        const folder = newFolder()
        const file = source(bytes, { contentLength, failAfter: Math.min(failAfter, bytes.length), pieceLength: MIB / 4 })
        await assert.rejects(getStorage().putStream(`${folder}/0.mp4`, file, 'video/mp4'), { code: 'output_invalid', message: 'It is no video.' })
        assert.equal(file.body.destroyed, true)
        assert.deepEqual(await storedFiles(folder), [])
      }
    })
  }

  test('a file shorter or longer than it was said to be may be tried again, and is not stored', async () => {
    for (const contentLength of [large.length + 1, large.length - 1, large.length - 4 * MIB, 12 * MIB, 12 * MIB + 1]) {
      const folder = newFolder()
      await assert.rejects(getStorage().putStream(`${folder}/0.mp4`, source(large, { contentLength }), 'video/mp4'), { code: 'output_unavailable' })
      assert.deepEqual(await storedFiles(folder), [])
    }
  })

  test('a caller who gives up', async () => {
    const [folder, controller] = [newFolder(), new AbortController()]
    const file = source(large)
    const put = getStorage().putStream(`${folder}/0.mp4`, file, 'video/mp4', { signal: controller.signal, onProgress: () => controller.abort() })
    await assert.rejects(put, { code: 'storage_unavailable', message: /stopped/ })
    assert.equal(file.body.destroyed, true)
    assert.deepEqual(await storedFiles(folder), [])
    await getStorage().putStream(`${newFolder()}/0.mp4`, source(large), 'video/mp4')
    await assert.rejects(getStorage().putStream(`${folder}/0.mp4`, source(large), 'video/mp4', { signal: AbortSignal.abort(new AppError('shutting_down', 'Later.')) }), { code: 'shutting_down' })
  })
}

describe('a stream into a Storage without resumable uploads', () => behavesAlike(() => local))

describe('a stream into a Storage with resumable uploads', () => {
  let resumable: ResumableStorage
  let storage: Storage
  before(async () => {
    resumable = await startResumableStorage()
    storage = storageAt(resumable.url)
  })
  after(() => resumable.close())

  behavesAlike(() => storage)

  test('goes in chunks of exactly 6 MiB, and the server is asked once whether it takes them', async () => {
    const fresh = storageAt(resumable.url)
    resumable.requests.length = 0
    for (const contentLength of [large.length, undefined]) await fresh.putStream(`${newFolder()}/0.mp4`, source(large, { contentLength }), 'video/mp4')
    const patches = resumable.requests.filter(({ method }) => method === 'PATCH').map(({ bytes }) => bytes)
    assert.deepEqual(patches, [CHUNK, CHUNK, 3 * MIB, CHUNK, CHUNK, 3 * MIB])
    assert.equal(resumable.requests.filter(({ method }) => method === 'OPTIONS').length, 1)
  })

  test('a file of whole chunks, and one with a byte more', async () => {
    for (const length of [2 * CHUNK, CHUNK + 1]) {
      for (const contentLength of [length, undefined]) {
        const [path, bytes] = [`${newFolder()}/0.mp4`, large.subarray(0, length)]
        await storage.putStream(path, source(bytes, { contentLength, pieceLength: MIB }), 'video/mp4')
        assert.equal((await stored(path)).hash, sha256(bytes))
      }
    }
  })

  test('one that fits into a chunk goes in one request', async () => {
    resumable.requests.length = 0
    const path = `${newFolder()}/0.mp4`
    await storage.putStream(path, source(large.subarray(0, CHUNK)), 'video/mp4')
    assert.equal((await stored(path)).bytes, CHUNK)
    assert.deepEqual(resumable.requests, [])
  })

  test('goes on where the connection broke', async () => {
    for (const contentLength of [large.length, undefined]) {
      for (const cutAfter of [8 * MIB, 14 * MIB]) {
        resumable.requests.length = 0
        const path = `${newFolder()}/0.mp4`
        resumable.cutAfter(cutAfter)
        await storage.putStream(path, source(large, { contentLength }), 'video/mp4')
        assert.equal((await stored(path)).hash, sha256(large))
        assert.equal(resumable.requests.filter(({ method }) => method === 'HEAD').length, 1)
        assert.equal(resumable.requests.filter(({ method }) => method === 'POST').length, 1)
        const sent = resumable.requests.reduce((sum, { bytes }) => sum + bytes, 0)
        assert.ok(sent < large.length + CHUNK, 'only a part of one chunk is sent again')
      }
    }
  })

  test('leaves nothing unfinished behind', async () => {
    assert.equal(await resumable.unfinished(), 0)
  })

  test('larger than the project allows', async () => {
    const small = await startResumableStorage({ maxSize: 10 * MIB })
    await assert.rejects(storageAt(small.url).putStream(`${newFolder()}/0.mp4`, source(large), 'video/mp4'), { code: 'output_too_large' })
    await small.close()
  })
})

describe('a Storage in trouble', () => {
  const servers: Server[] = []
  after(() => {
    for (const server of servers) server.closeAllConnections()
    for (const server of servers) server.close()
  })

  async function serve(listener: Parameters<typeof createServer>[1]): Promise<string> {
    const server = createServer(listener)
    servers.push(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  async function assertUnavailable(storage: Storage, bytes: Buffer): Promise<void> {
    const file = source(bytes)
    await assert.rejects(storage.putStream(`${newFolder()}/0.mp4`, file, 'video/mp4'), { code: 'storage_unavailable' })
    assert.equal(file.body.destroyed, true)
  }

  test('is not there', async () => {
    for (const bytes of [large, large.subarray(0, MIB)]) await assertUnavailable(storageAt('http://127.0.0.1:9'), bytes)
    await assert.rejects(storageAt('http://127.0.0.1:9').put('a/b.png', large.subarray(0, 100), 'image/png'), { code: 'storage_unavailable' })
  })

  test('takes nothing, or takes all and says nothing', async () => {
    const deaf = await serve((request, response) => void (request.method === 'OPTIONS' && response.writeHead(204).end()))
    const mute = await serve((request, response) => (request.method === 'OPTIONS' ? void response.writeHead(204).end() : void request.resume()))
    for (const url of [deaf, mute]) {
      const storage = storageAt(url, { timeoutMs: 300 })
      await assertUnavailable(storage, large)
      await assert.rejects(storage.put('a/b.png', large.subarray(0, 100), 'image/png'), { code: 'storage_unavailable' })
    }
  })

  test('is asked again whether it takes chunks when its gateway had trouble', async () => {
    let [asked, posts] = [0, 0]
    const url = await serve((request, response) => {
      request.resume()
      if (request.method === 'OPTIONS') asked++
      else posts++
      response.writeHead(502).end('<html>Bad Gateway</html>')
    })
    const storage = storageAt(url)
    for (let tries = 1; tries <= 2; tries++) {
      await assertUnavailable(storage, large)
      assert.deepEqual([asked, posts], [tries, 0])
    }
  })

  test('no longer takes chunks: the next file goes in one request', async () => {
    let takesChunks = true
    const url = await serve((request, response) => {
      request.resume()
      if (request.method === 'OPTIONS') return void response.writeHead(204, takesChunks ? { 'tus-version': '1.0.0' } : {}).end()
      takesChunks = false
      const isPlain = request.url?.startsWith('/storage/v1/object/media/')
      request.on('end', () => response.writeHead(isPlain ? 200 : 404).end('{}'))
    })
    const storage = storageAt(url)
    await assertUnavailable(storage, large)
    await storage.putStream('a/0.mp4', source(large), 'video/mp4')
  })

  test('a file that fails before anybody reads it', async () => {
    for (const headers of [{}, { 'tus-version': '1.0.0' }]) {
      const file = source(large)
      const url = await serve((request, response) => {
        const answer = () => response.writeHead(request.method === 'OPTIONS' ? 204 : 201, { ...headers, location: '/x' }).end()
        if (file.body.closed) return void answer()
        file.body.once('close', answer).destroy(new AppError('output_unavailable', 'It broke off.'))
      })
      await assert.rejects(storageAt(url).putStream('a/0.mp4', file, 'video/mp4'), { code: 'output_unavailable', message: 'It broke off.' })
    }
  })

  test('refuses a resumable upload for good: it is not tried on', async () => {
    let posts = 0
    const url = await serve((request, response) => {
      if (request.method === 'POST') posts++
      response.writeHead(request.method === 'OPTIONS' ? 204 : 403, { 'tus-resumable': '1.0.0' }).end('new row violates row-level security policy')
    })
    await assertUnavailable(storageAt(url), large)
    assert.equal(posts, 1)
  })

  test('redirects: its key is not carried elsewhere', async () => {
    let isReached = false
    const elsewhere = await serve((_request, response) => {
      isReached = true
      response.end('{}')
    })
    const url = await serve((_request, response) => response.writeHead(307, { location: elsewhere }).end())
    await assert.rejects(storageAt(url).put('a/b.png', large.subarray(0, 100), 'image/png'), { code: 'storage_unavailable' })
    await assertUnavailable(storageAt(url), large.subarray(0, MIB))
    assert.equal(isReached, false)
  })

  test('has a limit of its own', async () => {
    const bucket = `small-${randomUUID().slice(0, 8)}`
    const storage = storageAt(supabase.url, { bucket })
    await storage.prepareBucket()
    await sql('update storage.buckets set file_size_limit = 1000 where id = $1', [bucket])
    for (const bytes of [large, large.subarray(0, MIB)]) await assert.rejects(storage.putStream('a/0.mp4', source(bytes), 'video/mp4'), { code: 'output_too_large' })
    await assert.rejects(storage.put('a/0.png', large.subarray(0, 2000), 'image/png'), { code: 'output_too_large' })
  })
})

describe('files as bytes', () => {
  test('stored, read, signed, removed by folder', async () => {
    const [folder, bytes] = [newFolder(), randomBytes(1000)]
    await local.put(`${folder}/0.png`, bytes, 'image/png')
    await local.put(`${folder}/0.thumb.webp`, bytes, 'image/webp')
    const { hash, type, cache } = await stored(`${folder}/0.png`)
    assert.deepEqual([hash, type, cache], [sha256(bytes), 'image/png', 'public, max-age=31536000, immutable'])
    const signing = createStorage({ url: supabase.url, secretKey: supabase.secretKey, bucket: 'media', access: 'private', signedUrlSeconds: 60, timeoutMs: 5000 })
    assert.equal(sha256(new Uint8Array(await (await fetch(await signing.readableUrl(`${folder}/0.png`))).arrayBuffer())), hash)
    await local.remove([`${folder}/`])
    assert.deepEqual(await storedFiles(folder), [])
    await local.remove([`${folder}/`, `${folder}/0.png`])
  })

  test('a path that would lead elsewhere is refused', async () => {
    for (const path of ['../other/x.mp4', 'a/../../b.mp4', 'a?b.mp4', 'a#b.mp4', 'a b.mp4', 'é.mp4', 'a\\b.mp4', '%2e%2e/x', '']) {
      const file = source(large)
      await assert.rejects(local.putStream(path, file, 'video/mp4'), /is no path/)
      assert.equal(file.body.destroyed, true)
      await assert.rejects(local.put(path, large.subarray(0, 10), 'image/png'), /is no path/)
    }
  })
})
