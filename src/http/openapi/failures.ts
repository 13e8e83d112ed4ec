/** What each error code means, and the answers that carry it. */
import { errorCodes, type ErrorCode } from '../../errors.ts'
import { ref, type JsonSchema } from './schemas.ts'

const MEANINGS: Record<ErrorCode, string> = {
  still_running: 'It takes longer than a request may wait. The work goes on.',
  invalid_request: 'Something in the request is wrong; `details` names each field.',
  unauthenticated: 'There is no access token or API key, or one that is not valid.',
  signature_invalid: 'The signature does not fit the request and the key.',
  signature_expired: 'The request was signed too long ago, or by a clock that goes wrong.',
  signature_replayed: 'The signed request was received before.',
  content_mismatch: 'The body is not the one that was signed.',
  forbidden: 'It is another user’s, or not for keys, or an address that may not be reached.',
  csrf_token_invalid: 'With a session in cookies, `X-CSRF-Token` is missing or over.',
  insufficient_scope: 'The API key lacks the scope for it.',
  not_found: 'There is no such thing of yours.',
  method_not_allowed: 'The path knows other methods.',
  request_incomplete: 'The request did not arrive as a whole.',
  conflict: 'It was cancelled, has ended, or there are too many of them.',
  payload_too_large: 'The body, or a file of it, is too large.',
  unsupported_media_type: 'The body, or a file of it, is of another type.',
  range_not_satisfiable: 'The file has no such part.',
  content_refused: 'The provider refused the content. Another wording may pass.',
  idempotency_mismatch: 'The `Idempotency-Key` was used for another request.',
  rate_limited: 'This service limits how much one may ask at once.',
  too_many_open: 'You have as many generations open as one may.',
  quota_reached: 'There is no room left in your storage for what may be made.',
  budget_reached: 'It would cost more than what is left of your budget for this month.',
  provider_rate_limited: 'The provider is busy. Nothing was charged.',
  provider_quota_reached: 'The account with the provider has reached a limit.',
  internal_error: 'A fault of this service’s own.',
  provider_failed: 'The provider failed.',
  model_unavailable: 'The provider does not have the model any more.',
  submission_unknown: 'The provider’s answer was lost. The work may be paid, so it was not asked for again.',
  operation_lost: 'The provider does not know the work any more.',
  output_invalid: 'The provider sent something that cannot be stored.',
  output_too_large: 'The provider’s file is larger than what is stored here.',
  output_expired: 'The provider’s link died before the file was stored.',
  output_unavailable: 'The provider’s file cannot be fetched yet. Storing is tried again.',
  provider_misconfigured: 'The provider does not accept this service’s key.',
  not_configured: 'This service has no key for the provider.',
  database_unavailable: 'The database does not answer.',
  storage_unavailable: 'The storage does not answer. Storing is tried again.',
  auth_unavailable: 'The sign-in cannot be checked now.',
  shutting_down: 'The service restarts. The work goes on.',
  request_timeout: 'The request took too long.',
  provider_timeout: 'The provider did not answer in time.',
  operation_expired: 'The provider did not finish in time.',
}

/** Every code, as a table in Markdown. */
export const CODES = ['| code | status | meaning |', '|---|---|---|', ...(Object.entries(errorCodes) as [ErrorCode, number][]).map(([code, status]) => `| \`${code}\` | ${status} | ${MEANINGS[code]} |`)].join('\n')

const STATUSES: Record<number, string> = {
  400: 'Bad request', 401: 'Not signed in', 403: 'Not yours', 404: 'Not found', 405: 'Another method', 408: 'Incomplete', 409: 'Conflict', 413: 'Too large', 415: 'Another type', 416: 'Another part',
  422: 'Refused', 429: 'Too much', 500: 'Our fault', 502: 'The provider failed', 503: 'Not available now', 504: 'The provider was too slow',
}

/** What any route may answer. */
const ALWAYS: ErrorCode[] = ['internal_error', 'request_timeout']
export const SIGNED_IN: ErrorCode[] = ['unauthenticated', 'auth_unavailable', 'rate_limited', 'database_unavailable', 'not_configured']
/** For API keys, beside that. */
export const BY_KEY: ErrorCode[] = ['signature_invalid', 'signature_expired', 'signature_replayed', 'insufficient_scope', 'forbidden', 'csrf_token_invalid']
export const BODY: ErrorCode[] = ['invalid_request', 'payload_too_large', 'unsupported_media_type', 'request_incomplete']
/** What a generation may end with, and what is wrong with asking for one. */
export const GENERATING: ErrorCode[] = [
  ...SIGNED_IN, ...BY_KEY, ...BODY, 'content_mismatch', 'not_found', 'conflict', 'content_refused', 'idempotency_mismatch', 'too_many_open', 'quota_reached', 'budget_reached', 'provider_rate_limited', 'provider_quota_reached', 'provider_failed',
  'model_unavailable', 'submission_unknown', 'operation_lost', 'output_invalid', 'output_too_large', 'output_expired', 'output_unavailable', 'provider_misconfigured', 'storage_unavailable', 'shutting_down', 'provider_timeout', 'operation_expired',
]

/** The answers of a route that may fail with these codes, by status. */
export function toFailures(codes: readonly ErrorCode[]): Record<string, JsonSchema> {
  const byStatus = Object.groupBy(new Set([...codes, ...ALWAYS]), (code) => errorCodes[code])
  return Object.fromEntries(Object.entries(byStatus).map(([status, group]) => [status, toFailure(Number(status), group)]))
}

function toFailure(status: number, codes: ErrorCode[]): JsonSchema {
  const list = codes.map((code) => `- \`${code}\`: ${MEANINGS[code]}`).join('\n')
  return {
    description: `${STATUSES[status]}\n\n${list}`,
    headers: {
      'X-Request-Id': { $ref: '#/components/headers/RequestId' },
      ...((status === 429 || status === 503) && { 'Retry-After': { $ref: '#/components/headers/RetryAfter' } }),
      ...(status === 401 && { 'WWW-Authenticate': { $ref: '#/components/headers/Authenticate' } }),
    },
    content: {
      'application/json': {
        schema: { allOf: [ref('Error'), { properties: { code: { enum: codes } } }] },
        example: { error: `${MEANINGS[codes[0]!].replaceAll('`', '')}`, code: codes[0], requestId: 'req_Zk3fW0c1pQ7xH2aB', ...(codes[0] === 'invalid_request' && { details: [{ path: 'size', message: 'must look like 1024x1024' }] }) },
      },
    },
  }
}
