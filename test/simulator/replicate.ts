/** A server that speaks Replicate's HTTP API as its description of April 2026 has it, and misbehaves on request. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readBody, send, sendJson } from './answers.ts'
import { film } from './films.ts'
import { wordsIn } from './misbehaviour.ts'
import { picture as plainPicture } from './pictures.ts'
import { sendFault, sendProblem } from './replicate-answers.ts'
import { findInputFault, MODELS, type SimulatedModel } from './replicate-models.ts'
import { toJson, type PredictionRecord, type PredictionState } from './replicate-predictions.ts'
import { UNMADE, UNTOLD, type ReplicateBehaviour } from './replicate-words.ts'

export interface ReplicateCreate {
  path: string
  body: Record<string, unknown>
  headers: IncomingMessage['headers']
}

export interface ReplicateSimulator {
  /** The value of REPLICATE_BASE_URL. */
  baseURL: string
  apiKey: string
  /** Every create that arrived, good or bad. */
  creates: ReplicateCreate[]
  /** Every path that was asked for, with its method. */
  calls: string[]
  uploads: Map<string, { type: string; bytes: Buffer }>
  predictions: Map<string, PredictionRecord>
  /** How many predictions were made, and so run and billed. */
  created(): number
  createsOf(prompt: string): number
  /** The next creates behave so, one each; several words at once in an array. */
  behave(...behaviours: (ReplicateBehaviour | ReplicateBehaviour[])[]): void
  /** Keeps every prediction in a state until the returned function is called. */
  hold(state: 'starting' | 'processing'): () => void
  close(): Promise<void>
}

const LIST_PAGE = 100

export async function startReplicateSimulator({ port = 0, apiKey = 'r8_simulated-token' } = {}): Promise<ReplicateSimulator> {
  const creates: ReplicateCreate[] = []
  const calls: string[] = []
  const uploads = new Map<string, { type: string; bytes: Buffer }>()
  const predictions = new Map<string, PredictionRecord>()
  const next: Set<string>[] = []
  // Faults of calls that are about no one prediction.
  const callFaults: string[] = []
  let held: PredictionState | undefined
  let origin = ''

  const json = (record: PredictionRecord) => toJson(record, origin, held)

  async function create(path: string, target: { model?: SimulatedModel | undefined }, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = JSON.parse(String(await readBody(request))) as { input?: Record<string, unknown>; version?: string; webhook?: string }
    creates.push({ path, body, headers: request.headers })
    const input = body.input ?? {}
    const words = next.shift() ?? new Set(wordsIn(String(input.prompt)))
    const unmade = UNMADE.find((word) => words.has(word))
    if (unmade) return sendFault(response, unmade, String(input.prompt))
    const model = target.model ?? MODELS.find(({ name, version }) => body.version === name || (version !== undefined && [version, `${name}:${version}`].includes(String(body.version))))
    if (!model) return body.version === undefined ? sendFault(response, 'not-found', '') : sendFault(response, 'bad-version', '')
    const fault = findInputFault(model, input)
    if (fault) return sendProblem(response, 422, 'Input validation failed', `- input: ${fault.words}\n`, [fault.field])
    if (body.webhook !== undefined && !body.webhook.startsWith('https://')) return sendProblem(response, 422, 'Invalid webhook', 'must be https')
    const cancelAfter = /^(\d+)s?$/.exec(String(request.headers['cancel-after'] ?? ''))?.[1]
    const record: PredictionRecord = { id: randomUUID().replaceAll('-', ''), model, input, words, createdAt: Date.now(), cancelAfterSeconds: cancelAfter === undefined ? undefined : Number(cancelAfter), end: undefined }
    predictions.set(record.id, record)
    for (const word of words) if (word.startsWith('list-')) callFaults.push(word)
    const untold = UNTOLD.find((word) => words.has(word))
    if (untold === 'accept-500') return sendFault(response, 'server-error', '')
    if (untold === 'accept-502') return sendFault(response, 'proxy-error', '')
    if (untold) return sendFault(response, untold.slice('accept-'.length), '', `{"id":"${record.id.slice(0, 8)}`)
    sendJson(response, 201, toJson(record, origin, 'starting'))
  }

  function list(url: URL, response: ServerResponse): void {
    const fault = callFaults.shift()
    if (fault !== undefined) return sendFault(response, fault.slice('list-'.length, -'-once'.length), '')
    const after = Date.parse(url.searchParams.get('created_after') ?? '1970-01-01')
    const at = Number(url.searchParams.get('cursor') ?? 0)
    const told = [...predictions.values()].reverse().filter(({ createdAt, words }) => createdAt >= after && !words.has('unlisted'))
    const more = new URLSearchParams({ ...Object.fromEntries(url.searchParams), cursor: String(at + LIST_PAGE) })
    // The vendor names its own address, whatever the way that led to it.
    sendJson(response, 200, { previous: null, next: at + LIST_PAGE < told.length ? `https://api.replicate.com/v1/predictions?${more.toString()}` : null, results: told.slice(at, at + LIST_PAGE).map(json) })
  }

  function aboutOne(id: string, call: 'look' | 'cancel', response: ServerResponse): void {
    const record = predictions.get(id)
    if (!record || record.words.has('forgotten')) return sendFault(response, 'not-found', '')
    const fault = [...record.words].find((word) => word.startsWith(`${call}-`) && word.endsWith('-once'))
    if (fault !== undefined) {
      record.words.delete(fault)
      return sendFault(response, fault.slice(call.length + 1, -'-once'.length), String(record.input.prompt))
    }
    if (call === 'cancel' && ['starting', 'processing'].includes(json(record).status)) record.end = { status: 'canceled', hasBegun: json(record).status === 'processing' || record.words.has('begins-when-cancelled') }
    sendJson(response, 200, record.end ? toJson(record, origin, undefined) : json(record))
  }

  async function upload(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const fault = next[0] && [...next[0]].find((word) => word.startsWith('upload-'))
    if (fault !== undefined) {
      next.shift()
      return sendFault(response, fault.slice('upload-'.length, -'-once'.length), '')
    }
    const body = (await readBody(request))!
    const form = await new Response(new Uint8Array(body), { headers: { 'content-type': request.headers['content-type'] ?? '' } }).formData()
    const content = form.get('content')
    if (!(content instanceof File)) return sendProblem(response, 400, 'Bad request', 'content is missing')
    const id = randomUUID()
    uploads.set(id, { type: content.type, bytes: Buffer.from(await content.arrayBuffer()) })
    sendJson(response, 201, { id, name: content.name, content_type: content.type, size: content.size, urls: { get: `${origin}/v1/files/${id}` } })
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://simulator')
    calls.push(`${request.method} ${url.pathname}`)
    if (request.headers.authorization !== `Bearer ${apiKey}`) return sendFault(response, 'auth', String(request.headers.authorization))
    const file = /^\/delivery\/[\w-]+\.(mp4|webp)$/.exec(url.pathname)
    if (file) return file[1] === 'mp4' ? send(response, 'video/mp4', await film(1, '16:9')) : send(response, 'image/webp', await plainPicture(64, 64, 'webp'))
    const path = url.pathname.replace(/^\/v1/, '')
    const official = /^\/models\/([\w.-]+\/[\w.-]+)\/predictions$/.exec(path)
    const one = /^\/predictions\/(\w+)(\/cancel)?$/.exec(path)
    if (request.method === 'POST' && official) return await create(path, { model: MODELS.find(({ name, version }) => name === official[1] && version === undefined) }, request, response)
    if (request.method === 'POST' && path === '/deployments/acme/fast-flux/predictions') return await create(path, { model: MODELS[0] }, request, response)
    if (one && request.method === (one[2] ? 'POST' : 'GET')) return aboutOne(one[1]!, one[2] ? 'cancel' : 'look', response)
    switch (`${request.method} ${path}`) {
      case 'POST /predictions': return await create(path, {}, request, response)
      case 'GET /predictions': return list(url, response)
      case 'POST /files': return await upload(request, response)
      case 'GET /account': return sendJson(response, 200, { type: 'organization', username: 'acme', name: 'Acme' })
      default: sendFault(response, 'not-found', '')
    }
  }

  const server = createServer((request, response) => {
    response.setHeader('x-request-id', `edge-${randomUUID()}`)
    handle(request, response).catch(() => response.destroy())
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    baseURL: `${origin}/v1`,
    apiKey,
    creates,
    calls,
    uploads,
    predictions,
    created: () => predictions.size,
    createsOf: (prompt) => [...predictions.values()].filter(({ input }) => String(input.prompt).startsWith(prompt)).length,
    behave: (...behaviours) => void next.push(...behaviours.map((one) => new Set([one].flat()))),
    hold(state) {
      held = state
      return () => void (held = undefined)
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
