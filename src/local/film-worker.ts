/** The thread behind film.ts. The encoder is loaded nowhere else: it takes over what its process does about unexpected errors. */
import { parentPort, workerData } from 'node:worker_threads'
import h264 from 'h264-mp4-encoder'
import { BufferSource, BufferTarget, EncodedPacketSink, EncodedVideoPacketSource, Input, MP4, Mp4OutputFormat, Output } from 'mediabunny'
import sharp, { type Sharp } from 'sharp'
import type { Size } from '../generation/provider.ts'
import type { FilmOrder } from './film.ts'
import { paint, write } from './paint.ts'

const FRAMES_PER_SECOND = 12
/** The discs are back where they were after so many seconds. */
const LOOP_SECONDS = 8
/** Pictures on their way while one is encoded: sharp paints on other threads. */
const AHEAD = 3
/** Sides of the square film; other ratios have about as many pixels. */
const SIDES: Record<string, number> = { '480p': 320, '720p': 400, '1080p': 480 }
/** The first frame stands still until the one part of the film, and is gone at the other. */
const FADE = { from: 0.2, to: 0.7 }

const bytes = await render(workerData as FilmOrder)
parentPort!.postMessage(bytes, [bytes.buffer])

async function render(order: FilmOrder): Promise<Uint8Array<ArrayBuffer>> {
  const size = toSize(order.aspectRatio, order.resolution)
  const frames = Math.max(1, Math.round(order.duration * FRAMES_PER_SECOND))
  const still = order.firstFrame && (await write(order.prompt, await fill(order.firstFrame, size), size))
  const encoder = await h264.createH264MP4Encoder()
  Object.assign(encoder, { ...size, frameRate: FRAMES_PER_SECOND, quantizationParameter: 26, speed: 10, groupOfPictures: FRAMES_PER_SECOND })
  encoder.initialize()
  const paintFrame = (frame: number) => paint(order.prompt, { size, seed: order.seed, time: frame / FRAMES_PER_SECOND / LOOP_SECONDS })
  const painting: Promise<Buffer>[] = []
  for (let frame = 0; frame < frames; frame++) {
    while (painting.length < AHEAD && frame + painting.length < frames) painting.push(paintFrame(frame + painting.length))
    const picture = await painting.shift()!
    encoder.addFrameRgba(toRgba(picture, still, 1 - (frame / frames - FADE.from) / (FADE.to - FADE.from)))
  }
  encoder.finalize()
  return await finish(encoder.FS.readFile(encoder.outputFilename), order.duration / frames)
}

/** Even sides, because H.264 shares one colour among four pixels. */
function toSize(aspectRatio: string, resolution: string): Size {
  const [horizontal = NaN, vertical = NaN] = aspectRatio.split(':').map(Number)
  const side = SIDES[resolution]
  if (!(horizontal > 0 && vertical > 0) || side === undefined) throw new Error(`No film can be made at ${aspectRatio} and ${resolution}.`)
  const even = (length: number) => Math.max(16, 2 * Math.round(length / 2))
  return { width: even(side * Math.sqrt(horizontal / vertical)), height: even(side * Math.sqrt(vertical / horizontal)) }
}

/** The picture cut to the size, in three channels whatever it had. */
async function fill(picture: Uint8Array, size: Size): Promise<Sharp> {
  const pixels = await sharp(picture).autoOrient().resize({ ...size, fit: 'cover' }).flatten().toColourspace('srgb').raw().toBuffer()
  return sharp(pixels, { raw: { ...size, channels: 3 } })
}

/** @param share how much of the still picture is seen, less than none and more than all included. */
function toRgba(picture: Buffer, still: Buffer | undefined, share: number): Buffer {
  const weight = Math.min(1, Math.max(0, share))
  const pixels = Buffer.alloc((picture.length / 3) * 4, 255)
  for (let from = 0, to = 0; from < picture.length; to++) {
    for (let channel = 0; channel < 3; channel++, from++, to++) pixels[to] = still === undefined ? picture[from]! : Math.round(still[from]! * weight + picture[from]! * (1 - weight))
  }
  return pixels
}

/**
 * Writes the file anew: its index at the front, its key frames marked so that players can seek, every frame as long as
 * it must be for the exact duration. The encoder does none of these.
 */
async function finish(encoded: Uint8Array, secondsPerFrame: number): Promise<Uint8Array<ArrayBuffer>> {
  using input = new Input({ formats: [MP4], source: new BufferSource(encoded) })
  const track = await input.getPrimaryVideoTrack()
  const decoderConfig = await track?.getDecoderConfig()
  if (!track || !decoderConfig) throw new Error('The encoder made no film.')
  const target = new BufferTarget()
  const output = new Output({ format: new Mp4OutputFormat({ fastStart: 'in-memory' }), target })
  const source = new EncodedVideoPacketSource('avc')
  output.addVideoTrack(source)
  await output.start()
  let timestamp = 0
  for await (const packet of new EncodedPacketSink(track).packets(undefined, undefined, { verifyKeyPackets: true })) {
    await source.add(packet.clone({ timestamp, duration: secondsPerFrame }), { decoderConfig })
    timestamp += secondsPerFrame
  }
  await output.finalize()
  return withoutDates(new Uint8Array(target.buffer!))
}

/** The time of writing stands in three boxes, 8 bytes after their names: without it the same film is the same bytes. */
function withoutDates(file: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const view = Buffer.from(file.buffer)
  for (const box of ['mvhd', 'tkhd', 'mdhd']) {
    const at = view.indexOf(box)
    view.fill(0, at + 8, at + 16)
  }
  return file
}
