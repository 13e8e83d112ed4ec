/**
 * Every failure that a caller may see, as one list: the stable code, its HTTP status, and whether trying the same
 * again later makes sense. The API answers with the code; programs branch on it, people read the sentence.
 */
export const errorCodes = {
  /** Not a failure: the work goes on behind an answer that could not wait. */
  still_running: 202,
  invalid_request: 400,
  unauthenticated: 401,
  signature_invalid: 401,
  signature_expired: 401,
  signature_replayed: 401,
  content_mismatch: 401,
  forbidden: 403,
  csrf_token_invalid: 403,
  insufficient_scope: 403,
  not_found: 404,
  method_not_allowed: 405,
  /** The client stopped in the middle of its request. */
  request_incomplete: 408,
  conflict: 409,
  payload_too_large: 413,
  unsupported_media_type: 415,
  range_not_satisfiable: 416,
  content_refused: 422,
  idempotency_mismatch: 422,
  rate_limited: 429,
  too_many_open: 429,
  quota_reached: 429,
  budget_reached: 429,
  provider_rate_limited: 429,
  provider_quota_reached: 429,
  internal_error: 500,
  provider_failed: 502,
  model_unavailable: 502,
  submission_unknown: 502,
  operation_lost: 502,
  output_invalid: 502,
  output_too_large: 502,
  output_expired: 502,
  output_unavailable: 502,
  provider_misconfigured: 503,
  not_configured: 503,
  database_unavailable: 503,
  storage_unavailable: 503,
  auth_unavailable: 503,
  shutting_down: 503,
  request_timeout: 503,
  provider_timeout: 504,
  operation_expired: 504,
} as const satisfies Record<string, number>

export type ErrorCode = keyof typeof errorCodes

export interface ErrorDetail {
  /** The field's path in the request, `''` for the body itself. */
  path: string
  message: string
}

export interface AppErrorOptions {
  cause?: unknown
  details?: ErrorDetail[]
  /** Seconds after which the caller may try again. */
  retryAfterSeconds?: number
  /** The generation that the error is about, so that the caller can look for it later. */
  generationId?: string
}

/** An error whose message is written for the caller. Anything else is answered dully as `internal_error`. */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly status: number
  /** Koa's word for "the message may be shown". */
  readonly expose = true
  readonly details: ErrorDetail[] | undefined
  readonly retryAfterSeconds: number | undefined
  readonly generationId: string | undefined

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.name = 'AppError'
    this.code = code
    this.status = errorCodes[code]
    this.details = options.details
    this.retryAfterSeconds = options.retryAfterSeconds
    this.generationId = options.generationId
  }
}

/**
 * What a failed call to a provider did to the bill: `unknown` is never repeated. Of a paid call, `no` needs a proof: it was
 * never sent, the vendor answered a 4xx (but 408, 409 and 499), or, where it answers with the result itself, a 5xx in its own
 * words. A redirect, a 5xx of something in between or of a vendor that gives operations, no answer, a cut or unreadable one:
 * `unknown`, as `submission_unknown`. A look, a list and a cancel cost nothing.
 */
export type Charged = 'yes' | 'no' | 'unknown'

export interface ProviderErrorOptions {
  provider: string
  isRetryable?: boolean
  charged: Charged
  /** The vendor's HTTP status, where it answered. */
  statusCode?: number | undefined
  /** The vendor's own id of the request, for its support. */
  providerRequestId?: string | undefined
  retryAfterSeconds?: number | undefined
  cause?: unknown
}

/** A vendor's failure in our words; the vendor's text stays in `cause`, which only the log sees. */
export class ProviderError extends AppError {
  readonly provider: string
  readonly isRetryable: boolean
  readonly charged: Charged
  readonly statusCode: number | undefined
  readonly providerRequestId: string | undefined

  constructor(code: ErrorCode, message: string, options: ProviderErrorOptions) {
    super(code, message, { cause: options.cause, ...(options.retryAfterSeconds !== undefined && { retryAfterSeconds: options.retryAfterSeconds }) })
    this.name = 'ProviderError'
    this.provider = options.provider
    this.isRetryable = options.isRetryable ?? false
    this.charged = options.charged
    this.statusCode = options.statusCode
    this.providerRequestId = options.providerRequestId
  }
}
