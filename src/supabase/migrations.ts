/**
 * Applies supabase/migrations as the Supabase CLI does: each file as one transaction, recorded in the CLI's own table,
 * so that `npx supabase db push` and this agree about what is applied.
 */
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import type { Query } from './database.ts'

/** Any number will do, as long as every process that migrates takes the same. */
const LOCK = 20_261_122

/**
 * @returns the names of the files applied now, oldest first.
 * @throws with the file's name in the message when one fails; the files before it stay applied.
 */
export async function applyMigrations(options: { url: string; ca?: string | undefined; directory?: string }): Promise<string[]> {
  const directory = options.directory ?? path.resolve(import.meta.dirname, '../../supabase/migrations')
  const client = new pg.Client({ connectionString: options.url, connectionTimeoutMillis: 10_000, ...(options.ca !== undefined && { ssl: { ca: options.ca } }) })
  client.on('error', () => undefined)
  await client.connect()
  try {
    await client.query('select pg_advisory_lock($1)', [LOCK])
    await client.query(`
      create schema if not exists supabase_migrations;
      create table if not exists supabase_migrations.schema_migrations (version text primary key, statements text[], name text);
    `)
    const known = await client.query<{ version: string }>('select version from supabase_migrations.schema_migrations')
    const applied = new Set(known.rows.map((row) => row.version))
    const files = (await readdir(directory)).filter((file) => /^\d+_.*\.sql$/.test(file)).toSorted()
    const pending = files.filter((file) => !applied.has(file.split('_', 1)[0]!))
    for (const file of pending) await applyFile(client, directory, file)
    return pending
  } finally {
    await client.end()
  }
}

async function applyFile(client: pg.Client, directory: string, file: string): Promise<void> {
  const sql = await readFile(path.join(directory, file), 'utf8')
  const [version, name] = [file.slice(0, file.indexOf('_')), file.slice(file.indexOf('_') + 1, -'.sql'.length)]
  const record = `insert into supabase_migrations.schema_migrations (version, name, statements) values (${[version, name].map(pg.escapeLiteral).join(', ')}, array[${pg.escapeLiteral(sql)}]);`
  try {
    // Several statements in one simple query are one implicit transaction: the record comes only with success.
    await client.query(`${sql}\n;${record}`)
  } catch (error) {
    throw new Error(`Migration ${file} failed: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

/** @throws when the schema that this version needs is not there. */
export async function checkSchema(query: Query): Promise<void> {
  const [found] = await query<{ ready: boolean }>(`select to_regprocedure('darkroom.reuse(uuid,varchar,interval)') is not null as ready`)
  if (!found?.ready) throw new Error("The database does not have Darkroom's tables. Run `npm run migrate` with DATABASE_URL set, or `npx supabase db push`.")
}
