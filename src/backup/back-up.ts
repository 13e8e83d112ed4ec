/** `backUp`: the service's rows at one moment, and where wanted their files, into a directory. */
import { randomUUID } from 'node:crypto'
import { chmod, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { connectToDatabase, type Project } from '../supabase/project.ts'
import { createStorageDownload } from '../supabase/storage-download.ts'
import { createStorage } from '../supabase/storage.ts'
import { filesQuery, quote, readTables, type Table } from './catalog.ts'
import { fetchFiles, hasProperPath, type FetchedFile } from './fetch-files.ts'
import { ABOUT, ABOUT_LINE, ABOUT_TEXT, BackupError, listFile, readManifest, writeManifest, type FileEntry, type Manifest } from './manifest.ts'
import { readJsonLines, toJsonLines, writeFileFrom } from './measured-files.ts'
import { createTally, type OnProgress } from './progress.ts'
import { prune } from './prune.ts'
import { proveSameProject } from './same-project.ts'
import { namedFiles, takeSnapshot } from './snapshot.ts'
import { tablesOfProject, type KeptTable } from './tables.ts'

export interface BackupOptions {
  project: Project
  /** Made where it is missing. One that holds anything but a backup is refused. */
  directory: string
  withFiles: boolean
  /** A backup on the same disk, whose files are shared where they are the same. */
  earlier?: string | undefined
  /** The tables to keep, where not the service's own. */
  tables?: readonly KeptTable[]
  onProgress?: OnProgress
  signal?: AbortSignal
}

export interface BackupReport {
  manifest: Manifest
  /** Files that came from Storage now; the others were here. */
  fetched: number
  /** Files whose rows were deleted while the backup was made. */
  deletedMeanwhile: FileEntry[]
  /** Files that are not as their rows say. */
  problems: FileEntry[]
}

const STORAGE_TIMEOUT_MS = 60_000
/** Told one by one up to so many. */
const MAX_TOLD = 1000

/**
 * Safe to end at any moment: until the last step the directory holds what it held before, and the next run goes on with
 * the files that came.
 * @throws {BackupError} | an error of the database, the disk or Storage: then nothing counts as backed up.
 */
export async function backUp(options: BackupOptions): Promise<BackupReport> {
  const directory = path.resolve(options.directory)
  await prepareDirectory(directory)
  const client = await connectToDatabase(options.project)
  try {
    // Held by the session, so that it ends with the process.
    const { rows: locks } = await client.query<{ isMine: boolean }>(`select pg_try_advisory_lock(hashtextextended('darkroom backup ' || $1, 0)) as "isMine"`, [directory])
    if (!locks[0]!.isMine) throw new BackupError(`Another backup into ${directory} is under way.`)
    if (options.withFiles) await proveSameProject(client, options.project)
    const tables = await readTables(client, options.tables ?? tablesOfProject(options.project))
    const folder = `rows.${new Date().toISOString().replaceAll(/[:.]/g, '-')}-${randomUUID().slice(0, 8)}`
    const snapshot = await takeSnapshot({ client, tables, directory, folder, signal: options.signal, onProgress: options.onProgress })
    const { files, ...outcome } = await listFiles({ ...options, directory }, folder, snapshot.buckets)
    const manifest: Manifest = { format: 'darkroom-backup', version: 1, about: ABOUT_LINE, supabaseUrl: options.project.supabaseUrl, folder, ...snapshot, files }
    await rm(namedFiles(directory, folder))
    await writeManifest(directory, manifest)
    await prune(directory, manifest)
    return { manifest, fetched: outcome.fetched, ...(await explainProblems(options.project, tables, outcome.problems)) }
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function prepareDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const names = await readdir(directory)
  if (!names.includes(ABOUT) && names.some((name) => !name.startsWith(ABOUT))) throw new BackupError(`${directory} holds something that is no backup. Name a new directory, or one that holds a backup.`)
  // It may have been there before, open to everybody.
  await chmod(directory, 0o700)
  const unfinished = path.join(directory, `${ABOUT}.part`)
  await writeFile(unfinished, ABOUT_TEXT, { mode: 0o600 })
  await rename(unfinished, path.join(directory, ABOUT))
}

interface ListedFiles {
  files: Manifest['files']
  fetched: number
  problems: FileEntry[]
}

/** Writes the list of the files, once they are here where they are wanted. */
async function listFiles(options: BackupOptions, folder: string, buckets: Manifest['buckets']): Promise<ListedFiles> {
  const { directory, withFiles, signal, onProgress } = options
  const listed: ListedFiles = { files: { areKept: withFiles, count: 0, keptBytes: 0, problems: 0, list: { bytes: 0, sha256: '' } }, fetched: 0, problems: [] }
  const named = readJsonLines<FileEntry>(namedFiles(directory, folder))
  const outcomes = withFiles ? fetchAll(options, named, buckets) : asTheyAre(named)
  const entries = count(outcomes, listed, onProgress)
  listed.files.list = await writeFileFrom(Readable.from(toJsonLines(entries), { objectMode: false }), listFile(directory, { folder }), signal)
  return listed
}

async function* asTheyAre(named: AsyncIterable<FileEntry>): AsyncGenerator<FetchedFile> {
  for await (const entry of named) yield { entry: hasProperPath(entry) ? entry : { ...entry, problem: 'no proper path' }, isFetched: false }
}

/** Passes the entries on, and adds them up in `listed`. */
async function* count(outcomes: AsyncIterable<FetchedFile>, listed: ListedFiles, onProgress: OnProgress | undefined): AsyncGenerator<FileEntry> {
  const { files, problems } = listed
  const tally = createTally(onProgress, (done) => `${done} files so far, ${listed.fetched} of them came now`)
  for await (const { entry, isFetched } of outcomes) {
    tally()
    files.count++
    if (entry.problem !== undefined) {
      files.problems++
      if (problems.length < MAX_TOLD) problems.push(entry)
    } else {
      if (files.areKept) files.keptBytes += entry.size ?? 0
      if (isFetched) listed.fetched++
    }
    yield entry
  }
}

async function* fetchAll({ project, directory, earlier, signal }: BackupOptions, named: AsyncIterable<FileEntry>, buckets: Manifest['buckets']): AsyncGenerator<FetchedFile> {
  const access = { url: project.supabaseUrl, secretKey: project.secretKey, timeoutMs: STORAGE_TIMEOUT_MS }
  const download = createStorageDownload(access)
  const probe = (bucket: string) => createStorage({ ...access, bucket, access: 'public', signedUrlSeconds: 0 }).probe()
  try {
    // A wrong key makes every file look as if it were not there.
    for (const { id } of buckets) await probe(id)
    yield* fetchFiles({ named, directory, lastList: readLastList(earlier ?? directory), earlier, download, probe, signal: signal ?? new AbortController().signal })
  } finally {
    await download.close()
  }
}

/** Of the backup that a directory holds, if any: what it says is believed only where a file bears it out. */
async function* readLastList(directory: string): AsyncGenerator<FileEntry> {
  const manifest = await readManifest(directory).catch(() => undefined)
  if (manifest) yield* readJsonLines<FileEntry>(listFile(directory, manifest))
}

/** A file may rightly be gone by the time that it is asked for. */
async function explainProblems(project: Project, tables: readonly Table[], problems: FileEntry[]): Promise<Pick<BackupReport, 'deletedMeanwhile' | 'problems'>> {
  const missing = problems.filter(({ problem }) => problem === 'missing')
  if (missing.length === 0) return { deletedMeanwhile: [], problems }
  // The session of the snapshot may have been silent for hours.
  const client = await connectToDatabase(project)
  const asked = client.query<{ path: string }>(`select path from (${filesQuery(tables, ({ name }) => quote(name))}) as files where path = any($1)`, [missing.map(({ path: key }) => key)])
  const { rows } = await asked.finally(() => client.end())
  const named = new Set(rows.map(({ path: key }) => key))
  const deletedMeanwhile = missing.filter(({ path: key }) => !named.has(key))
  return { deletedMeanwhile, problems: problems.filter((entry) => !deletedMeanwhile.includes(entry)) }
}
