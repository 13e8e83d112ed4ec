/** A process of the bench, seen from within. */
import type { ChildMessage, Usage } from './child.ts'

/**
 * Starts what this process is for and tells the bench; answers how much it has used; ends with the bench, however that
 * ends.
 * @param start gives what the bench must know, and how to stop.
 */
export async function serveParent(start: () => Promise<{ ready: Record<string, unknown>; stop: () => Promise<void> }>): Promise<void> {
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
  process.on('message', (message) => message === 'usage' && tell({ type: 'usage', ...usage() }))
  // Ctrl-C reaches every process of the terminal; the bench tells when to end.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined)
  try {
    tell({ type: 'ready', ...(await starting).ready })
  } catch (error) {
    tell({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
    process.exitCode = 1
    process.disconnect()
  }
}

function usage(): Usage {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
  return { cpuMs: (userCPUTime + systemCPUTime) / 1000, peakMemory: maxRSS * 1024 }
}
