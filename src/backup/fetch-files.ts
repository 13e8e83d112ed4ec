/** The files of a backup out of Storage: those that are here already stay, the others come as streams. */
import { link, mkdir } from 'node:fs/promises'
import path from 'node:path'
import { AppError } from '../errors.ts'
import { tryStep, type Pace } from '../generation/retry.ts'
import type { StorageDownload } from '../supabase/storage-download.ts'
import { checkPath } from '../supabase/stream-upload.ts'
import { keptFile, type FileEntry } from './manifest.ts'
import { mapInOrder } from './map-in-order.ts'
import { measureFile, replaceFile, type Measured } from './measured-files.ts'

export interface FetchFilesOptions {
  /** What the rows name, in the order of the paths. */
  named: AsyncIterable<FileEntry>
  directory: string
  /** What the last backup says of its files, in the same order: the one of this directory, or the earlier one. */
  lastList: AsyncIterable<FileEntry>
  /** Another backup on this disk: its files are shared with this one. */
  earlier: string | undefined
  download: StorageDownload
  /** Throws when Storage does not answer at all. */
  probe(bucket: string): Promise<void>
  signal: AbortSignal
}

export interface FetchedFile {
  entry: FileEntry
  isFetched: boolean
}

/** Transfers at once. */
export const CONCURRENCY = 4
export const PACE: Pace = { minTimeoutMs: 500, maxTimeoutMs: 8000 }

/** @throws {AppError} `storage_unavailable` when Storage is away. A file that alone is amiss is told in its entry. */
export async function* fetchFiles(options: FetchFilesOptions): AsyncGenerator<FetchedFile> {
  yield* mapInOrder(withLast(options.named, options.lastList), CONCURRENCY, ({ entry, last }, stopped) => fetchFile(entry, last, { ...options, signal: AbortSignal.any([stopped, options.signal]) }))
}

interface Named {
  entry: FileEntry
  /** The same file as the last backup knew it. */
  last: FileEntry | undefined
}

const placeOf = ({ bucket, path: key }: FileEntry): string => `${bucket}/${key}`

async function* withLast(named: AsyncIterable<FileEntry>, lastList: AsyncIterable<FileEntry>): AsyncGenerator<Named> {
  const lasts = lastList[Symbol.asyncIterator]()
  let last = await lasts.next()
  for await (const entry of named) {
    while (!last.done && placeOf(last.value) < placeOf(entry)) last = await lasts.next()
    yield { entry, last: !last.done && placeOf(last.value) === placeOf(entry) ? last.value : undefined }
  }
}

async function fetchFile(entry: FileEntry, last: FileEntry | undefined, options: FetchFilesOptions): Promise<FetchedFile> {
  const { directory, earlier, signal } = options
  if (!hasProperPath(entry)) return { entry: { ...entry, problem: 'no proper path' }, isFetched: false }
  const file = keptFile(directory, entry)
  // Where the row tells no hash, what was kept before must still be what it was then.
  const known = { size: entry.size, sha256: entry.sha256 ?? last?.sha256 ?? null }
  const here = (await measureFile(file, signal)) ?? (earlier === undefined ? undefined : await share(keptFile(earlier, entry), file, signal))
  if (here && fits(here, known)) return { entry: { ...entry, size: here.bytes, sha256: here.sha256 }, isFetched: false }
  return { entry: await download(entry, file, options), isFetched: true }
}

/** A path that leads anywhere else, here or there, is not followed. */
export function hasProperPath({ bucket, path: key }: FileEntry): boolean {
  try {
    checkPath(key)
    return /^[\w-][\w.-]*$/.test(bucket) && key.split('/').every((part) => part !== '' && part !== '.')
  } catch {
    return false
  }
}

const fits = (found: Measured, { size, sha256 }: Pick<FileEntry, 'size' | 'sha256'>): boolean => (size === null || size === found.bytes) && (sha256 === null || sha256 === found.sha256)

/** @returns undefined when there is nothing to share, or this disk cannot. */
async function share(from: string, to: string, signal: AbortSignal): Promise<Measured | undefined> {
  await mkdir(path.dirname(to), { recursive: true, mode: 0o700 })
  const isShared = await link(from, to).then(() => true, () => false)
  return isShared ? await measureFile(to, signal) : undefined
}

async function download(entry: FileEntry, file: string, { download: storage, probe, signal }: FetchFilesOptions): Promise<FileEntry> {
  try {
    return await tryStep(async () => {
      const source = await storage.open(entry.bucket, entry.path, signal)
      if (!source) return { ...entry, problem: 'missing' }
      const came = await replaceFile(source, file, (measured) => fits(measured, entry), signal)
      return fits(came, entry) ? { ...entry, size: came.bytes, sha256: came.sha256 } : { ...entry, problem: 'differs from its row' }
    }, { stopping: signal, pace: PACE })
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    await probe(entry.bucket)
    return { ...entry, problem: 'unreadable' }
  }
}
