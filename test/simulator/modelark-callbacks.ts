/** Callbacks of the simulated ModelArk: a POST of the task to its `callback_url` at each change of its status. */
import { setTimeout as sleep } from 'node:timers/promises'
import { endOf, statusOf, type TaskClock, type TaskRecord } from './modelark-tasks.ts'

const TRIES = 4
const ACKNOWLEDGE_MS = 5000
/** How soon the end of a hold is noticed. */
const LOOK_MS = 10

export interface CallbackOptions {
  clock: TaskClock
  toJson: (task: TaskRecord, status: string) => Record<string, unknown>
  /** Ends all of it. */
  signal: AbortSignal
}

/** Tells about a task until it has ended. Best effort: nobody hears of what could not be delivered. */
export async function tellCallback(task: TaskRecord, url: string, { clock, toJson, signal }: CallbackOptions): Promise<void> {
  const reach = async (moment: () => number) => {
    while (moment() > clock.now()) await sleep(Math.min(moment() - clock.now(), LOOK_MS), undefined, { signal, ref: false })
  }
  const isOver = () => ['cancelled', 'deleted'].includes(statusOf(task, clock))
  await post(url, toJson(task, 'queued'), signal)
  await reach(() => clock.course(task.createdAt).startsAt)
  if (isOver()) return
  await post(url, toJson(task, 'running'), signal)
  await reach(() => clock.course(task.createdAt).endsAt)
  if (!isOver()) await post(url, toJson(task, endOf(task)), signal)
}

async function post(url: string, body: unknown, signal: AbortSignal): Promise<void> {
  for (let tries = 0; tries < TRIES && !signal.aborted; tries++) {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.any([signal, AbortSignal.timeout(ACKNOWLEDGE_MS)]),
    }).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.ok) return
  }
}
