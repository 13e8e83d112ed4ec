/** What the simulated Replicate can be told to do, by `behave()` or by a word in the prompt: `A cat sim:accept-drop`. */

/** The create is not accepted, or its answer is lost: nothing is made. */
export const UNMADE = ['rate-limit', 'rate-limit-text', 'auth', 'quota', 'forbidden', 'not-found', 'bad-request', 'bad-version', 'too-large', 'server-error', 'proxy-error', 'overloaded', 'gateway-error', 'html', 'redirect', 'drop', 'cut', 'hang'] as const
/** The prediction is made, and its id is lost. */
export const UNTOLD = ['accept-drop', 'accept-cut', 'accept-500', 'accept-502', 'accept-hang', 'accept-html', 'accept-nonsense'] as const
/** A call about a prediction goes wrong once: `look-drop-once`, `list-html-once`, `cancel-server-error-once`. */
export const CALLS = ['look', 'list', 'cancel', 'upload'] as const
export const FAULTS = ['rate-limit', 'auth', 'quota', 'forbidden', 'server-error', 'proxy-error', 'html', 'nonsense', 'too-large', 'drop', 'cut', 'hang'] as const
/** How a run that fails tells its reason, in words alone. */
export const RUN_ERRORS = {
  'run-nsfw': 'NSFW content detected. Try running it again, or try a different prompt.',
  'run-sensitive': 'The input or output was flagged as sensitive. Please try again with different inputs. (E005) (aBcDeFgHiJ)',
  'run-sensitive-code': 'Prediction failed. (E005)',
  'run-policy': 'Your request was blocked by our content policy.',
  'run-busy': 'Service is temporarily at capacity (E003)',
  'run-unavailable': 'Service is currently unavailable due to high demand. Please try again later. (E004)',
  'run-input': 'The input was invalid (E006)',
  'run-input-text': 'Invalid input: the image has no pixels',
  'run-code': 'Something unexpected happened (E9243)',
  'run-text': 'CUDA out of memory. Tried to allocate 20.00 MiB',
} as const
/** How a prediction ends otherwise, what its output looks like, and what else becomes of it. */
export const ENDS = ['run-silent', 'canceled', 'aborted', 'deadline-running', 'deadline-waiting', 'unknown-state', 'forgotten', 'removed', 'no-output', 'text-output', 'object-output', 'data-url', 'begins-when-cancelled', 'unlisted', 'untold-deadline', 'untold-input'] as const

export type ReplicateBehaviour =
  | (typeof UNMADE)[number]
  | (typeof UNTOLD)[number]
  | keyof typeof RUN_ERRORS
  | (typeof ENDS)[number]
  | `${(typeof CALLS)[number]}-${(typeof FAULTS)[number]}-once`
  | 'ok'
