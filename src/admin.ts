/** `node src/admin.ts <command>`: what an operator does by hand, to the project of the environment or to the local one. */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { parseArgs } from 'node:util'
import { UsageError, type AdminCommand, type AdminContext } from './admin/command.ts'
import type { Target } from './admin/target.ts'
import { redact } from './log.ts'
import type { Project } from './supabase/project.ts'

// What is loaded later is compiled once and read from the disk from then on.
enableCompileCache()

/** Each is loaded when it is called. */
const commands: Readonly<Record<string, { summary: string; load: () => Promise<AdminCommand> }>> = {
  backup: { summary: 'writes all rows, and with --files all files, into a directory', load: async () => (await import('./admin/backup.ts')).backup },
  budget: { summary: 'sets what a user may spend in a month', load: async () => (await import('./admin/quota.ts')).budget },
  erase: { summary: 'removes everything of a user: rows, files, audit log', load: async () => (await import('./admin/erase.ts')).erase },
  logs: { summary: 'prints the audit log as lines of JSON, oldest first', load: async () => (await import('./admin/logs.ts')).logs },
  quota: { summary: 'sets how many bytes a user may store', load: async () => (await import('./admin/quota.ts')).quota },
  rekey: { summary: 'brings what is encrypted in rows under the first key of STORAGE_MASTER_KEY', load: async () => (await import('./admin/rekey.ts')).rekey },
  restore: { summary: 'brings a backup back into a project', load: async () => (await import('./admin/restore.ts')).restore },
}

/** One for the command and one for what it waits for. */
const POOL_SIZE = 2

// Whoever reads may have seen enough: `… logs | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

if (existsSync('.env')) process.loadEnvFile('.env')
const [name = '', ...rest] = process.argv.slice(2)
process.exitCode = await main(name, rest).catch((error: unknown) => fail(error))

/** @returns the exit code. */
async function main(name: string, rest: string[]): Promise<number> {
  if (['--help', '-h', 'help'].includes(name)) return say(process.stdout, overview())
  const command = Object.hasOwn(commands, name) ? await commands[name]!.load() : undefined
  if (!command) return say(process.stderr, `${name === '' ? 'Which command?' : `There is no command ${name}.`}\n\n${overview()}`, 2)
  const { values, positionals } = parse(command, rest)
  if (values.help === true) return say(process.stdout, `npm run admin -- ${name} ${command.usage}`)
  if (positionals.length !== command.arguments.length) {
    const wanted = command.arguments.map((argument) => `<${argument}>`).join(' ')
    throw new UsageError(command.arguments.length === 0 ? `${name} takes no arguments.` : `${name} needs ${wanted}.`)
  }
  await run(command, positionals, values)
  return 0
}

async function run(command: AdminCommand, positionals: string[], values: AdminContext['values']): Promise<void> {
  const { openTarget } = await import('./admin/target.ts')
  const target = await openTarget(process.env)
  const tell = (sentence: string) => void process.stderr.write(`${sentence}\n`)
  try {
    if (target.isAssumed) tell('No SUPABASE_URL is set: this is about the local project of `npm run dev`.')
    await runOn(target, command, { arguments: positionals, values, print, tell })
  } finally {
    await target.close()
  }
}

async function runOn({ env, isLocal }: Target, command: AdminCommand, context: Pick<AdminContext, 'arguments' | 'values' | 'print' | 'tell'>): Promise<void> {
  const [{ loadConfig }, { createLogger }, { createDatabase }] = await Promise.all([import('./config.ts'), import('./log.ts'), import('./supabase/database.ts')])
  // Nothing is served and no provider is asked for anything, so nothing is asked about those.
  const config = loadConfig({ ...env, OPEN_PROVIDERS: undefined }, { providers: [], local: true })
  const logger = createLogger({ level: 'warn', destination: process.stderr })
  const database = createDatabase({ ...config.database, poolSize: POOL_SIZE, logger })
  const project: Project = { supabaseUrl: config.supabase.url, secretKey: config.supabase.secretKey, databaseUrl: config.database.url, databaseCa: config.database.ca, isLocal }
  try {
    await command.run({ ...context, config, project, database, logger })
  } finally {
    await database.close()
  }
}

function parse(command: AdminCommand, args: string[]) {
  try {
    return parseArgs({ args, options: { ...command.options, help: { type: 'boolean', short: 'h' } }, allowPositionals: true })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function overview(): string {
  const width = Math.max(...Object.keys(commands).map(({ length }) => length))
  const lines = Object.entries(commands).map(([key, { summary }]) => `  ${key.padEnd(width)}  ${summary}`)
  return `npm run admin -- <command> [options]\n\n${lines.join('\n')}\n\n<command> --help tells more. The variables are those of the service, also from a file .env. Without SUPABASE_URL and
DATABASE_URL it is the local project of \`npm run dev\`, which may run or not. Ends with 0 when all is done, with 1 when it is
not or not wholly, with 2 when it was not understood.`
}

async function print(result: object): Promise<void> {
  if (!process.stdout.write(`${JSON.stringify(result)}\n`)) await once(process.stdout, 'drain')
}

function say(stream: NodeJS.WriteStream, text: string, code = 0): number {
  stream.write(`${text}\n`)
  return code
}

function fail(error: unknown): number {
  if (error instanceof UsageError) return say(process.stderr, `${error.message}\nSee npm run admin -- ${name} --help.`, 2)
  // The list of what is wrong says by itself what it is about.
  if (error instanceof Error && error.name === 'ConfigError') return say(process.stderr, error.message, 1)
  return say(process.stderr, `${name} failed: ${explain(error)}`, 1)
}

/** An error with what lies behind it, without the keys that libraries put into messages. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return redact(String(error))
  // Of several tries at once each has its own.
  const text = redact(error.message || (error instanceof AggregateError ? String(error.errors[0]) : error.name))
  return error.cause === undefined ? text : `${text.replace(/\.$/, '')}: ${explain(error.cause)}`
}
