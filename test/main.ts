/**
 * `npm test [-- files]`: files that share a database and its queue run one after the other. All of them run as three rows
 * side by side, each on a local Supabase of its own: much of a test is waiting, which leaves the time to the others.
 */
import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import path from 'node:path'

const FILE_TIMEOUT_MS = 120_000

/** What the names of each further row begin with. */
const BESIDE = [
  ['crash', 'fleet', 'process', 'load', 'doctor', 'redis', 'simulator/', 'supabase/', 'http/signed', 'http/api-key', 'http/oauth', 'http/shared'],
  ['vendors-crash', 'admin', 'local/', 'attacks/', 'providers/', 'audit/', 'http/audit', 'media/', 'http/download'],
]

const given = process.argv.slice(2)
const rows = given.length > 0 ? [given] : listRows()
const codes = await Promise.all(rows.map((files, index) => run(files, index === 0)))
process.exit(codes.find((code) => code !== 0) ?? 0)

function listRows(): string[][] {
  const files = globSync('**/*.test.ts', { cwd: import.meta.dirname }).toSorted()
  const rowOf = (file: string) => BESIDE.findIndex((beginnings) => beginnings.some((beginning) => file.split(path.sep).join('/').startsWith(beginning)))
  return [-1, ...BESIDE.keys()].map((row) => files.filter((file) => rowOf(file) === row).map((file) => path.join(import.meta.dirname, file)))
}

/** @param isShown at once; what the others say comes when they have ended, so that it can be read. */
async function run(files: string[], isShown: boolean): Promise<number> {
  const flags = ['--test', `--import=${path.join(import.meta.dirname, 'support/left-open.ts')}`, '--test-global-setup=test/setup.ts', `--test-timeout=${FILE_TIMEOUT_MS}`, '--test-concurrency=1', '--test-reporter=spec']
  const child = spawn(process.execPath, [...flags, ...files], { stdio: ['ignore', isShown ? 'inherit' : 'pipe', 'inherit'] })
  const words: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => words.push(chunk))
  const code = await new Promise<number>((resolve) => child.once('close', (ended) => resolve(ended ?? 1)))
  process.stdout.write(Buffer.concat(words))
  return code
}
