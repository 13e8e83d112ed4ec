/** Starts and stops the local Supabase from the process that needs it. */
import { fork } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { findFreePort } from './ports.ts'

export interface SupabaseProcessOptions {
  directory: string
  port: number
  databasePort: number
  /** Settings of Postgres, such as `max_connections`. */
  databaseSettings?: Record<string, string>
  publishableKey: string
  secretKey: string
  jwtSecret: string
}

export type SupabaseMessage = { type: 'ready'; databaseUrl: string; migrations: string[] } | { type: 'failed'; message: string }

export interface LocalSupabase {
  url: string
  databaseUrl: string
  publishableKey: string
  secretKey: string
  jwtSecret: string
  /** Migrations that were applied at this start. */
  migrations: string[]
  /** Ports that were taken, with those used instead. */
  movedPorts: { name: string; wanted: number; used: number }[]
  stop(): Promise<void>
}

const API_PORT = 54321
const DATABASE_PORT = 54322
const START_TRIES = 5

export interface StartOptions {
  directory: string
  port?: number
  databasePort?: number
  /** Settings of Postgres, such as `max_connections`. */
  databaseSettings?: Record<string, string>
}

/**
 * @param directory where everything lives: Postgres, files, keys. Made on first use.
 * @throws with the reason when Postgres, a migration or the API does not come up.
 */
export async function startLocalSupabase(options: StartOptions): Promise<LocalSupabase> {
  await mkdir(options.directory, { recursive: true })
  const keys = await readKeys(path.join(options.directory, 'keys.json'))
  for (let tries = 1; ; tries++) {
    try {
      return await startOnce(options, keys)
    } catch (error) {
      // Somebody else may take a port between the look and the start.
      if (tries === START_TRIES || !/already in use|EADDRINUSE/.test(String(error))) throw error
    }
  }
}

async function startOnce(options: StartOptions, keys: Keys): Promise<LocalSupabase> {
  const port = await findFreePort(options.port ?? API_PORT)
  // Two stacks that start at once must not be given the same port: the search begins where the other one's ended.
  const databasePort = await findFreePort(Math.max(options.databasePort ?? DATABASE_PORT, port + 1))
  const settings: SupabaseProcessOptions = { directory: options.directory, port, databasePort, ...keys, ...(options.databaseSettings && { databaseSettings: options.databaseSettings }) }
  const child = fork(path.join(import.meta.dirname, 'supabase-process.ts'), [JSON.stringify(settings)], {
    // The parent's own flags are not for it: under the test runner it would become one too.
    execArgv: [],
    // Warnings and notices of its libraries are no news to whoever uses it.
    stdio: ['ignore', 'ignore', process.env.DARKROOM_DEBUG ? 'inherit' : 'ignore', 'ipc'],
    env: { ...process.env, EXPERIMENTAL_STORAGE: '1', DO_NOT_TRACK: '1', NODE_ENV: 'development', NODE_NO_WARNINGS: '1' },
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const ready = await new Promise<Extract<SupabaseMessage, { type: 'ready' }>>((resolve, reject) => {
    child.on('message', (message: SupabaseMessage) => (message.type === 'ready' ? resolve(message) : reject(new Error(message.message))))
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`The local Supabase ended with code ${code} before it was ready. DARKROOM_DEBUG=1 shows its output.`)))
  })
  return {
    url: `http://127.0.0.1:${port}`,
    databaseUrl: ready.databaseUrl,
    ...keys,
    migrations: ready.migrations,
    movedPorts: [
      { name: 'Supabase', wanted: options.port ?? API_PORT, used: port },
      { name: 'Postgres', wanted: options.databasePort ?? DATABASE_PORT, used: databasePort },
    ].filter(({ wanted, used }) => wanted !== used),
    async stop() {
      if (child.connected) child.send('stop')
      await exited
    },
  }
}

type Keys = Pick<LocalSupabase, 'publishableKey' | 'secretKey' | 'jwtSecret'>

/** Made once and kept, so that a frontend's configuration survives a restart. */
async function readKeys(file: string): Promise<Keys> {
  const kept = await readFile(file, 'utf8').catch(() => undefined)
  if (kept !== undefined) return JSON.parse(kept) as Keys
  const keys = { publishableKey: supabaseKey('publishable'), secretKey: supabaseKey('secret'), jwtSecret: randomBytes(32).toString('hex') }
  await writeFile(file, `${JSON.stringify(keys, null, 2)}\n`, { mode: 0o600 })
  return keys
}

/** In the form of Supabase's keys: a random part and a checksum. */
function supabaseKey(kind: 'publishable' | 'secret'): string {
  const random = randomBytes(16).toString('base64url').replace(/[-_]/g, 'x')
  return `sb_${kind}_${random}_${createHash('sha256').update(random).digest('hex').slice(0, 8)}`
}

/** Its variables, as a service has them. */
export function supabaseEnv(supabase: LocalSupabase): NodeJS.ProcessEnv {
  return {
    SUPABASE_URL: supabase.url,
    SUPABASE_SECRET_KEY: supabase.secretKey,
    SUPABASE_PUBLISHABLE_KEY: supabase.publishableKey,
    SUPABASE_JWT_SECRET: supabase.jwtSecret,
    DATABASE_URL: supabase.databaseUrl,
  }
}
