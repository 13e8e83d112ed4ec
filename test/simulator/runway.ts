/**
 * A server that speaks Runway's API as its fact sheet has it, refuses what the real one refuses, and misbehaves on
 * request: by `behave()`, or by words such as `sim:hang` in the prompt when it is used by hand. A task goes on by one
 * step with each look at it.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import sharp from 'sharp'
import { readBody, send, sendJson } from './answers.ts'
import { film } from './films.ts'
import { lose, LOSSES, wordsIn } from './misbehaviour.ts'
import { checkRunwayRequest, type Endpoint } from './runway-rules.ts'
import { ACCEPTED, FAILURES, isRunwayWord, LOOK, refuseRunway, REFUSALS, sendRunwayError, type RunwayWord } from './runway-words.ts'
import { createRunwayUploads, type SimulatedUpload } from './runway-uploads.ts'

export interface RunwayRequest {
  endpoint: Endpoint
  body: Record<string, unknown>
  headers: IncomingMessage['headers']
}

export interface RunwayTask {
  id: string
  endpoint: Endpoint
  body: Record<string, unknown>
  prompt: string
  /** The vendor's word. */
  status: string
  words: ReadonlySet<RunwayWord>
  /** How often it was asked for. */
  looks: number
  credits: number
}

export interface RunwaySimulator {
  /** The value of RUNWAYML_BASE_URL. */
  baseURL: string
  apiKey: string
  /** Every create that arrived, good or bad. */
  requests: RunwayRequest[]
  /** Every request at all, as `POST /v1/uploads`. */
  calls: string[]
  tasks: ReadonlyMap<string, RunwayTask>
  uploads: ReadonlyMap<string, SimulatedUpload>
  /** How many tasks were ever accepted: the bill. */
  created(): number
  /** How many accepted tasks have a prompt that begins so. */
  createsOf(prompt: string): number
  /** The next valid creates and their tasks behave so, one each: one word, several, or `ok`. */
  behave(...words: (RunwayWord | 'ok' | readonly RunwayWord[])[]): void
  /** The next uploads are answered so: the address that they are to go to, or the status of the store. */
  misleadUploads(...misled: (string | number)[]): void
  /** Called when a request is left unanswered. */
  onHang(handler: () => void): void
  close(): Promise<void>
}

const MAX_BODY_BYTES = 64 * 1024 * 1024

export async function startRunwaySimulator(options: { port?: number; apiKey?: string } = {}): Promise<RunwaySimulator> {
  const apiKey = options.apiKey ?? `key_${'0123456789abcdef'.repeat(8)}`
  let origin = ''
  let hung: () => void = () => undefined
  const requests: RunwayRequest[] = []
  const calls: string[] = []
  const tasks = new Map<string, RunwayTask>()
  const next: ReadonlySet<RunwayWord>[] = []
  const uploads = createRunwayUploads(() => origin)

  async function create(endpoint: Endpoint, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = parseObject(await readBody(request, MAX_BODY_BYTES))
    requests.push({ endpoint, body: body ?? {}, headers: request.headers })
    if (body === undefined || request.headers['content-type'] !== 'application/json') return sendRunwayError(response, 400, 'Invalid JSON body.')
    const issues = checkRunwayRequest(endpoint, body, uploads.isStored)
    if (issues.length > 0) return sendRunwayError(response, 400, 'Validation of body failed', issues)
    const prompt = (body.promptText ?? '') as string
    const words = next.shift() ?? new Set(wordsIn(prompt).filter(isRunwayWord))
    const refusal = REFUSALS.find((word) => words.has(word))
    if (refusal) return refuseRunway(refusal, response)
    if (words.has('hang')) return hung()
    const loss = LOSSES.find((word) => words.has(word))
    if (loss) return lose(loss, response, '{"id":"17f2')
    const task: RunwayTask = { id: randomUUID(), endpoint, body, prompt, status: words.has('throttled') ? 'THROTTLED' : 'PENDING', words, looks: 0, credits: creditsOf(endpoint, body) }
    tasks.set(task.id, task)
    answerCreate(task, response)
  }

  function answerCreate(task: RunwayTask, response: ServerResponse): void {
    switch (ACCEPTED.find((word) => task.words.has(word))) {
      case 'accept-drop': return lose('drop', response, '')
      case 'accept-cut': return lose('cut', response, `{"id":"${task.id.slice(0, 8)}`)
      case 'accept-500': return refuseRunway('server-error', response)
      case 'accept-502': return refuseRunway('proxy-error', response)
      case 'accept-hang': return hung()
      case undefined: return sendJson(response, 200, { id: task.id, estimatedCost: { credits: task.credits } })
    }
  }

  function look(task: RunwayTask | undefined, response: ServerResponse): void {
    if (!task || task.words.has('forgotten')) return sendRunwayError(response, 404, 'Task not found.')
    const first = task.looks++ === 0
    const fault = first ? LOOK.find((word) => task.words.has(word)) : undefined
    switch (fault) {
      case 'check-error': return refuseRunway('server-error', response)
      case 'check-proxy-error': return refuseRunway('proxy-error', response)
      case 'check-overloaded': return refuseRunway('overloaded', response)
      case 'check-gateway-error': return refuseRunway('gateway-error', response)
      case 'check-rate-limit': return refuseRunway('rate-limit', response)
      case 'check-html': return refuseRunway('html', response)
      case 'check-auth': return refuseRunway('auth', response)
      case 'check-drop': return lose('drop', response, '')
      case 'check-cut': return lose('cut', response, '{"id":"')
      case 'check-page-404': return void response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>404</h1>')
      case undefined: sendJson(response, 200, describe(task, origin))
    }
    task.status = following(task)
  }

  function remove(task: RunwayTask | undefined, response: ServerResponse): void {
    if (!task || task.words.has('forgotten')) return sendRunwayError(response, 404, 'Task not found.')
    // A finished one is thrown away, result and all.
    if (['SUCCEEDED', 'FAILED', 'CANCELLED'].includes(task.status)) tasks.delete(task.id)
    task.status = 'CANCELLED'
    response.writeHead(204).end()
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? '/', 'http://simulator')
    const call = `${request.method} ${pathname}`
    calls.push(call)
    const file = /^\/files\/([\w-]+)\.(mp4|png)$/.exec(pathname)
    if (file) return serveFile(tasks.get(file[1]!), request, response)
    if (await uploads.receive(call, request, response)) return
    if (request.headers.authorization !== `Bearer ${apiKey}`) return refuseRunway('auth', response)
    if (request.headers['x-runway-version'] !== '2024-11-06') return sendRunwayError(response, 400, 'Invalid X-Runway-Version header.')
    const task = /^(GET|DELETE) \/v1\/tasks\/([^/]+)$/.exec(call)
    if (task) return (task[1] === 'GET' ? look : remove)(tasks.get(task[2]!), response)
    switch (call) {
      case 'POST /v1/image_to_video': return await create('image_to_video', request, response)
      case 'POST /v1/text_to_video': return await create('text_to_video', request, response)
      case 'POST /v1/text_to_image': return await create('text_to_image', request, response)
      case 'POST /v1/uploads': return await uploads.prepare(request, response)
      case 'GET /v1/organization': return sendJson(response, 200, { creditBalance: 1234, tier: { maxMonthlyCreditSpend: 10_000, models: {} }, usage: { models: {} } })
      default: return sendRunwayError(response, 404, 'Not found.')
    }
  }

  const server = createServer((request, response) => {
    response.setHeader('x-request-id', `req-${randomUUID()}`)
    handle(request, response).catch(() => response.destroy())
  })
  server.listen(options.port ?? 0, '127.0.0.1')
  await once(server, 'listening')
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    baseURL: origin,
    apiKey,
    requests,
    calls,
    tasks,
    uploads: uploads.stored,
    created: () => tasks.size,
    createsOf: (prompt) => [...tasks.values()].filter((task) => task.prompt.startsWith(prompt)).length,
    behave: (...words) => void next.push(...words.map((one) => new Set(one === 'ok' ? [] : typeof one === 'string' ? [one] : one))),
    misleadUploads: (...misled) => uploads.mislead(misled),
    onHang: (handler) => void (hung = handler),
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** The state after this look. */
function following({ status, words }: RunwayTask): string {
  if (status === 'PENDING' || status === 'THROTTLED') return words.has('pending') || words.has('throttled') ? status : 'RUNNING'
  if (status !== 'RUNNING' || words.has('running')) return status
  if (words.has('cancelled')) return 'CANCELLED'
  if (words.has('unknown-state')) return 'ARCHIVED'
  return Object.keys(FAILURES).some((word) => words.has(word as RunwayWord)) ? 'FAILED' : 'SUCCEEDED'
}

function describe(task: RunwayTask, origin: string): Record<string, unknown> {
  const common = { id: task.id, createdAt: '2026-11-22T10:00:00.000Z', status: task.status }
  const cost = (credits: number) => (task.words.has('no-cost') ? {} : { cost: { credits } })
  switch (task.status) {
    case 'RUNNING': return { ...common, progress: 0.5, estimatedCost: { credits: task.credits } }
    case 'SUCCEEDED': return { ...common, output: [`${origin}/files/${task.id}.${task.endpoint === 'text_to_image' ? 'png' : 'mp4'}?_jwt=secret-signature`], ...cost(task.credits) }
    case 'CANCELLED': return { ...common, ...cost(0) }
    case 'FAILED': {
      const [, [failureCode, share]] = Object.entries(FAILURES).find(([word]) => task.words.has(word as RunwayWord))!
      return { ...common, failure: 'A text for people that names req-secret.', ...(failureCode !== undefined && { failureCode }), ...cost(task.credits * share) }
    }
    default: return { ...common, estimatedCost: { credits: task.credits } }
  }
}

const PER_SECOND: Record<string, number> = { 'gen4.5': 12, gen4_turbo: 5, 'veo3.1': 40, 'veo3.1_fast': 15 }

function creditsOf(endpoint: Endpoint, { model, ratio, duration = 5, audio }: Record<string, unknown>): number {
  if (endpoint === 'text_to_image') return model === 'gen4_image_turbo' ? 2 : String(ratio).includes('720') ? 5 : 8
  if (audio === false) return (model === 'veo3.1' ? 20 : 10) * Number(duration)
  return PER_SECOND[String(model)]! * Number(duration)
}

async function serveFile(task: RunwayTask | undefined, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // A signed link needs no key, and the store refuses one that comes with a key of somebody else's.
  if (task?.status !== 'SUCCEEDED' || request.headers.authorization !== undefined) return void response.writeHead(403).end()
  const [width, height] = String(task.body.ratio).split(':').map(Number) as [number, number]
  if (task.endpoint === 'text_to_image') return send(response, 'image/png', await sharp({ create: { width, height, channels: 3, background: 'teal' } }).png().toBuffer())
  send(response, 'video/mp4', await film(Number(task.body.duration ?? 5), width > height ? '16:9' : width < height ? '9:16' : '1:1'))
}

function parseObject(bytes: Buffer | undefined): Record<string, unknown> | undefined {
  try {
    const body: unknown = JSON.parse(String(bytes))
    return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
