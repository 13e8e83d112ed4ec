/** The run of `npm run dev` that is under way, as others find it. Loads nothing of the service. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { commandOf, isAlive } from './postgres.ts'

export const STACK_DIRECTORY = path.resolve(import.meta.dirname, '../../.local')

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

/** Keeps every other run out of the directory until the returned function is called. @throws when one is in it. */
export async function lockStack(directory: string): Promise<() => Promise<void>> {
  const holder = await readPid(directory)
  if (holder !== undefined) throw new Error(`Darkroom already runs here, as process ${holder}. Stop it first (Ctrl-C in its terminal, or kill ${holder}).`)
  await mkdir(directory, { recursive: true })
  await writeFile(pidFile(directory), `${process.pid}\n${commandOf(process.pid)}`)
  return () => rm(pidFile(directory), { force: true })
}
