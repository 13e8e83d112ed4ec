/** Everything that the `images` row needs to run: the stubs on their core, and both services on theirs. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import path from 'node:path'
import { createClient } from '@supabase/supabase-js'
import pg from 'pg'
import { removePostgresData } from '../../src/local/postgres.ts'
import { startChild, type Child } from './child.ts'
import { SERVICE_CORE, STUB_CORE } from './cores.ts'
import type { Bench } from './row.ts'

interface SupabaseFacts {
  url: string
  databaseUrl: string
  publishableKey: string
  secretKey: string
  jwtSecret: string
}

export type Service = Child<{ url: string }>

export interface ImageServices {
  ours: Service
  peer: Service
  user: { id: string; token: string }
  /** @returns how many of these generations have succeeded with their row and both of their files. */
  countComplete(generationIds: string[]): Promise<number>
  /** So that a long run neither fills the disk nor waits for it. */
  removeFiles(): Promise<void>
}

export async function startImageServices(bench: Bench, simulated: { latencyMs: number; minBytes: number }): Promise<ImageServices> {
  const directory = await mkdtemp('/var/tmp/darkroom-bench-')
  bench.defer(async () => {
    await removePostgresData(path.join(directory, 'postgres'))
    await rm(directory, { recursive: true, force: true })
  })
  const start = <Ready>(script: string, core: number, env: Record<string, string>) => startChild<Ready>(bench, { script, core, env })
  bench.progress('starting the local Supabase and the simulated provider')
  const supabase = (await start<SupabaseFacts>('serve-supabase.ts', STUB_CORE, { BENCH_DIRECTORY: directory })).ready
  const simulator = { SIMULATOR_PORT: '0', SIMULATOR_LATENCY_MS: String(simulated.latencyMs), SIMULATOR_MIN_BYTES: String(simulated.minBytes) }
  const provider = (await start<{ baseURL: string; apiKey: string }>('../simulator/main.ts', STUB_CORE, simulator)).ready
  const user = await signUp(supabase)

  bench.progress('starting both services')
  const env = toServiceEnv(supabase, provider)
  const ours = await start<{ url: string }>('serve-ours.ts', SERVICE_CORE, env)
  const peer = await start<{ url: string }>('serve-straightforward.ts', SERVICE_CORE, env)
  const database = new pg.Client({ connectionString: supabase.databaseUrl })
  // Lost when the row is ended early: its next query tells.
  database.on('error', () => undefined)
  await database.connect()
  bench.defer(() => database.end())
  return {
    ours,
    peer,
    user,
    async countComplete(generationIds) {
      const { rows } = await database.query<{ count: number }>(COUNT_COMPLETE, [generationIds])
      return rows[0]!.count
    },
    removeFiles: () => rm(path.join(directory, 'storage'), { recursive: true, force: true }),
  }
}

const COUNT_COMPLETE = `
  select count(*)::integer as count
  from public.images image
  join public.generations generation on generation.id = image.generation_id
  join public.prompts prompt on prompt.id = image.prompt_id
  where generation.id = any($1) and generation.status = 'succeeded' and generation.finished_at is not null
    and exists (select from storage.objects where bucket_id = image.bucket and name = image.storage_path)
    and exists (select from storage.objects where bucket_id = image.bucket and name = image.thumbnail_path)`

/** Both read the same variables. What is not named here has our defaults. */
function toServiceEnv(supabase: SupabaseFacts, provider: { baseURL: string; apiKey: string }): Record<string, string> {
  return {
    PORT: '0',
    NODE_ENV: 'production',
    LOG_LEVEL: 'warn',
    CORS_ORIGINS: 'https://app.example.com',
    SUPABASE_URL: supabase.url,
    SUPABASE_SECRET_KEY: supabase.secretKey,
    SUPABASE_PUBLISHABLE_KEY: supabase.publishableKey,
    SUPABASE_JWT_SECRET: supabase.jwtSecret,
    DATABASE_URL: supabase.databaseUrl,
    ARK_API_KEY: provider.apiKey,
    ARK_BASE_URL: provider.baseURL,
  }
}

async function signUp(supabase: SupabaseFacts): Promise<{ id: string; token: string }> {
  const client = createClient(supabase.url, supabase.publishableKey, { auth: { persistSession: false, autoRefreshToken: false } })
  const { data, error } = await client.auth.signUp({ email: `${randomUUID()}@example.com`, password: 'correct horse' })
  if (error) throw error
  return { id: data.user!.id, token: data.session!.access_token }
}
