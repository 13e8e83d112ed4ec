/** Once for all test files: the local Supabase in a directory of its own. Files find it through the environment. */
import { mkdtemp, rm } from 'node:fs/promises'
import path from 'node:path'
import { removePostgresData } from '../src/local/postgres.ts'
import { startLocalSupabase, type LocalSupabase } from '../src/local/supabase.ts'
import { findLeaks, prepareSecrecy } from './support/secrecy.ts'

let directory: string
let supabase: LocalSupabase

export async function globalSetup(): Promise<void> {
  directory = await mkdtemp('/var/tmp/darkroom-test-')
  await prepareSecrecy(directory)
  // Several runs may start at once. Below the ports that systems give to outgoing connections.
  const port = 20_000 + Math.floor(Math.random() * 10_000)
  supabase = await startLocalSupabase({ directory, port, databasePort: port + 1, databaseSettings: { fsync: 'off', max_connections: '200' } })
  process.env.DARKROOM_TEST_SUPABASE = JSON.stringify({ ...supabase, directory })
}

export async function globalTeardown(): Promise<void> {
  const leaks = await findLeaks(directory, supabase.databaseUrl)
  await supabase.stop()
  await removePostgresData(path.join(directory, 'postgres'))
  // What was found is left there to be looked at.
  if (leaks.length > 0) {
    console.error(`✖ What must not stand in clear does so, see ${directory}:\n  ${leaks.join('\n  ')}`)
    // An error thrown here would keep Node's runner from ever ending.
    process.exit(1)
  }
  await rm(directory, { recursive: true, force: true })
}
