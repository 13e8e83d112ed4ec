/** fal's two shapes of errors, and the answers that come from something else on the way. */
import type { ServerResponse } from 'node:http'
import { sendJson } from './answers.ts'
import { LOSSES, lose, refuse, type Loss } from './misbehaviour.ts'
import { MODEL_ERRORS, PLATFORM_ERRORS, type ModelError, type PlatformError } from './fal-words.ts'

/** The model's own shape, which repeats what it was given. */
export function sendModelError(response: ServerResponse, type: ModelError | 'extra_forbidden', input: unknown, loc = ['body', 'prompt']): void {
  const status = type === 'extra_forbidden' ? 422 : MODEL_ERRORS[type]
  sendJson(response, status, { detail: [{ loc, msg: `The vendor's words about ${type}`, type, url: `https://docs.fal.ai/errors#${type}`, ctx: {}, input }] })
}

export function sendPlatformError(response: ServerResponse, type: PlatformError): void {
  response.setHeader('x-fal-error-type', type)
  sendJson(response, PLATFORM_ERRORS[type], { detail: 'Request failed on the platform', error_type: type })
}

/** How a run ended that made nothing. @param word such as `image_load_error` or `text`. */
export function sendRunError(response: ServerResponse, word: string, input: unknown): void {
  if (word in MODEL_ERRORS) return sendModelError(response, word as ModelError, input)
  if (word in PLATFORM_ERRORS) return sendPlatformError(response, word as PlatformError)
  switch (word) {
    case 'retryable':
    case 'final':
      response.setHeader('x-fal-retryable', String(word === 'retryable'))
      return sendModelError(response, 'downstream_service_unavailable', input)
    case 'behind-retryable':
      response.setHeader('x-fal-retryable', 'true')
      return sendModelError(response, 'downstream_service_error', input)
    case 'user-timeout':
      response.setHeader('x-fal-request-timeout-type', 'user')
      return sendPlatformError(response, 'request_timeout')
    case 'text-500': return sendJson(response, 500, { detail: 'Internal Server Error' })
    default: sendJson(response, 422, { detail: 'The vendor says no in plain text' })
  }
}

/** Answers about the call itself. The wrong key is repeated, as some gateways do. */
export function sendFault(response: ServerResponse, fault: string, key: string | undefined, beginning = '{"status":"IN_'): void {
  if (LOSSES.includes(fault as Loss)) return lose(fault as Loss, response, beginning)
  switch (fault) {
    case 'auth': return sendJson(response, 401, { detail: `Cannot authenticate with ${key}` })
    case 'forbidden': return sendJson(response, 403, { detail: 'Access denied to this application' })
    case 'quota': return sendJson(response, 403, { detail: 'User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.' })
    case 'no-credit': return sendJson(response, 402, { detail: 'Payment required' })
    case 'not-found': return sendJson(response, 404, { detail: 'Application "model" not found' })
    case 'rate-limit':
      response.setHeader('retry-after', '7')
      return sendJson(response, 429, { detail: 'Too many requests' })
    case 'server-error': return sendJson(response, 500, { detail: 'Internal server error', error_type: 'internal_error' })
    case 'overloaded': return sendPlatformError(response, 'runner_scheduling_failure')
    case 'gateway-error': return sendPlatformError(response, 'startup_timeout')
    case 'nonsense': return sendJson(response, 200, ['nonsense'])
    case 'redirect': return void response.writeHead(307, { location: 'https://elsewhere.example/' }).end()
    case 'html': return refuse('html', response)
    default: refuse('proxy-error', response)
  }
}
