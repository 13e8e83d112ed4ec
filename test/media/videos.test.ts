import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { AppError, type ErrorCode } from '../../src/errors.ts'
import type { FileStream, InspectedVideo, Media } from '../../src/generation/files.ts'
import { createGuardedFetch } from '../../src/media/guarded-fetch.ts'
import { createMedia } from '../../src/media/pictures.ts'
import { startFileServer, type Answer, type FileServer } from '../support/file-server.ts'
import { box, boxesOf, makeVideo, remux } from '../support/videos.ts'

const MIB = 1024 * 1024
const LIMITS = { maxBytes: MIB, maxPixels: 1_000_000, maxUploadPixels: 1_000_000, maxVideoBytes: 24 * MIB, timeoutMs: 5000 }
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

let server: FileServer
let media: Media
let video: Buffer
const guard = createGuardedFetch({ timeoutMs: 1000 })

before(async () => {
  server = await startFileServer()
  media = createMedia(guard, LIMITS)
  video = await makeVideo({ width: 160, height: 90, frames: 24, frameRate: 12 })
})
after(async () => {
  await guard.close()
  await server.close()
})

const open = (answer: Answer, signal = AbortSignal.timeout(20_000)) => media.openFile(server.serve(answer), { trustedOrigin: server.origin, signal })
const inMemory = (bytes: Buffer, pieceLength = 64 * 1024): FileStream => ({ body: Readable.from(piecesOf(bytes, pieceLength), { objectMode: false }), contentLength: bytes.length })

function* piecesOf(bytes: Buffer, length: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
}

/** The body fails as expected, and so does whoever waits for the facts. @returns the bytes that had passed. */
async function assertFails({ body, facts }: InspectedVideo, code: ErrorCode): Promise<number> {
  let passed = 0
  const isExpected = (error: unknown) => error instanceof AppError && error.code === code && error.message.endsWith('.')
  await assert.rejects(async () => {
    for await (const chunk of body as AsyncIterable<Buffer>) passed += chunk.length
  }, isExpected)
  await assert.rejects(facts, isExpected)
  return passed
}

describe('a video on its way', () => {
  test('passes untouched and tells what it is, its description at the end', async () => {
    const { body, facts } = media.readVideo(await open({ body: video }))
    assert.deepEqual(await buffer(body), video)
    const { duration, ...rest } = await facts
    assert.deepEqual(rest, { width: 160, height: 90, mediaType: 'video/mp4', bytes: video.length, sha256: sha256(video) })
    assert.ok(Math.abs(duration - 2) < 0.1, String(duration))
  })

  test('the same with its description in front, in fragments, turned', async () => {
    for (const [options, size] of [
      [{ fastStart: 'in-memory' }, [160, 90]],
      [{ fastStart: 'fragmented' }, [160, 90]],
      [{ fastStart: 'in-memory', rotate: 90 }, [90, 160]],
    ] as const) {
      const bytes = await remux(video, options)
      const { body, facts } = media.readVideo(await open({ body: bytes, contentLength: null }))
      assert.deepEqual(await buffer(body), bytes)
      const { duration, width, height, sha256: hash } = await facts
      assert.deepEqual([width, height, hash], [...size, sha256(bytes)])
      assert.ok(Math.abs(duration - 2) < 0.1, String(duration))
    }
  })

  for (const length of [1, 3, 17, 5000]) {
    test(`in pieces of ${length} bytes`, async () => {
      const { body, facts } = media.readVideo(inMemory(video, length))
      assert.equal(sha256(await buffer(body)), sha256(video))
      assert.equal((await facts).width, 160)
    })
  }

  test('boxes with 64-bit sizes, and a last one that reaches to the end', async () => {
    const front = await remux(video, { fastStart: 'in-memory' })
    const [ftyp, moov, mdat] = boxesOf(front)
    const toTheEnd = Buffer.from(mdat!.bytes)
    toTheEnd.writeUInt32BE(0)
    const long = Buffer.alloc(16)
    long.writeUInt32BE(1)
    long.write('free', 4, 'latin1')
    long.writeBigUInt64BE(BigInt(16 + 20 * MIB), 8)
    for (const bytes of [Buffer.concat([ftyp!.bytes, moov!.bytes, toTheEnd]), Buffer.concat([video, long, Buffer.alloc(20 * MIB)])]) {
      const { body, facts } = media.readVideo(inMemory(bytes))
      assert.equal((await buffer(body)).length, bytes.length)
      assert.equal((await facts).height, 90)
    }
  })

  test('the download of a picture is limited as a whole, that of a video is not', async () => {
    const impatient = createMedia(guard, { ...LIMITS, timeoutMs: 1, maxBytes: 24 * MIB })
    const url = server.serve({ body: Buffer.concat([video, box('free', Buffer.alloc(20 * MIB))]) })
    await assert.rejects(impatient.fetchPicture(url, { trustedOrigin: server.origin }), { code: 'output_unavailable' })
    const { body, facts } = impatient.readVideo(await impatient.openFile(url, { trustedOrigin: server.origin, signal: AbortSignal.timeout(20_000) }))
    await buffer(body)
    assert.equal((await facts).width, 160)
  })
})

describe('what is no video', () => {
  test('is refused before any of it has passed', async () => {
    for (const body of ['<!doctype html><html>not found</html>', '{"error":"gone"}', '', '\u0000\u0000\u0000\u0004ftypisom']) {
      assert.equal(await assertFails(media.readVideo(await open({ body: Buffer.from(body) })), 'output_invalid'), 0)
    }
    assert.equal(await assertFails(media.readVideo(await open({ body: Buffer.alloc(MIB, '<html>'), isEndless: true })), 'output_invalid'), 0)
  })

  test('an MP4 without a description, without a picture, without duration', async () => {
    const [ftyp, , mdat] = boxesOf(video)
    const change = (from: string, to: string) => Buffer.from(video.toString('latin1').replace(from, to), 'latin1')
    const stts = video.indexOf('stts')
    const noDuration = Buffer.from(video)
    noDuration.fill(0, stts + 8, stts + 12)
    for (const bytes of [Buffer.concat([ftyp!.bytes, mdat!.bytes]), change('vide', 'soun'), noDuration, change('mvhd', 'xxxx').subarray(0, 24)]) {
      await assertFails(media.readVideo(inMemory(bytes)), 'output_invalid')
    }
  })

  test('a description too large to be one', async () => {
    const passed = await assertFails(media.readVideo(inMemory(Buffer.concat([video, box('uuid', Buffer.alloc(20 * MIB))]))), 'output_invalid')
    assert.ok(passed < 17 * MIB, String(passed))
  })

  test('a great many tiny boxes', async () => {
    const tiny = box('mdat', Buffer.alloc(1))
    await assertFails(media.readVideo(inMemory(Buffer.concat([video, Buffer.alloc(tiny.length * 200_000, tiny)]))), 'output_invalid')
  })

  test('a few bytes that claim billions of frames', { timeout: 20_000 }, async () => {
    const count = Buffer.from([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])
    const fragmented = await remux(video, { fastStart: 'fragmented' })
    // Its number of frames, which stands behind the version and flags.
    const trun = fragmented.indexOf('trun') + 8
    fragmented.fill(0xff, trun, trun + 4)
    const [ftyp, moov] = boxesOf(await remux(video, { fastStart: 'in-memory' }))
    const reordered = Buffer.from(moov!.bytes)
    const stts = reordered.indexOf('stts')
    reordered.fill(0xff, stts + 12, stts + 16)
    // Any box of the table will do for one that says that frames are shown in another order.
    reordered.write('ctts', reordered.indexOf('stss'), 'latin1')
    for (const bytes of [fragmented, Buffer.concat([ftyp!.bytes, reordered]), Buffer.concat([video, box('moof', box('traf', box('trun', count)))])]) {
      await assertFails(media.readVideo(inMemory(bytes)), 'output_invalid')
    }
  })

  test('larger than what is stored: by what it says, or by what it sends', async () => {
    assert.equal(await assertFails(media.readVideo(await open({ body: video, contentLength: 25 * MIB, cutAfter: 1000 })), 'output_too_large'), 0)
    const endless = Buffer.concat([box('ftyp', Buffer.alloc(8)), box('mdat', Buffer.alloc(MIB))])
    const passed = await assertFails(media.readVideo(await open({ body: endless, isEndless: true })), 'output_too_large')
    assert.ok(passed <= 24 * MIB, String(passed))
  })
})

describe('a video that does not arrive whole', () => {
  test('the connection breaks off: it may be tried again', async () => {
    for (const contentLength of [video.length, null]) {
      await assertFails(media.readVideo(await open({ body: video, contentLength, cutAfter: 50_000 })), 'output_unavailable')
    }
  })

  test('whoever reads the download itself meets the same words', async () => {
    for (const answer of [{ body: video, cutAfter: 50_000 }, { body: video, silentAfter: 50_000 }]) {
      const { body, contentLength } = await open(answer)
      assert.equal(contentLength, video.length)
      await assert.rejects(buffer(body), (error) => error instanceof AppError && error.code === 'output_unavailable')
    }
  })

  test('a source that ends before its length, without a word', async () => {
    await assertFails(media.readVideo({ body: Readable.from([video.subarray(0, 50_000)], { objectMode: false }), contentLength: video.length }), 'output_unavailable')
  })

  test('a file that is itself cut short, wherever that is', async () => {
    for (const bytes of [video, await remux(video, { fastStart: 'in-memory' })]) {
      for (const length of [bytes.length - 1, bytes.length - 132, bytes.length - 139, 60_000, 30, 24, 20, 12]) {
        for (const contentLength of [length, null]) {
          const passed = await assertFails(media.readVideo(await open({ body: bytes.subarray(0, length), contentLength })), 'output_invalid')
          // Its pictures reach beyond what is said to come: no need to wait for it.
          if (length === 60_000 && contentLength !== null) assert.equal(passed, 0)
        }
      }
    }
  })

  test('a server that falls silent', async () => {
    await assertFails(media.readVideo(await open({ body: video, silentAfter: 50_000 })), 'output_unavailable')
  })

  test('its caller gives up', async () => {
    const controller = new AbortController()
    const read = media.readVideo(await open({ body: video, silentAfter: 50_000 }, controller.signal))
    read.body.once('data', () => controller.abort())
    await assertFails(read, 'output_unavailable')
  })

  test('nobody reads on: the download ends, and nobody has to look at the facts', { timeout: 10_000 }, async () => {
    const source = await open({ body: box('ftyp', Buffer.alloc(8)), isEndless: true }, new AbortController().signal)
    const { body } = media.readVideo(source)
    const closed = new Promise((resolve) => source.body.once('close', resolve))
    body.once('data', () => body.destroy())
    await closed
  })

  test('links that do not work fail before there is a body', async () => {
    await assert.rejects(open({ body: Buffer.alloc(0), status: 403 }), { code: 'output_expired' })
    await assert.rejects(open({ body: Buffer.alloc(0), status: 503 }), { code: 'output_unavailable' })
    await assert.rejects(media.openFile(server.serve({ body: video }), { signal: AbortSignal.timeout(1000) }), { code: 'output_invalid' })
  })
})

describe('a picture read whole', () => {
  const fetchPicture = (answer: Answer) => media.fetchPicture(server.serve(answer), { trustedOrigin: server.origin })
  const bytes = Buffer.alloc(300_000, 'picture')

  test('with its length and without', async () => {
    assert.deepEqual(Buffer.from(await fetchPicture({ body: bytes })), bytes)
    assert.deepEqual(Buffer.from(await fetchPicture({ body: bytes, contentLength: null })), bytes)
  })

  test('too large by what it says, or by what it sends', async () => {
    await assert.rejects(fetchPicture({ body: bytes, contentLength: 2 * MIB }), { code: 'output_too_large' })
    await assert.rejects(fetchPicture({ body: bytes, isEndless: true }), { code: 'output_too_large' })
  })

  test('cut off', async () => {
    await assert.rejects(fetchPicture({ body: bytes, cutAfter: 1000 }), { code: 'output_unavailable' })
  })
})
