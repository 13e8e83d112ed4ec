/** The image endpoint of the simulated ModelArk, and the files that its links lead to. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import sharp from 'sharp'
import { readBody, send, sendError, sendJson } from './answers.ts'
import { isNamedError, LOSSES, lose, refuse, REFUSALS, wordsIn, type Loss, type NamedError, type Refusal } from './misbehaviour.ts'
import { checkImageRequest } from './modelark-rules.ts'

/** What the create call does instead of answering well. */
export type CreateBehaviour = Refusal | NamedError | Loss | ItemError | 'output-moderation' | 'item-error' | 'item-odd' | 'item-billed' | 'b64' | 'empty' | 'empty-unmade'
/** An error of any code in the place of a picture: `item-error-InternalServiceError`. */
export type ItemError = `item-error-${string}`
/** What the file behind the answered link does. */
export type FileBehaviour = 'file-html' | 'file-svg' | 'file-huge' | 'file-endless' | 'file-redirect-inward' | 'file-redirect-loop' | 'file-expired' | 'file-cut' | 'file-truncated' | 'file-error-once' | 'file-inward' | 'file-wrong-type' | 'file-hang' | 'file-hang-once' | 'file-bomb'
export type Behaviour = CreateBehaviour | FileBehaviour

export interface SimulatedRequest {
  body: Record<string, unknown>
  headers: IncomingMessage['headers']
}

export interface ImageSimulation {
  requests: SimulatedRequest[]
  billed(): number
  fetches(): number
  behave(...behaviours: (Behaviour | 'ok')[]): void
  hold(): () => void
  create(request: IncomingMessage, response: ServerResponse): Promise<void>
  serveFile(id: string, request: IncomingMessage, response: ServerResponse): Promise<void>
}

export interface ImageSimulationOptions {
  /** Where the server is reached, once it listens. */
  origin: () => string
  isAuthorized: (request: IncomingMessage) => boolean
  latencyMs: number
  minBytes: number
}

const HUGE_BYTES = 200 * 1024 * 1024
const CREATE: ReadonlySet<string> = new Set([...REFUSALS, ...LOSSES, 'output-moderation', 'item-error', 'item-odd', 'item-billed', 'empty', 'empty-unmade'])
const isCreate = (word: string): word is Exclude<CreateBehaviour, 'b64'> => CREATE.has(word) || isNamedError(word) || isItemError(word)
const isItemError = (word: string): word is ItemError => word.startsWith('item-error-')

interface StoredFile {
  width: number
  height: number
  behaviour: FileBehaviour | undefined
  fetched: number
}

export function createImageSimulation(options: ImageSimulationOptions): ImageSimulation {
  const requests: SimulatedRequest[] = []
  const files = new Map<string, StoredFile>()
  const pictures = new Map<string, Promise<Buffer>>()
  const next: (Behaviour | 'ok')[] = []
  let billed = 0
  let fetches = 0
  let held: Promise<void> | undefined

  const picture = (width: number, height: number): Promise<Buffer> => {
    const key = `${width}x${height}`
    const made = pictures.get(key) ?? draw(width, height, options.minBytes)
    pictures.set(key, made)
    return made
  }

  async function create(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = JSON.parse(String(await readBody(request))) as Record<string, unknown>
    requests.push({ body, headers: request.headers })
    await held
    if (!options.isAuthorized(request)) return refuse('auth', response)
    const problem = checkImageRequest(body)
    if (problem) return sendError(response, problem.status, problem.code, problem.message)
    const behaviour = next.shift() ?? behaviourOf(String(body.prompt))
    if (isCreate(behaviour)) return misbehave(behaviour, response, () => billed++)
    if (options.latencyMs) await sleep(options.latencyMs)
    const [width, height] = String(body.size).split('x').map(Number) as [number, number]
    billed++
    const size = `${width}x${height}`
    if (behaviour === 'b64' || body.response_format === 'b64_json') {
      return sendJson(response, 200, answer(body, { b64_json: (await picture(width, height)).toString('base64'), size }))
    }
    const id = randomUUID()
    files.set(id, { width, height, behaviour: behaviour === 'ok' ? undefined : (behaviour as FileBehaviour), fetched: 0 })
    const url = behaviour === 'file-inward' ? 'http://169.254.169.254/latest/meta-data/' : `${options.origin()}/files/${id}.jpeg?X-Tos-Expires=86400&X-Tos-Signature=secret-signature`
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

  return {
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
    create,
    serveFile,
  }
}

function misbehave(behaviour: CreateBehaviour, response: ServerResponse, bill: () => void): void {
  const sendItem = (item: object, made: number) => sendJson(response, 200, { model: 'm', created: 0, data: [item], usage: { generated_images: made, output_tokens: 0, total_tokens: 0 } })
  if (isItemError(behaviour)) return sendItem({ error: { code: behaviour.slice('item-error-'.length), message: 'vendor words' } }, 0)
  switch (behaviour) {
    case 'output-moderation': return sendError(response, 400, 'OutputImageSensitiveContentDetected', 'The request failed because the output image may contain sensitive information.')
    case 'item-error': return sendItem({ error: { code: 'OutputImageSensitiveContentDetected', message: 'withheld' } }, 0)
    case 'item-odd': case 'item-billed':
      bill()
      return behaviour === 'item-billed' ? sendItem({ size: '1024x1024' }, 1) : sendJson(response, 200, { model: 'm', created: 0, data: [{ size: '1024x1024' }] })
    case 'empty-unmade': return sendJson(response, 200, { model: 'm', created: 0, data: [], usage: { generated_images: 0, output_tokens: 0, total_tokens: 0 } })
    case 'empty': return sendJson(response, 200, { model: 'm', created: 0, data: [] })
    case 'b64': return
    // The picture is made and billed, and the answer is lost.
    case 'drop': case 'cut': case 'hang':
      bill()
      return lose(behaviour, response, '{"model":"m","created":1,"data":[{"url":"https://')
    default: return refuse(behaviour, response)
  }
}

function behaviourOf(prompt: string): Behaviour | 'ok' {
  return (wordsIn(prompt)[0] as Behaviour | undefined) ?? 'ok'
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
