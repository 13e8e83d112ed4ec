/**
 * Files into Storage as they arrive. Large ones go in chunks that survive a cut connection (the TUS protocol) wherever
 * the server speaks it, the others in one request.
 */
import { AppError } from '../errors.ts'
import type { FileStore, FileStream } from '../generation/files.ts'
import { CHUNK_BYTES, uploadResumable, type Transfer } from './resumable-upload.ts'
import { StorageAnswerError, toStorageError, wrongLength } from './storage-errors.ts'

/** Paths never change their content, so browsers and CDNs may keep them for ever. */
export const CACHE_FOREVER = 'public, max-age=31536000, immutable'
const DETECTION_LIFETIME_MS = 3_600_000

export interface StreamUploadOptions {
  url: string
  secretKey: string
  bucket: string
  fetch: typeof fetch
}

export function createStreamUpload({ url, secretKey, bucket, fetch }: StreamUploadOptions): FileStore['putStream'] {
  const headers = { authorization: `Bearer ${secretKey}`, apikey: secretKey, 'x-upsert': 'true' }
  const resumable = { endpoint: `${url}/storage/v1/upload/resumable`, headers, bucket, fetch }
  let known: { isResumable: boolean; until: number } | undefined

  /** Asks the server once an hour. One that cannot be asked is asked again. */
  async function isResumable(signal: AbortSignal | undefined): Promise<boolean> {
    if (known && performance.now() < known.until) return known.isResumable
    const answer = await fetch(resumable.endpoint, { method: 'OPTIONS', headers, signal: signal ?? null })
    const speaksTus = answer.headers.has('tus-resumable') || answer.headers.has('tus-version')
    // A gateway in trouble says nothing about what the server behind it can do.
    if (!speaksTus && (answer.status >= 500 || [402, 408, 429].includes(answer.status))) throw new StorageAnswerError(answer.status, await answer.text())
    known = { isResumable: speaksTus, until: performance.now() + DETECTION_LIFETIME_MS }
    return speaksTus
  }

  async function uploadPlain({ path, file, mediaType, signal, onProgress }: Transfer): Promise<void> {
    const length = file.contentLength === undefined ? {} : { 'content-length': String(file.contentLength) }
    const answer = await fetch(`${url}/storage/v1/object/${bucket}/${path}`, {
      method: 'POST',
      headers: { ...headers, ...length, 'cache-control': CACHE_FOREVER, 'content-type': mediaType },
      body: keepBackTheEnd(file, onProgress),
      signal: signal ?? null,
    })
    if (!answer.ok) throw new StorageAnswerError(answer.status, await answer.text())
  }

  async function upload(transfer: Transfer): Promise<void> {
    const { file, signal } = transfer
    // Whoever reads it meets its error; until somebody does, it must not end the process.
    file.body.on('error', () => undefined)
    try {
      const fitsOneChunk = file.contentLength !== undefined && file.contentLength <= CHUNK_BYTES
      if (fitsOneChunk || !(await isResumable(signal))) return await uploadPlain(transfer)
      await uploadResumable(transfer, resumable)
    } catch (error) {
      known = undefined
      if (signal?.aborted) throw stopped(signal)
      throw error instanceof AppError ? error : toStorageError(error)
    }
  }

  return async (path, file, mediaType, { signal, onProgress } = {}) => {
    try {
      checkPath(path)
      await upload({ path, file, mediaType, signal, onProgress })
    } finally {
      file.body.destroy()
    }
  }
}

/**
 * The file, its last piece only once the file has ended as it should: Storage must not take for complete what is not.
 * @throws {AppError} `output_unavailable` when it is shorter or longer than was told.
 */
async function* keepBackTheEnd({ body, contentLength }: FileStream, onProgress: Transfer['onProgress']): AsyncGenerator<Uint8Array> {
  let last: Buffer | undefined
  let read = 0
  let passed = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    read += chunk.length
    if (contentLength !== undefined && read > contentLength) break
    if (last) yield last
    passed += last?.length ?? 0
    if (last) onProgress?.(passed)
    last = chunk
  }
  if (contentLength !== undefined && read !== contentLength) throw wrongLength()
  if (last) yield last
  onProgress?.(read)
}

const stopped = ({ reason }: AbortSignal): AppError =>
  reason instanceof AppError ? reason : new AppError('storage_unavailable', "The file's transfer was stopped before its end.", { cause: reason, retryAfterSeconds: 5 })

/** storage-js does not encode paths: another one would lead out of its folder or out of the bucket. @throws {Error} */
export function checkPath(path: string): void {
  if (!/^[A-Za-z0-9/_.-]+$/.test(path) || path.includes('..')) throw new Error(`${JSON.stringify(path)} is no path for a file.`)
}
