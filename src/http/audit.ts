/** A row of the audit log for every call of the API, once it was answered or given up. */
import type { Context, Middleware } from 'koa'
import type { Audit } from '../audit/audit.ts'
import type { AuditEntry } from '../audit/audit-row.ts'
import { toPayload, type UploadNote } from '../audit/payload.ts'
import type { AppError, ErrorCode } from '../errors.ts'
import { RefusedLinkError } from '../media/refused-link.ts'
import type { AuthenticatedUser } from './authenticated-user.ts'
import { onceSent, routeOf, sentStatus } from './request-context.ts'

/** The target as it arrived, which may not even parse. */
const API_TARGET = /^(https?:\/\/[^/]*)?\/(api|oauth)([/?]|$)/

/** Refusals that somebody should look at. */
const SECURITY_EVENTS: Partial<Record<ErrorCode, string>> = {
  unauthenticated: 'token_refused',
  signature_invalid: 'signature_refused',
  signature_expired: 'signature_refused',
  content_mismatch: 'signature_refused',
  signature_replayed: 'replay_refused',
  forbidden: 'access_refused',
  csrf_token_invalid: 'csrf_refused',
  insufficient_scope: 'access_refused',
}

/** Stands outside of whatever answers failures. */
export function auditRequests(audit: Audit): Middleware {
  return async (ctx, next) => {
    if (!API_TARGET.test(ctx.req.url ?? '')) return await next()
    const startedAt = performance.now()
    const { socket } = ctx.req
    const bytesBefore = socket.bytesWritten
    // A socket forgets its address when it ends; Koa remembers it.
    void ctx.ip
    ctx.state.keepsUploadNotes = audit.keepsPayloads
    await next()
    onceSent(ctx, () => audit.record(() => toEntry(ctx, { startedAt, responseBytes: socket.bytesWritten - bytesBefore, maxPayloadBytes: audit.maxPayloadBytes })))
  }
}

function toEntry(ctx: Context, { startedAt, responseBytes, maxPayloadBytes }: { startedAt: number; responseBytes: number; maxPayloadBytes: number }): AuditEntry {
  const failure = ctx.state.failure as AppError | undefined
  const user = ctx.state.user as AuthenticatedUser | undefined
  const event = eventOf(ctx, failure)
  return {
    startedAt,
    latencyMs: performance.now() - startedAt,
    requestId: ctx.state.requestId as string | undefined,
    userId: user?.id,
    authMethod: user?.method,
    apiKeyId: user?.keyId,
    ip: ctx.ip,
    method: ctx.method,
    route: routeOf(ctx),
    status: sentStatus(ctx),
    errorCode: failure?.code,
    requestBytes: requestBytes(ctx),
    responseBytes,
    generationId: ctx.state.generationId as string | undefined,
    // Our own sentence: it names no token.
    ...(event !== undefined && { event, reason: failure?.message }),
    payload: payloadOf(ctx, maxPayloadBytes),
  }
}

function eventOf(ctx: Context, failure: AppError | undefined): string | undefined {
  if (failure && failure.status < 500 && routeOf(ctx).startsWith('/api/callbacks/')) return 'callback_refused'
  if (failure instanceof RefusedLinkError) return 'address_refused'
  return failure && SECURITY_EVENTS[failure.code]
}

function requestBytes(ctx: Context): number | undefined {
  const announced = ctx.get('Content-Length')
  if (/^\d{1,15}$/.test(announced)) return Number(announced)
  const { rawBody } = ctx.request as { rawBody?: string }
  return rawBody === undefined ? undefined : Buffer.byteLength(rawBody)
}

function payloadOf(ctx: Context, maxBytes: number): (() => Buffer) | undefined {
  const body: unknown = ctx.request.body
  const uploads = (ctx.state.uploadNotes ?? []) as UploadNote[]
  // What was refused made nothing, and whoever sends it again and again must not fill the log.
  if (sentStatus(ctx) === 429) return undefined
  const isEmpty = typeof body !== 'object' || body === null || Object.keys(body).length === 0
  return isEmpty && uploads.length === 0 ? undefined : () => toPayload(body, uploads, maxBytes)
}
