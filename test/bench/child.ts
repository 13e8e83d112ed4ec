/** A process of the bench, on a core of its own, seen from the bench. */
import { spawn, type ChildProcess } from 'node:child_process'
import path from 'node:path'
import { pinned } from './cores.ts'
import type { Bench } from './row.ts'

export interface Child<Ready> {
  /** What it told when it was ready. */
  ready: Ready
  usage(): Promise<Usage>
  /** Begins to look at its memory and its event loop. A look that was begun before is over. */
  watch(): Promise<void>
  /** @returns what was seen since `watch`. */
  watched(): Promise<Watched>
  /** Anything else that its script answers. */
  ask<Answer>(question: string): Promise<Answer>
  /** Ends it before its row does. */
  stop(): Promise<void>
  /** The end of what it has printed. A service at work prints warnings only, which is nothing when all is well. */
  lastWords(): string
}

export interface Usage {
  /** Processor time since its start, all threads. */
  cpuMs: number
  /** The most memory that was resident at once, in bytes: since its start, or since it was last watched. */
  peakMemory: number
}

export interface Watched {
  durationMs: number
  /** Processor time, all threads. */
  cpuMs: number
  /** In bytes. */
  memory: { atFirst: number; peak: number }
  /** How much later than planned a timer fires: what the event loop was held up by. */
  loopDelayMs: { p50: number; p99: number; max: number }
}

/** `ready`, `failed` with a `message`, or the answer to the question of that name. */
export interface ChildMessage {
  type: string
  [name: string]: unknown
}

/** Set for children: the bench refuses to run within itself. */
export const CHILD_MARK = 'DARKROOM_BENCH_CHILD'

const LAST_WORDS_CHARACTERS = 4000
const START_TIMEOUT_MS = 120_000
const ANSWER_TIMEOUT_MS = 10_000
const STOP_TIMEOUT_MS = 20_000

/**
 * Starts a process that ends with the row.
 * @param options.script beside this file, or a path from here.
 * @param options.flags of Node.
 * @throws with its last words when it is not ready in time.
 */
export async function startChild<Ready>(bench: Bench, options: { script: string; core: number; flags?: string[]; env?: Record<string, string> }): Promise<Child<Ready>> {
  // Our own flags (a debugger, a profiler, the test runner) are not for it: `spawn` hands none on.
  const [command, args] = pinned(options.core, process.execPath, [...(options.flags ?? []), path.resolve(import.meta.dirname, options.script)])
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env: { ...process.env, ...options.env, NODE_NO_WARNINGS: '1', [CHILD_MARK]: '1' } })
  let lastWords = ''
  for (const output of [child.stdout, child.stderr]) output!.setEncoding('utf8').on('data', (chunk: string) => (lastWords = (lastWords + chunk).slice(-LAST_WORDS_CHARACTERS)))
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()).once('error', () => resolve()))
  bench.defer(() => stopChild(child, exited))
  const ask = <Answer>(question: string) => askChild<Answer>(child, question)
  try {
    return {
      ready: await nextMessage<Ready>(child, 'ready', START_TIMEOUT_MS),
      usage: () => ask<Usage>('usage'),
      watch: () => ask('watch'),
      watched: () => ask<Watched>('watched'),
      ask,
      lastWords: () => lastWords,
      stop: () => stopChild(child, exited),
    }
  } catch (error) {
    throw new Error(`${options.script} did not start: ${(error as Error).message}\n${lastWords}`, { cause: error })
  }
}

/** @returns the message without its type, on the word of the script that sends it. */
function nextMessage<Answer>(child: ChildProcess, type: string, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      clearTimeout(timer)
      child.off('message', onMessage).off('exit', onExit).off('error', reject)
      settle()
    }
    const onMessage = ({ type: received, ...answer }: ChildMessage) => {
      if (received === type) end(() => resolve(answer as Answer))
      else if (received === 'failed') end(() => reject(new Error(String(answer.message))))
    }
    const onExit = (code: number | null) => end(() => reject(new Error(`it ended with code ${code}`)))
    const timer = setTimeout(() => end(() => reject(new Error(`no answer within ${timeoutMs} ms`))), timeoutMs)
    child.on('message', onMessage).once('exit', onExit).once('error', reject)
  })
}

async function askChild<Answer>(child: ChildProcess, question: string): Promise<Answer> {
  if (!child.connected) throw new Error(`A process of the bench ended with ${child.signalCode ?? `code ${child.exitCode}`} in the middle of its work.`)
  const answer = nextMessage<Answer>(child, question, ANSWER_TIMEOUT_MS)
  child.send({ type: question })
  return await answer
}

async function stopChild(child: ChildProcess, exited: Promise<void>): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  // Every child ends in good order when its parent is lost, so that there is one way to end.
  if (child.connected) child.disconnect()
  const last = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
  await exited
  clearTimeout(last)
}
