/** What the simulated fal can be told to do, by `behave()` or by a word in the prompt: `A cat sim:run-image-load-error`. */

/** The submission is not accepted, or its answer is lost: nothing is made. */
export const UNMADE = ['rate-limit', 'auth', 'forbidden', 'quota', 'no-credit', 'bad-request', 'moderation-at-once', 'not-found', 'server-error', 'proxy-error', 'overloaded', 'gateway-error', 'html', 'redirect', 'drop', 'cut', 'hang'] as const
/** The request is made, and its id is lost. */
export const UNTOLD = ['accept-drop', 'accept-cut', 'accept-500', 'accept-502', 'accept-hang', 'accept-html', 'accept-nonsense'] as const
/** A call about a request goes wrong once: `look-drop-once`, `result-html-once`, `cancel-server-error-once`. */
export const CALLS = ['look', 'result', 'cancel'] as const
export const FAULTS = ['rate-limit', 'auth', 'forbidden', 'quota', 'server-error', 'proxy-error', 'html', 'nonsense', 'drop', 'cut', 'hang'] as const
/** How a run ends beside its errors, and what else becomes of a request. */
export const ENDS = ['nsfw', 'no-output', 'data-url', 'many', 'early', 'status-error', 'status-error-type', 'unknown-state', 'forgotten', 'other-links', 'cancel-late'] as const

/** The errors of a run with their statuses, as the fact sheet lists them; the last one is nobody's. */
export const MODEL_ERRORS = {
  content_policy_violation: 422,
  missing: 422,
  value_error: 422,
  greater_than: 422,
  less_than_equal: 422,
  multiple_of: 422,
  one_of: 422,
  image_too_small: 422,
  image_too_large: 422,
  image_load_error: 422,
  file_download_error: 422,
  file_too_large: 422,
  unsupported_image_format: 422,
  face_detection_error: 422,
  feature_not_supported: 422,
  no_media_generated: 422,
  sequence_too_long: 422,
  downstream_service_error: 400,
  internal_server_error: 500,
  downstream_service_unavailable: 500,
  never_heard_of: 422,
} as const

/** The platform's own, in another shape. */
export const PLATFORM_ERRORS = {
  runner_scheduling_failure: 503,
  runner_connection_timeout: 503,
  runner_disconnected: 503,
  runner_connection_refused: 503,
  request_timeout: 504,
  startup_timeout: 504,
  generation_timeout: 504,
} as const

export type ModelError = keyof typeof MODEL_ERRORS
export type PlatformError = keyof typeof PLATFORM_ERRORS
export type FalBehaviour =
  | (typeof UNMADE)[number]
  | (typeof UNTOLD)[number]
  | (typeof ENDS)[number]
  | `${(typeof CALLS)[number]}-${(typeof FAULTS)[number]}-once`
  | `run-${ModelError | PlatformError | 'text' | 'text-500' | 'retryable' | 'final' | 'behind-retryable' | 'user-timeout'}`
  | 'ok'
