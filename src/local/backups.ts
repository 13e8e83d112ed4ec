/** Backups of the local project, made beside everything else: one every so often, of which the last few are kept. */
import { mkdir, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { backUp } from '../backup/back-up.ts'
import { MANIFEST, readManifest } from '../backup/manifest.ts'
import type { Logger } from '../log.ts'
import { connectToDatabase, type Project } from '../supabase/project.ts'

export interface LocalBackupsOptions {
  project: Project
  /** Where the backups lie, each in a directory named after its time. */
  directory: string
  everyMs: number
  /** How many are kept. */
  keep: number
  now?: () => number
}

/** After one that failed, or while there is nothing to keep. */
const RETRY_MS = 3_600_000
const NAME = /^\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}Z$/

/** Begins at once, without anybody waiting for it, and goes on until it is stopped. */
export function keepBackups(options: LocalBackupsOptions & { logger: Logger }): { stop(): Promise<void> } {
  const stopping = new AbortController()
  let timer: NodeJS.Timeout | undefined
  let looking: Promise<void>

  async function look(): Promise<void> {
    const dueInMs = await backUpWhenDue(options, stopping.signal).catch((error: unknown) => {
      if (!stopping.signal.aborted) options.logger.warn({ err: error }, 'the local project could not be backed up')
      return RETRY_MS
    })
    if (!stopping.signal.aborted) timer = setTimeout(() => void (looking = look()), dueInMs).unref()
  }

  looking = look()
  return {
    async stop() {
      stopping.abort()
      clearTimeout(timer)
      await looking
    },
  }
}

/** @returns after how many milliseconds to look again. */
export async function backUpWhenDue(options: LocalBackupsOptions, signal: AbortSignal): Promise<number> {
  const { project, directory, everyMs, keep, now = Date.now } = options
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const last = (await wholeBackups(directory)).at(-1)
  // A clock that was set back must not put it off for ever.
  const dueInMs = last ? Math.min(everyMs, last.at + everyMs - now()) : 0
  if (dueInMs > 0) return dueInMs
  if (!(await hasRows(project))) return RETRY_MS
  const name = new Date(now()).toISOString().replace(/\.\d+/, '').replaceAll(':', '-')
  await removeUnfinished(directory)
  await backUp({ project, directory: path.join(directory, name), withFiles: true, earlier: last && path.join(directory, last.name), signal })
  for (const old of (await wholeBackups(directory)).slice(0, -keep)) await remove(path.join(directory, old.name))
  return everyMs
}

/** The oldest first. */
async function wholeBackups(directory: string): Promise<{ name: string; at: number }[]> {
  const names = (await readdir(directory)).filter((name) => NAME.test(name)).toSorted()
  const found = await Promise.all(names.map(async (name) => ({ name, manifest: await readManifest(path.join(directory, name)).catch(() => undefined) })))
  return found.flatMap(({ name, manifest }) => (manifest ? [{ name, at: timeOf(name) }] : []))
}

const timeOf = (name: string): number => Date.parse(name.replace(/T(\d+)-(\d+)-(\d+)Z$/, 'T$1:$2:$3Z'))

/** What runs left that were ended on their way. */
async function removeUnfinished(directory: string): Promise<void> {
  const whole = new Set((await wholeBackups(directory)).map(({ name }) => name))
  for (const name of await readdir(directory)) if (NAME.test(name) && !whole.has(name)) await remove(path.join(directory, name))
}

/** Its manifest first: what is removed in part is no backup. */
async function remove(backup: string): Promise<void> {
  await rm(path.join(backup, MANIFEST), { force: true })
  await rm(backup, { recursive: true, force: true })
}

async function hasRows(project: Project): Promise<boolean> {
  const client = await connectToDatabase(project)
  try {
    const { rows } = await client.query<{ found: boolean }>('select exists (select from public.prompts) as found')
    return rows[0]!.found
  } finally {
    await client.end()
  }
}
