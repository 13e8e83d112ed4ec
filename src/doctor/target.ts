/** Which project to look at: the one of the environment, else the local one that runs. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { Environment } from '../config-values.ts'

export interface Target {
  env: Environment
  /** Whether the project runs on this machine: nothing about production is demanded of it. */
  isLocal: boolean
  /** What a person should know of the choice. */
  note?: string
}

/** @param directory of the local project, where it is not the usual one. */
export async function findTarget(env: Environment, directory?: string): Promise<Target> {
  const url = URL.parse(env.SUPABASE_URL?.trim() ?? '')
  if (url) return { env, isLocal: ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname) }
  const local = await findLocal(directory)
  if (local) return { env: { ...env, ...local }, isLocal: true, note: 'No SUPABASE_URL is set: looking at the local project of `npm run dev`.' }
  return { env, isLocal: false, note: 'No SUPABASE_URL is set, and `npm run dev` does not run here.' }
}

/** Loaded only here: the local stack is no part of production. */
async function findLocal(directory?: string): Promise<Environment | undefined> {
  try {
    const { findRunningStack, STACK_DIRECTORY } = await import('../local/running-stack.ts')
    const facts = await findRunningStack(directory ?? STACK_DIRECTORY)
    if (!facts) return undefined
    const { jwtSecret } = JSON.parse(await readFile(path.join(directory ?? STACK_DIRECTORY, 'keys.json'), 'utf8').catch(() => '{}')) as { jwtSecret?: string }
    const { SUPABASE_URL, SUPABASE_SECRET_KEY, SUPABASE_PUBLISHABLE_KEY, DATABASE_URL } = facts
    return { SUPABASE_URL, SUPABASE_SECRET_KEY, SUPABASE_PUBLISHABLE_KEY, DATABASE_URL, SUPABASE_JWT_SECRET: jwtSecret }
  } catch {
    return undefined
  }
}
