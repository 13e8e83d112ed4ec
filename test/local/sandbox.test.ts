import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { BufferSource, EncodedPacketSink, Input, MP4, type EncodedPacket } from 'mediabunny'
import sharp from 'sharp'
import type { ProviderError } from '../../src/errors.ts'
import type { Operation, VideoRequest, OperationState } from '../../src/generation/provider.ts'
import { createSandbox, SANDBOX_VIDEO, sandboxVideoModel } from '../../src/local/sandbox.ts'

const signal = new AbortController().signal
const STARTED_AT = Date.UTC(2026, 0, 1)
const REQUEST: VideoRequest = { prompt: 'A lighthouse in a storm', duration: 1, aspectRatio: '16:9', resolution: '480p', seed: 7, providerOptions: {} }

/** A sandbox whose clock stands so many seconds after the start. */
function sandboxAt(seconds = 0) {
  const provider = createSandbox({ now: () => STARTED_AT + seconds * 1000 }).providers[0]!
  const model = { vendorId: SANDBOX_VIDEO }
  return { provider, image: provider.image!(model), video: provider.video!(model) }
}

/** The operation as it comes back from a database. */
async function start(request: Partial<VideoRequest> = {}): Promise<Operation> {
  const started = await sandboxAt().video.start({ ...REQUEST, ...request }, { signal, mark: {} })
  assert.ok('operation' in started)
  const { operation } = started
  return JSON.parse(JSON.stringify(operation)) as Operation
}

/** Another sandbox each time: nothing but the operation is known to it. */
const checkAt = (seconds: number, operation: Operation): Promise<OperationState> => sandboxAt(seconds).video.check!(operation, { signal })

async function make(request: Partial<VideoRequest> = {}): Promise<Buffer> {
  const state = await checkAt(60, await start(request))
  assert.equal(state.status, 'succeeded')
  const output = state.outputs[0]!
  assert.equal(output.type, 'bytes')
  return Buffer.from(output.bytes)
}

async function assertFails(operation: Operation, code: string): Promise<void> {
  const state = await checkAt(4, operation)
  assert.equal(state.status, 'failed')
  assert.equal(state.error.code, code)
  assert.equal(state.error.charged, 'no')
}

describe('the life of a sandbox video', () => {
  test('it is queued, then runs forward, then succeeds', async () => {
    const operation = await start()
    assert.deepEqual(await checkAt(0, operation), { status: 'queued' })
    assert.deepEqual(await checkAt(0.59, operation), { status: 'queued' })
    let last = -1
    for (const seconds of [0.6, 1, 1.001, 2.3, 3, 3.999]) {
      const state = await checkAt(seconds, operation)
      assert.equal(state.status, 'running')
      assert.ok(state.progress! > last && state.progress! <= 1, `${state.progress} after ${last}`)
      last = state.progress!
    }
    assert.equal((await checkAt(4, operation)).status, 'succeeded')
  })

  test('it takes as long as it is told to', async () => {
    const slow = await start({ providerOptions: { delaySeconds: 600 } })
    assert.equal((await checkAt(80, slow)).status, 'queued')
    assert.equal((await checkAt(599, slow)).status, 'running')
    assert.equal((await checkAt(0, await start({ providerOptions: { delaySeconds: 0 } }))).status, 'succeeded')
  })

  for (const [outcome, code] of [['refuse', 'content_refused'], ['fail', 'provider_failed'], ['expire', 'operation_expired']] as const) {
    test(`asked to ${outcome}, it runs and ends with ${code}`, async () => {
      const operation = await start({ providerOptions: { outcome } })
      assert.equal((await checkAt(3, operation)).status, 'running')
      await assertFails(operation, code)
    })
  }

  test('asked for a rate limit, it does not start', async () => {
    await assert.rejects(start({ providerOptions: { outcome: 'rate-limit' } }), (error: ProviderError) => error.code === 'provider_rate_limited' && error.charged === 'no')
  })

  for (const request of [{ duration: 31 }, { aspectRatio: '5:1' }, { resolution: '8k' }]) {
    test(`it does not start with ${JSON.stringify(request)}`, async () => {
      await assert.rejects(start(request), (error: ProviderError) => error.code === 'invalid_request' && error.charged === 'no')
    })
  }

  test('it can be cancelled at any time', async () => {
    assert.equal(await sandboxAt(3).video.cancel!(await start(), { signal }), true)
  })

  test('what is no operation of its own is lost', async () => {
    await assert.rejects(checkAt(4, { id: 'cgt-1' }), (error: ProviderError) => error.code === 'operation_lost')
  })

  test('a look that is given up ends', async () => {
    const operation = await start({ duration: 30 })
    await assert.rejects(sandboxAt(4).video.check!(operation, { signal: AbortSignal.timeout(50) }), (error: ProviderError) => error.code === 'provider_failed')
  })

  test('sound is left out with a warning', async () => {
    const { warnings } = await sandboxAt().video.start({ ...REQUEST, generateAudio: true }, { signal, mark: {} })
    assert.deepEqual(warnings.map(({ type, setting }) => [type, setting]), [['unsupported', 'generateAudio']])
  })
})

describe('the file of a sandbox video', () => {
  for (const [aspectRatio, resolution, duration, width, height] of [
    ['16:9', '480p', 2, 426, 240],
    ['9:16', '480p', 1, 240, 426],
    ['1:1', '720p', 1, 400, 400],
    ['21:9', '1080p', 1.37, 734, 314],
  ] as const) {
    test(`${duration} s at ${aspectRatio} and ${resolution} are ${width}x${height} H.264, ready to play from the first byte`, async () => {
      const bytes = await make({ aspectRatio, resolution, duration })
      using input = new Input({ formats: [MP4], source: new BufferSource(bytes) })
      const track = (await input.getPrimaryVideoTrack())!
      assert.ok(Math.abs((await input.computeDuration()) - duration) < 0.001)
      assert.deepEqual([await track.getDisplayWidth(), await track.getDisplayHeight(), await track.getCodec()], [width, height, 'avc'])
      assert.ok(bytes.indexOf('moov') < bytes.indexOf('mdat'))
      const types = (await packets(bytes)).map(({ type }) => type)
      assert.equal(types[0], 'key')
      assert.ok(types.includes('delta'), 'its key frames are told from the others')
    })
  }

  test('every ratio of the catalog’s entry can be made', async () => {
    for (const aspectRatio of sandboxVideoModel.aspectRatios) {
      const bytes = await make({ aspectRatio, resolution: sandboxVideoModel.defaultResolution, duration: sandboxVideoModel.durations.min })
      assert.ok(bytes.length > 1000)
    }
  })

  test('the same request is the same bytes, another seed or prompt is not', async () => {
    const operation = await start()
    const [first, again, seed, prompt] = await Promise.all([checkAt(4, operation), checkAt(5000, operation), make({ seed: 8 }), make({ prompt: 'A tea house' })])
    assert.deepEqual(first, again)
    const bytes = await make()
    assert.deepEqual(first, { status: 'succeeded', outputs: [{ type: 'bytes', bytes }] })
    assert.equal(bytes.readUInt32BE(bytes.indexOf('mvhd') + 8), 0, 'the time of day is not in it')
    assert.ok(!bytes.equals(seed) && !bytes.equals(prompt))
  })

  test('it begins with the first frame', async () => {
    const red = await picture('#c02020')
    const [without, withRed, withBlue] = await Promise.all([make(), make({ firstFrame: red }), make({ firstFrame: await picture('#2020c0') })])
    const [plain, first, other] = await Promise.all([without, withRed, withBlue].map(packets))
    assert.equal(first!.length, plain!.length)
    assert.notDeepEqual(first![0]!.data, plain![0]!.data)
    assert.notDeepEqual(first![0]!.data, other![0]!.data)
  })

  test('a large first frame leaves the operation small', async () => {
    const side = 2000
    const noise = await sharp(randomBytes(side * side * 3), { raw: { width: side, height: side, channels: 3 } }).png().toBuffer()
    const operation = await start({ firstFrame: { bytes: noise, mediaType: 'image/png' } })
    assert.ok(JSON.stringify(operation).length < 64 * 1024, `${JSON.stringify(operation).length} characters`)
    assert.equal((await checkAt(4, operation)).status, 'succeeded')
  })

  test('a first frame that is no picture is refused at the start', async () => {
    await assert.rejects(start({ firstFrame: { bytes: Buffer.from('text'), mediaType: 'image/png' } }), (error: ProviderError) => error.code === 'provider_failed' && error.charged === 'no')
  })

  test('other work goes on while it is made', async () => {
    let turns = 0
    const timer = setInterval(() => turns++, 10)
    await make({ duration: 3 })
    clearInterval(timer)
    assert.ok(turns > 10, `${turns} turns`)
  })
})

describe('what a sandbox can be asked for', () => {
  test('its options are checked', () => {
    const { optionsSchema } = sandboxAt().provider
    assert.ok(optionsSchema.safeParse({ outcome: 'expire', delaySeconds: 600 }).success)
    for (const options of [{ outcome: 'explode' }, { delaySeconds: 601 }, { delaySeconds: -1 }, { delay: 1 }]) assert.ok(!optionsSchema.safeParse(options).success, JSON.stringify(options))
  })

  test('a picture expires too', async () => {
    const request = { task: 'generate' as const, prompt: 'A cat', size: { width: 64, height: 64 }, images: [], providerOptions: { outcome: 'expire' } }
    await assert.rejects(sandboxAt().image.start(request, { signal, mark: {} }), (error: ProviderError) => error.code === 'operation_expired' && error.charged === 'no')
  })
})

async function picture(background: string) {
  return { bytes: await sharp({ create: { width: 900, height: 700, channels: 3, background } }).png().toBuffer(), mediaType: 'image/png' }
}

async function packets(bytes: Buffer): Promise<EncodedPacket[]> {
  using input = new Input({ formats: [MP4], source: new BufferSource(bytes) })
  const all: EncodedPacket[] = []
  for await (const packet of new EncodedPacketSink((await input.getPrimaryVideoTrack())!).packets()) all.push(packet)
  return all
}
