/** A file on its way to somebody, counted as it passes. */
import { Transform, type Readable } from 'node:stream'
import { AppError } from '../errors.ts'
import { passThrough } from './file-streams.ts'
import { SAMPLE_BYTES } from './media-kinds.ts'

export interface WatchOptions {
  /** What it must have, in bytes, where that is known. */
  length: number | undefined
  maxBytes: number
  /** Whenever some of it has passed. */
  onProgress?: (() => void) | undefined
}

export interface WatchedStream {
  /** The same bytes, no more of them in memory than a stream's buffer holds. Fails where the file is not as was told. */
  body: Readable
  /** Its first bytes, there before any of them is read from `body`; fewer where the file has no more. */
  sample: Promise<Buffer>
}

/** @param source is destroyed with `body`. */
export function watchStream(source: Readable, { length, maxBytes, onProgress }: WatchOptions): WatchedStream {
  const sample = Promise.withResolvers<Buffer>()
  // Who reads the body learns of a failure there; nobody has to look here too.
  sample.promise.catch(() => undefined)
  const kept: Buffer[] = []
  let passed = 0
  let isSampled = false

  function takeSample(): void {
    isSampled = true
    sample.resolve(Buffer.concat(kept).subarray(0, SAMPLE_BYTES))
    kept.length = 0
  }

  const body = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      passed += chunk.length
      if (passed > maxBytes) return done(tooLargeToPass(maxBytes))
      if (length !== undefined && passed > length) return done(otherLength())
      if (!isSampled) kept.push(chunk)
      if (!isSampled && passed >= SAMPLE_BYTES) takeSample()
      onProgress?.()
      done(null, chunk)
    },
    flush(done) {
      if (length !== undefined && passed < length) return done(otherLength())
      if (!isSampled) takeSample()
      done()
    },
  })
  body.once('close', () => sample.reject(body.errored ?? new AppError('output_unavailable', 'The file was not read to its end.')))
  return { body: passThrough(source, body), sample: sample.promise }
}

export const tooLargeToPass = (maxBytes: number) => new AppError('output_too_large', `The file is larger than the ${maxBytes} bytes that this service passes on.`)
const otherLength = () => new AppError('output_unavailable', 'The file has another length than it was said to have.')
