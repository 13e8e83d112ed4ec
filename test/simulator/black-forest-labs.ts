/**
 * A server that speaks Black Forest Labs' API for videos as the package's schemas and the vendor's reference have it,
 * refuses fields that it does not know, and misbehaves on request.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readBody, send, sendJson } from './answers.ts'
import { ENDS, sendFault, UNMADE, UNTOLD, type BflBehaviour } from './black-forest-labs-words.ts'
import { film } from './films.ts'
import { wordsIn } from './misbehaviour.ts'

export interface BflStart {
  body: Record<string, unknown>
  headers: IncomingMessage['headers']
}

interface Task {
  id: string
  body: Record<string, unknown>
  words: Set<string>
  /** Credits. */
  cost: number
}

export type BflState = 'Pending' | 'Reasoning' | 'Generating'

export interface BflSimulator {
  /** The value of BFL_BASE_URL. */
  baseURL: string
  apiKey: string
  /** Every start that arrived, good or bad. */
  starts: BflStart[]
  /** Every path that was asked for, with its method. */
  calls: string[]
  /** How many tasks were made, and so run and billed. */
  created(): number
  createsOf(prompt: string): number
  /** The next starts behave so, one each; several words at once in an array. */
  behave(...behaviours: (BflBehaviour | BflBehaviour[])[]): void
  /** Keeps every task in a state until the returned function is called. */
  hold(state: BflState): () => void
  close(): Promise<void>
}

const CREDITS_PER_SECOND: Record<string, number> = { hd: 17, fhd: 29 }

export async function startBflSimulator({ port = 0, apiKey = 'bfl-simulated-key' } = {}): Promise<BflSimulator> {
  const starts: BflStart[] = []
  const calls: string[] = []
  const tasks = new Map<string, Task>()
  const next: Set<string>[] = []
  let held: BflState | undefined
  let origin = ''

  async function start(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = JSON.parse(String(await readBody(request))) as Record<string, unknown>
    starts.push({ body, headers: request.headers })
    const words = next.shift() ?? new Set(wordsIn(String(body.prompt)))
    const unmade = UNMADE.find((word) => words.has(word))
    if (unmade) return sendFault(response, unmade, unmade === 'auth' ? request.headers['x-key'] : body, '{"id":"')
    const fault = findFault(body)
    if (fault !== undefined) return sendJson(response, 422, { detail: [{ type: 'value_error', loc: ['body', fault], msg: 'Invalid', input: body }] })
    const id = randomUUID()
    const cost = CREDITS_PER_SECOND[String(body.resolution)]! * Number(body.duration)
    tasks.set(id, { id, body, words, cost })
    const untold = UNTOLD.find((word) => words.has(word))
    if (untold === 'accept-500') return sendFault(response, 'server-error', body)
    if (untold === 'accept-502') return sendFault(response, 'proxy-error', body)
    if (untold) return sendFault(response, untold.slice('accept-'.length), body, `{"id":"${id.slice(0, 8)}`)
    const link = words.has('foreign-link') ? 'https://elsewhere.example/v1' : `${origin}/v1`
    sendJson(response, 200, { id, polling_url: `${link}/get_result?id=${id}`, cost: words.has('settled') || words.has('no-cost') ? null : cost, input_mp: 0, output_mp: 1.5 })
  }

  function look(task: Task | undefined, response: ServerResponse): void {
    if (!task || task.words.has('forgotten-404')) return sendJson(response, 404, { detail: 'Task not found' })
    const { id, words, cost } = task
    const fault = [...words].find((word) => word.startsWith('look-') && word.endsWith('-once'))
    if (fault !== undefined) {
      words.delete(fault)
      return sendFault(response, fault.slice('look-'.length, -'-once'.length), task.body)
    }
    const common = { id, progress: null, details: null, preview: null }
    if (words.has('forgotten')) return sendJson(response, 200, { ...common, status: 'Task not found', result: null })
    const settled = words.has('free') ? { cost: 0 } : words.has('billed') || words.has('settled') ? { cost: cost / 2 } : {}
    const end = Object.entries(ENDS).find(([word]) => words.has(word))?.[1]
    const status = held ?? end ?? 'Ready'
    if (held || status !== 'Ready') return sendJson(response, 200, { ...common, [words.has('state-word') ? 'state' : 'status']: status, result: null, details: end === 'Error' ? { Prompt: task.body.prompt } : null, ...settled })
    const result = { sample: words.has('no-sample') ? null : `${origin}/delivery/${id}.mp4?sig=secret-signature`, duration: task.body.duration, prompt: task.body.prompt, seed: 7 }
    sendJson(response, 200, { ...common, status, result, ...settled })
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://simulator')
    const call = `${request.method} ${url.pathname}`
    calls.push(call)
    const file = /^GET \/delivery\/([\w-]+)\.mp4$/.exec(call)
    // A signed link needs no key.
    if (file) return tasks.has(file[1]!) && request.headers['x-key'] === undefined ? send(response, 'video/mp4', await film(1, '16:9')) : void response.writeHead(403).end()
    if (request.headers['x-key'] !== apiKey) return sendFault(response, 'auth', request.headers['x-key'])
    switch (call) {
      case 'POST /v1/flux-3-video': return await start(request, response)
      case 'GET /v1/get_result': return look(tasks.get(url.searchParams.get('id') ?? ''), response)
      default: sendFault(response, 'not-found', undefined)
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
    starts,
    calls,
    created: () => tasks.size,
    createsOf: (prompt) => [...tasks.values()].filter(({ body }) => String(body.prompt).startsWith(prompt)).length,
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

const FIELDS = ['mode', 'prompt', 'aspect_ratio', 'resolution', 'duration', 'generate_audio', 'safety_tolerance', 'draft', 'version', 'keyframes']
const RATIOS = ['auto', '21:9', '2:1', '16:9', '4:3', '1:1', '3:4', '9:16']

/** The first field that the vendor would not take. */
function findFault(body: Record<string, unknown>): string | undefined {
  const { mode, prompt, aspect_ratio: ratio, resolution, duration, keyframes, draft } = body
  const unknown = Object.keys(body).find((field) => !FIELDS.includes(field))
  if (unknown !== undefined) return unknown
  if (mode !== (keyframes === undefined ? 't2v' : 'i2v')) return 'mode'
  if (typeof prompt !== 'string' || prompt === '') return 'prompt'
  if (!RATIOS.includes(String(ratio))) return 'aspect_ratio'
  if (!Number.isInteger(duration) || Number(duration) < 5 || Number(duration) > 20) return 'duration'
  // Bare base64, not a data URL.
  if (Array.isArray(keyframes) && !keyframes.every((frame) => /^[\w+/]+=*$/.test(String(frame)))) return 'keyframes'
  return resolution === 'hd' || (resolution === 'fhd' && draft !== true) ? undefined : 'resolution'
}
