/** Once for all test files: the local Supabase in a directory of its own. Files find it through the environment. */
import { mkdtemp, rm } from 'node:fs/promises'
import path from 'node:path'
import { removePostgresData } from '../src/local/postgres.ts'
import { startLocalSupabase, type LocalSupabase } from '../src/local/supabase.ts'

let directory: string
let supabase: LocalSupabase

export async function globalSetup(): Promise<void> {
  directory = await mkdtemp('/var/tmp/darkroom-test-')
  supabase = await startLocalSupabase({ directory, port: 54421, databaseSettings: { fsync: 'off', max_connections: '200' } })
  process.env.DARKROOM_TEST_SUPABASE = JSON.stringify({ ...supabase, directory })
}

export async function globalTeardown(): Promise<void> {
  await supabase.stop()
  await removePostgresData(path.join(directory, 'postgres'))
  await rm(directory, { recursive: true, force: true })
}
