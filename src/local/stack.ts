/** Everything at once on one machine: the local Supabase (or a project that is named), the service, a demo user. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { createClient } from '@supabase/supabase-js'
import { loadConfig } from '../config.ts'
import type { Logger } from '../log.ts'
import { providerSettings } from '../providers/registry.ts'
import { startService } from '../start.ts'
import { findFreePort } from './ports.ts'
import { commandOf, isAlive, removePostgresData } from './postgres.ts'
import { createSandbox } from './sandbox.ts'
import { startLocalSupabase, type LocalSupabase } from './supabase.ts'

export const STACK_DIRECTORY = path.resolve(import.meta.dirname, '../../.local')

const API_PORT = 3001
const DEMO_USER = { email: 'demo@darkroom.local', password: 'darkroom-demo' }

/** What a frontend or a script needs to know. Also written to `.local/dev.env`. */
export interface StackFacts {
  API_URL: string
  SUPABASE_URL: string
  SUPABASE_PUBLISHABLE_KEY: string
  SUPABASE_SECRET_KEY: string
  DATABASE_URL: string
  DEMO_EMAIL: string
  DEMO_PASSWORD: string
}

export interface Stack {
  facts: StackFacts
  /** Sentences about what is not as usual: ports that were taken, a remote project. */
  notes: string[]
  /** Where the local Storage keeps its files; undefined with a remote project. */
  storageDirectory: string | undefined
  stop(): Promise<void>
}

/** @throws when another run holds the directory, or with the reason why a part does not start. */
export async function startStack(options: { env: NodeJS.ProcessEnv; logger: Logger; directory?: string }): Promise<Stack> {
  const directory = options.directory ?? STACK_DIRECTORY
  const unlock = await lock(directory)
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
    return {
      facts,
      notes,
      storageDirectory: supabase && path.join(directory, 'storage'),
      async stop() {
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

function supabaseEnv(supabase: LocalSupabase): NodeJS.ProcessEnv {
  return {
    SUPABASE_URL: supabase.url,
    SUPABASE_SECRET_KEY: supabase.secretKey,
    SUPABASE_PUBLISHABLE_KEY: supabase.publishableKey,
    SUPABASE_JWT_SECRET: supabase.jwtSecret,
    DATABASE_URL: supabase.databaseUrl,
  }
}

/** Forgets everything that earlier runs left: rows, files, keys, users. @throws when a run holds the directory. */
export async function resetStack(directory = STACK_DIRECTORY): Promise<void> {
  const unlock = await lock(directory)
  await removePostgresData(path.join(directory, 'postgres'))
  for (const name of ['storage', 'keys.json', 'dev.env', 'dev.log', 'demo']) await rm(path.join(directory, name), { recursive: true, force: true })
  await unlock()
}

/** The facts of a run that is under way, or undefined. */
export async function findRunningStack(directory = STACK_DIRECTORY): Promise<StackFacts | undefined> {
  const pid = await readPid(directory)
  if (pid === undefined) return undefined
  const text = await readFile(path.join(directory, 'dev.env'), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const facts = Object.fromEntries(text.trim().split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)])) as unknown as StackFacts
  const answers = await fetch(`${facts.API_URL}/health/live`, { signal: AbortSignal.timeout(2000) }).then((response) => response.ok, () => false)
  return answers ? facts : undefined
}

const pidFile = (directory: string): string => path.join(directory, 'dev.pid')

/** The process that holds the directory, if it is alive. A killed one leaves its number behind, which means nothing. */
async function readPid(directory: string): Promise<number | undefined> {
  const [pid, command] = (await readFile(pidFile(directory), 'utf8').catch(() => '')).split('\n')
  if (!pid || !isAlive(Number(pid)) || Number(pid) === process.pid) return undefined
  // The number may belong to another program by now.
  return commandOf(Number(pid)) === command ? Number(pid) : undefined
}

async function lock(directory: string): Promise<() => Promise<void>> {
  const holder = await readPid(directory)
  if (holder !== undefined) throw new Error(`Darkroom already runs here, as process ${holder}. Stop it first (Ctrl-C in its terminal, or kill ${holder}).`)
  await mkdir(directory, { recursive: true })
  await writeFile(pidFile(directory), `${process.pid}\n${commandOf(process.pid)}`)
  return () => rm(pidFile(directory), { force: true })
}

async function ensureDemoUser(supabase: LocalSupabase): Promise<void> {
  const client = createClient(supabase.url, supabase.publishableKey, { auth: { persistSession: false, autoRefreshToken: false } })
  const { error } = await client.auth.signInWithPassword(DEMO_USER)
  if (!error) return
  const { error: signUpError } = await client.auth.signUp(DEMO_USER)
  if (signUpError) throw new Error(`The demo user could not be made: ${signUpError.message}`)
}
