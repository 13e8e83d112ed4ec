/** The files of a backup into Storage, where they are missing: as streams, and read back before they count as stored. */
import { createReadStream } from 'node:fs'
import { AppError } from '../errors.ts'
import { tryStep } from '../generation/retry.ts'
import { isMissing, toStorageError } from '../supabase/storage-errors.ts'
import { createStorageDownload, type StorageDownload } from '../supabase/storage-download.ts'
import { createStorageFetch } from '../supabase/storage-fetch.ts'
import { createStorage } from '../supabase/storage.ts'
import { createStreamUpload } from '../supabase/stream-upload.ts'
import type { Project } from '../supabase/project.ts'
import { CONCURRENCY, hasProperPath, PACE } from './fetch-files.ts'
import { keptFile, listFile, type FileEntry, type Manifest } from './manifest.ts'
import { mapInOrder } from './map-in-order.ts'
import { measure, readJsonLines } from './measured-files.ts'
import { createTally, type OnProgress } from './progress.ts'

export interface RestoreFilesOptions {
  project: Project
  directory: string
  manifest: Manifest
  /** `bucket/path` of those that no row here stands for. */
  withoutRows: ReadonlySet<string>
  onProgress: OnProgress
}

export interface RestoredFiles {
  uploaded: number
  uploadedBytes: number
  /** Were there already. */
  there: number
  /** Rows stand for them that are here, and they are neither in Storage nor in the backup. */
  missing: FileEntry[]
}

interface Access {
  download: StorageDownload
  /** Throws when Storage does not answer at all. */
  probe(bucket: string): Promise<void>
  upload(entry: FileEntry, file: string, signal: AbortSignal): Promise<void>
}

const TIMEOUT_MS = 60_000
/** Told one by one up to so many. */
const MAX_TOLD = 1000

/** @throws {AppError} `storage_unavailable` | `output_too_large`. What was stored by then is found there the next time. */
export async function restoreFiles({ project, directory, manifest, withoutRows, onProgress }: RestoreFilesOptions): Promise<RestoredFiles> {
  const options = { url: project.supabaseUrl, secretKey: project.secretKey, timeoutMs: TIMEOUT_MS }
  if (manifest.files.areKept) await makeBuckets(options, manifest)
  const access: Access = { download: createStorageDownload(options), upload: createUpload(options), probe: (bucket) => bucketOf(options, bucket).probe() }
  const restored: RestoredFiles = { uploaded: 0, uploadedBytes: 0, there: 0, missing: [] }
  const outcomes = mapInOrder(wantedFiles(directory, manifest, withoutRows), CONCURRENCY, async (entry, signal) => ({ entry, outcome: await restoreFile(entry, directory, manifest.files.areKept, access, signal) }))
  const tally = createTally(onProgress, (count) => `${count} of ${manifest.files.count} files, ${restored.uploaded} of them brought back`)
  try {
    for await (const { entry, outcome } of outcomes) {
      tally()
      if (outcome === 'there') restored.there++
      else if (outcome === 'uploaded') {
        restored.uploaded++
        restored.uploadedBytes += entry.size ?? 0
      } else if (restored.missing.length < MAX_TOLD) restored.missing.push(entry)
    }
    return restored
  } finally {
    await access.download.close()
  }
}

interface ConnectOptions {
  url: string
  secretKey: string
  timeoutMs: number
}

const bucketOf = (options: ConnectOptions, bucket: string, access: 'public' | 'private' = 'private') => createStorage({ ...options, bucket, access, signedUrlSeconds: 0 })

/** One that is there stays as it is: the service itself makes its own what its configuration says. */
async function makeBuckets(options: ConnectOptions, { buckets }: Manifest): Promise<void> {
  for (const { id, public: isPublic } of buckets) {
    const storage = bucketOf(options, id, isPublic ? 'public' : 'private')
    const isThere = await storage.probe().then(() => true, (error: unknown) => {
      if (error instanceof AppError && isMissing(error.cause)) return false
      throw error
    })
    if (!isThere) await storage.prepareBucket()
  }
}

function createUpload(options: ConnectOptions): Access['upload'] {
  const fetch = createStorageFetch(options)
  const uploads = new Map<string, ReturnType<typeof createStreamUpload>>()
  return async ({ bucket, path, size, contentType }, file, signal) => {
    const upload = uploads.get(bucket) ?? createStreamUpload({ ...options, bucket, fetch })
    uploads.set(bucket, upload)
    await upload(path, { body: createReadStream(file), contentLength: size! }, contentType, { signal })
  }
}

async function* wantedFiles(directory: string, manifest: Manifest, withoutRows: ReadonlySet<string>): AsyncGenerator<FileEntry> {
  for await (const entry of readJsonLines<FileEntry>(listFile(directory, manifest))) {
    if (hasProperPath(entry) && !withoutRows.has(`${entry.bucket}/${entry.path}`)) yield entry
  }
}

async function restoreFile(entry: FileEntry, directory: string, areKept: boolean, { download, upload, probe }: Access, signal: AbortSignal): Promise<'uploaded' | 'there' | 'missing'> {
  const size = await download.sizeOf(entry.bucket, entry.path, signal).catch(async (error: unknown) => {
    if (!(error instanceof AppError)) throw error
    await probe(entry.bucket)
    // What Storage knows of and cannot read is as good as missing.
    return undefined
  })
  if (size !== undefined && (entry.size === null || size === entry.size)) return 'there'
  if (!areKept || entry.problem !== undefined) return 'missing'
  await tryStep(async () => {
    await upload(entry, keptFile(directory, entry), signal)
    const source = await download.open(entry.bucket, entry.path, signal)
    const stored = source && (await measure(source, signal))
    if (stored?.sha256 !== entry.sha256) throw toStorageError(new Error(`${entry.bucket}/${entry.path} reads back as something else than was stored.`))
  }, { stopping: signal, pace: PACE })
  return 'uploaded'
}
