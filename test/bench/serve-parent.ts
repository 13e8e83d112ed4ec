/** A process of the bench, seen from within. */
import { writeFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { ChildMessage, Usage, Watched } from './child.ts'

const MEMORY_SAMPLE_MS = 20
const LOOP_SAMPLE_MS = 10

export interface Served {
  /** What the bench must know. */
  ready: Record<string, unknown>
  stop: () => Promise<void>
  /** Answers to questions of this script's own. */
  answers?: Record<string, () => object>
}

/**
 * Starts what this process is for and tells the bench; answers how much it has used; ends with the bench, however that
 * ends.
 */
export async function serveParent(start: () => Promise<Served>): Promise<void> {
  if (!process.send) throw new Error('This script is a part of `npm run bench`.')
  const tell = (message: ChildMessage) => void process.send?.(message)
  const starting = start()
  let stopping: Promise<void> | undefined
  // Also in the middle of its start: what was begun is ended in good order.
  const stop = async () => {
    stopping ??= starting.then(({ stop: stopAll }) => stopAll()).catch(() => undefined)
    await stopping
    process.exit()
  }

  process.on('disconnect', () => void stop())
  // Ctrl-C reaches every process of the terminal; the bench tells when to end.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined)
  try {
    const { ready, answers } = await starting
    const known: Served['answers'] = { usage, ...createWatch(), ...answers }
    process.on('message', ({ type }: ChildMessage) => {
      const answer = known[type]
      if (answer) tell({ type, ...answer() })
    })
    tell({ type: 'ready', ...ready })
  } catch (error) {
    tell({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
    process.exitCode = 1
    process.disconnect()
  }
}

function usage(): Usage {
  return { cpuMs: cpuMs(), peakMemory: maxRss() }
}

/** The most that was resident at once, in bytes. */
const maxRss = (): number => process.resourceUsage().maxRSS * 1024

/** Makes the kernel count `maxRss` anew, which costs nothing while it does. @returns false where it cannot. */
function forgetMaxRss(): boolean {
  try {
    writeFileSync('/proc/self/clear_refs', '5')
    return true
  } catch {
    return false
  }
}

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Answers to `watch` and `watched`. Whoever does not ask is not disturbed. */
function createWatch(): { watch(): object; watched(): Watched } {
  const loop = monitorEventLoopDelay({ resolution: LOOP_SAMPLE_MS })
  let sampling: NodeJS.Timeout | undefined
  let since = { at: 0, cpuMs: 0 }
  let memory = { atFirst: 0, peak: 0 }
  let isExact = false
  const sample = () => void (memory.peak = Math.max(memory.peak, isExact ? maxRss() : process.memoryUsage.rss()))
  // What the histogram holds is the time between two timers, which is never less than what was asked for.
  const toDelay = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - LOOP_SAMPLE_MS)
  return {
    watch() {
      const rss = process.memoryUsage.rss()
      memory = { atFirst: rss, peak: rss }
      isExact = forgetMaxRss()
      since = { at: performance.now(), cpuMs: cpuMs() }
      clearInterval(sampling)
      if (!isExact) sampling = setInterval(sample, MEMORY_SAMPLE_MS)
      loop.enable()
      loop.reset()
      return {}
    },
    watched() {
      sample()
      clearInterval(sampling)
      loop.disable()
      return {
        durationMs: performance.now() - since.at,
        cpuMs: cpuMs() - since.cpuMs,
        memory,
        loopDelayMs: { p50: toDelay(loop.percentile(50)), p99: toDelay(loop.percentile(99)), max: toDelay(loop.max) },
      }
    },
  }
}
