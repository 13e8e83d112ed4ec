/** The words that make video tasks misbehave. Several may be given to one task; what none asks for goes well. */
import { isNamedError, LOSSES, REFUSALS, type NamedError } from './misbehaviour.ts'

/** The create call is refused, or its answer lost, and no task is made. `queue-full` is a quota too. */
export const UNMADE = [...REFUSALS, ...LOSSES, 'queue-full'] as const

/** The task is made, and billed in time, but its id never arrives. `accept-twice` makes two that are alike. */
export const UNTOLD = ['accept-drop', 'accept-cut', 'accept-500', 'accept-502', 'accept-hang', 'accept-twice'] as const

/** The list call fails once, or leaves the task out twice. Since nobody lists without need, these lose the create's answer too. */
export const LIST = ['list-error-once', 'list-rate-limit-once', 'unlisted-at-first'] as const

/** How the task goes on, and how asking for it goes wrong the first time. */
export const TASK = ['task-failed', 'task-failed-internal', 'task-expired', 'task-cancelled', 'task-unknown-status', 'task-forgotten', 'task-no-url', 'task-duration-string', 'check-error-once', 'check-rate-limit-once', 'check-hang-once', 'check-html-once', 'check-drop-once', 'check-proxy-error-once'] as const

/** What the file does. Those with `once` do it for the first that asks. */
export const FILE = ['file-html', 'file-wrong-type', 'file-huge', 'file-endless', 'file-inward', 'file-redirect-inward', 'file-redirect-loop', 'file-expired', 'file-cut', 'file-cut-once', 'file-truncated', 'file-error-once', 'file-hang', 'file-hang-once'] as const

const WORDS = [...UNMADE, ...UNTOLD, ...LIST, ...TASK, ...FILE] as const
/** The task fails with an error of any code: `task-error-OutputVideoSensitiveContentDetected`. */
export type TaskError = `task-error-${string}`
export type VideoBehaviour = (typeof WORDS)[number] | NamedError | TaskError

const known: ReadonlySet<string> = new Set(WORDS)
export const isTaskError = (word: string): word is TaskError => word.startsWith('task-error-')
export const isVideoBehaviour = (word: string): word is VideoBehaviour => known.has(word) || isNamedError(word) || isTaskError(word)
