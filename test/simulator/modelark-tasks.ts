/** A simulated video task: what is remembered of it, how it ages, and how ModelArk describes it. */
import type { VideoOrder } from './modelark-video-rules.ts'
import { isTaskError, type VideoBehaviour } from './modelark-video-words.ts'

export interface SimulatedTask {
  id: string
  /** The create call's body. */
  body: Record<string, unknown>
  /** The text of its content. */
  prompt: string
  /** The first frame, byte for byte, where it came as bytes; a link is not fetched. */
  picture?: Buffer
  /** Every picture that came as bytes. */
  pictures: Buffer[]
  /** What 1.x would have cut from the end of the prompt and taken for options: ` --` and all that follows. */
  parsedSuffix?: string
  /** In milliseconds since 1970. */
  createdAt: number
  seed: number
  behaviours: ReadonlySet<VideoBehaviour>
  /** How often it was asked for by its id, whatever was answered. */
  checks: number
  /** How often its file was asked for. */
  fetches: number
  /** ModelArk's word, or `deleted` for a record that was. */
  status(): string
}

/** A task with what only the simulator needs to know. */
export interface TaskRecord extends SimulatedTask {
  order: VideoOrder
  cancelledAt?: number
  deleted: boolean
  /** How often its description was answered. */
  looks: number
  /** How many lists left it out. */
  unlisted: number
  /** The behaviours that happen once, and have. */
  spent: Set<VideoBehaviour>
}

/** Tasks age by the clock, read when they are looked at: however many are in flight, none needs a timer. */
export interface TaskClock {
  now(): number
  /** Keeps what is in this status, or comes into it, there until the returned function is called. */
  hold(status: 'queued' | 'running'): () => void
  /** When a task of that birth leaves its queue and when it ends; Infinity while that is held up. */
  course(createdAt: number): { startsAt: number; endsAt: number }
}

export function createTaskClock(queuedMs: number, runningMs: number): TaskClock {
  const holds: { status: string; from: number; to: number }[] = []
  const now = () => Date.now()
  /** The moment at which a change that was due really happens. */
  const afterHolds = (status: string, due: number) => holds.reduce((at, hold) => (hold.status === status && at >= hold.from && at < hold.to ? hold.to : at), due)
  return {
    now,
    hold(status) {
      const hold = { status, from: now(), to: Infinity }
      holds.push(hold)
      return () => void (hold.to = Math.min(hold.to, now()))
    },
    course(createdAt) {
      const startsAt = afterHolds('queued', createdAt + queuedMs)
      return { startsAt, endsAt: afterHolds('running', startsAt + runningMs) }
    },
  }
}

const UNKNOWN_LOOKS = 2

export function statusOf(task: TaskRecord, clock: TaskClock): string {
  if (task.deleted) return 'deleted'
  if (task.behaviours.has('task-unknown-status') && task.looks < UNKNOWN_LOOKS) return 'paused'
  if (task.cancelledAt !== undefined) return 'cancelled'
  const { startsAt, endsAt } = clock.course(task.createdAt)
  const now = clock.now()
  return now < startsAt ? 'queued' : now < endsAt ? 'running' : endOf(task)
}

/** The status in which a task ends when nobody cancels it. */
export function endOf({ behaviours }: SimulatedTask): string {
  if (behaviours.has('task-failed') || behaviours.has('task-failed-internal') || [...behaviours].some(isTaskError)) return 'failed'
  if (behaviours.has('task-expired')) return 'expired'
  return behaviours.has('task-cancelled') ? 'cancelled' : 'succeeded'
}

export interface DescribeOptions {
  clock: TaskClock
  origin: string
  tokens: number
  /** Whether the seed, ratio and the like are told before the task has succeeded. */
  settingsAlways: boolean
}

/** The JSON of a task, as GET, list and callbacks have it. */
export function describe(task: TaskRecord, status: string, { clock, origin, tokens, settingsAlways }: DescribeOptions): Record<string, unknown> {
  const { body, order, behaviours } = task
  const { startsAt, endsAt } = clock.course(task.createdAt)
  const changedAt = task.cancelledAt ?? (status === 'queued' || status === 'paused' ? task.createdAt : status === 'running' ? startsAt : endsAt)
  const succeeded = status === 'succeeded'
  return {
    id: task.id,
    model: order.model,
    status,
    error: status === 'failed' ? toError(behaviours) : null,
    ...(succeeded && { content: toContent(task, origin), usage: { completion_tokens: tokens, total_tokens: tokens } }),
    created_at: Math.floor(task.createdAt / 1000),
    updated_at: Math.floor(changedAt / 1000),
    ...((succeeded || settingsAlways) && {
      seed: task.seed,
      resolution: order.resolution,
      ratio: order.ratio,
      ...(order.frames === undefined ? { duration: behaviours.has('task-duration-string') ? String(order.seconds) : order.seconds } : { frames: order.frames }),
      framespersecond: 24,
    }),
    service_tier: body.service_tier ?? 'default',
    execution_expires_after: body.execution_expires_after ?? 172_800,
    ...(order.generation === '2' && { generate_audio: body.generate_audio ?? true, draft: false, priority: body.priority ?? 0 }),
    ...(body.output_format !== undefined && { output_format: body.output_format }),
    ...(body.safety_identifier !== undefined && { safety_identifier: body.safety_identifier }),
  }
}

function toError(behaviours: ReadonlySet<VideoBehaviour>): { code: string; message: string } {
  const named = [...behaviours].find(isTaskError)
  if (named) return { code: named.slice('task-error-'.length), message: 'vendor words' }
  return behaviours.has('task-failed')
    ? { code: 'OutputVideoSensitiveContentDetected', message: 'The request failed because the output video may contain sensitive information. Request id: 021secretvendorid' }
    : { code: 'InternalServiceError', message: 'The service encountered an unexpected internal error. Request id: 021secretvendorid' }
}

/** What every link must carry: it is the signature that lets one in. */
const SIGNATURE = 'X-Tos-Algorithm=TOS4-HMAC-SHA256&X-Tos-Expires=86400&X-Tos-SignedHeaders=host&X-Tos-Signature=secret-signature'

export function isSigned(url: URL): boolean {
  return url.searchParams.get('X-Tos-Signature') === 'secret-signature'
}

function toContent({ id, body, behaviours }: TaskRecord, origin: string): Record<string, string> {
  if (behaviours.has('task-no-url')) return {}
  return {
    video_url: behaviours.has('file-inward') ? 'http://169.254.169.254/latest/meta-data/' : `${origin}/videos/${id}.mp4?${SIGNATURE}`,
    ...(body.return_last_frame === true && { last_frame_url: `${origin}/videos/${id}.png?${SIGNATURE}` }),
  }
}
