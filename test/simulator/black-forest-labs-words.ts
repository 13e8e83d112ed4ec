/** What the simulated Black Forest Labs can be told to do, by `behave()` or by a word in the prompt: `A cat sim:hang`. */
import type { ServerResponse } from 'node:http'
import { sendJson } from './answers.ts'
import { LOSSES, lose, refuse, type Loss } from './misbehaviour.ts'

/** The start is not accepted, or its answer is lost: nothing is made. */
export const UNMADE = ['rate-limit', 'rate-limit-long', 'quota', 'unauthorized', 'auth', 'bad-request', 'missing', 'not-found', 'too-large', 'proxy-conflict', 'server-error', 'overloaded', 'proxy-error', 'gateway-error', 'teapot', 'empty', 'html', 'nonsense', 'bad-id', 'redirect', 'drop', 'cut', 'hang'] as const
/** The task is made, and its id is lost. */
export const UNTOLD = ['accept-drop', 'accept-cut', 'accept-500', 'accept-502', 'accept-hang', 'accept-html', 'accept-nonsense'] as const
/** A look goes wrong once: `look-drop-once`. */
export const LOOK_FAULTS = ['rate-limit', 'quota', 'unauthorized', 'auth', 'server-error', 'proxy-error', 'html', 'nonsense', 'page-404', 'redirect', 'drop', 'cut', 'hang'] as const
/** How a task ends. `free` and `billed` settle what such an end costs; without them nothing is told. */
export const ENDS = { 'request-moderated': 'Request Moderated', 'content-moderated': 'Content Moderated', error: 'Error', failed: 'Failed', 'unknown-state': 'Paused' } as const
export const TASK = ['free', 'billed', 'no-sample', 'no-cost', 'settled', 'forgotten', 'forgotten-404', 'foreign-link', 'state-word'] as const

export type BflBehaviour = (typeof UNMADE)[number] | (typeof UNTOLD)[number] | `look-${(typeof LOOK_FAULTS)[number]}-once` | keyof typeof ENDS | (typeof TASK)[number] | 'ok'

/** @param echo what the vendor's validation repeats. @param beginning what still gets through of an answer that is cut. */
export function sendFault(response: ServerResponse, fault: string, echo: unknown, beginning = '{"status":"Pen'): void {
  if (LOSSES.includes(fault as Loss)) return lose(fault as Loss, response, beginning)
  switch (fault) {
    case 'rate-limit':
      response.setHeader('retry-after', '7')
      return sendJson(response, 429, { error: 'rate_limit_exceeded', message: 'Too many concurrent requests' })
    case 'rate-limit-long':
      response.setHeader('retry-after-ms', '3600000')
      return sendJson(response, 429, { detail: 'Rate limit exceeded' })
    case 'quota': return sendJson(response, 402, { detail: 'Insufficient credits. Purchase more credits.' })
    case 'unauthorized': return sendJson(response, 401, { detail: 'Unauthorized' })
    // The key is repeated, as some gateways do.
    case 'auth': return sendJson(response, 403, { detail: `Not authenticated: ${String(echo)}` })
    case 'bad-request': return sendJson(response, 422, { detail: [{ type: 'extra_forbidden', loc: ['body', 't2v', 'colour'], msg: 'Extra inputs are not permitted', input: echo }] })
    case 'missing': return sendJson(response, 400, { message: `Malformed: ${JSON.stringify(echo)}` })
    case 'not-found': return sendJson(response, 404, { detail: 'Not Found' })
    case 'too-large': return sendJson(response, 413, { detail: 'Payload too large' })
    case 'server-error': return sendJson(response, 500, { detail: 'Internal Server Error' })
    case 'overloaded': return sendJson(response, 503, { detail: 'Service Unavailable' })
    case 'teapot': return sendJson(response, 418, { detail: 'No' })
    case 'empty': return void response.writeHead(403).end()
    case 'nonsense': return sendJson(response, 200, ['nonsense'])
    case 'bad-id': return sendJson(response, 200, { id: '../credits', polling_url: 'https://api.bfl.ai/v1/get_result?id=../credits' })
    case 'redirect': return void response.writeHead(307, { location: 'https://elsewhere.example/' }).end()
    case 'page-404': return void response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>404</h1>')
    case 'proxy-conflict':
    case 'gateway-error':
    case 'html':
      return refuse(fault, response)
    default: refuse('proxy-error', response)
  }
}
