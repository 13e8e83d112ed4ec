/** Which project a command is about: the one that the environment names, else the local one. */
import type { Environment } from '../config-values.ts'

export interface Target {
  /** With the variables of the project. */
  env: Environment
  /** Whether it is the project of `npm run dev`. */
  isLocal: boolean
  /** Whether nothing named it. */
  isAssumed: boolean
  close(): Promise<void>
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/**
 * @param directory of the local project, where it is not the usual one.
 * @throws when nothing is named and there is no local project.
 */
export async function openTarget(env: Environment, directory?: string): Promise<Target> {
  const [supabaseUrl, databaseUrl] = [env.SUPABASE_URL?.trim() ?? '', env.DATABASE_URL?.trim() ?? '']
  if (supabaseUrl === '' && databaseUrl === '') {
    // Nothing of local mode is loaded for a hosted project.
    const { openLocalProject } = await import('../local/open-project.ts')
    const { variables, close } = await openLocalProject(directory)
    return { env: { ...env, DATABASE_CA: undefined, ...variables }, isLocal: true, isAssumed: true, close }
  }
  return { env, isLocal: await isRunningHere(supabaseUrl, databaseUrl, directory), isAssumed: false, close: async () => undefined }
}

/** Whoever has loaded `.local/dev.env` names the local project too. */
async function isRunningHere(supabaseUrl: string, databaseUrl: string, directory: string | undefined): Promise<boolean> {
  if (!LOOPBACK.has(URL.parse(supabaseUrl)?.hostname ?? '')) return false
  const { findLocalProject } = await import('../local/open-project.ts')
  const local = await findLocalProject(directory)
  return local?.SUPABASE_URL === supabaseUrl && local.DATABASE_URL === databaseUrl
}
