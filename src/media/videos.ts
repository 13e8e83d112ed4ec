/** Videos, known by their own bytes while those pass by. */
import { createHash } from 'node:crypto'
import { Transform } from 'node:stream'
import { AppError } from '../errors.ts'
import type { FileStream, InspectedVideo, VideoFacts } from '../generation/files.ts'
import { passThrough, tooLarge } from './file-streams.ts'
import { createMp4Outline, type Mp4Outline } from './mp4-boxes.ts'
import { claimedFrames } from './mp4-frames.ts'

/** Each one becomes an object when the description is read. Four hours at 60 a second are fewer. */
const MAX_FRAMES = 1_000_000

type Facts = Awaited<InspectedVideo['facts']>

/**
 * Passes a video through untouched, and tells what it was once all of it has passed. Of the file only its description is
 * kept, so it does not matter whether that comes first or last, nor how large the file is.
 * @throws {AppError} from the body, which then does not end: `output_invalid`, `output_too_large`, `output_unavailable`.
 */
export function readVideo(source: FileStream, { maxBytes }: { maxBytes: number }): InspectedVideo {
  const facts = Promise.withResolvers<Facts>()
  // Whoever reads the body learns of a failure there; nobody has to look here too.
  facts.promise.catch(() => undefined)
  const hash = createHash('sha256')
  const outline = createMp4Outline(source.contentLength)
  let bytes = 0

  async function conclude(): Promise<Facts> {
    if (bytes < (source.contentLength ?? 0)) throw new AppError('output_unavailable', "The provider's video broke off on its way.")
    const problem = outline.end()
    if (problem) throw problem
    return { ...(await readDescription(outline, bytes)), bytes, sha256: hash.digest('hex') }
  }

  const body = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      const problem = bytes > maxBytes ? tooLarge(maxBytes) : outline.add(chunk)
      if (problem) return done(problem)
      hash.update(chunk)
      done(null, chunk)
    },
    flush(done) {
      conclude().then((found) => {
        facts.resolve(found)
        done()
      }, done)
    },
  })
  body.once('close', () => facts.reject(body.errored ?? new AppError('output_unavailable', "The provider's video was not read to its end.")))
  passThrough(source.body, body)
  if ((source.contentLength ?? 0) > maxBytes) body.destroy(tooLarge(maxBytes))
  return { body, facts: facts.promise }
}

async function readDescription(outline: Mp4Outline, size: number): Promise<VideoFacts> {
  // Only a process that stores videos pays the time and the memory of loading it.
  const { CustomSource, Input, Logging, LogLevel, MP4, QTFF } = await import('mediabunny')
  // It would print a file's own words.
  Logging.level = LogLevel.Silent
  const input = new Input({ formats: [MP4, QTFF], source: new CustomSource({ getSize: () => size, read: outline.kept.read }) })
  try {
    const frames = outline.descriptions.reduce((sum, { start, end }) => sum + claimedFrames(outline.kept.read(start, end)), 0)
    if (frames > MAX_FRAMES) throw new RangeError(`${frames} frames are too many.`)
    const track = await input.getPrimaryVideoTrack()
    if (!track) throw new Error('It has no video track.')
    const [duration, width, height, format] = await Promise.all([input.computeDuration(), track.getDisplayWidth(), track.getDisplayHeight(), input.getFormat()])
    if (!(duration > 0 && width > 0 && height > 0)) throw new Error('It has no duration or no size.')
    return { duration, width: Math.round(width), height: Math.round(height), mediaType: format.mimeType }
  } catch (cause) {
    throw new AppError('output_invalid', 'The provider sent a video that cannot be read.', { cause })
  } finally {
    input.dispose()
  }
}
