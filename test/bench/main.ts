/** `npm run bench [row …]`: measures the figures that we promise. A figure that is missed is told; only a break fails. */
import { CHILD_MARK } from './child.ts'
import { canPin, pinThisProcess, STUB_CORE } from './cores.ts'
import { readFacts } from './facts.ts'
import { flight } from './flight.ts'
import { images } from './images.ts'
import { latency } from './latency.ts'
import { rehosting } from './rehosting.ts'
import { protections } from './protections.ts'
import { toText, writeJson, type RowReport } from './report.ts'
import type { Row, RowResult } from './row.ts'
import { start } from './start.ts'
import { tokens } from './tokens.ts'

const ROWS: readonly Row[] = [tokens, start, latency, protections, images, rehosting, flight]

/** Whatever hangs, the bench does not. */
const LONGEST_RUN_MS = 1_500_000

const cleanUps: (() => Promise<void>)[] = []
let givingUp = false

if (process.env[CHILD_MARK] !== undefined) {
  process.stderr.write('The bench does not run within itself.\n')
  process.exit(1)
}
const names = process.argv.slice(2)
const unknown = names.filter((name) => !ROWS.some((row) => row.name === name))
if (unknown.length > 0) {
  process.stderr.write(`Unknown row ${unknown.join(', ')}. Rows: ${ROWS.map(({ name }) => name).join(', ')}.\n`)
  process.exit(1)
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void giveUp(`Stopped by ${signal}.`))
setTimeout(() => void giveUp(`Not done after ${LONGEST_RUN_MS / 1000} s.`), LONGEST_RUN_MS).unref()

if (canPin) pinThisProcess(STUB_CORE)
const facts = await readFacts()
const reports: RowReport[] = []
for (const row of ROWS.filter(({ name }) => names.length === 0 || names.includes(name))) reports.push({ row, ...(await runRow(row)) })
process.stdout.write(`${toText(facts, reports)}\n\nWritten to ${await writeJson(facts, reports)}\n`)
process.exit(reports.some(({ failures }) => failures.length > 0) ? 1 : 0)

async function runRow(row: Row): Promise<RowResult> {
  const progress = (text: string) => void process.stderr.write(`${row.name}: ${text}\n`)
  try {
    return await row.run({ progress, defer: (cleanUp) => void cleanUps.push(cleanUp) })
  } catch (error) {
    return { figures: [], notes: [], failures: [error instanceof Error ? error.message : String(error)] }
  } finally {
    // The row ends by itself when its processes are gone; whoever gives up ends this one, once all is clean.
    if (givingUp) await new Promise(() => undefined)
    await cleanUpAll()
  }
}

async function cleanUpAll(): Promise<void> {
  for (let cleanUp = cleanUps.pop(); cleanUp; cleanUp = cleanUps.pop()) {
    await cleanUp().catch((error: unknown) => process.stderr.write(`Something could not be cleaned up: ${String(error)}\n`))
  }
}

async function giveUp(why: string): Promise<void> {
  givingUp = true
  process.stderr.write(`${why} Cleaning up.\n`)
  await cleanUpAll()
  process.exit(1)
}
