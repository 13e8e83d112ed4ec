/** Replicate's errors, and the answers that come from something else on the way. */
import type { ServerResponse } from 'node:http'
import { sendJson } from './answers.ts'
import { LOSSES, lose, refuse, type Loss } from './misbehaviour.ts'

/** The problem style, with what it was given in its words. */
export function sendProblem(response: ServerResponse, status: number, title: string, detail: string, invalidFields?: string[]): void {
  sendJson(response, status, { type: 'about:blank', title, status, detail, ...(invalidFields && { invalid_fields: invalidFields }) })
}

/** @param echo what a careless vendor repeats. */
export function sendFault(response: ServerResponse, fault: string, echo: string, beginning = '{"id":"'): void {
  if (LOSSES.includes(fault as Loss)) return lose(fault as Loss, response, beginning)
  switch (fault) {
    case 'auth': return sendProblem(response, 401, 'Unauthenticated', `You did not pass a valid authentication token: ${echo}`)
    case 'quota': return sendProblem(response, 402, 'Insufficient credit', 'You have insufficient credit to run this model. Go to https://replicate.com/account/billing to purchase credit.')
    case 'forbidden': return sendJson(response, 403, { detail: 'You do not have permission to perform this action.' })
    case 'not-found': return sendJson(response, 404, { detail: 'The requested resource could not be found.' })
    case 'bad-request': return sendProblem(response, 422, 'Input validation failed', `- input: seed must not be ${echo}\n`, ['seed'])
    case 'bad-version': return sendProblem(response, 422, 'Invalid version or not permitted', 'The specified version does not exist (or perhaps you do not have permission to use it?)')
    case 'too-large': return sendProblem(response, 413, 'Content Too Large', 'The file is too large.')
    case 'rate-limit':
      response.setHeader('retry-after', '7')
      return sendJson(response, 429, { detail: 'Request was throttled. Your rate limit resets in ~30s.' })
    case 'rate-limit-text': return sendJson(response, 429, { detail: 'Request was throttled. Your rate limit resets in ~30s.' })
    case 'server-error': return sendJson(response, 500, { detail: 'Internal server error' })
    case 'overloaded': return sendJson(response, 503, { detail: 'Service unavailable' })
    case 'gateway-error': return sendJson(response, 504, { detail: 'Gateway timeout' })
    case 'nonsense': return sendJson(response, 200, ['nonsense'])
    case 'redirect': return void response.writeHead(307, { location: 'https://elsewhere.example/' }).end()
    case 'html': return refuse('html', response)
    default: refuse('proxy-error', response)
  }
}
