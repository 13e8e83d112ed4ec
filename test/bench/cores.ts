/** Which core does what, so that a service under load and the stubs behind it do not take each other's time. */
import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus } from 'node:os'

/** The service that is measured has this core for itself. */
export const SERVICE_CORE = 0
/** The stubs and the load share this one. */
export const STUB_CORE = 1

/** Containers may leave a process neither of these cores, and other systems have no such command. */
export const canPin = availableParallelism() >= 2 && [SERVICE_CORE, STUB_CORE].every((core) => succeeds(() => execFileSync('taskset', ['-c', String(core), 'true'], { stdio: 'ignore' })))

/** A command line that runs on one core, where this system can do that. */
export function pinned(core: number, command: string, args: string[]): [command: string, args: string[]] {
  return canPin ? ['taskset', ['-c', String(core), command, ...args]] : [command, args]
}

/** Moves this process, with every thread it has. It is tried again when a thread ended while it was looked at. */
export function pinThisProcess(core: number): void {
  const pin = () => execFileSync('taskset', ['-a', '-c', '-p', String(core), String(process.pid)], { stdio: 'ignore' })
  if (canPin && ![1, 2, 3].some(() => succeeds(pin))) throw new Error(`This process cannot be pinned to core ${core}.`)
}

/** @returns a function that tells which share of the time each core was busy since. */
export function watchCores(): () => number[] {
  const read = () => cpus().map(({ times }) => ({ idle: times.idle, all: times.user + times.nice + times.sys + times.irq + times.idle }))
  const before = read()
  return () => read().map(({ idle, all }, core) => 1 - (idle - before[core]!.idle) / Math.max(1, all - before[core]!.all))
}

function succeeds(attempt: () => unknown): boolean {
  try {
    attempt()
    return true
  } catch {
    return false
  }
}
