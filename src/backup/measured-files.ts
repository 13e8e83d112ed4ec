/** Files on this disk with their size and hash, taken as the bytes pass. */
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { Transform, Writable, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

export interface Measured {
  bytes: number
  /** In hexadecimal. */
  sha256: string
}

/** What is not whole yet ends so, and stands for nothing. */
export const UNFINISHED = '.part'

const PIECE_LENGTH = 64 * 1024

/** Passes bytes on; `measured` tells what they were once all have passed. */
export function createMeter(): { stream: Transform; measured(): Measured } {
  const hash = createHash('sha256')
  let bytes = 0
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      bytes += chunk.length
      done(null, chunk)
    },
  })
  return { stream, measured: () => ({ bytes, sha256: hash.digest('hex') }) }
}

export async function measure(source: Readable, signal?: AbortSignal): Promise<Measured> {
  const meter = createMeter()
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  await pipeline(source, meter.stream, nowhere, { ...(signal && { signal }) })
  return meter.measured()
}

/** @returns undefined when there is no such file. */
export async function measureFile(file: string, signal?: AbortSignal): Promise<Measured | undefined> {
  try {
    return await measure(createReadStream(file), signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Writes a new file to its end and to the disk. Nobody but its owner may read it: it holds what users wrote. */
export async function writeFileFrom(source: Readable, file: string, signal?: AbortSignal): Promise<Measured> {
  const meter = createMeter()
  await pipeline(source, meter.stream, createWriteStream(file, { mode: 0o600, flush: true }), { ...(signal && { signal }) })
  return meter.measured()
}

/**
 * Puts a file in place at once, as soon as it is whole and `accept` agrees.
 * @returns what came, whether it was accepted or not.
 */
export async function replaceFile(source: Readable, file: string, accept: (measured: Measured) => boolean, signal?: AbortSignal): Promise<Measured> {
  const unfinished = `${file}.${randomUUID()}${UNFINISHED}`
  try {
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
    const measured = await writeFileFrom(source, unfinished, signal)
    if (accept(measured)) await rename(unfinished, file)
    return measured
  } finally {
    source.destroy()
    await rm(unfinished, { force: true })
  }
}

/** The values of a file of JSON lines. */
export async function* readJsonLines<T>(file: string): AsyncGenerator<T> {
  const handle = await open(file)
  try {
    for await (const line of handle.readLines()) yield JSON.parse(line) as T
  } finally {
    await handle.close().catch(() => undefined)
  }
}

/** Many lines a piece: each piece is a write of its own. */
export async function* toJsonLines(values: AsyncIterable<unknown>): AsyncGenerator<string> {
  let piece = ''
  for await (const value of values) {
    piece += `${JSON.stringify(value)}\n`
    if (piece.length < PIECE_LENGTH) continue
    yield piece
    piece = ''
  }
  if (piece !== '') yield piece
}
