/** The outermost layer: an id for every request, one log line, and one shape for every failure. */
import { randomBytes } from 'node:crypto'
import Koa, { HttpError, type Context, type Middleware } from 'koa'
import { AppError, errorCodes, type ErrorCode } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { AuthenticatedUser } from './authenticated-user.ts'
import { matchedRoutes } from './matched-routes.ts'

/** What callers may send as their own id: enough for UUIDs and trace ids, nothing that could forge a log line. */
const REQUEST_ID = /^[A-Za-z0-9._-]{8,128}$/

/** nginx's word for a client that hung up before the answer; only the log sees it. */
const CLIENT_CLOSED_REQUEST = 499

export interface ErrorBody {
  error: string
  code: ErrorCode
  requestId: string
  details?: AppError['details']
  generationId?: string
}

/** Of the end of an answer: both logs, uploads, whoever waits, and the five of a pipeline. Node warns from the eleventh on. */
const MAX_LISTENERS = 20

type RequestMetrics = Pick<Metrics, 'httpRequest' | 'limitHit'>

/** Sets `ctx.state.requestId` and answers whatever is thrown further in. */
export function requestContext(logger: Logger, metrics?: RequestMetrics): Middleware {
  return async (ctx, next) => {
    const startedAt = performance.now()
    ctx.res.setMaxListeners(MAX_LISTENERS)
    const given = ctx.get('X-Request-Id')
    const requestId = REQUEST_ID.test(given) ? given : `req_${randomBytes(12).toString('base64url')}`
    ctx.state.requestId = requestId
    ctx.set('X-Request-Id', requestId)
    try {
      await next()
      // The router has set the status and the Allow header.
      if ((ctx.status === 405 || ctx.status === 501) && !ctx.body) throw new AppError('method_not_allowed', `${ctx.method} is not allowed here. The Allow header names what is.`)
      if (ctx.status === 404 && !ctx.body) throw new AppError('not_found', `There is nothing at ${ctx.method} ${ctx.path.slice(0, 200)}.`)
    } catch (error) {
      const failure = toAppError(error)
      ctx.state.failure = failure
      answerFailure(ctx, failure)
    }
    onceSent(ctx, () => {
      const durationMs = performance.now() - startedAt
      logRequest(logger, ctx, { requestId, durationMs })
      if (metrics) measureRequest(metrics, ctx, durationMs)
    })
  }
}

export function toErrorBody(failure: AppError, ctx: Context): ErrorBody {
  return {
    error: failure.message,
    code: failure.code,
    requestId: ctx.state.requestId as string,
    ...(failure.details && { details: failure.details }),
    ...(failure.generationId !== undefined && { generationId: failure.generationId }),
  }
}

function answerFailure(ctx: Context, failure: AppError): void {
  ctx.status = failure.status
  ctx.body = toErrorBody(failure, ctx)
  if (failure.status === 401) ctx.set('WWW-Authenticate', 'Bearer')
  if (failure.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(failure.retryAfterSeconds))
}

/** Errors of Koa, its router and its body parser carry a status and are told; anything else is ours to be ashamed of. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error
  const status = statusOf(error)
  const code = BY_STATUS[status] ?? (status >= 400 && status < 500 ? 'invalid_request' : 'internal_error')
  return new AppError(code, SENTENCES[code] ?? 'Something went wrong inside the service. Try again, and tell us the request id if it stays.', { cause: error })
}

const BY_STATUS: Record<number, ErrorCode> = {
  400: 'invalid_request',
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not_found',
  413: 'payload_too_large',
  415: 'unsupported_media_type',
}

const SENTENCES: Partial<Record<ErrorCode, string>> = {
  invalid_request: 'The request could not be read. Check that its body is valid JSON.',
  payload_too_large: 'The request is too large.',
  unsupported_media_type: 'The body must be application/json, without compression or with gzip, deflate or br.',
}

function statusOf(error: unknown): number {
  if (error instanceof HttpError) return error.status
  if (!(error instanceof Error)) return 500
  // The body parser's own errors: a broken compressed body has only zlib's code, or Brotli's.
  if ('code' in error && typeof error.code === 'string' && /^(Z_|ERR__ERROR_FORMAT_|ERR_INVALID_URL$)/.test(error.code)) return 400
  return 'status' in error && typeof error.status === 'number' ? error.status : 500
}

/** Runs when the answer was sent or the client is gone, whichever comes first. */
export function onceSent(ctx: Context, log: () => void): void {
  if (ctx.res.writableFinished || ctx.res.destroyed) log()
  else ctx.res.once('close', log)
}

/** The pattern, not the path: paths of strangers are not worth remembering, may hold secrets, and may not even parse. */
export const routeOf = (ctx: Context): string => matchedRoutes(ctx).at(-1) ?? 'none'

/** The status as the log knows it, once the answer was sent or the client is gone. */
export const sentStatus = (ctx: Context): number => (ctx.res.writableFinished ? ctx.status : CLIENT_CLOSED_REQUEST)

/** An answer that began early counts as what it said in the end. */
function statusClassOf(ctx: Context): string {
  const { status } = (ctx.state.failure as AppError | undefined) ?? ctx
  return ctx.res.writableFinished ? `${Math.floor(status / 100)}xx` : 'aborted'
}

/** Limits of this service; a provider's own are its business. */
const LIMIT_CODES: readonly ErrorCode[] = ['rate_limited', 'too_many_open', 'quota_reached', 'budget_reached']

function measureRequest(metrics: RequestMetrics, ctx: Context, durationMs: number): void {
  metrics.httpRequest({ method: ctx.method, route: routeOf(ctx), status: statusClassOf(ctx), seconds: durationMs / 1000 })
  const failure = ctx.state.failure as AppError | undefined
  if (failure && LIMIT_CODES.includes(failure.code)) metrics.limitHit((ctx.state.limit as string | undefined) ?? failure.code)
}

/** What machines ask every few seconds. */
const QUIET_ROUTES = /^\/(health|metrics)/

function logRequest(logger: Logger, ctx: Context, { requestId, durationMs }: { requestId: string; durationMs: number }): void {
  // An answer that began early fails in its body, after the status was sent.
  const failure = ctx.state.failure as AppError | undefined
  const route = routeOf(ctx)
  const line = {
    requestId,
    method: ctx.method,
    route,
    status: sentStatus(ctx),
    durationMs: Math.round(durationMs * 10) / 10,
    ip: ctx.ip,
    ...toLoggedUser(ctx.state.user as Partial<AuthenticatedUser> | undefined),
    ...(ctx.state.generationId !== undefined && { generationId: ctx.state.generationId as string }),
    ...(failure && { code: failure.code }),
  }
  if (failure && errorCodes[failure.code] >= 500) logger.error({ ...line, err: failure }, 'request')
  else if (QUIET_ROUTES.test(route)) logger.debug(line, 'request')
  else logger.info(line, 'request')
}

/** Whose request it was, and which key made it. */
const toLoggedUser = (user: Partial<AuthenticatedUser> | undefined) => user && { userId: user.id, ...(user.keyId !== undefined && { keyId: user.keyId }) }

/** Errors after the headers were sent: mostly clients that hang up in the middle of an answer. */
export function logLateErrors(app: Koa, logger: Logger): void {
  app.on('error', (error: Error & { code?: string }, ctx?: Context) => {
    // The request's own line tells it.
    if (ctx?.state.failure === error) return
    if (error.code === 'ERR_STREAM_PREMATURE_CLOSE' || error.code === 'ECONNRESET' || error.code === 'EPIPE') logger.debug({ err: error }, 'a client hung up')
    else logger.error({ err: error }, 'an answer could not be sent')
  })
}
