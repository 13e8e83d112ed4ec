/**
 * `npm run doctor [-- --json] [-- check …]`: looks at the configured project, or at the local one that runs, names what is
 * wrong and how to mend it. Exits 0 when nothing is, else 1. It leaves nothing behind.
 */
import { existsSync } from 'node:fs'
import { select } from './doctor/checks.ts'
import { examine } from './doctor/examine.ts'
import { summarise, toText } from './doctor/report.ts'
import { findTarget } from './doctor/target.ts'
import { watchLauncher } from './local/launcher.ts'

const options = process.argv.slice(2).filter((argument) => argument.startsWith('-'))
const only = process.argv.slice(2).filter((argument) => !argument.startsWith('-'))
try {
  if (options.some((option) => option !== '--json')) throw new Error('There is only --json, and the names of checks.')
  select(only)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
if (existsSync('.env')) process.loadEnvFile('.env')

const isJson = options.includes('--json')
const say = (text: string) => void (isJson || process.stdout.write(text))
const stopping = new AbortController()

function stop(): void {
  // Whoever asks twice does not want to wait: the next run clears away what this one leaves.
  if (stopping.signal.aborted) process.exit(1)
  process.stderr.write('\nStopping: what was made is cleared away …\n')
  stopping.abort(new Error('the run was stopped'))
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
watchLauncher(() => stopping.abort(new Error('the run was stopped')))

const { env, isLocal, note } = await findTarget(process.env)
if (note !== undefined) say(`${note}\n\n`)
const report = await examine({ env, isLocal, only, signal: stopping.signal, onCheck: (check) => say(toText(check)) })
if (isJson) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
say(summarise(report))
// A connection that is kept open must not hold the process; a pipe takes what it was given first.
process.exitCode = report.ok ? 0 : 1
process.stdout.write('', () => process.exit())
