/** Real videos, made on the spot. */
import { BufferSource, BufferTarget, Conversion, Input, MP4, Mp4OutputFormat, Output } from 'mediabunny'
import HME from 'h264-mp4-encoder'

export interface VideoOptions {
  width?: number
  height?: number
  frames?: number
  frameRate?: number
}

/** An MP4 whose description stands at its end, as encoders write it. */
export async function makeVideo({ width = 160, height = 90, frames = 24, frameRate = 12 }: VideoOptions = {}): Promise<Buffer> {
  const encoder = await HME.createH264MP4Encoder()
  Object.assign(encoder, { width, height, frameRate, quantizationParameter: 33 })
  encoder.initialize()
  for (let frame = 0; frame < frames; frame++) {
    const rgba = new Uint8Array(width * height * 4).map((_, index) => (index % 4 === 3 ? 255 : (index * 7 + frame * 11) % 256))
    encoder.addFrameRgba(rgba)
  }
  encoder.finalize()
  const bytes = Buffer.from(encoder.FS.readFile(encoder.outputFilename))
  encoder.delete()
  return bytes
}

/** The same video with its description in front, or in fragments, or to be shown turned. */
export async function remux(video: Buffer, options: { fastStart: false | 'in-memory' | 'fragmented'; rotate?: 0 | 90 | 180 | 270 }): Promise<Buffer> {
  const output = new Output({ format: new Mp4OutputFormat({ fastStart: options.fastStart }), target: new BufferTarget() })
  const conversion = await Conversion.init({ input: new Input({ formats: [MP4], source: new BufferSource(video) }), output, video: { rotate: options.rotate ?? 0 }, showWarnings: false })
  await conversion.execute()
  return Buffer.from(output.target.buffer!)
}

/** One box of an MP4. */
export function box(type: string, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  const header = Buffer.alloc(8)
  header.writeUInt32BE(body.length + 8)
  header.write(type, 4, 'latin1')
  return Buffer.concat([header, body])
}

/** The top-level boxes of an MP4 with short sizes. */
export function boxesOf(video: Buffer): { type: string; bytes: Buffer }[] {
  const boxes = []
  for (let at = 0; at < video.length; ) {
    const size = video.readUInt32BE(at)
    boxes.push({ type: video.toString('latin1', at + 4, at + 8), bytes: video.subarray(at, at + size) })
    at += size
  }
  return boxes
}
