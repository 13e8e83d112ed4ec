/**
 * A file into Storage in chunks, each acknowledged on its own (the TUS protocol, spoken by tus-js-client). A cut
 * connection costs the chunk that was under way, which is kept until Storage has all of it.
 */
import type { DetailedError, FileSource, HttpStack } from 'tus-js-client'
import { AppError } from '../errors.ts'
import type { FileStream } from '../generation/files.ts'
import { StorageAnswerError, wrongLength } from './storage-errors.ts'

export interface Transfer {
  path: string
  file: FileStream
  mediaType: string
  signal: AbortSignal | undefined
  onProgress: ((bytes: number) => void) | undefined
}

export interface ResumableServer {
  endpoint: string
  /** For every request: each is authenticated and authorised anew. */
  headers: Record<string, string>
  bucket: string
  fetch: typeof fetch
}

/** What hosted Supabase demands of every chunk but the last. */
export const CHUNK_BYTES = 6 * 1024 * 1024
/** What is handed to the connection at a time. */
const PIECE_BYTES = 64 * 1024
/** Begun anew whenever a chunk got through. A server may hold a lock for some seconds after it lost a connection. */
const RETRY_DELAYS_MS = [500, 1000, 2000, 4000, 8000]
const PASSING_STATUSES = [408, 409, 423, 429]
const REMOVAL_TIMEOUT_MS = 5000

/**
 * @throws {AppError} of the file's own, or `output_unavailable` when its length is another than was told.
 * @throws {StorageAnswerError} for an answer that trying again does not change, or any error of a connection that does
 *   not come back. What was uploaded is removed.
 */
export async function uploadResumable({ path, file, mediaType, signal, onProgress }: Transfer, { endpoint, headers, bucket, fetch }: ResumableServer): Promise<void> {
  // Only a process that stores large files pays the time and the memory of loading it.
  const { Upload } = await import('tus-js-client')
  signal?.throwIfAborted()
  const { contentLength } = file
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const upload = new Upload(file.body, {
    endpoint,
    headers,
    metadata: { bucketName: bucket, objectName: path, contentType: mediaType, cacheControl: '31536000' },
    chunkSize: CHUNK_BYTES,
    ...(contentLength === undefined ? { uploadLengthDeferred: true } : { uploadSize: contentLength }),
    fileReader: { openFile: async () => readInChunks(file) },
    httpStack: createHttpStack(endpoint, fetch),
    retryDelays: RETRY_DELAYS_MS,
    onShouldRetry: isPassing,
    storeFingerprintForResuming: false,
    onChunkComplete: (_chunkBytes, storedBytes) => onProgress?.(storedBytes),
    onSuccess: () => resolve(),
    onError: (error) => reject(causeOf(error)),
  })
  const stop = () => {
    void upload.abort()
    reject(signal?.reason as Error)
  }
  signal?.addEventListener('abort', stop, { once: true })
  try {
    upload.start()
    await promise
  } catch (error) {
    // Best effort: Storage forgets an unfinished upload after a day.
    const httpStack = createHttpStack(endpoint, fetch, AbortSignal.timeout(REMOVAL_TIMEOUT_MS))
    if (upload.url !== null) await Upload.terminate(upload.url, { headers, httpStack, retryDelays: null }).catch(() => undefined)
    throw error
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

/** Whether the upload may go on after this failure. One of the file itself is final. */
function isPassing({ causingError, originalResponse }: DetailedError): boolean {
  if (causingError instanceof AppError) return false
  const status = originalResponse?.getStatus() ?? 0
  return status === 0 || status >= 500 || PASSING_STATUSES.includes(status)
}

/** tus-js-client's own error carries the request with its keys, so it goes no further. */
function causeOf(error: Error | DetailedError): Error {
  if (!('originalRequest' in error)) return error
  const { causingError, originalResponse } = error
  return originalResponse ? new StorageAnswerError(originalResponse.getStatus(), originalResponse.getBody()) : (causingError ?? new Error(error.message))
}

/**
 * The file as tus-js-client reads it, through one buffer. A chunk stays in it until the one behind it is asked for. The
 * last one is given only once the file has ended as it should: Storage must not take for complete what is not.
 */
function readInChunks({ body, contentLength }: FileStream): FileSource {
  const pieces = body.iterator() as AsyncIterator<Buffer>
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  /** The chunk's place in the file. */
  let start = 0
  let length = 0
  /** What has been read beyond the chunk. */
  let next: Buffer = Buffer.alloc(0)
  let isEnded = false

  async function readPiece(): Promise<void> {
    while (next.length === 0 && !isEnded) {
      const piece = await pieces.next()
      if (piece.done) isEnded = true
      else next = piece.value
    }
  }

  async function readChunk(): Promise<void> {
    start += length
    length = 0
    for (await readPiece(); next.length > 0 && length < CHUNK_BYTES; await readPiece()) {
      const copied = next.copy(buffer, length)
      length += copied
      next = next.subarray(copied)
    }
    const read = start + length + next.length
    if (contentLength !== undefined && (isEnded ? read !== contentLength : read > contentLength)) throw wrongLength()
  }

  return {
    // Storage is told the length that the sender told, or learns it with the last chunk.
    size: contentLength ?? 0,
    async slice(from) {
      if (from < start || from > start + length) throw new AppError('storage_unavailable', 'The storage has lost a part of the file.', { retryAfterSeconds: 5 })
      if (from === start + length) {
        await readChunk().catch((error: unknown) => {
          // Final in any case: a stream that failed looks like one that has ended when it is read again.
          throw error instanceof AppError ? error : new AppError('output_unavailable', "The provider's file could not be read to its end.", { cause: error })
        })
      }
      const value = buffer.subarray(from - start, length)
      return { value: Object.assign(value, { size: value.length }), done: isEnded }
    },
    close: () => undefined,
  }
}

/** tus-js-client's own has no limit for a server that falls silent. */
function createHttpStack(endpoint: string, fetch: ResumableServer['fetch'], signal?: AbortSignal): HttpStack {
  let isLengthKnown = false
  return {
    getName: () => 'storage',
    createRequest(method, url) {
      const headers: Record<string, string> = {}
      const stopped = new AbortController()
      return {
        getMethod: () => method,
        getURL: () => url,
        setHeader: (name, value) => void (headers[name] = value),
        getHeader: (name) => headers[name],
        setProgressHandler: () => undefined,
        async send(chunk: Buffer | null) {
          // A length that was left open is told with the last chunk. Sent again after a cut, the server refuses it.
          if (isLengthKnown) delete headers['Upload-Length']
          const answer = await fetch(withOriginOf(endpoint, url), {
            method,
            headers: chunk ? { ...headers, 'content-length': String(chunk.length) } : headers,
            body: chunk && toPieces(chunk),
            signal: signal ? AbortSignal.any([signal, stopped.signal]) : stopped.signal,
          })
          if (method === 'HEAD') isLengthKnown = answer.headers.has('upload-length')
          const text = await answer.text()
          return { getStatus: () => answer.status, getHeader: (name) => answer.headers.get(name) ?? undefined, getBody: () => text, getUnderlyingObject: () => answer }
        },
        abort: async () => stopped.abort(),
        getUnderlyingObject: () => undefined,
      }
    },
  }
}

/** Where an upload lies is the server's word, and it may know itself by another name. The key goes to the origin that was configured. */
function withOriginOf(endpoint: string, url: string): string {
  const { pathname, search } = new URL(url)
  return new URL(endpoint).origin + pathname + search
}

async function* toPieces(chunk: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < chunk.length; at += PIECE_BYTES) yield chunk.subarray(at, at + PIECE_BYTES)
}
