/** Files from other servers, on their way to a user's disk: known by their first bytes, passed on as they arrive. */
import { AppError } from '../errors.ts'
import { parseRange, partOf, toRangeHeader, type WantedRange } from './byte-ranges.ts'
import type { DownloadHosts } from './download-hosts.ts'
import { BEGINNING, createFileReader, type Download, type FileFacts } from './file-answers.ts'
import { discard, statusError, type GuardedFetch, type GuardedResponse } from './guarded-fetch.ts'
import { RefusedLinkError } from './refused-link.ts'

export interface DownloadsOptions {
  guard: GuardedFetch
  hosts: DownloadHosts
  /** A file of our own storage, or undefined for a link to somewhere else. @throws {AppError} for one that is not the user's. */
  findStored: (link: string, userId: string) => StoredFile | undefined
  /** Of a file as a whole. */
  maxBytes: number
}

export interface StoredFile {
  url: URL
  /** May hold the service's key: for this very address alone. */
  headers: Record<string, string>
  /** What an answer means that is no file. @param text the beginning of its body. */
  toError(status: number, text: string): AppError
}

export interface DownloadRequest {
  /** A URL, or a path in our storage. */
  link: string
  userId: string
  /** Whether only the facts are asked for: there is no body then. */
  isHead: boolean
  /** As the client's headers have them, empty where it sent none. */
  range: string
  ifRange: string
  /** Ends it, in mid-stream too. */
  signal: AbortSignal
  /** Whenever some of the file has passed. */
  onProgress?: () => void
}

export type OpenDownload = (request: DownloadRequest) => Promise<Download>

/** Nothing of the file lies where it was asked for. */
export class UnsatisfiableRangeError extends AppError {
  /** Of the file, in bytes, where it is known. */
  readonly size: number | undefined

  constructor(size: number | undefined) {
    super('range_not_satisfiable', 'The file has nothing in the range that was asked for.')
    this.name = 'UnsatisfiableRangeError'
    this.size = size
  }
}

/** Of an answer that is no file: enough to tell why. */
const MAX_ERROR_BYTES = 4096

/**
 * @returns a function that opens a file.
 * @throws {AppError} from it: `RefusedLinkError` before any connection to where the link must not lead,
 *   `UnsatisfiableRangeError`, `not_found`, `unsupported_media_type` for what is neither picture nor video nor sound, and
 *   `output_too_large`, `output_expired`, `output_invalid`, `output_unavailable`, `storage_unavailable`, some of which the
 *   body may fail with too.
 */
export function createDownloads(options: DownloadsOptions): OpenDownload {
  return async (request) => {
    const { isHead, ifRange } = request
    const ask = createAsk(options, request)
    const read = createFileReader({ maxBytes: options.maxBytes, onProgress: request.onProgress })
    const whole = async (response: GuardedResponse): Promise<Download> => withoutBodyIf(isHead, await read.whole(response))

    const wanted = isHead ? undefined : parseRange(request.range)
    if (!isHead && !wanted) return await whole(await ask({}))
    // What the file is, only its beginning tells. HEAD is never sent: links that are signed for GET refuse it.
    const first = await ask({ range: toRangeHeader(BEGINNING) })
    // It knows nothing of parts: what came is all of it.
    if (first.statusCode === 200) return await whole(first)
    if (first.statusCode === 416) {
      discard(first)
      return await whole(await ask({}))
    }
    const known = await read.beginning(first)
    if (!wanted) return { ...known, part: undefined, body: undefined }
    if (ifRange !== '' && !isUnchanged(ifRange, known)) return await whole(await ask({}))
    const second = await ask({ range: toRange(wanted, known.size, request.range), ...(ifRange !== '' && { 'if-range': ifRange }) })
    if (second.statusCode === 416) {
      discard(second)
      throw new UnsatisfiableRangeError(known.size)
    }
    return second.statusCode === 206 ? read.part(second, wanted, known) : await whole(second)
  }
}

function withoutBodyIf(isHead: boolean, download: Download): Download {
  if (!isHead) return download
  download.body?.destroy()
  return { ...download, body: undefined }
}

/** Whether what the client has of it is still true: a weak mark proves nothing (RFC 9110, section 13.1.5). */
function isUnchanged(ifRange: string, { etag, lastModified }: FileFacts): boolean {
  if (etag !== undefined && ifRange.startsWith('"')) return ifRange === etag
  return lastModified !== undefined && Date.parse(ifRange) === Date.parse(lastModified)
}

/** @throws {UnsatisfiableRangeError} */
function toRange(wanted: WantedRange, size: number | undefined, header: string): string {
  if (size === undefined) return header.trim()
  const part = partOf(wanted, size)
  if (!part) throw new UnsatisfiableRangeError(size)
  return toRangeHeader(part)
}

type Ask = (headers: { range?: string; 'if-range'?: string }) => Promise<GuardedResponse>

/** @returns a function that asks for the file, or a part of it, and answers with status 200, 206 or 416. */
function createAsk({ guard, hosts, findStored }: DownloadsOptions, { link, userId, signal }: DownloadRequest): Ask {
  const stored = findStored(link, userId)
  const url = stored?.url ?? parse(link)
  return async (headers) => {
    const response = await guard.get(url, {
      // Our storage is the operator's own, and sends nobody elsewhere: the key stays there.
      ...(stored ? { judge: () => true, maxRedirects: 0 } : { judge: hosts.judge }),
      headersFor: () => ({ ...stored?.headers, ...headers }),
      signal,
    })
    const expected = headers.range === undefined ? [200] : [200, 206, 416]
    if (expected.includes(response.statusCode)) return response
    if (!stored) {
      discard(response)
      throw statusError(response.statusCode)
    }
    throw stored.toError(response.statusCode, await readStart(response))
  }
}

function parse(link: string): URL {
  const url = URL.parse(link)
  if (!url) throw new RefusedLinkError('', 'it is neither a URL nor the path of one of your files')
  // A browser would pass over some of these; whoever writes them hides something.
  if (/[\s\\\p{Cc}\p{Cf}]/u.test(link)) throw new RefusedLinkError(url.hostname, 'it has characters that no URL has')
  return url
}

async function readStart({ body }: GuardedResponse): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      length += chunk.length
      if (length >= MAX_ERROR_BYTES) break
    }
  } catch {
    // What has come must do.
  }
  return Buffer.concat(chunks).toString('utf8', 0, MAX_ERROR_BYTES)
}
