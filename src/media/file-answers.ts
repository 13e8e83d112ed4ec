/** What file servers answer, believed only where it fits together: a whole file, its beginning, or a part of it. */
import type { Readable } from 'node:stream'
import { AppError } from '../errors.ts'
import { lengthOf, parseContentRange, partOf, type Part, type WantedRange } from './byte-ranges.ts'
import { discard, type GuardedResponse } from './guarded-fetch.ts'
import { mediaKindOf, SAMPLE_BYTES, type MediaKind } from './media-kinds.ts'
import { tooLargeToPass, watchStream, type WatchedStream } from './watched-stream.ts'

/** A file as its server tells of it. */
export interface FileFacts {
  /** Of the whole file, in bytes, where it is told. */
  size: number | undefined
  etag: string | undefined
  lastModified: string | undefined
  /** Whether its server says, or has shown, that it gives parts. */
  givesParts: boolean
}

export interface KnownFile extends FileFacts {
  kind: MediaKind
}

export interface Download extends KnownFile {
  /** The part that is given; undefined for the whole file. */
  part: Part | undefined
  /** Undefined where only the facts were asked for. */
  body: Readable | undefined
}

export interface FileReaderOptions {
  /** Of a file as a whole. */
  maxBytes: number
  /** Whenever some of a file has passed. */
  onProgress?: (() => void) | undefined
}

export interface FileReader {
  /** A file of which nothing was left out. */
  whole(response: GuardedResponse): Promise<Download>
  /** The facts alone, from the file's first bytes. */
  beginning(response: GuardedResponse): Promise<KnownFile>
  /** @param known from the file's beginning, since a part of it does not tell what it is. */
  part(response: GuardedResponse, wanted: WantedRange, known: KnownFile): Download
}

/** What tells what a file is. */
export const BEGINNING: Part = { start: 0, end: SAMPLE_BYTES - 1 }

/**
 * @throws {AppError} from all three: `unsupported_media_type`, `output_too_large` before any of the file is read,
 *   `output_invalid` for an answer to another question. The bodies fail as `watchStream` says.
 */
export function createFileReader({ maxBytes, onProgress }: FileReaderOptions): FileReader {
  /** @param length of the body. @param size of the whole file. */
  function watch(response: GuardedResponse, length: number | undefined, size: number | undefined): WatchedStream {
    if ((size ?? length ?? 0) > maxBytes) throw given(response, tooLargeToPass(maxBytes))
    return watchStream(response.body, { length, maxBytes, onProgress })
  }

  return {
    async whole(response) {
      const facts = factsOf(response, toLength(response.headers['content-length']))
      const { body, sample } = watch(response, facts.size, facts.size)
      return { ...facts, kind: await recognise(sample, body), part: undefined, body }
    },

    async beginning(response) {
      const { part, size } = contentRangeOf(response)
      if (part.start !== 0 || part.end > BEGINNING.end) throw given(response, notAsAsked())
      const { body, sample } = watch(response, lengthOf(part), size)
      const kind = await recognise(sample, body)
      body.destroy()
      return { ...factsOf(response, size), kind, givesParts: true }
    },

    part(response, wanted, known) {
      const { part, size = known.size } = contentRangeOf(response)
      const facts = factsOf(response, size)
      const asked = size === undefined ? part : partOf(wanted, size)
      // A file that changed in between was recognised by what it is no more.
      const isAsAsked = size === known.size && facts.etag === known.etag && asked?.start === part.start && asked.end >= part.end
      if (!isAsAsked) throw given(response, notAsAsked())
      const { body } = watch(response, lengthOf(part), Math.max(size ?? 0, part.end + 1))
      return { ...facts, kind: known.kind, part, body, givesParts: true }
    },
  }
}

async function recognise(sample: Promise<Buffer>, body: Readable): Promise<MediaKind> {
  const kind = await mediaKindOf(await sample)
  if (kind) return kind
  body.destroy()
  throw new AppError('unsupported_media_type', 'This is neither a picture nor a video nor a sound: it cannot be downloaded here.')
}

function contentRangeOf(response: GuardedResponse): { part: Part; size: number | undefined } {
  const range = parseContentRange(response.headers['content-range'])
  const length = toLength(response.headers['content-length'])
  if (!range || (length !== undefined && length !== lengthOf(range.part))) throw given(response, notAsAsked())
  return range
}

/** Only what is well formed is passed on. */
function factsOf({ headers }: GuardedResponse, size: number | undefined): FileFacts {
  const { etag, 'last-modified': modified } = headers
  const time = typeof modified === 'string' ? Date.parse(modified) : NaN
  return {
    size,
    etag: typeof etag === 'string' && /^(W\/)?"[\x21\x23-\x7e]{1,200}"$/.test(etag) ? etag : undefined,
    lastModified: Number.isNaN(time) ? undefined : new Date(time).toUTCString(),
    givesParts: headers['accept-ranges'] === 'bytes',
  }
}

const toLength = (header: unknown): number | undefined => (typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : undefined)

const notAsAsked = () => new AppError('output_invalid', 'The file server answered something else than was asked.')

/** The failure, once the answer is given up. */
function given(response: GuardedResponse, failure: AppError): AppError {
  discard(response)
  return failure
}
