/** `npm run conformance`: every provider against its simulator, by the same checks. Ends with a table, and with 1 if it has a ✗. */
import { createProviders, providerSettings } from '../../src/providers/registry.ts'
import { COLUMNS, type Column, type CreateProvider } from './harness.ts'
import { benches } from './providers.ts'
import { runSuite, type Step } from './suite.ts'

const STEP_TIMEOUT_MS = 10_000

interface Row {
  id: string
  /** How many checks each column had; none where it is not offered. */
  checks: Map<Column, number>
  failed: Map<Column, string[]>
}

async function runProvider(id: string): Promise<Row> {
  const row: Row = { id, checks: new Map(), failed: new Map() }
  const fail = (column: Column, words: string) => row.failed.set(column, [...(row.failed.get(column) ?? []), words])
  const step: Step = async (column, name, check) => {
    row.checks.set(column, (row.checks.get(column) ?? 0) + 1)
    await inTime(check()).catch((error: unknown) => fail(column, `${name}: ${error instanceof Error ? error.message : String(error)}`))
  }
  const bench = await benches[id]?.()
  if (!bench) {
    for (const column of COLUMNS) fail(column, 'there is no harness')
    return row
  }
  const create: CreateProvider = ({ apiKey = bench.apiKey, baseURL = bench.baseURL } = {}) => createProviders({ [id]: { apiKey, baseURL } }).get(id)!
  await runSuite(bench, create, step)
  await bench.close()
  return row
}

async function inTime(check: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Error('it took too long')), STEP_TIMEOUT_MS)))
  await Promise.race([check, late]).finally(() => clearTimeout(timer))
}

function toTable(rows: readonly Row[]): string {
  const cell = ({ checks, failed }: Row, column: Column) => (failed.has(column) ? '✗' : checks.has(column) ? '✓' : '–')
  const lines = [['provider', ...COLUMNS], ...rows.map((row) => [row.id, ...COLUMNS.map((column) => cell(row, column))])]
  const widths = lines[0]!.map((_, index) => Math.max(...lines.map((line) => line[index]!.length)))
  const [head, ...body] = lines.map((line) => `| ${line.map((text, index) => text.padEnd(widths[index]!)).join(' | ')} |`)
  return [head, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...body].join('\n')
}

const startedAt = performance.now()
const rows = await Promise.all(providerSettings.map(({ id }) => runProvider(id)))
for (const { id, failed } of rows) for (const [column, all] of failed) for (const words of all) console.log(`✗ ${id}, ${column}, ${words}\n`)
const count = rows.reduce((sum, { checks }) => sum + [...checks.values()].reduce((a, b) => a + b, 0), 0)
console.log(`${count} checks in ${((performance.now() - startedAt) / 1000).toFixed(1)} seconds\n\n${toTable(rows)}`)
process.exit(rows.some(({ failed }) => failed.size > 0) ? 1 : 0)
