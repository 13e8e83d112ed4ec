/**
 * A server that speaks Stability's image API as its fact sheet has it, refuses what the real one refuses, and misbehaves
 * on request: by `behave()`, or by a word such as `sim:hang` in the prompt when it is used by hand.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import sharp from 'sharp'
import { readBody, sendJson } from './answers.ts'
import { wordsIn } from './misbehaviour.ts'
import { checkStabilityForm, creditsOf, RULES, type StabilityPath } from './stability-rules.ts'
import { isStabilityWord, REFUSALS, refuseStability, sendStabilityError, type StabilityMade, type StabilityRefusal, type StabilityWord } from './stability-words.ts'

export interface StabilityRequest {
  path: string
  /** The form's texts. */
  fields: Record<string, string>
  image?: { filename: string; mediaType: string; bytes: Buffer }
  headers: IncomingMessage['headers']
}

export interface StabilitySimulator {
  /** The value of STABILITY_BASE_URL. */
  baseURL: string
  apiKey: string
  /** Every call for a picture that arrived as a form, good or bad. */
  requests: StabilityRequest[]
  /** Every request at all. */
  calls: string[]
  /** How many pictures were made, given or not: the bill. */
  created(): number
  /** How many pictures were made of a prompt that begins so. */
  createsOf(prompt: string): number
  credits(): number
  /** The next valid calls behave so, one each. */
  behave(...words: (StabilityWord | 'ok')[]): void
  /** Called when a request is left unanswered. */
  onHang(handler: () => void): void
  close(): Promise<void>
}

const MAX_BODY_BYTES = 10 * 1024 * 1024

export async function startStabilitySimulator(options: { port?: number; apiKey?: string } = {}): Promise<StabilitySimulator> {
  const apiKey = options.apiKey ?? 'sk-simulated-key'
  let hung: () => void = () => undefined
  let credits = 0
  const requests: StabilityRequest[] = []
  const calls: string[] = []
  const prompts: string[] = []
  const next: (StabilityWord | 'ok')[] = []

  async function create(path: StabilityPath, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const bytes = await readBody(request, MAX_BODY_BYTES)
    if (bytes === undefined) return refuseStability('too-large', response)
    const type = request.headers['content-type'] ?? ''
    if (!type.startsWith('multipart/form-data')) return sendStabilityError(response, 400, 'bad_request', 'content-type: must be multipart/form-data')
    const form = await new Response(new Uint8Array(bytes), { headers: { 'content-type': type } }).formData()
    const seen = await toRequest(path, form, request)
    requests.push(seen)
    if (!['image/*', 'application/json'].includes(request.headers.accept ?? '')) return sendStabilityError(response, 400, 'bad_request', 'accept: must be one of image/*, application/json')
    const errors = await checkStabilityForm(path, form)
    if (errors.length > 0) return sendStabilityError(response, 400, 'bad_request', ...errors)
    const prompt = seen.fields.prompt ?? ''
    const word = next.shift() ?? wordsIn(prompt).find(isStabilityWord) ?? 'ok'
    if ((REFUSALS as readonly string[]).includes(word)) return refuseStability(word as StabilityRefusal, response)
    prompts.push(prompt)
    credits += creditsOf(path, form)
    await answer(word as StabilityMade | 'ok', await draw(path, seen), request, response)
  }

  async function answer(word: StabilityMade | 'ok', picture: Picture, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (word === 'hang') return hung()
    if (word === 'drop') return void response.destroy()
    const finish = word === 'filtered' ? 'CONTENT_FILTERED' : word === 'unknown-finish' ? 'ARCHIVED' : 'SUCCESS'
    if (request.headers.accept === 'application/json') return sendJson(response, 200, { image: picture.bytes.toString('base64'), finish_reason: finish, seed: picture.seed })
    response.writeHead(200, { 'content-type': picture.mediaType, 'content-length': picture.bytes.length, seed: picture.seed, ...(word !== 'no-finish' && { 'finish-reason': finish }) })
    if (word === 'cut') return void response.write(picture.bytes.subarray(0, picture.bytes.length >> 1), () => response.destroy())
    response.end(picture.bytes)
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? '/', 'http://simulator')
    const call = `${request.method} ${pathname}`
    calls.push(call)
    if (request.headers.authorization !== `Bearer ${apiKey}`) {
      await readBody(request, 0)
      return refuseStability('auth', response)
    }
    if (call === 'GET /v1/user/balance') return next[0] === 'html' ? refuseStability(next.shift() as 'html', response) : sendJson(response, 200, { credits: 12.5 })
    if (request.method === 'POST' && pathname in RULES) return await create(pathname as StabilityPath, request, response)
    refuseStability('not-found', response)
  }

  const server = createServer((request, response) => {
    response.setHeader('x-request-id', `req-${randomUUID()}`)
    handle(request, response).catch(() => response.destroy())
  })
  server.listen(options.port ?? 0, '127.0.0.1')
  await once(server, 'listening')
  return {
    baseURL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    apiKey,
    requests,
    calls,
    created: () => prompts.length,
    createsOf: (prompt) => prompts.filter((one) => one.startsWith(prompt)).length,
    credits: () => credits,
    behave: (...words) => void next.push(...words),
    onHang: (handler) => void (hung = handler),
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

interface Picture {
  bytes: Buffer
  mediaType: string
  seed: number
}

/** One of the shape that was asked for, or of the given picture's. */
async function draw(path: StabilityPath, { fields, image }: StabilityRequest): Promise<Picture> {
  const format = (fields.output_format ?? 'png') as 'png' | 'jpeg' | 'webp'
  const seed = Number(fields.seed ?? 0) || 343_940_597
  const result = { mediaType: `image/${format}`, seed }
  if (image && fields.aspect_ratio === undefined) {
    const drawn = sharp(image.bytes)
    return { ...result, bytes: await (path.includes('/edit/') ? drawn.ensureAlpha(0.5) : drawn.negate()).toFormat(format).toBuffer() }
  }
  const [across, down] = (fields.aspect_ratio ?? '1:1').split(':').map(Number) as [number, number]
  const side = (one: number, other: number) => Math.round(Math.sqrt((RULES[path].pixels * one) / other))
  const drawn = sharp({ create: { width: side(across, down), height: side(down, across), channels: 3, background: { r: seed % 256, g: 90, b: 140 } } })
  return { ...result, bytes: await drawn.toFormat(format).toBuffer() }
}

async function toRequest(path: string, form: FormData, { headers }: IncomingMessage): Promise<StabilityRequest> {
  const fields: Record<string, string> = {}
  for (const [name, value] of form.entries()) if (typeof value === 'string') fields[name] = value
  const image = form.get('image')
  return { path, fields, headers, ...(image instanceof File && { image: { filename: image.name, mediaType: image.type, bytes: Buffer.from(await image.arrayBuffer()) } }) }
}
