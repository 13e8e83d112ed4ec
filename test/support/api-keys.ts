/** API keys for tests, and a signer of its own: it shares no line with the service's. */
import assert from 'node:assert/strict'
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { request as send } from 'node:http'
import type { TestUser } from './supabase.ts'

export interface TestKey {
  id: string
  key: string
}

export interface RawRequest {
  method: string
  /** As it goes over the wire. */
  target: string
  headers: [name: string, value: string][]
  body?: Uint8Array | undefined
}

export interface RawAnswer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: { error?: string; code?: string; details?: { path: string; message: string }[] } & Record<string, unknown>
}

export async function askAs(user: TestUser, url: string, method: string, path: string, body?: unknown): Promise<Response> {
  return await fetch(url + path, { method, headers: { authorization: `Bearer ${user.token}`, ...(body !== undefined && { 'content-type': 'application/json' }) }, ...(body !== undefined && { body: JSON.stringify(body) }) })
}

export async function makeKey(url: string, user: TestUser, input: object = {}): Promise<TestKey> {
  const response = await askAs(user, url, 'POST', '/api/keys', { name: 'test', ...input })
  const answer = (await response.json()) as TestKey
  assert.equal(response.status, 201, JSON.stringify(answer))
  return answer
}

export interface SignOptions {
  timestamp?: number | string
  nonce?: string
  /** Instead of the one that the key gives. */
  signingKey?: Uint8Array | string
}

export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')

export const signingKeyOf = (key: string): Buffer => createHmac('sha256', key).update('darkroom-signing-v1').digest()

/** A request with the headers of its signature. */
export function sign({ id, key }: TestKey, request: RawRequest, options: SignOptions = {}): RawRequest {
  const header = (wanted: string) => request.headers.find(([name]) => name.toLowerCase() === wanted)?.[1] ?? ''
  const timestamp = String(options.timestamp ?? Math.floor(Date.now() / 1000))
  const nonce = options.nonce ?? randomBytes(16).toString('hex')
  const hash = sha256(request.body ?? '')
  const text = `DARKROOM-HMAC-SHA256\n${timestamp}\n${nonce}\n${request.method}\n${request.target}\n${header('content-type')}\n${header('idempotency-key')}\n${hash}`
  const signature = createHmac('sha256', options.signingKey ?? signingKeyOf(key)).update(text).digest('hex')
  return {
    ...request,
    headers: [
      ...request.headers,
      ['Authorization', `Darkroom-HMAC-SHA256 KeyId=${id}, Signature=${signature}`],
      ['X-Darkroom-Timestamp', timestamp],
      ['X-Darkroom-Nonce', nonce],
      ['X-Darkroom-Content-SHA256', hash],
    ],
  }
}

/** Sends a request with every header as it stands, twice where it stands twice. `pieces` sends its body in so many chunks. */
export function sendRaw(url: string, { method, target, headers, body }: RawRequest, { pieces = 1 } = {}): Promise<RawAnswer> {
  const { hostname, port, host } = new URL(url)
  const given = new Set(headers.map(([name]) => name.toLowerCase()))
  const length: [string, string][] = body && pieces === 1 && !given.has('content-length') ? [['Content-Length', String(body.length)]] : []
  const chunked: [string, string][] = body && pieces > 1 ? [['Transfer-Encoding', 'chunked']] : []
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>()
  const request = send({ hostname, port, method, path: target, agent: false, headers: [['Host', host], ...length, ...chunked, ...headers].flat() }, (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', reject)
    response.on('end', () => {
      const text = Buffer.concat(chunks).toString()
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text.trim() === '' ? {} : (JSON.parse(text) as RawAnswer['body']) })
    })
  })
  request.on('error', reject)
  const size = Math.ceil((body?.length ?? 0) / pieces)
  for (let at = 0; body && at < body.length; at += size) request.write(body.subarray(at, at + size))
  request.end()
  return promise
}
