/** Everything at once on one machine: the local Supabase (or a project that is named), the service, a demo user. */
import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { createClient } from '@supabase/supabase-js'
import { loadConfig } from '../config.ts'
import type { Logger } from '../log.ts'
import { providerSettings } from '../providers/registry.ts'
import { startService } from '../start.ts'
import { keepBackups } from './backups.ts'
import { findFreePort } from './ports.ts'
import { removePostgresData } from './postgres.ts'
import { createSandbox } from './sandbox.ts'
import { lockStack, STACK_DIRECTORY, type StackFacts } from './running-stack.ts'
import { startLocalSupabase, supabaseEnv, type LocalSupabase } from './supabase.ts'

const API_PORT = 3001
const DEMO_USER = { email: 'demo@darkroom.local', password: 'darkroom-demo' }

export interface Stack {
  facts: StackFacts
  /** Sentences about what is not as usual: ports that were taken, a remote project. */
  notes: string[]
  /** Where the local Storage keeps its files; undefined with a remote project. */
  storageDirectory: string | undefined
  stop(): Promise<void>
}

/**
 * @param options.keepsBackups of a local Supabase, in the directory's `backups`, as the configuration says.
 * @throws when another run holds the directory, or with the reason why a part does not start.
 */
export async function startStack(options: { env: NodeJS.ProcessEnv; logger: Logger; directory?: string; keepsBackups?: boolean }): Promise<Stack> {
  const directory = options.directory ?? STACK_DIRECTORY
  const unlock = await lockStack(directory)
  const notes: string[] = []
  const envFile = path.join(directory, 'dev.env')
  let supabase: LocalSupabase | undefined
  try {
    if (!options.env.SUPABASE_URL) supabase = await startLocalSupabase({ directory })
    for (const { name, wanted, used } of supabase?.movedPorts ?? []) notes.push(`Port ${wanted} is taken: ${name} listens on ${used}.`)
    // The sandbox's films take seconds: whoever builds a frontend wants to see them come along.
    const env: NodeJS.ProcessEnv = { CHECK_SECONDS: '1', ...options.env, ...(supabase && supabaseEnv(supabase)) }
    const wanted = Number(env.PORT ?? API_PORT)
    const port = await findFreePort(wanted)
    if (port !== wanted) notes.push(`Port ${wanted} is taken: the service listens on ${port}.`)
    const config = loadConfig({ ...env, PORT: String(port) }, { providers: providerSettings, local: true })
    const demo = supabase ? DEMO_USER : { email: env.DEMO_EMAIL ?? '', password: env.DEMO_PASSWORD ?? '' }
    if (supabase) await ensureDemoUser(supabase)
    else notes.push(`Using the Supabase project at ${config.supabase.url}; sign up there, or set DEMO_EMAIL and DEMO_PASSWORD to a user of it.`)
    const facts: StackFacts = {
      API_URL: `http://localhost:${port}`,
      SUPABASE_URL: config.supabase.url,
      SUPABASE_PUBLISHABLE_KEY: config.supabase.publishableKey,
      SUPABASE_SECRET_KEY: config.supabase.secretKey,
      DATABASE_URL: config.database.url,
      DEMO_EMAIL: demo.email,
      DEMO_PASSWORD: demo.password,
    }
    // Before the service answers: whoever waited for it finds the facts.
    await writeFile(envFile, Object.entries(facts).map(([key, value]) => `${key}=${value}\n`).join(''), { mode: 0o600 })
    const service = await startService(config, options.logger, { web: true, worker: true }, createSandbox())
    const project = supabase && { supabaseUrl: supabase.url, databaseUrl: supabase.databaseUrl, databaseCa: undefined, secretKey: supabase.secretKey, isLocal: true }
    const backups = project && options.keepsBackups && config.backups.everyMs > 0 ? keepBackups({ ...config.backups, project, directory: path.join(directory, 'backups'), logger: options.logger }) : undefined
    return {
      facts,
      notes,
      storageDirectory: supabase && path.join(directory, 'storage'),
      async stop() {
        await backups?.stop()
        await service.stop()
        await supabase?.stop()
        await rm(envFile, { force: true })
        await unlock()
      },
    }
  } catch (error) {
    await supabase?.stop()
    await rm(envFile, { force: true })
    await unlock()
    throw error
  }
}

/** Forgets everything that earlier runs left: rows, files, keys, users. @throws when a run holds the directory. */
export async function resetStack(directory = STACK_DIRECTORY): Promise<void> {
  const unlock = await lockStack(directory)
  await removePostgresData(path.join(directory, 'postgres'))
  for (const name of ['storage', 'keys.json', 'dev.env', 'dev.log', 'demo']) await rm(path.join(directory, name), { recursive: true, force: true })
  await unlock()
}

async function ensureDemoUser(supabase: LocalSupabase): Promise<void> {
  const client = createClient(supabase.url, supabase.publishableKey, { auth: { persistSession: false, autoRefreshToken: false } })
  const { error } = await client.auth.signInWithPassword(DEMO_USER)
  if (!error) return
  const { error: signUpError } = await client.auth.signUp(DEMO_USER)
  if (signUpError) throw new Error(`The demo user could not be made: ${signUpError.message}`)
}
