/** The rows of a backup into the service's tables: in one transaction, and without anything that follows from a new row. */
import type pg from 'pg'
import type { Project } from '../supabase/project.ts'
import { balance } from './balances.ts'
import { filesQuery, quote, quoteColumn, type Table } from './catalog.ts'
import { BackupError, type Manifest } from './manifest.ts'
import { restoreTable, type RestoredTable } from './restore-table.ts'
import { closeOpenWork, moveLinks, OUTCOME, staged, stageRows, type ClosedGenerations } from './staging.ts'
import { findUnknownUsers, leaveOutErased, leaveOutUnknown, refuseOtherWork, replaceNamesakes, unknownUsersError, type UnknownUsers } from './target.ts'

export interface RestoreRowsOptions {
  client: pg.Client
  /** With the backup's columns, parents first. */
  tables: readonly Table[]
  directory: string
  manifest: Manifest
  /** That they go to. */
  project: Project
  skipUnknownUsers: boolean
  merge: boolean
  /** Brings API keys back as they were, instead of revoked. */
  keepKeys: boolean
  onProgress(sentence: string): void
}

export interface RestoredRows {
  tables: RestoredTable[]
  unknownUsers: UnknownUsers
  /** How many users' rows were left out because they were erased since. */
  erasedUsers: number
  closed: ClosedGenerations
  /** API keys that were good in the backup and came back revoked. */
  revokedKeys: number
  /** `bucket/path` of files that no row here stands for. */
  withoutRows: Set<string>
}

/** How long other sessions may hold a table. */
const LOCK_TIMEOUT = '30s'
/** SQLSTATEs of a lock that was not to be had, and of two sessions that wait for one another. */
const LOCKED = new Set(['55P03', '40P01'])

/** @throws {BackupError} before anything is written: unknown users, a backup that does not fit, tables that are in use. */
export async function restoreRows(options: RestoreRowsOptions): Promise<RestoredRows> {
  try {
    return await restoreInTransaction(options)
  } catch (error) {
    if (LOCKED.has((error as { code?: string }).code ?? '')) throw new BackupError('The tables are in use. Stop the service, or try again when it has less to do.')
    throw error
  }
}

/** What fails in between ends with the session, and nothing of it stays. */
async function restoreInTransaction(options: RestoreRowsOptions): Promise<RestoredRows> {
  const { client, tables, manifest } = options
  await client.query('begin')
  await client.query(`set local row_security = off; set local lock_timeout = '${LOCK_TIMEOUT}'`)
  await stageRows(client, tables, options.directory, manifest)
  await moveLinks(client, tables, manifest.supabaseUrl, options.project)
  const closed = await closeOpenWork(client, manifest)
  const erasedUsers = await leaveOutErased(client, tables, manifest)
  if (!options.merge) await refuseOtherWork(client, tables)
  await replaceNamesakes(client, tables)
  const isOfAuth = ({ name }: Table) => name.startsWith('auth.')
  const restored = await restoreTables({ ...options, tables: tables.filter(isOfAuth) })
  const unknownUsers = await findUnknownUsers(client, tables)
  if (unknownUsers.count > 0 && !options.skipUnknownUsers) throw unknownUsersError(unknownUsers)
  if (unknownUsers.count > 0) await leaveOutUnknown(client, tables)
  await switchTriggers(client, tables, 'off')
  restored.push(...(await restoreTables({ ...options, tables: tables.filter((table) => !isOfAuth(table)) })))
  const revokedKeys = options.keepKeys ? 0 : await revokeKeys(client, tables)
  await keepFilesOfRows(client, tables)
  await balance(client, tables)
  await switchTriggers(client, tables, 'on')
  const withoutRows = await findFilesWithoutRows(client, tables)
  await client.query('commit')
  return { tables: restored, unknownUsers, erasedUsers, closed, revokedKeys, withoutRows }
}

async function restoreTables({ client, tables, onProgress }: RestoreRowsOptions): Promise<RestoredTable[]> {
  const restored: RestoredTable[] = []
  for (const table of tables) {
    const one = await restoreTable(client, table)
    onProgress(`${one.name}: ${one.inserted} rows come back, ${one.same} are there`)
    restored.push(one)
  }
  return restored
}

/**
 * Files are removed, jobs begun, money counted and news sent by triggers: none of that is to follow from a row that was
 * there before. Postgres's own triggers go on, which keep references whole. An end of this session switches them on again.
 */
async function switchTriggers(client: pg.Client, tables: readonly Table[], to: 'on' | 'off'): Promise<void> {
  for (const { name, triggers } of tables) {
    if (name.startsWith('auth.')) continue
    // Of those without one the others are kept out as well: nothing changes between the look and the insert.
    if (to === 'off') await client.query(`lock table ${quote(name)} in share row exclusive mode`)
    for (const trigger of triggers) {
      const how = to === 'off' ? 'disable' : trigger.mode === 'A' ? 'enable always' : 'enable'
      await client.query(`alter table ${quote(name)} ${how} trigger ${quoteColumn(trigger.name)}`)
    }
  }
}

/**
 * A key that is not here any more may have been revoked after the backup was made, and whoever stole it may still have it.
 * @returns how many of those that come back would have let somebody in.
 */
async function revokeKeys(client: pg.Client, tables: readonly Table[]): Promise<number> {
  const name = 'darkroom.api_keys'
  if (!tables.some((table) => table.name === name)) return 0
  const { rowCount } = await client.query(`update ${quote(name)} key set revoked_at = now() from ${staged(name)} child where child.id = key.id and child.${OUTCOME} = 'inserted' and key.revoked_at is null`)
  return rowCount ?? 0
}

const rowsHere = (table: Table) => `(select * from ${staged(table.name)} where ${OUTCOME} in ('inserted', 'same')) as here`

/** What was deleted before may still wait for its files to be removed: they have rows again. */
async function keepFilesOfRows(client: pg.Client, tables: readonly Table[]): Promise<void> {
  const files = filesQuery(tables, rowsHere)
  await client.query(`delete from darkroom.file_deletions deletion using (${files}) file where deletion.bucket = file.bucket and deletion.path = file.path`)
  await client.query(
    `delete from darkroom.file_deletions deletion using (${files}) file
     where deletion.bucket = file.bucket and right(deletion.path, 1) in ('/', '.') and starts_with(file.path, deletion.path)`,
  )
}

async function findFilesWithoutRows(client: pg.Client, tables: readonly Table[]): Promise<Set<string>> {
  const inBackup = filesQuery(tables, ({ name }) => `(select * from ${staged(name)} where ${OUTCOME} not in ('inserted', 'same')) as away`)
  const here = filesQuery(tables, ({ name }) => quote(name))
  const { rows } = await client.query<{ place: string }>(`select bucket || '/' || path as place from (select bucket, path, size, sha256 from (${inBackup}) as a except select bucket, path, size, sha256 from (${here}) as b) as files`)
  return new Set(rows.map(({ place }) => place))
}
