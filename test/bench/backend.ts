/** What stands behind a service in the bench: a local Supabase and a simulated provider, on the stubs' core. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import path from 'node:path'
import { createClient } from '@supabase/supabase-js'
import { removePostgresData } from '../../src/local/postgres.ts'
import { createLogger } from '../../src/log.ts'
import { createDatabase, type Database } from '../../src/supabase/database.ts'
import { startChild, type Child } from './child.ts'
import { SERVICE_CORE, STUB_CORE } from './cores.ts'
import type { Bench } from './row.ts'
import packageJson from '../../package.json' with { type: 'json' }

export interface BenchUser {
  id: string
  token: string
}

export interface Backend {
  /** For a service. What is not named here has our defaults. */
  env: Record<string, string>
  /** The bench's own connections, as the owner of everything. */
  database: Database
  signUp(): Promise<BenchUser>
  /** Empties the storage's directory. */
  removeFiles(): Promise<void>
}

interface SupabaseFacts {
  url: string
  databaseUrl: string
  publishableKey: string
  secretKey: string
  jwtSecret: string
}

const POOL_SIZE = 10

/** A database of its own for each row: what one leaves behind slows no other. */
export async function startBackend(bench: Bench): Promise<Backend> {
  const directory = await mkdtemp('/var/tmp/darkroom-bench-')
  bench.defer(async () => {
    await removePostgresData(path.join(directory, 'postgres'))
    await rm(directory, { recursive: true, force: true })
  })
  const supabase = (await startChild<SupabaseFacts>(bench, { script: 'serve-supabase.ts', core: STUB_CORE, env: { BENCH_DIRECTORY: directory } })).ready
  const database = createDatabase({ url: supabase.databaseUrl, poolSize: POOL_SIZE, logger: createLogger({ level: 'silent' }) })
  bench.defer(() => database.close())
  return {
    env: {
      PORT: '0',
      NODE_ENV: 'production',
      LOG_LEVEL: 'warn',
      // One user asks for all of it: limits are counted, and never reached.
      RATE_LIMIT_IP: '1000000000',
      RATE_LIMIT_USER: '1000000000',
      RATE_LIMIT_IMAGES: '1000000000',
      RATE_LIMIT_VIDEOS: '1000000000',
      RATE_LIMIT_MODEL: '1000000000',
      MAX_OPEN_GENERATIONS: '1000000',
      STORAGE_QUOTA_BYTES: String(Number.MAX_SAFE_INTEGER),
      CORS_ORIGINS: 'https://app.example.com',
      SUPABASE_URL: supabase.url,
      SUPABASE_SECRET_KEY: supabase.secretKey,
      SUPABASE_PUBLISHABLE_KEY: supabase.publishableKey,
      SUPABASE_JWT_SECRET: supabase.jwtSecret,
      DATABASE_URL: supabase.databaseUrl,
    },
    database,
    signUp: () => signUp(supabase),
    removeFiles: () => rm(path.join(directory, 'storage'), { recursive: true, force: true }),
  }
}

async function signUp(supabase: SupabaseFacts): Promise<BenchUser> {
  const client = createClient(supabase.url, supabase.publishableKey, { auth: { persistSession: false, autoRefreshToken: false } })
  const { data, error } = await client.auth.signUp({ email: `${randomUUID()}@example.com`, password: 'correct horse' })
  if (error) throw error
  return { id: data.user!.id, token: data.session!.access_token }
}

/** The flags of Node that our service is given, wherever it runs. */
export const flagsOf = (role: 'start' | 'web' | 'worker'): string[] => packageJson.scripts[role].split(' ').filter((word) => word.startsWith('--'))

/** Our service, on the core that is measured. @param role both in one process where absent. */
export async function startOurs(bench: Bench, env: Record<string, string>, role?: 'web' | 'worker'): Promise<Child<{ url: string }>> {
  return await startChild(bench, { script: 'serve-ours.ts', core: SERVICE_CORE, flags: flagsOf(role ?? 'start'), env: { ...env, ...(role && { BENCH_ROLE: role }) } })
}

export interface Simulator {
  baseURL: string
  apiKey: string
  /** Makes a service use it. */
  env: Record<string, string>
  process: Child<unknown>
}

/** @param settings its own variables, see test/simulator/main.ts. */
export async function startSimulator(bench: Bench, settings: Record<string, number>): Promise<Simulator> {
  const env = Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)]))
  const child = await startChild<{ baseURL: string; apiKey: string }>(bench, { script: '../simulator/main.ts', core: STUB_CORE, env: { SIMULATOR_PORT: '0', ...env } })
  const { baseURL, apiKey } = child.ready
  return { baseURL, apiKey, env: { ARK_BASE_URL: baseURL, ARK_API_KEY: apiKey }, process: child }
}
