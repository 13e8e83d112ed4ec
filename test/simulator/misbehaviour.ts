/** How a create call goes wrong, whatever it was to create: refusals, and answers that get lost on their way. */
import type { ServerResponse } from 'node:http'
import { sendError, sendJson } from './answers.ts'

/** Answers that mean no. Nothing is made and nothing is billed. */
export const REFUSALS = ['rate-limit', 'rate-limit-long', 'server-error', 'proxy-error', 'gateway-error', 'proxy-conflict', 'html', 'moderation', 'auth', 'quota', 'overdue', 'not-found'] as const
export type Refusal = (typeof REFUSALS)[number]
/** Any row of ModelArk's error table, by its status and code: `error-400-MissingParameter.size`. */
export type NamedError = `error-${number}-${string}`

const NAMED_ERROR = /^error-(\d{3})-(.+)$/
export const isNamedError = (word: string): word is NamedError => NAMED_ERROR.test(word)

export function refuse(refusal: Refusal | NamedError, response: ServerResponse): void {
  if (isNamedError(refusal)) {
    const [, status, code] = NAMED_ERROR.exec(refusal)!
    return sendError(response, Number(status), code!, 'vendor words')
  }
  switch (refusal) {
    case 'rate-limit': return sendError(response, 429, 'ModelAccountRpmRateLimitExceeded', 'The requests per minute (RPM) limit is exceeded')
    case 'rate-limit-long':
      response.setHeader('retry-after', '3600')
      return sendError(response, 429, 'AccountRateLimitExceeded', 'rate limit exceeded')
    case 'server-error': return sendError(response, 500, 'InternalServiceError', 'The service encountered an unexpected internal error.')
    case 'proxy-error': return void response.writeHead(502, { 'content-type': 'text/html' }).end('<html><body><h1>502 Bad Gateway</h1></body></html>')
    case 'gateway-error': return sendJson(response, 504, { error: { message: 'upstream timed out', type: 'None', code: '504' } })
    case 'proxy-conflict': return void response.writeHead(409, { 'content-type': 'text/html' }).end('<html>conflict</html>')
    case 'html': return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>maintenance</html>')
    case 'moderation': return sendError(response, 400, 'InputTextSensitiveContentDetected', 'The request failed because the input text may contain sensitive information.')
    case 'auth': return sendError(response, 401, 'AuthenticationError', 'the API key in the request is missing or invalid')
    case 'quota': return sendError(response, 429, 'SetLimitExceeded', 'Your account has reached the set inference limit')
    case 'overdue': return sendError(response, 403, 'AccountOverdueError', 'Your account has an overdue balance')
    case 'not-found': return sendError(response, 404, 'InvalidEndpointOrModel.NotFound', 'The model or endpoint does not exist')
  }
}

/** Answers that never arrive whole. Whether something was made is for the caller to decide. */
export const LOSSES = ['drop', 'cut', 'hang'] as const
export type Loss = (typeof LOSSES)[number]

/** @param beginning what still gets through of the answer when it is cut. */
export function lose(loss: Loss, response: ServerResponse, beginning: string): void {
  switch (loss) {
    case 'drop': return void response.destroy()
    case 'cut':
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 4000 })
      return void response.write(beginning, () => response.destroy())
    case 'hang':
  }
}

/** The words in a prompt, for use by hand: `A cat sim:hang`. */
export function wordsIn(prompt: string): string[] {
  return Array.from(prompt.matchAll(/\bsim:([a-z0-9-]+)/g), ([, word]) => word!)
}
