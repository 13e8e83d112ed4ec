/** A process of the bench, on a core of its own, seen from the bench. */
import { spawn, type ChildProcess } from 'node:child_process'
import path from 'node:path'
import { pinned } from './cores.ts'
import type { Bench } from './row.ts'

export interface Child<Ready> {
  /** What it told when it was ready. */
  ready: Ready
  usage(): Promise<Usage>
  /** The end of what it has printed. A service at work prints warnings only, which is nothing when all is well. */
  lastWords(): string
}

export interface Usage {
  /** Processor time since its start, all threads. */
  cpuMs: number
  /** The most memory that was resident at once, in bytes. */
  peakMemory: number
}

export type ChildMessage = { type: 'ready'; [name: string]: unknown } | ({ type: 'usage' } & Usage) | { type: 'failed'; message: string }

/** Set for children: the bench refuses to run within itself. */
export const CHILD_MARK = 'DARKROOM_BENCH_CHILD'

const LAST_WORDS_CHARACTERS = 4000
const START_TIMEOUT_MS = 120_000
const ANSWER_TIMEOUT_MS = 10_000
const STOP_TIMEOUT_MS = 20_000

/**
 * Starts a process that ends with the row.
 * @param options.script beside this file, or a path from here.
 * @throws with its last words when it is not ready in time.
 */
export async function startChild<Ready>(bench: Bench, options: { script: string; core: number; env?: Record<string, string> }): Promise<Child<Ready>> {
  // Our own flags (a debugger, a profiler, the test runner) are not for it: `spawn` hands none on.
  const [command, args] = pinned(options.core, process.execPath, [path.resolve(import.meta.dirname, options.script)])
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env: { ...process.env, ...options.env, NODE_NO_WARNINGS: '1', [CHILD_MARK]: '1' } })
  let lastWords = ''
  for (const output of [child.stdout, child.stderr]) output!.setEncoding('utf8').on('data', (chunk: string) => (lastWords = (lastWords + chunk).slice(-LAST_WORDS_CHARACTERS)))
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()).once('error', () => resolve()))
  bench.defer(() => stopChild(child, exited))
  try {
    const { type: _, ...ready } = await nextMessage(child, 'ready', START_TIMEOUT_MS)
    return { ready: ready as Ready, usage: () => askUsage(child), lastWords: () => lastWords }
  } catch (error) {
    throw new Error(`${options.script} did not start: ${(error as Error).message}\n${lastWords}`, { cause: error })
  }
}

function nextMessage<Type extends ChildMessage['type']>(child: ChildProcess, type: Type, timeoutMs: number): Promise<Extract<ChildMessage, { type: Type }>> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      clearTimeout(timer)
      child.off('message', onMessage).off('exit', onExit).off('error', reject)
      settle()
    }
    const onMessage = (message: ChildMessage) => {
      if (message.type === type) end(() => resolve(message as Extract<ChildMessage, { type: Type }>))
      else if (message.type === 'failed') end(() => reject(new Error(message.message)))
    }
    const onExit = (code: number | null) => end(() => reject(new Error(`it ended with code ${code}`)))
    const timer = setTimeout(() => end(() => reject(new Error(`no answer within ${timeoutMs} ms`))), timeoutMs)
    child.on('message', onMessage).once('exit', onExit).once('error', reject)
  })
}

async function askUsage(child: ChildProcess): Promise<Usage> {
  if (!child.connected) throw new Error(`A service ended with ${child.signalCode ?? `code ${child.exitCode}`} in the middle of its work.`)
  const answer = nextMessage(child, 'usage', ANSWER_TIMEOUT_MS)
  child.send('usage')
  const { cpuMs, peakMemory } = await answer
  return { cpuMs, peakMemory }
}

async function stopChild(child: ChildProcess, exited: Promise<void>): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  // Every child ends in good order when its parent is lost, so that there is one way to end.
  if (child.connected) child.disconnect()
  const last = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
  await exited
  clearTimeout(last)
}
