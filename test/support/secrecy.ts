/**
 * What must stand nowhere in clear: everything that the services of a run logged, and every row that it left behind, are
 * searched once its tests are done.
 */
import { spawnSync } from 'node:child_process'
import { appendFileSync, readdirSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'

const LOGS = 'logs'
const SECRETS = 'secrets.txt'

/** Their values open something, whatever the test. Short ones would be found everywhere. */
const SECRET_NAMES = /KEY|SECRET|TOKEN|PASSWORD/
const OPEN_NAMES = /PUBLISHABLE|ANON/
const MIN_SECRET = 8

/** Of credentials that nobody has noted: JWTs, API keys, signatures. */
const CREDENTIALS = ['eyJ[A-Za-z0-9_-]{10,}\\.eyJ[A-Za-z0-9_-]{10,}\\.[A-Za-z0-9_-]{20,}', 'drk_[0-9A-Za-z]{16}_[0-9A-Za-z]{20,}', '[Bb]earer +[A-Za-z0-9._~-]{20,}', 'Signature=[0-9a-f]{64}', 'sb_secret_[A-Za-z0-9_-]{10,}']

/** Where a prompt is kept on purpose: for its user, and for the steps of its generation. */
const PROMPT_TABLES = ['public.prompts', 'darkroom.requests']
/** Shorter ones are words that anything may hold. */
const MIN_PROMPT = 14

/** Remembers what a service was given in confidence. */
export function noteSecrets(directory: string, env: Record<string, string>): void {
  const values = Object.entries(env).flatMap(([name, value]) => (SECRET_NAMES.test(name) && !OPEN_NAMES.test(name) && value.length >= MIN_SECRET ? value.split(',') : []))
  // A master key stands behind its name.
  appendFileSync(path.join(directory, SECRETS), values.map((value) => `${value.replace(/^[\w.-]{1,32}:(?=[A-Za-z0-9+/]{43}=$)/, '')}\n`).join(''))
}

/** Keeps what a service logs. */
export function keepLog(directory: string, name: string, text: string | Buffer): void {
  appendFileSync(path.join(directory, LOGS, `${name}.log`), text)
}

export const prepareSecrecy = async (directory: string): Promise<void> => {
  await mkdir(path.join(directory, LOGS))
  await writeFile(path.join(directory, SECRETS), '')
}

/** @returns a line for each place where something stands in clear that may not. */
export async function findLeaks(directory: string, databaseUrl: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    const dumps = await dumpRows(client, directory)
    const logs = readdirSync(path.join(directory, LOGS)).map((name) => path.join(directory, LOGS, name))
    const prompts = await writePrompts(client, directory)
    const withoutPrompts = dumps.filter((file) => !PROMPT_TABLES.includes(path.basename(file, '.txt')))
    return [
      ...search('a secret of the configuration', ['-F', '-f', path.join(directory, SECRETS)], [...logs, ...dumps]),
      ...search('a credential', ['-E', ...CREDENTIALS.flatMap((pattern) => ['-e', pattern])], [...logs, ...dumps]),
      ...search('a prompt', ['-F', '-f', prompts], [...logs, ...withoutPrompts]),
    ]
  } finally {
    await client.end()
  }
}

/** Every table but those of Supabase's own sign-in, as text: a file for each. */
async function dumpRows(client: pg.Client, directory: string): Promise<string[]> {
  const { rows: tables } = await client.query<{ schema: string; name: string }>(
    `select table_schema as schema, table_name as name from information_schema.tables where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema', 'auth')`,
  )
  const files: string[] = []
  for (const { schema, name } of tables) {
    const { rows } = await client.query<{ row: string }>(`select entry::text as row from ${client.escapeIdentifier(schema)}.${client.escapeIdentifier(name)} as entry`)
    const file = path.join(directory, `${schema}.${name}.txt`)
    await writeFile(file, rows.map(({ row }) => `${row}\n`).join(''))
    files.push(file)
  }
  return files
}

/** As they were said, and as the bytes of a row would be written. */
async function writePrompts(client: pg.Client, directory: string): Promise<string> {
  const { rows } = await client.query<{ prompt: string }>(`select distinct prompt from public.prompts where char_length(prompt) >= ${MIN_PROMPT} and prompt !~ '[\\n\\r]'`)
  const file = path.join(directory, 'prompts.txt')
  await writeFile(file, rows.flatMap(({ prompt }) => [prompt, Buffer.from(prompt).toString('hex')]).map((needle) => `${needle}\n`).join(''))
  return file
}

/** How much of what was found is shown: enough to know it again. */
const SHOWN = 16

function search(what: string, options: string[], files: string[]): string[] {
  const { stdout, status, stderr } = spawnSync('grep', ['-a', '-o', '-n', '-H', ...options, ...files], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  if (status === 1) return []
  if (status !== 0) throw new Error(`grep failed: ${stderr}`)
  return stdout.trim().split('\n').slice(0, 20).map((line) => {
    const [file = '', number = '', ...found] = line.split(':')
    return `${what} in ${path.basename(file)}, line ${number}: ${found.join(':').slice(0, SHOWN)}…`
  })
}
