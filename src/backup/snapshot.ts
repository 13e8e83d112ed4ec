/** All rows as they were at one moment, and the list of their files. */
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import type pg from 'pg'
import { to as copyTo } from 'pg-copy-streams'
import { filesQuery, quote, quoteAll, USERS_TABLE, valuesOf, type Table } from './catalog.ts'
import { tableFile, usersFile, type FileEntry, type Manifest } from './manifest.ts'
import { toJsonLines, writeFileFrom, type Measured } from './measured-files.ts'
import type { OnProgress } from './progress.ts'

export type Snapshot = Pick<Manifest, 'createdAt' | 'migrations' | 'tables' | 'users' | 'buckets'>

export interface SnapshotOptions {
  client: pg.Client
  tables: readonly Table[]
  /** Of the backup. */
  directory: string
  /** The name of a new folder in it. */
  folder: string
  signal: AbortSignal | undefined
  onProgress: OnProgress | undefined
}

const LIST_PAGE = 1000

/** The files that the rows name, before anybody has looked at them. */
export const namedFiles = (directory: string, folder: string): string => path.join(directory, folder, 'named-files.jsonl')

/** Nothing is changed in the database, and no lock is held that anybody waits for. */
export async function takeSnapshot({ client, tables, directory, folder, signal, onProgress }: SnapshotOptions): Promise<Snapshot> {
  await mkdir(path.join(directory, folder), { mode: 0o700 })
  // What fails in between ends with the session: a copy that is broken off cannot be followed by another statement.
  await client.query('begin isolation level repeatable read read only')
  // A row that a policy would hide is an error, never a gap.
  await client.query('set local row_security = off')
  const { rows: moments } = await client.query<{ at: Date }>('select now() as at')
  const written = []
  for (const table of tables) {
    const sql = `select ${valuesOf(table)} from ${quote(table.name)} order by ${quoteAll(table.key)}`
    const { count, ...file } = await copyOut(client, sql, tableFile(directory, { folder }, table.name), signal)
    onProgress?.(`${table.name}: ${count} rows`)
    written.push({ name: table.name, columns: table.columns, rows: count, ...file })
  }
  const users = await copyOut(client, usersQuery(tables), usersFile(directory, { folder }), signal)
  await writeFileFrom(Readable.from(toJsonLines(readNamedFiles(client, tables)), { objectMode: false }), namedFiles(directory, folder), signal)
  const { rows: migrations } = await client.query<{ version: string }>('select version from supabase_migrations.schema_migrations order by version')
  const { rows: buckets } = await client.query<{ id: string; public: boolean }>('select id, public from storage.buckets where id in (select bucket from public.generations) order by id')
  await client.query('commit')
  return { createdAt: moments[0]!.at.toISOString(), migrations: migrations.map(({ version }) => version), tables: written, users, buckets }
}

async function copyOut(client: pg.Client, query: string, file: string, signal: AbortSignal | undefined): Promise<Measured & { count: number }> {
  const stream = client.query(copyTo(`copy (${query}) to stdout`))
  const measured = await writeFileFrom(stream, file, signal)
  return { count: stream.rowCount, ...measured }
}

/** The ids of all users to whom rows belong. */
function usersQuery(tables: readonly Table[]): string {
  const parts = tables.flatMap(({ name, references }) => references.filter(({ parent }) => parent === USERS_TABLE).map(({ columns }) => `select ${quoteAll(columns)} as id from ${quote(name)}`))
  return `select id from (${parts.join(' union ')}) as users order by id`
}

/** In the order of their paths, each once. */
async function* readNamedFiles(client: pg.Client, tables: readonly Table[]): AsyncGenerator<FileEntry> {
  const place = `bucket || '/' || path collate "C"`
  await client.query(`declare named_files no scroll cursor for select distinct on (${place}) bucket, path, size, sha256, media_type as "contentType" from (${filesQuery(tables, ({ name }) => quote(name))}) as files order by ${place}, sha256`)
  for (;;) {
    const { rows } = await client.query<FileEntry>(`fetch ${LIST_PAGE} from named_files`)
    if (rows.length === 0) return
    yield* rows
  }
}
