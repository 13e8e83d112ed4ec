/** Files out of Storage as they come, whatever bucket they lie in and whether it is public or not. */
import { Readable } from 'node:stream'
import { Agent, request } from 'undici'
import { isMissing, StorageAnswerError, toStorageError } from './storage-errors.ts'
import { checkPath } from './stream-upload.ts'

export interface StorageDownload {
  /**
   * Opens a file. The caller reads it to its end or destroys it.
   * @returns undefined when there is none.
   * @throws {AppError} `storage_unavailable`, also from the stream.
   */
  open(bucket: string, path: string, signal?: AbortSignal): Promise<Readable | undefined>
  /**
   * The size of a file whose first byte could be read: Storage may know of a file whose bytes are gone.
   * @returns undefined when there is none.
   * @throws {AppError} `storage_unavailable`.
   */
  sizeOf(bucket: string, path: string, signal?: AbortSignal): Promise<number | undefined>
  close(): Promise<void>
}

export interface StorageDownloadOptions {
  url: string
  secretKey: string
  /** Longest silence of Storage. */
  timeoutMs: number
}

const CONNECT_TIMEOUT_MS = 10_000
/** Of an answer that nobody wants: beyond this the connection is given up rather than read to its end. */
const DUMP_BYTES = 64 * 1024
const MAX_ERROR_TEXT = 10_000

export function createStorageDownload({ url, secretKey, timeoutMs }: StorageDownloadOptions): StorageDownload {
  const agent = new Agent({ headersTimeout: timeoutMs, bodyTimeout: timeoutMs, allowH2: false, connect: { timeout: CONNECT_TIMEOUT_MS } })
  const authorization = { authorization: `Bearer ${secretKey}`, apikey: secretKey }

  async function get(bucket: string, path: string, headers: Record<string, string>, signal: AbortSignal | undefined) {
    checkPath(path)
    try {
      const answer = await request(`${url}/storage/v1/object/${bucket}/${path}`, { dispatcher: agent, headers: { ...authorization, ...headers }, ...(signal && { signal }) })
      if (answer.statusCode < 300) return answer
      const error = new StorageAnswerError(answer.statusCode, (await answer.body.text()).slice(0, MAX_ERROR_TEXT))
      if (isMissing(error)) return undefined
      throw error
    } catch (error) {
      signal?.throwIfAborted()
      throw toStorageError(error)
    }
  }

  return {
    async open(bucket, path, signal) {
      const answer = await get(bucket, path, {}, signal)
      return answer && Readable.from(inOurWords(answer.body, signal), { objectMode: false })
    },

    async sizeOf(bucket, path, signal) {
      const answer = await get(bucket, path, { range: 'bytes=0-0' }, signal)
      if (!answer) return undefined
      // The local Storage knows no ranges and begins with the whole file.
      const told = String(answer.headers['content-range'] ?? '').split('/')[1] ?? answer.headers['content-length']
      await answer.body.dump({ limit: DUMP_BYTES }).catch(() => undefined)
      return Number(told)
    },

    close: () => agent.destroy(),
  }
}

async function* inOurWords(body: Readable, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  try {
    yield* body as AsyncIterable<Uint8Array>
  } catch (error) {
    signal?.throwIfAborted()
    throw toStorageError(error)
  }
}
