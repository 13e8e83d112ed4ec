/** Files on their way: read whole, or passed on with errors that callers know. */
import { finished, type Duplex, type Readable } from 'node:stream'
import { AppError } from '../errors.ts'
import type { FileStream } from '../generation/files.ts'
import { downloadErrorOf } from './guarded-fetch.ts'

export const tooLarge = (maxBytes: number) => new AppError('output_too_large', `The provider's file is larger than the ${maxBytes} bytes that this service stores.`)

/**
 * Reads to the end, counting: a length that is told may be a lie.
 * @throws {AppError} `output_too_large`, or what the download's failure is.
 */
export async function readWhole(file: FileStream, maxBytes: number): Promise<Uint8Array> {
  if ((file.contentLength ?? 0) > maxBytes) {
    file.body.on('error', () => undefined).destroy()
    throw tooLarge(maxBytes)
  }
  // Where the length is known every byte goes to its place at once. What a lie left out is put behind it.
  const told = Buffer.allocUnsafeSlow(file.contentLength ?? 0)
  const beyond: Buffer[] = []
  let filled = 0
  let size = 0
  try {
    for await (const chunk of file.body as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > maxBytes) throw tooLarge(maxBytes)
      if (size > told.length) beyond.push(chunk)
      else filled += chunk.copy(told, filled)
    }
  } catch (error) {
    throw downloadErrorOf(error)
  }
  return beyond.length === 0 ? told.subarray(0, filled) : Buffer.concat([told.subarray(0, filled), ...beyond], size)
}

/**
 * Sends a download through `target`, which fails as the download does, in our words. When the target closes, so does the
 * download.
 */
export function passThrough<Target extends Duplex>(source: Readable, target: Target): Target {
  // It stays on after the end, so that an error that comes late hits nobody.
  finished(source, { writable: false }, (error) => void (error && target.destroy(downloadErrorOf(error))))
  // Whoever reads the target sees its error; until somebody does, it must not end the process.
  target.on('error', () => undefined).once('close', () => source.destroy())
  return source.pipe(target)
}
