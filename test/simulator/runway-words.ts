/** How the simulated Runway misbehaves: refusals and lost answers of a create, and what becomes of a task. */
import type { ServerResponse } from 'node:http'
import { sendJson } from './answers.ts'
import { LOSSES, type Loss } from './misbehaviour.ts'

/** Answers that mean no task. */
export const REFUSALS = ['rate-limit', 'rate-limit-long', 'quota', 'auth', 'forbidden', 'bad-request', 'bad-model', 'not-found', 'bad-method', 'conflict', 'proxy-conflict', 'too-large', 'server-error', 'proxy-error', 'overloaded', 'gateway-error', 'html', 'no-id', 'bad-id'] as const
export type RunwayRefusal = (typeof REFUSALS)[number]

/** A task is made and billed, but its id does not arrive. */
export const ACCEPTED = ['accept-drop', 'accept-500', 'accept-502', 'accept-cut', 'accept-hang'] as const

/** Where a task ends, with its failure code and the share of its price that is kept. */
export const FAILURES = {
  'safety-input-text': ['SAFETY.INPUT.TEXT', 1],
  'safety-input-image': ['SAFETY.INPUT.IMAGE', 1],
  'safety-input-audio': ['SAFETY.INPUT.AUDIO', 1],
  'safety-output-video': ['SAFETY.OUTPUT.VIDEO', 1],
  'safety-output-image': ['SAFETY.OUTPUT.IMAGE', 1],
  'safety-output-text': ['SAFETY.OUTPUT.TEXT', 1],
  'preprocessing-safety': ['INPUT_PREPROCESSING.SAFETY.TEXT', 1],
  'asset-invalid': ['ASSET.INVALID', 0],
  'preprocessing-internal': ['INPUT_PREPROCESSING.INTERNAL', 0],
  internal: ['INTERNAL', 0],
  'third-party': ['THIRD_PARTY.UNAVAILABLE', 0],
  'bad-output': ['INTERNAL.BAD_OUTPUT.CODE01', 0],
  'null-code': [null, 0],
  'no-code': [undefined, 0],
} as const satisfies Record<string, readonly [code: string | null | undefined, share: number]>

/** Where a task stays or what else is told of it. */
export const TASK = ['pending', 'throttled', 'running', 'cancelled', 'unknown-state', 'forgotten', 'no-cost'] as const
/** What the next look is answered, once. */
export const LOOK = ['check-error', 'check-proxy-error', 'check-overloaded', 'check-gateway-error', 'check-rate-limit', 'check-html', 'check-drop', 'check-cut', 'check-auth', 'check-page-404'] as const

export type RunwayWord = RunwayRefusal | Loss | (typeof ACCEPTED)[number] | keyof typeof FAILURES | (typeof TASK)[number] | (typeof LOOK)[number]

const WORDS: ReadonlySet<string> = new Set([...REFUSALS, ...LOSSES, ...ACCEPTED, ...Object.keys(FAILURES), ...TASK, ...LOOK])
export const isRunwayWord = (word: string): word is RunwayWord => WORDS.has(word)

/** Runway's envelope. */
export const sendRunwayError = (response: ServerResponse, status: number, error: string, issues?: unknown[]): void => sendJson(response, status, { error, ...(issues && { issues, docUrl: 'https://docs.dev.runwayml.com/api' }) })

const page = (response: ServerResponse, status: number): void => void response.writeHead(status, { 'content-type': 'text/html' }).end(`<html><body><h1>${status}</h1></body></html>`)

export function refuseRunway(word: RunwayRefusal, response: ServerResponse): void {
  switch (word) {
    case 'rate-limit': return sendRunwayError(response, 429, 'You have reached your daily task limit.')
    case 'rate-limit-long':
      response.setHeader('retry-after', '3600')
      return sendRunwayError(response, 429, 'Too many requests.')
    case 'quota': return sendRunwayError(response, 400, 'You do not have enough credits to run this task.')
    case 'auth': return sendRunwayError(response, 401, 'Unauthorized: invalid API key.')
    case 'forbidden': return sendRunwayError(response, 403, 'Forbidden.')
    // A text that speaks of credits is not yet an empty account.
    case 'bad-request': return sendRunwayError(response, 400, 'Validation of body failed near "credits"', [{ code: 'custom', path: ['promptText'], message: 'Invalid' }])
    case 'bad-model': return sendRunwayError(response, 400, 'Validation of body failed', [{ code: 'invalid_union_discriminator', path: 'model', message: 'Invalid discriminator value' }])
    case 'not-found': return sendRunwayError(response, 404, 'Not found.')
    case 'bad-method': return sendRunwayError(response, 405, 'Method not allowed.')
    case 'conflict': return sendRunwayError(response, 409, 'Conflict.')
    case 'proxy-conflict': return page(response, 409)
    case 'too-large': return sendRunwayError(response, 413, 'Payload too large.')
    case 'server-error': return sendRunwayError(response, 500, 'An internal error occurred.')
    case 'proxy-error': return page(response, 502)
    case 'overloaded': return sendRunwayError(response, 503, 'Service unavailable.')
    case 'gateway-error': return page(response, 504)
    case 'html': return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>maintenance</html>')
    case 'no-id': return sendJson(response, 200, { estimatedCost: { credits: 1 } })
    case 'bad-id': return sendJson(response, 200, { id: '../organization' })
  }
}
