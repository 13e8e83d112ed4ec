/** `restore`: a backup back into a project, whatever of it is there already. */
import path from 'node:path'
import { checkSchema } from '../supabase/migrations.ts'
import { connectToDatabase, type Project } from '../supabase/project.ts'
import { readTables } from './catalog.ts'
import { BackupError, type Manifest } from './manifest.ts'
import type { OnProgress } from './progress.ts'
import { restoreFiles, type RestoredFiles } from './restore-files.ts'
import { restoreRows, type RestoredRows } from './restore-rows.ts'
import { proveSameProject } from './same-project.ts'
import { tablesOf } from './staging.ts'
import { LOCAL_TABLES, tablesOfProject, type KeptTable } from './tables.ts'
import { verifyBackup } from './verify.ts'

export interface RestoreOptions {
  project: Project
  directory: string
  /** Leaves out the rows of users whom the project does not have, instead of refusing them. */
  skipUnknownUsers: boolean
  /** Adds to a project that has work of its own, instead of refusing that. */
  merge?: boolean
  /** Brings API keys that the project does not have back as they were, instead of revoked. */
  keepKeys?: boolean
  /** The address of the project that is meant. Must be given for a hosted one that the backup is not of. */
  into?: string | undefined
  /** The tables that are kept, where not the service's own. */
  tables?: readonly KeptTable[]
  onProgress?: OnProgress
}

export interface RestoreReport {
  manifest: Manifest
  rows: RestoredRows
  files: RestoredFiles
}

/**
 * The whole backup is verified first. Then come all rows at once, then the files, each of which counts only once it was
 * read back. Ended at any moment and called again, it goes on.
 * @throws {BackupError} before anything is written, or an error of the database or Storage.
 */
export async function restore(options: RestoreOptions): Promise<RestoreReport> {
  const { project, onProgress = () => undefined } = options
  const directory = path.resolve(options.directory)
  const manifest = partFor(project, await verifyBackup(directory, onProgress))
  refuseOtherProject(options, manifest)
  const client = await connectToDatabase(project)
  let rows: RestoredRows
  try {
    // Held by the session, so that it ends with the process.
    const { rows: locks } = await client.query<{ isMine: boolean }>(`select pg_try_advisory_lock(hashtextextended('darkroom restore', 0)) as "isMine"`)
    if (!locks[0]!.isMine) throw new BackupError('Another restore into this project is under way.')
    await checkSchema(async (text, values) => (await client.query(text, values)).rows)
    await proveSameProject(client, project)
    const tables = tablesOf(manifest, await readTables(client, options.tables ?? tablesOfProject(project)))
    rows = await restoreRows({ client, tables, directory, manifest, project, skipUnknownUsers: options.skipUnknownUsers, merge: options.merge ?? false, keepKeys: options.keepKeys ?? false, onProgress })
  } finally {
    await client.end().catch(() => undefined)
  }
  return { manifest, rows, files: await restoreFiles({ project, directory, manifest, withoutRows: rows.withoutRows, onProgress }) }
}

/** A hosted project has users of its own. */
function partFor({ isLocal }: Project, manifest: Manifest): Manifest {
  return isLocal ? manifest : { ...manifest, tables: manifest.tables.filter(({ name }) => !LOCAL_TABLES.some((table) => table.name === name)) }
}

/** Variables that are left over from other work must not lead a backup astray. */
function refuseOtherProject({ project, into }: RestoreOptions, manifest: Manifest): void {
  const meant = into?.replace(/\/+$/, '') ?? (project.isLocal ? project.supabaseUrl : manifest.supabaseUrl)
  if (meant === project.supabaseUrl) return
  throw new BackupError(into === undefined ? `The backup is of ${manifest.supabaseUrl}, and the project here is ${project.supabaseUrl}. If that is meant, say --into ${project.supabaseUrl}` : `--into names ${into}, and the project here is ${project.supabaseUrl}.`)
}
