/** `node src/admin.ts <command>`: what an operator does by hand, with the variables of the service. */
import { once } from 'node:events'
import { enableCompileCache } from 'node:module'
import { parseArgs } from 'node:util'
import { UsageError, type AdminCommand, type AdminContext } from './admin/command.ts'

// What is loaded later is compiled once and read from the disk from then on.
enableCompileCache()

/** Each is loaded when it is called. */
const commands: Readonly<Record<string, { summary: string; load: () => Promise<AdminCommand> }>> = {
  budget: { summary: 'sets what a user may spend in a month', load: async () => (await import('./admin/quota.ts')).budget },
  erase: { summary: 'removes everything of a user: rows, files, audit log', load: async () => (await import('./admin/erase.ts')).erase },
  logs: { summary: 'prints the audit log as lines of JSON, oldest first', load: async () => (await import('./admin/logs.ts')).logs },
  quota: { summary: 'sets how many bytes a user may store', load: async () => (await import('./admin/quota.ts')).quota },
  rekey: { summary: 'wraps the keys of the audit log by the first key of STORAGE_MASTER_KEY', load: async () => (await import('./admin/rekey.ts')).rekey },
}

/** One for the command and one for what it waits for. */
const POOL_SIZE = 2

// Whoever reads may have seen enough: `… logs | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

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
  const [{ loadConfig }, { createLogger }, { providerSettings }, { createDatabase }] = await Promise.all([import('./config.ts'), import('./log.ts'), import('./providers/registry.ts'), import('./supabase/database.ts')])
  // Nothing is served, so nothing is asked about serving.
  const config = loadConfig(process.env, { providers: providerSettings, local: true })
  const logger = createLogger({ level: 'warn', destination: process.stderr })
  const database = createDatabase({ ...config.database, poolSize: POOL_SIZE, logger })
  try {
    await command.run({ arguments: positionals, values, config, database, logger, print, tell: (sentence) => void process.stderr.write(`${sentence}\n`) })
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
  return `npm run admin -- <command> [options]\n\n${lines.join('\n')}\n\n<command> --help tells more. The variables are those of the service.`
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
  return say(process.stderr, `${name} failed: ${error instanceof Error ? error.message : String(error)}`, 1)
}
