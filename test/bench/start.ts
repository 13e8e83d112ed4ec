/** `start`: how long a process takes from nothing to its first answers. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findFreePort } from '../../src/local/ports.ts'
import { flagsOf, startBackend } from './backend.ts'
import { canPin, pinned, SERVICE_CORE, STUB_CORE } from './cores.ts'
import { ROOT } from './facts.ts'
import type { Bench, Figure, Row, RowResult } from './row.ts'
import { ratios, spread } from './statistics.ts'

const RUNS = 5
const PORT = 54_721
const LOOK_MS = 5
const LONGEST_START_MS = 30_000
const STOP_TIMEOUT_MS = 30_000

export const start: Row = {
  name: 'start',
  title: 'cold start of `node src/main.ts`, web and worker, to its first answers; local Supabase running',
  run,
}

interface Measurement {
  healthMs: number
  authenticatedMs: number
  bareMs: number
}

async function run(bench: Bench): Promise<RowResult> {
  bench.progress('starting the local Supabase')
  const backend = await startBackend(bench)
  const { token } = await backend.signUp()
  const measurements: Measurement[] = []
  // The first one makes the queue's tables and fills the disk's cache; it is not counted.
  for (let run = 0; run <= RUNS; run++) {
    bench.progress(run === 0 ? 'warming up' : `run ${run} of ${RUNS}`)
    const measurement = { ...(await measureOurs(bench, backend.env, token)), bareMs: await measureBare() }
    if (run > 0) measurements.push(measurement)
  }
  return { figures: toFigures(measurements), notes: NOTES, failures: [] }
}

async function measureOurs(bench: Bench, env: Record<string, string>, token: string): Promise<Omit<Measurement, 'bareMs'>> {
  const port = await findFreePort(PORT)
  const [command, args] = pinned(SERVICE_CORE, process.execPath, [...flagsOf('start'), path.join(ROOT, 'src/main.ts')])
  const startedAt = performance.now()
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH, ...env, PORT: String(port) } })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
  bench.defer(() => stop(child))
  try {
    await untilAnswered(child, `http://127.0.0.1:${port}/health/live`, {})
    const healthMs = performance.now() - startedAt
    await untilAnswered(child, `http://127.0.0.1:${port}/api/generations`, { authorization: `Bearer ${token}` })
    return { healthMs, authenticatedMs: performance.now() - startedAt }
  } catch (error) {
    throw new Error(`The service did not start: ${error instanceof Error ? error.message : String(error)}\n${errors}`, { cause: error })
  } finally {
    await stop(child)
  }
}

/** Asks again and again, since nobody listens at first. @throws when it ends, answers something else, or not in time. */
async function untilAnswered(child: ChildProcess, url: string, headers: Record<string, string>): Promise<void> {
  const deadline = performance.now() + LONGEST_START_MS
  const agent = new Agent()
  for (;;) {
    const status = await ask(url, headers, agent).catch(() => undefined)
    if (status === 200) return agent.destroy()
    if (status !== undefined) throw new Error(`${url} answered with status ${status}.`)
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`It ended with ${child.signalCode ?? `code ${child.exitCode}`}.`)
    if (performance.now() > deadline) throw new Error(`No answer within ${LONGEST_START_MS / 1000} s.`)
    await sleep(LOOK_MS)
  }
}

function ask(url: string, headers: Record<string, string>, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    request(url, { headers, agent }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0)).once('error', reject)
    })
      .once('error', reject)
      .end()
  })
}

/** Node itself, which has nothing to do. */
async function measureBare(): Promise<number> {
  const [command, args] = pinned(SERVICE_CORE, process.execPath, ['--eval', ''])
  const startedAt = performance.now()
  await once(spawn(command, args, { stdio: 'ignore' }), 'exit')
  return performance.now() - startedAt
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const last = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
  await exited
  clearTimeout(last)
}

function toFigures(measurements: Measurement[]): Figure[] {
  const bare = measurements.map(({ bareMs }) => bareMs)
  const figure = (what: string, values: number[]): Figure => ({ what, unit: 'ms', ours: spread(values), peer: spread(bare), ratio: ratios(values, bare), target: { of: 'ours', atMost: 1000 } })
  return [
    figure('GET /health/live', measurements.map(({ healthMs }) => healthMs)),
    figure('GET /api/generations, authenticated', measurements.map(({ authenticatedMs }) => authenticatedMs)),
  ]
}

const NOTES = [
  canPin ? `The service is on core ${SERVICE_CORE}; the local Supabase with its Postgres and the bench share core ${STUB_CORE}.` : 'This machine cannot pin processes to cores.',
  'From the spawn to the end of the first answer with status 200, asked every 5 ms. The authenticated request follows the other one: it verifies a token, with no key set at hand, and reads rows.',
  'The files are in the disk’s cache: one start before is not counted. What was compiled is in Node’s compile cache, as after any restart on the same disk.',
  'The peer is Node itself with nothing to run, from its spawn to its end.',
]
