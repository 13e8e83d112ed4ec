/** The rows of a backup in temporary tables, where they are made ready for the project that they go to. */
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import type pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import type { Project } from '../supabase/project.ts'
import { quote, quoteAll, quoteColumn, type Reference, type Table } from './catalog.ts'
import { BackupError, tableFile, type Manifest } from './manifest.ts'
import { LINK } from './tables.ts'

/** The temporary table, which has the name of the real one, and beside its columns what becomes of each row. */
export const staged = (table: string): string => `pg_temp.${quote(table.replace('.', ' '))}`

/** inserted; same: it was there already; differs: another one is there; skipped: what it belongs to is not there. */
export const OUTCOME = 'restore_outcome'

/**
 * Of the tables here, those columns that the backup has.
 * @throws {BackupError} when the backup has more than fits in.
 */
export function tablesOf(manifest: Manifest, tables: readonly Table[]): Table[] {
  for (const { name, columns } of manifest.tables) {
    const table = tables.find((one) => one.name === name)
    const unknown = table ? columns.filter((column) => !table.columns.includes(column)) : []
    if (!table || unknown.length > 0) throw new BackupError(`The backup was made by another version of Darkroom: there is no ${table ? `${name}.${unknown.join(', ')}` : name} here. Bring this one up to date first.`)
  }
  return tables.flatMap((table) => {
    const kept = manifest.tables.find(({ name }) => name === table.name)
    return kept ? [{ ...table, columns: kept.columns }] : []
  })
}

/** To be called in a transaction, with whose end they are gone. */
export async function stageRows(client: pg.Client, tables: readonly Table[], directory: string, manifest: Manifest): Promise<void> {
  for (const table of tables) {
    const [target, columns] = [staged(table.name), quoteAll(table.columns)]
    // A temporary table is named without its schema when it is made.
    await client.query(`create temporary table ${target.slice('pg_temp.'.length)} on commit drop as select ${columns}, null::text as ${OUTCOME} from ${quote(table.name)} with no data`)
    const copying = client.query(copyFrom(`copy ${target} (${columns}) from stdin`))
    await pipeline(createReadStream(tableFile(directory, manifest, table.name)), copying)
    const { rows } = manifest.tables.find(({ name }) => name === table.name)!
    if (copying.rowCount !== rows) throw new BackupError(`The backup has ${copying.rowCount} rows of ${table.name}, and its manifest says ${rows}.`)
    await client.query(`create unique index on ${target} (${quoteAll(table.key)}); analyze ${target}`)
  }
}

/** Links into the project that the backup is of lead to the one that it goes to. */
export async function moveLinks(client: pg.Client, tables: readonly Table[], from: string, { supabaseUrl, isLocal }: Project): Promise<void> {
  // A local project has another port whenever its own was taken, and rows that tell each of them.
  const old = isLocal && /^http:\/\/127\.0\.0\.1:\d+$/.test(from) ? 'http://127\\.0\\.0\\.1:\\d+' : escapePattern(from)
  for (const { name, columns, files } of tables) {
    for (const column of files ? columns.filter((one) => LINK.test(one)).map(quoteColumn) : []) {
      await client.query(`update ${staged(name)} set ${column} = $2::text || regexp_replace(${column}, $1, '') where ${column} ~ $1 and not starts_with(${column}, $2::text || '/')`, [`^${old}(?=/storage/v1/object/)`, supabaseUrl])
    }
  }
}

const escapePattern = (text: string): string => text.replaceAll(/[^\w/:-]/g, '\\$&')

const CLOSED = {
  code: 'submission_unknown',
  message: 'This was not done yet when the backup was made that it comes from. It may have been made and paid since, so it is not asked for again.',
}

/** Of what the provider has finished, kept with its link or its bytes, and not stored yet. */
const WAITS_FOR_STORAGE = `exists (select from ${staged('darkroom.submissions')} submission where submission.generation_id = generation.id and submission.state = 'accepted')`
/** As `darkroom.settled_cost` has it, over the rows on their way. */
const SETTLED_COST = `
  coalesce((select sum(coalesce(submission.cost_micros, generation.estimated_cost_micros / (select count(*) from ${staged('darkroom.submissions')} part where part.generation_id = generation.id)))::bigint
    from ${staged('darkroom.submissions')} submission where submission.generation_id = generation.id and (submission.state = 'lost' or (submission.state = 'unknown' and submission.error ->> 'charged' = 'yes'))), 0)`

export interface ClosedGenerations {
  failed: number
  /** What was paid for and waits to be stored: workers go on with it, and no provider is asked for anything. */
  toBeStored: number
}

/**
 * Nothing that a provider may be paid for is begun or gone on with out of a backup: the project that it was made of has
 * gone on meanwhile. Such calls count as calls whose outcome is unknown, which are never made again.
 */
export async function closeOpenWork(client: pg.Client, manifest: Manifest): Promise<ClosedGenerations> {
  await client.query(`update ${staged('darkroom.submissions')} set state = 'unknown', error = $1 where state in ('queued', 'starting', 'uncertain', 'started')`, [JSON.stringify(CLOSED)])
  await client.query(`update ${staged('darkroom.requests')} set waiting = false where waiting`)
  const failed = await client.query(
    `update ${staged('public.generations')} generation
     set status = 'failed', error = $1, cost_micros = ${SETTLED_COST}, finished_at = $2, started_at = coalesce(started_at, $2)
     where status in ('queued', 'running', 'storing') and not ${WAITS_FOR_STORAGE}`,
    [JSON.stringify(CLOSED), manifest.createdAt],
  )
  const toBeStored = await client.query(`update ${staged('public.generations')} generation set status = 'storing' where status in ('queued', 'running', 'storing')`)
  return { failed: failed.rowCount ?? 0, toBeStored: toBeStored.rowCount ?? 0 }
}

/** SQL: whether a row, named child, refers to one that is not there. */
export function hasNoParent({ columns, parent, parentColumns }: Reference): string {
  const isSet = columns.map((column) => `child.${quoteColumn(column)} is not null`)
  const isParent = columns.map((column, at) => `parent.${quoteColumn(parentColumns[at]!)} = child.${quoteColumn(column)}`)
  return `${isSet.join(' and ')} and not exists (select from ${quote(parent)} parent where ${isParent.join(' and ')})`
}
