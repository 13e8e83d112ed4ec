/** Makes a short film from a prompt: moving discs, the prompt in letters, and where one is given a picture to begin with. */
import { Worker } from 'node:worker_threads'
// Not used here: sharp asks to be loaded before the first thread that uses it, so that its libraries outlive the thread.
import 'sharp'
import { limitConcurrency } from '../limit-concurrency.ts'

export interface FilmOptions {
  /** Seconds. */
  duration: number
  /** Such as `16:9`. */
  aspectRatio: string
  /** Such as `720p`. It decides how large the film is, but every film is smaller than that: it is made while somebody waits. */
  resolution: string
  seed: number
  /** A picture of any format that sharp reads. */
  firstFrame?: Uint8Array | undefined
  signal?: AbortSignal | undefined
}

/** What the thread is given. */
export interface FilmOrder extends Omit<FilmOptions, 'signal'> {
  prompt: string
}

/** Each film keeps a core busy; the service needs the others. */
const MAX_AT_ONCE = 2
const limit = limitConcurrency(MAX_AT_ONCE)

/**
 * @returns an H.264 mp4 that begins to play before it is read to its end, the same bytes for the same inputs.
 * @throws when the signal aborts, or the first frame is no picture.
 */
export async function film(prompt: string, { signal, ...options }: FilmOptions): Promise<Buffer> {
  return await limit(() => render({ prompt, ...options }, signal))
}

/** In a thread of its own: encoding keeps it busy for hundreds of milliseconds, and its memory goes when it ends. */
async function render(order: FilmOrder, signal: AbortSignal | undefined): Promise<Buffer> {
  signal?.throwIfAborted()
  const worker = new Worker(new URL('film-worker.ts', import.meta.url), { workerData: order })
  const stop = () => void worker.terminate()
  signal?.addEventListener('abort', stop)
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      worker.once('message', (bytes: Uint8Array<ArrayBuffer>) => resolve(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)))
      worker.once('error', reject)
      worker.once('exit', () => reject(signal?.aborted ? signal.reason : new Error('The film’s thread ended without a film.')))
    })
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}
