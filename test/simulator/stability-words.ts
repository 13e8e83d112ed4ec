/** How the simulated Stability misbehaves. */
import type { ServerResponse } from 'node:http'
import { sendJson } from './answers.ts'

/** Answers without a picture. Nothing is made and nothing is billed. */
export const REFUSALS = [
  'bad-request', 'bad-model', 'auth', 'quota', 'moderation', 'forbidden', 'not-found', 'gone', 'too-large', 'language', 'public-figure', 'copyright', 'refused', 'rate-limit', 'rate-limit-long',
  'server-error', 'overloaded', 'html-500', 'proxy-error', 'gateway-error', 'gateway-json', 'proxy-timeout', 'proxy-conflict', 'conflict', 'teapot', 'redirect', 'html', 'json', 'empty',
] as const
export type StabilityRefusal = (typeof REFUSALS)[number]
/** A picture is made, and withheld, or lost on its way. */
export const MADE = ['filtered', 'unknown-finish', 'no-finish', 'drop', 'cut', 'hang'] as const
export type StabilityMade = (typeof MADE)[number]
export type StabilityWord = StabilityRefusal | StabilityMade

const WORDS: ReadonlySet<string> = new Set([...REFUSALS, ...MADE])
export const isStabilityWord = (word: string): word is StabilityWord => WORDS.has(word)

/** Stability's envelope. */
export const sendStabilityError = (response: ServerResponse, status: number, name: string, ...errors: string[]): void => sendJson(response, status, { id: 'a1b2c3', name, errors })

const page = (response: ServerResponse, status: number): void => void response.writeHead(status, { 'content-type': 'text/html' }).end(`<html><body><h1>${status}</h1></body></html>`)

/** Status and name of what is said in the vendor's envelope. */
const IN_ENVELOPE: Partial<Record<StabilityRefusal, [status: number, name: string, error: string]>> = {
  'bad-request': [400, 'bad_request', 'prompt: cannot be blank'],
  'bad-model': [400, 'bad_request', 'model: must be one of sd3.5-large'],
  auth: [401, 'unauthorized', 'missing or invalid API key'],
  quota: [402, 'payment_required', 'You lack sufficient credits to make this request.'],
  moderation: [403, 'content_moderation', 'Your request was flagged by our content moderation system.'],
  forbidden: [403, 'forbidden', 'Your account may not do this.'],
  'not-found': [404, 'not_found', 'no such path'],
  'too-large': [413, 'payload_too_large', 'body: payloads cannot be larger than 10MiB in size'],
  language: [422, 'invalid_language', 'prompt: only English is supported'],
  'public-figure': [422, 'public_figure', 'prompt: a public figure'],
  copyright: [422, 'copyrighted_content', 'prompt: copyrighted content'],
  refused: [422, 'some_new_reason', 'prompt: no'],
  'rate-limit': [429, 'rate_limit_exceeded', 'You have exceeded the rate limit of 150 requests within a 10 second period'],
  'rate-limit-long': [429, 'rate_limit_exceeded', 'wait'],
  'server-error': [500, 'internal_error', 'An unexpected server error has occurred'],
  overloaded: [503, 'service_unavailable', 'try later'],
  'gateway-json': [504, 'internal_error', 'upstream timed out'],
  conflict: [409, 'conflict', 'busy'],
  teapot: [418, 'teapot', 'short and stout'],
}

const PAGES: Partial<Record<StabilityRefusal, number>> = { gone: 410, 'html-500': 500, 'proxy-error': 502, 'gateway-error': 504, 'proxy-timeout': 408, 'proxy-conflict': 409, html: 200 }

export function refuseStability(word: StabilityRefusal, response: ServerResponse): void {
  const [status, name, error] = IN_ENVELOPE[word] ?? []
  if (word === 'rate-limit-long') response.setHeader('retry-after', '3600')
  if (status !== undefined) return sendStabilityError(response, status, name!, error!)
  const pageStatus = PAGES[word]
  if (pageStatus !== undefined) return page(response, pageStatus)
  if (word === 'redirect') return void response.writeHead(307, { location: 'http://127.0.0.1:9/elsewhere' }).end()
  if (word === 'json') return sendJson(response, 200, { finish_reason: 'SUCCESS' })
  response.writeHead(200, { 'content-type': 'image/png', 'finish-reason': 'SUCCESS', 'content-length': 0 }).end()
}
