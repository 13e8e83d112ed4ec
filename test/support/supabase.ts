/** The local Supabase of this test run, and users in it. */
import { randomUUID } from 'node:crypto'
import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import pg from 'pg'
import type { LocalSupabase } from '../../src/local/supabase.ts'

export const supabase = JSON.parse(process.env.DARKROOM_TEST_SUPABASE ?? '{}') as LocalSupabase & { directory: string }

export interface TestUser {
  id: string
  token: string
  /** supabase-js as that user's browser has it: the publishable key and the user's token. */
  client: SupabaseClient
}

/** A user who signed up through supabase-js. */
export async function signUp(): Promise<TestUser> {
  const client = createClient(supabase.url, supabase.publishableKey, { auth: { persistSession: false, autoRefreshToken: false } })
  const { data, error } = await client.auth.signUp({ email: `${randomUUID()}@example.com`, password: 'correct horse' })
  if (error) throw error
  return { id: data.user!.id, token: data.session!.access_token, client }
}

/** SQL as the owner of everything, closed when the process ends. */
let pool: pg.Pool | undefined

export async function sql<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]> {
  // A connection that breaks while nobody uses it, as when a test crashes Postgres, is replaced at the next query.
  pool ??= new pg.Pool({ connectionString: supabase.databaseUrl, max: 2, allowExitOnIdle: true, idleTimeoutMillis: 500 }).on('error', () => undefined)
  return (await pool.query<Row>(text, values)).rows
}

/** The paths of every stored file of a user. */
export async function storedFiles(userId: string): Promise<string[]> {
  const rows = await sql<{ name: string }>(`select name from storage.objects where bucket_id = 'media' and name like $1 || '/%' order by name`, [userId])
  return rows.map(({ name }) => name)
}

/** As if the time had come for every deletion that is put off. */
export async function deletionsAreDue(): Promise<void> {
  await sql('update darkroom.file_deletions set not_before = now() where not_before > now()')
  await sql(`select pg_notify('darkroom_file_deletions', '')`)
}
