import { readFileSync } from 'node:fs'

/** How often to look whether npm is still there: it dies without passing the signal on. */
const CHECK_MS = 500

/**
 * Calls `onGone` when the npm that started this process has died. Between the two there may be a shell, which lives on
 * as an orphan, so the parent's parent is looked at where the system tells it.
 */
export function watchLauncher(onGone: () => void): void {
  if (process.env.npm_lifecycle_event === undefined) return
  const parent = process.ppid
  const grandparent = parentOf(parent)
  setInterval(() => {
    if (process.ppid !== parent || parentOf(parent) !== grandparent) onGone()
  }, CHECK_MS).unref()
}

/** Linux alone has it in a file; elsewhere the direct parent must do. */
function parentOf(pid: number): string | undefined {
  try {
    // "pid (name) state ppid …": the name may hold anything, so the fields are counted behind it.
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1]
  } catch {
    return undefined
  }
}
