/** The local project for a command: that of the run that is under way, else its Supabase is started for the time being. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { findRunningStack, lockStack, STACK_DIRECTORY } from './running-stack.ts'
import { startLocalSupabase, supabaseEnv } from './supabase.ts'

export interface LocalProject {
  /** Its variables, as a service has them. */
  variables: NodeJS.ProcessEnv
  close(): Promise<void>
}

/** @throws when there is none, or it is just being started or stopped. */
export async function openLocalProject(directory = STACK_DIRECTORY): Promise<LocalProject> {
  const running = await findLocalProject(directory)
  if (running) return { variables: running, close: async () => undefined }
  if (!existsSync(path.join(directory, 'postgres'))) throw new Error('There is no local project here: `npm run dev` makes one. For another one set SUPABASE_URL, SUPABASE_SECRET_KEY, SUPABASE_PUBLISHABLE_KEY and DATABASE_URL.')
  const unlock = await lockStack(directory)
  try {
    const supabase = await startLocalSupabase({ directory })
    return {
      variables: supabaseEnv(supabase),
      async close() {
        await supabase.stop()
        await unlock()
      },
    }
  } catch (error) {
    await unlock()
    throw error
  }
}

/** @returns the variables of the one that runs. A run on a project elsewhere is none. */
export async function findLocalProject(directory = STACK_DIRECTORY): Promise<NodeJS.ProcessEnv | undefined> {
  const facts = await findRunningStack(directory)
  if (!facts) return undefined
  const { SUPABASE_URL, SUPABASE_SECRET_KEY, SUPABASE_PUBLISHABLE_KEY, DATABASE_URL } = facts
  const keys = JSON.parse(await readFile(path.join(directory, 'keys.json'), 'utf8').catch(() => '{}')) as { secretKey?: string; jwtSecret?: string }
  if (keys.secretKey !== SUPABASE_SECRET_KEY) return undefined
  return { SUPABASE_URL, SUPABASE_SECRET_KEY, SUPABASE_PUBLISHABLE_KEY, SUPABASE_JWT_SECRET: keys.jwtSecret, DATABASE_URL }
}
