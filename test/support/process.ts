/** The service as its operators run it: `node src/main.ts`, in processes of their own that can be killed. */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { keepLog, noteSecrets } from './secrecy.ts'
import { eventually, NO_RATE_LIMITS } from './service.ts'
import { supabase } from './supabase.ts'

/** Several processes may start at once on a machine that is busy with tests. */
const START_TIMEOUT_MS = 60_000
const MAIN = path.resolve(import.meta.dirname, '../../src/main.ts')

export interface RunningProcess {
  child: ChildProcess
  /** Where it listens; the text `undefined` for a worker alone. */
  url: string
  log: Record<string, unknown>[]
  errors: () => string
  /** Ends it without a word. Resolves once it is gone. */
  kill(): Promise<void>
  /** Asks it to end, and waits for that. @returns its exit code. */
  terminate(): Promise<number | null>
}

export function spawnMain(env: Record<string, string>, ...args: string[]): ChildProcess {
  return spawn(process.execPath, [MAIN, ...args], { env: { PATH: process.env.PATH, ...env } as NodeJS.ProcessEnv, stdio: ['ignore', 'pipe', 'pipe'] })
}

/** What a stream has said so far. */
export function collect(stream: NodeJS.ReadableStream | null): () => string {
  let text = ''
  stream?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  return () => text
}

export const exited = async (child: ChildProcess): Promise<number | null> => (child.exitCode === null && child.signalCode === null ? ((await once(child, 'exit'))[0] as number | null) : child.exitCode)

/** @param role `web`, `worker`, or nothing for both. */
export async function startProcess(role: string[], env: Record<string, string>): Promise<RunningProcess> {
  const given = {
    PORT: '0',
    CORS_ORIGINS: 'https://app.example.com',
    SUPABASE_URL: supabase.url,
    SUPABASE_SECRET_KEY: supabase.secretKey,
    SUPABASE_PUBLISHABLE_KEY: supabase.publishableKey,
    SUPABASE_JWT_SECRET: supabase.jwtSecret,
    DATABASE_URL: supabase.databaseUrl,
    ...NO_RATE_LIMITS,
    ...env,
  }
  noteSecrets(supabase.directory, given)
  const child = spawnMain(given, ...role)
  const logName = `process-${randomUUID()}`
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk: Buffer | string) => keepLog(supabase.directory, logName, chunk as string))
  const errors = collect(child.stderr)
  const log: Record<string, unknown>[] = []
  createInterface({ input: child.stdout! }).on('line', (line) => log.push(JSON.parse(line) as Record<string, unknown>))
  const started = await eventually(async () => log.find(({ msg }) => msg === 'started') ?? (child.exitCode !== null && { url: '' }), 'the process starts', START_TIMEOUT_MS).catch((error: unknown) => {
    // Nobody else knows of it.
    child.kill('SIGKILL')
    throw error
  })
  return {
    child,
    url: String(started.url),
    log,
    errors,
    async kill() {
      child.kill('SIGKILL')
      await exited(child)
    },
    async terminate() {
      child.kill('SIGTERM')
      return await exited(child)
    },
  }
}
