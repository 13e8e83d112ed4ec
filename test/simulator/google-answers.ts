/** Google's error envelope, and every answer that means no: nothing is made and nothing is billed. */
import type { ServerResponse } from 'node:http'
import { sendJson } from './answers.ts'

const TYPE = 'type.googleapis.com/google.rpc.'

/** @param details their types are written out here. */
export function sendGoogleError(response: ServerResponse, status: number, word: string, message: string, details: Record<string, unknown>[] = []): void {
  sendJson(response, status, { error: { code: status, message: `${message} (vendor text)`, status: word, ...(details.length > 0 && { details }) } })
}

/** The Interactions API has words of its own, in small letters and without a status. */
export function sendInteractionError(response: ServerResponse, status: number, code: string, message: string): void {
  sendJson(response, status, { error: { message: `${message} (vendor text)`, code } })
}

const sendHtml = (response: ServerResponse, status: number, text: string) => void response.writeHead(status, { 'content-type': 'text/html' }).end(`<html><body><h1>${text}</h1></body></html>`)

const INVALID_KEY = { '@type': `${TYPE}ErrorInfo`, reason: 'API_KEY_INVALID', domain: 'googleapis.com', metadata: { service: 'generativelanguage.googleapis.com' } }
const quota = (quotaId: string) => ({ '@type': `${TYPE}QuotaFailure`, violations: [{ quotaMetric: 'generativelanguage.googleapis.com/generate_requests', quotaId }] })
const retry = (retryDelay: string) => ({ '@type': `${TYPE}RetryInfo`, retryDelay })

export const GOOGLE_REFUSALS = {
  auth: (response) => sendGoogleError(response, 400, 'INVALID_ARGUMENT', 'API key not valid. Please pass a valid API key.', [INVALID_KEY]),
  'auth-list': (response) => sendJson(response, 400, [{ error: { code: 400, message: 'API key not valid.', status: 'INVALID_ARGUMENT', details: [INVALID_KEY] } }]),
  'bad-request': (response) => sendGoogleError(response, 400, 'INVALID_ARGUMENT', 'Request contains an invalid argument.'),
  'bad-interaction': (response) => sendInteractionError(response, 400, 'invalid_request', 'Invalid value at response_format.duration'),
  billing: (response) => sendGoogleError(response, 400, 'FAILED_PRECONDITION', 'User location is not supported for the API use.'),
  'input-safety': (response) => sendInteractionError(response, 400, 'prohibited_content', 'The input was blocked.'),
  unauthenticated: (response) => sendGoogleError(response, 401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.'),
  quota: (response) => sendGoogleError(response, 402, 'RESOURCE_EXHAUSTED', 'Your prepaid credits are depleted.'),
  forbidden: (response) => sendGoogleError(response, 403, 'PERMISSION_DENIED', 'The caller does not have permission.'),
  'not-found': (response) => sendGoogleError(response, 404, 'NOT_FOUND', 'models/x is not found for API version v1beta.'),
  'too-large': (response) => sendHtml(response, 413, 'Request Entity Too Large'),
  'proxy-conflict': (response) => sendHtml(response, 409, 'conflict'),
  'own-conflict': (response) => sendGoogleError(response, 409, 'ABORTED', 'The operation was aborted.'),
  'rate-limit': (response) => sendGoogleError(response, 429, 'RESOURCE_EXHAUSTED', 'You exceeded your current quota.', [quota('GenerateRequestsPerMinutePerProjectPerModel'), retry('21s')]),
  'rate-limit-fraction': (response) => sendGoogleError(response, 429, 'RESOURCE_EXHAUSTED', 'You exceeded your current quota.', [retry('1.2s')]),
  'rate-limit-header': (response) => sendGoogleError(response.setHeader('retry-after', '7'), 429, 'RESOURCE_EXHAUSTED', 'Slow down.'),
  'rate-limit-bare': (response) => sendHtml(response, 429, 'Too Many Requests'),
  'daily-quota': (response) => sendGoogleError(response, 429, 'RESOURCE_EXHAUSTED', 'You exceeded your current quota.', [quota('GenerateRequestsPerDayPerProjectPerModel-FreeTier'), retry('40s')]),
  'server-error': (response) => sendGoogleError(response, 500, 'INTERNAL', 'An internal error has occurred.'),
  overloaded: (response) => sendGoogleError(response, 503, 'UNAVAILABLE', 'The model is overloaded.'),
  deadline: (response) => sendGoogleError(response, 504, 'DEADLINE_EXCEEDED', 'Deadline expired before operation could complete.'),
  'server-html': (response) => sendHtml(response, 500, 'Error 500 (Server Error)!!1'),
  'proxy-error': (response) => sendHtml(response, 502, '502 Bad Gateway'),
  'gateway-error': (response) => sendHtml(response, 504, '504 Gateway Time-out'),
  'gateway-json': (response) => sendJson(response, 504, { error: { message: 'upstream timed out', code: '504' } }),
  timeout: (response) => sendHtml(response, 408, 'Request Timeout'),
  redirect: (response) => void response.writeHead(307, { location: 'https://stranger.example.com/collect' }).end(),
} satisfies Record<string, (response: ServerResponse) => void>

export type GoogleRefusal = keyof typeof GOOGLE_REFUSALS

export const isGoogleRefusal = (word: string): word is GoogleRefusal => word in GOOGLE_REFUSALS

/** Answers that get lost although what was asked for was made. */
export const GOOGLE_LOSSES = ['drop', 'cut', 'hang', 'html'] as const
export type GoogleLoss = (typeof GOOGLE_LOSSES)[number]

export function loseAnswer(loss: GoogleLoss, response: ServerResponse, beginning: string): void {
  switch (loss) {
    case 'drop': return void response.destroy()
    case 'html': return sendHtml(response, 200, 'maintenance')
    case 'cut':
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 4000 })
      return void response.write(beginning, () => response.destroy())
    case 'hang':
  }
}
