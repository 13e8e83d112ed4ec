/**
 * A server that speaks ModelArk's image API as its fact sheet has it, refuses what the real one refuses, and misbehaves
 * on request: by `behave()`, or by a word such as `sim:hang` in the prompt when it is used by hand.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import sharp from 'sharp'
import { checkImageRequest } from './modelark-rules.ts'

/** What the create call does instead of answering well. */
export type CreateBehaviour = 'rate-limit' | 'rate-limit-long' | 'server-error' | 'proxy-error' | 'gateway-error' | 'proxy-conflict' | 'cut' | 'drop' | 'hang' | 'html' | 'moderation' | 'output-moderation' | 'auth' | 'quota' | 'overdue' | 'not-found' | 'item-error' | 'b64' | 'empty'
/** What the file behind the answered link does. */
export type FileBehaviour = 'file-html' | 'file-svg' | 'file-huge' | 'file-endless' | 'file-redirect-inward' | 'file-redirect-loop' | 'file-expired' | 'file-cut' | 'file-truncated' | 'file-error-once' | 'file-inward' | 'file-wrong-type' | 'file-hang' | 'file-hang-once' | 'file-bomb'
export type Behaviour = CreateBehaviour | FileBehaviour

export interface SimulatedRequest {
  body: Record<string, unknown>
  headers: IncomingMessage['headers']
}

export interface ModelArkSimulator {
  /** The value of ARK_BASE_URL. */
  baseURL: string
  apiKey: string
  /** Every create that arrived, good or bad. */
  requests: SimulatedRequest[]
  /** How many pictures were made, and so billed. */
  billed(): number
  /** How often a file was asked for. */
  fetches(): number
  /** The next create calls behave so, one each. */
  behave(...behaviours: (Behaviour | 'ok')[]): void
  /** Holds every create until the returned function is called. */
  hold(): () => void
  close(): Promise<void>
}

export interface SimulatorOptions {
  port?: number
  apiKey?: string
  /** How long a picture takes, in milliseconds. */
  latencyMs?: number
  /** The least bytes of a picture: noise is added until a file is so large. */
  minBytes?: number
}

const HUGE_BYTES = 200 * 1024 * 1024
const CREATE: ReadonlySet<string> = new Set(['rate-limit', 'rate-limit-long', 'server-error', 'proxy-error', 'gateway-error', 'proxy-conflict', 'cut', 'drop', 'hang', 'html', 'moderation', 'output-moderation', 'auth', 'quota', 'overdue', 'not-found', 'item-error', 'b64', 'empty'])

interface StoredFile {
  width: number
  height: number
  behaviour: FileBehaviour | undefined
  fetched: number
}

export async function startModelArkSimulator(options: SimulatorOptions = {}): Promise<ModelArkSimulator> {
  const apiKey = options.apiKey ?? 'ark-simulated-key'
  const requests: SimulatedRequest[] = []
  const files = new Map<string, StoredFile>()
  const pictures = new Map<string, Promise<Buffer>>()
  const next: (Behaviour | 'ok')[] = []
  let billed = 0
  let fetches = 0
  let held: Promise<void> | undefined
  let origin = ''

  const picture = (width: number, height: number): Promise<Buffer> => {
    const key = `${width}x${height}`
    const made = pictures.get(key) ?? draw(width, height, options.minBytes ?? 0)
    pictures.set(key, made)
    return made
  }

  async function create(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = (await readJson(request)) as Record<string, unknown>
    requests.push({ body, headers: request.headers })
    await held
    if (request.headers.authorization !== `Bearer ${apiKey}`) return sendError(response, 401, 'AuthenticationError', 'the API key in the request is missing or invalid')
    const problem = checkImageRequest(body)
    if (problem) return sendError(response, problem.status, problem.code, problem.message)
    const behaviour = next.shift() ?? behaviourOf(String(body.prompt))
    if (behaviour !== 'ok' && CREATE.has(behaviour) && behaviour !== 'b64') return await misbehave(behaviour as CreateBehaviour, response, () => billed++)
    if (options.latencyMs) await sleep(options.latencyMs)
    const [width, height] = String(body.size).split('x').map(Number) as [number, number]
    billed++
    const size = `${width}x${height}`
    if (behaviour === 'b64' || body.response_format === 'b64_json') {
      return sendJson(response, 200, answer(body, { b64_json: (await picture(width, height)).toString('base64'), size }))
    }
    const id = randomUUID()
    files.set(id, { width, height, behaviour: behaviour === 'ok' ? undefined : (behaviour as FileBehaviour), fetched: 0 })
    const url = behaviour === 'file-inward' ? 'http://169.254.169.254/latest/meta-data/' : `${origin}/files/${id}.jpeg?X-Tos-Expires=86400&X-Tos-Signature=secret-signature`
    sendJson(response, 200, answer(body, { url, size }))
  }

  async function serveFile(id: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const file = files.get(id)
    // Pre-signed for GET alone.
    if (!file || request.method !== 'GET') return void response.writeHead(403).end()
    fetches++
    const first = file.fetched++ === 0
    const bytes = await picture(file.width, file.height)
    switch (file.behaviour) {
      case 'file-html': return send(response, 'text/html', '<!doctype html><title>not a picture</title>')
      case 'file-svg': return send(response, 'image/svg+xml', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="4"/></svg>')
      case 'file-wrong-type': return send(response, 'text/plain', bytes)
      case 'file-expired': return void response.writeHead(403, { 'content-type': 'application/xml' }).end('<Error><Code>AccessDenied</Code></Error>')
      case 'file-redirect-inward': return void response.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data/' }).end()
      case 'file-redirect-loop': return void response.writeHead(302, { location: request.url }).end()
      case 'file-truncated': return send(response, 'image/jpeg', bytes.subarray(0, bytes.length >> 1))
      case 'file-bomb': return send(response, 'image/png', await bomb())
      case 'file-cut':
        response.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': bytes.length })
        response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy())
        return
      case 'file-hang': return response.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': bytes.length }).flushHeaders()
      case 'file-hang-once': if (first) return; break
      case 'file-error-once': if (first) return void response.writeHead(503).end(); break
      case 'file-huge': return await sendHuge(response, { 'content-length': HUGE_BYTES })
      case 'file-endless': return await sendHuge(response, {})
      default:
    }
    send(response, 'image/jpeg', bytes)
  }

  const server = createServer((request, response) => {
    response.setHeader('x-request-id', `021${randomUUID().replaceAll('-', '')}`)
    const path = new URL(request.url ?? '/', 'http://simulator').pathname
    const file = /^\/files\/([0-9a-f-]+)\.jpeg$/.exec(path)?.[1]
    const handled =
      file !== undefined ? serveFile(file, request, response)
      : request.method === 'POST' && path === '/api/v3/images/generations' ? create(request, response)
      : request.method === 'GET' && path === '/api/v3/models' ? listModels(request, response)
      : Promise.resolve(sendError(response, 404, 'NotFound', 'no such path'))
    handled.catch(() => response.destroy())
  })

  async function listModels(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.headers.authorization !== `Bearer ${apiKey}`) return sendError(response, 401, 'AuthenticationError', 'the API key in the request is missing or invalid')
    sendJson(response, 200, { object: 'list', data: [{ id: 'seedream-4-0-250828', object: 'model', created: 0, owned_by: '', task_type: ['TextToImage'], status: 'Active' }] })
  }

  server.listen(options.port ?? 0, '127.0.0.1')
  await once(server, 'listening')
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    baseURL: `${origin}/api/v3`,
    apiKey,
    requests,
    billed: () => billed,
    fetches: () => fetches,
    behave: (...behaviours) => void next.push(...behaviours),
    hold() {
      let release: () => void = () => undefined
      held = new Promise((resolve) => (release = resolve))
      return () => {
        held = undefined
        release()
      }
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function misbehave(behaviour: CreateBehaviour, response: ServerResponse, bill: () => void): Promise<void> {
  switch (behaviour) {
    case 'rate-limit': return sendError(response, 429, 'ModelAccountRpmRateLimitExceeded', 'The requests per minute (RPM) limit is exceeded')
    case 'rate-limit-long':
      response.setHeader('retry-after', '3600')
      return sendError(response, 429, 'AccountRateLimitExceeded', 'rate limit exceeded')
    case 'server-error': return sendError(response, 500, 'InternalServiceError', 'The service encountered an unexpected internal error.')
    case 'proxy-error': return void response.writeHead(502, { 'content-type': 'text/html' }).end('<html><body><h1>502 Bad Gateway</h1></body></html>')
    case 'gateway-error': return sendJson(response, 504, { error: { message: 'upstream timed out', type: 'None', code: '504' } })
    case 'proxy-conflict': return void response.writeHead(409, { 'content-type': 'text/html' }).end('<html>conflict</html>')
    case 'moderation': return sendError(response, 400, 'InputTextSensitiveContentDetected', 'The request failed because the input text may contain sensitive information.')
    case 'output-moderation': return sendError(response, 400, 'OutputImageSensitiveContentDetected', 'The request failed because the output image may contain sensitive information.')
    case 'auth': return sendError(response, 401, 'AuthenticationError', 'the API key in the request is missing or invalid')
    case 'quota': return sendError(response, 429, 'SetLimitExceeded', 'Your account has reached the set inference limit')
    case 'overdue': return sendError(response, 403, 'AccountOverdueError', 'Your account has an overdue balance')
    case 'not-found': return sendError(response, 404, 'InvalidEndpointOrModel.NotFound', 'The model or endpoint does not exist')
    case 'html': return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>maintenance</html>')
    case 'item-error': return sendJson(response, 200, { model: 'm', created: 0, data: [{ error: { code: 'OutputImageSensitiveContentDetected', message: 'withheld' } }], usage: { generated_images: 0, output_tokens: 0, total_tokens: 0 } })
    case 'empty': return sendJson(response, 200, { model: 'm', created: 0, data: [] })
    // From here on the picture is made and billed, and the answer is lost.
    case 'drop':
      bill()
      return void response.destroy()
    case 'cut':
      bill()
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 4000 })
      return void response.write('{"model":"m","created":1,"data":[{"url":"https://', () => response.destroy())
    case 'hang': return bill()
    default:
  }
}

/** A word in the prompt, for use by hand: `A cat sim:hang`. */
function behaviourOf(prompt: string): Behaviour | 'ok' {
  return (/\bsim:([a-z0-9-]+)/.exec(prompt)?.[1] as Behaviour | undefined) ?? 'ok'
}

function answer(body: Record<string, unknown>, item: Record<string, unknown>) {
  const tokens = Math.floor(String(item.size).split('x').map(Number).reduce((a, b) => a * b) / 256)
  return { model: body.model, created: Math.floor(Date.now() / 1000), data: [item], usage: { generated_images: 1, output_tokens: tokens, total_tokens: tokens } }
}

/** A JPEG; noise makes it as large as a real one. */
async function draw(width: number, height: number, minBytes: number): Promise<Buffer> {
  const encode = (sigma: number) => {
    const base = sharp({ create: { width, height, channels: 3, background: { r: 40, g: 90, b: 140 } } })
    const noisy = sigma === 0 ? base : sharp({ create: { width, height, channels: 3, background: { r: 90, g: 110, b: 140 }, noise: { type: 'gaussian', mean: 128, sigma } } })
    return noisy.jpeg({ quality: 90 }).toBuffer()
  }
  let sigma = 0
  let bytes = await encode(sigma)
  while (bytes.length < minBytes && sigma < 120) bytes = await encode((sigma += 4))
  return bytes
}

/** A small file that decodes to 56 million pixels, more than the service takes. */
let bombBytes: Promise<Buffer> | undefined
const bomb = (): Promise<Buffer> => (bombBytes ??= sharp({ create: { width: 8000, height: 7000, channels: 3, background: 'black' } }).png({ compressionLevel: 1, palette: false }).toBuffer())

async function sendHuge(response: ServerResponse, headers: Record<string, number>): Promise<void> {
  response.writeHead(200, { 'content-type': 'image/jpeg', ...headers })
  const block = Buffer.alloc(1024 * 1024)
  block[0] = 0xff
  await pipeline(Readable.from(Array.from({ length: HUGE_BYTES / block.length }, () => block)), response).catch(() => undefined)
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return JSON.parse(Buffer.concat(chunks).toString())
}

function send(response: ServerResponse, type: string, body: string | Buffer): void {
  response.writeHead(200, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body)
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

const TYPES: Record<number, string> = { 400: 'BadRequest', 401: 'Unauthorized', 403: 'Forbidden', 404: 'NotFound', 429: 'TooManyRequests', 500: 'InternalServerError' }

function sendError(response: ServerResponse, status: number, code: string, message: string): void {
  sendJson(response, status, { error: { code, message: `${message} Request id: 021secretvendorid`, param: '', type: TYPES[status] } })
}
