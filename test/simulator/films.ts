/** Real, playable mp4 files that are small and quickly made, and no two alike. */
import { createCipheriv } from 'node:crypto'

const FRAMES_PER_SECOND = 4
const SIZES = {
  '16:9': [160, 90],
  '4:3': [120, 90],
  '1:1': [96, 96],
  '3:4': [90, 120],
  '9:16': [90, 160],
  '21:9': [168, 72],
} satisfies Record<string, [width: number, height: number]>

export type Ratio = keyof typeof SIZES

const films = new Map<string, Promise<Buffer>>()

/** An mp4 of so many seconds, to a quarter of one. The same bytes for the same arguments. */
export function film(seconds: number, ratio: Ratio): Promise<Buffer> {
  const key = `${seconds} ${ratio}`
  const made = films.get(key) ?? encode(seconds, SIZES[ratio])
  films.set(key, made)
  return made
}

async function encode(seconds: number, [width, height]: [width: number, height: number]): Promise<Buffer> {
  const encoder = await (await loadEncoder()).createH264MP4Encoder()
  Object.assign(encoder, { width, height, frameRate: FRAMES_PER_SECOND, quantizationParameter: 40, speed: 10 })
  encoder.initialize()
  const pixels = new Uint8Array(width * height * 4)
  for (let frame = 0; frame < Math.max(1, Math.round(seconds * FRAMES_PER_SECOND)); frame++) {
    for (let at = 0; at < pixels.length; at += 4) {
      const x = (at / 4) % width
      pixels[at] = x + frame * 5
      pixels[at + 1] = Math.floor(at / 4 / width) * 2
      pixels[at + 2] = 140
    }
    encoder.addFrameRgba(pixels)
  }
  encoder.finalize()
  const bytes = Buffer.from(encoder.FS.readFile(encoder.outputFilename))
  encoder.delete()
  return bytes
}

type EncoderModule = typeof import('h264-mp4-encoder')
let encoderModule: Promise<EncoderModule> | undefined

const loadEncoder = (): Promise<EncoderModule> => (encoderModule ??= importEncoder())

/** On import the encoder listens for stray errors and aborts the process at one; that is for its host to decide. */
async function importEncoder(): Promise<EncoderModule> {
  const uncaught = process.listeners('uncaughtException')
  const unhandled = process.listeners('unhandledRejection')
  const { default: encoder } = (await import('h264-mp4-encoder')) as unknown as { default: EncoderModule }
  for (const listener of process.listeners('uncaughtException')) if (!uncaught.includes(listener)) process.off('uncaughtException', listener)
  for (const listener of process.listeners('unhandledRejection')) if (!unhandled.includes(listener)) process.off('unhandledRejection', listener)
  return encoder
}

export interface FilmFile {
  byteLength: number
  /** The bytes from `start` to before `end`, made as they are read. */
  read(start?: number, end?: number): Generator<Buffer>
}

const BOX_HEADER_BYTES = 16
const BLOCK_BYTES = 256 * 1024
const NOISE = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(BLOCK_BYTES))

/**
 * A film followed by a `free` box, which players skip: it holds the mark, so that the file's hash is its own, and noise up
 * to `minBytes`, of which every block names its place, so that no two can change places unnoticed.
 */
export function filmFile(bytes: Buffer, mark: string, minBytes: number): FilmFile {
  const header = Buffer.alloc(BOX_HEADER_BYTES)
  const byteLength = Math.max(minBytes, bytes.length + BOX_HEADER_BYTES + Buffer.byteLength(mark))
  // A size of 1 says that the real one follows the name, in 64 bits.
  header.writeUInt32BE(1, 0)
  header.write('free', 4, 'latin1')
  header.writeBigUInt64BE(BigInt(byteLength - bytes.length), 8)
  const head = Buffer.concat([bytes, header, Buffer.from(mark)])
  return {
    byteLength,
    *read(start = 0, end = byteLength) {
      let at = start
      if (at < head.length) {
        yield head.subarray(at, end)
        at = head.length
      }
      while (at < end) {
        const within = (at - head.length) % BLOCK_BYTES
        const block = Buffer.from(NOISE)
        block.writeDoubleBE((at - within - head.length) / BLOCK_BYTES)
        const piece = block.subarray(within, within + end - at)
        yield piece
        at += piece.length
      }
    },
  }
}
