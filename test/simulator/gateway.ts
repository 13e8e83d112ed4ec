/**
 * A server that speaks as OpenAI-compatible gateways do - OpenAI's image and video calls, new-api's and OpenRouter's - refuses
 * what they refuse, and misbehaves on request: by `behave()`, or by a word such as `sim:hang` in the prompt.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readBody, send, sendJson } from './answers.ts'
import { film } from './films.ts'
import { parseForm } from './forms.ts'
import { GATEWAY_REFUSALS, toErrorType, type GatewayRefusal, type GatewayRefusalWord } from './gateway-refusals.ts'
import { findProblem, type ReceivedCreate } from './gateway-rules.ts'
import { createTask, describeStart, describeTask, TASK_WORDS, type GatewayTask, type TaskWord } from './gateway-tasks.ts'
import { LOSSES, lose, wordsIn, type Loss } from './misbehaviour.ts'
import { picture } from './pictures.ts'

/** How a picture's answer differs between gateways, or goes wrong. */
const PICTURES = ['url', 'relative-url', 'data-url', 'b64-data-url', 'empty', 'no-bytes', 'item-refusal', 'no-data', 'cost'] as const
/** A task is made, and its id does not arrive. */
const UNTOLD = ['accept-drop', 'accept-cut', 'accept-hang', 'accept-500', 'accept-502', 'accept-html', 'accept-no-id', 'accept-bad-id'] as const
/** How a look goes wrong, once for each time it is asked for. */
export type LookBehaviour = 'ok' | 'drop' | 'html' | 'hang' | GatewayRefusalWord

export type GatewayBehaviour = GatewayRefusalWord | Loss | (typeof PICTURES)[number] | (typeof UNTOLD)[number] | TaskWord | `error-type-${string}`

export interface GatewaySimulator {
  /** The value of GATEWAY_BASE_URL. */
  baseURL: string
  apiKey: string
  /** Every create that arrived, good or bad. */
  requests: (ReceivedCreate & { headers: IncomingMessage['headers'] })[]
  tasks: ReadonlyMap<string, GatewayTask>
  /** How many pictures and tasks were made: the bill. */
  created(): number
  createsOf(prompt: string): number
  looks(): number
  /** The next create calls behave so, one each. */
  behave(...behaviours: (GatewayBehaviour | 'ok')[]): void
  /** The next looks at tasks behave so, one each. */
  behaveOnLook(...behaviours: LookBehaviour[]): void
  close(): Promise<void>
}

const has = <T extends string>(words: readonly T[], word: string): word is T => (words as readonly string[]).includes(word)

export async function startGatewaySimulator(options: { apiKey?: string } = {}): Promise<GatewaySimulator> {
  const apiKey = options.apiKey ?? 'sk-simulated-gateway-key'
  const requests: GatewaySimulator['requests'] = []
  const prompts: string[] = []
  const tasks = new Map<string, GatewayTask>()
  const next: (GatewayBehaviour | 'ok')[] = []
  const nextLooks: LookBehaviour[] = []
  let looks = 0
  let origin = ''

  async function create(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const received = await readCreate(path, request)
    if (!received) return sendJson(response, 415, { detail: 'Unsupported Media Type' })
    requests.push({ ...received, headers: request.headers })
    const problem = findProblem(received)
    if (problem !== undefined) return sendJson(response, 400, { error: { message: `Invalid ${problem}`, type: 'invalid_request_error', param: problem, code: 'unknown_parameter' } })
    const prompt = received.body.prompt as string
    const behaviour = next.shift() ?? (wordsIn(prompt)[0] as GatewayBehaviour | undefined) ?? 'ok'
    const refusal = refusalOf(behaviour)
    if (refusal) return refuse(refusal, response)
    prompts.push(prompt)
    if (has(LOSSES, behaviour)) return lose(behaviour, response, '{"id":"half')
    if (path.startsWith('/image')) return await answerPicture(behaviour, received, origin, response)
    const task = createTask(received, has(TASK_WORDS, behaviour) ? behaviour : undefined)
    tasks.set(task.id, task)
    if (has(UNTOLD, behaviour)) return keepSilent(behaviour, response)
    const { status, body } = describeStart(task)
    sendJson(response, status, body)
  }

  function look(id: string, response: ServerResponse): void {
    looks++
    const behaviour = nextLooks.shift() ?? 'ok'
    if (behaviour === 'drop') return void response.destroy()
    if (behaviour === 'hang') return
    if (behaviour !== 'ok') return refuse(GATEWAY_REFUSALS[behaviour], response)
    const task = tasks.get(id)
    if (task?.word === 'task-forgotten-400') return sendJson(response, 400, { code: 'task_not_exist', message: 'task_not_exist', data: null })
    if (!task || task.word === 'task-forgotten') return sendJson(response, 404, { error: { message: 'No such video', type: 'invalid_request_error', code: null } })
    sendJson(response, 200, describeTask(task, origin))
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? '/', 'http://simulator')
    if (pathname.startsWith('/v1/videos/serve/')) return send(response, 'video/mp4', await film(1, '16:9'))
    if (pathname.startsWith('/v1/images/serve/')) return send(response, 'image/png', await picture(64, 64))
    if (request.headers.authorization !== `Bearer ${apiKey}`) return refuse(GATEWAY_REFUSALS.auth, response)
    const path = pathname.replace(/^\/v1/, '')
    if (request.method === 'POST' && ['/images/generations', '/images/edits', '/images', '/videos', '/video/generations'].includes(path)) return await create(path, request, response)
    if (/^\/videos\/[^/]+\/content$/.test(path)) return send(response, 'video/mp4', await film(1, '16:9'))
    const id = /^\/(?:videos|video\/generations)\/([^/]+)$/.exec(path)?.[1]
    if (request.method === 'GET' && id !== undefined) return look(decodeURIComponent(id), response)
    if (request.method === 'GET' && path === '/models') return sendJson(response, 200, { data: [{ id: 'gpt-image-2', object: 'model' }] })
    sendJson(response, 404, { error: { message: `Invalid URL (${request.method} ${pathname})`, type: 'invalid_request_error', code: '' } })
  }

  const server = createServer((request, response) => {
    response.setHeader('x-oneapi-request-id', randomUUID())
    handle(request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    baseURL: `${origin}/v1`,
    apiKey,
    requests,
    tasks,
    created: () => prompts.length,
    createsOf: (beginning) => prompts.filter((prompt) => prompt.startsWith(beginning)).length,
    looks: () => looks,
    behave: (...behaviours) => void next.push(...behaviours),
    behaveOnLook: (...behaviours) => void nextLooks.push(...behaviours),
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function readCreate(path: string, request: IncomingMessage): Promise<ReceivedCreate | undefined> {
  const bytes = (await readBody(request))!
  const type = request.headers['content-type']
  if (type === 'application/json' && path !== '/images/edits') return { path, body: JSON.parse(String(bytes)) as Record<string, unknown>, files: [] }
  const form = await parseForm(type, bytes)
  return form && { path, body: form.fields, files: form.files }
}

function refusalOf(behaviour: string): GatewayRefusal | undefined {
  if (Object.hasOwn(GATEWAY_REFUSALS, behaviour)) return GATEWAY_REFUSALS[behaviour as GatewayRefusalWord]
  const type = /^error-type-(\d+)-(\w+)$/.exec(behaviour)
  return type ? toErrorType(Number(type[1]), type[2]!) : undefined
}

function refuse({ status, body, headers }: GatewayRefusal, response: ServerResponse): void {
  const isText = typeof body === 'string'
  response.writeHead(status, { 'content-type': isText ? 'text/html' : 'application/json', ...headers }).end(isText ? body : JSON.stringify(body))
}

function keepSilent(behaviour: (typeof UNTOLD)[number], response: ServerResponse): void {
  switch (behaviour) {
    case 'accept-drop': case 'accept-cut': case 'accept-hang': return lose(behaviour.slice(7) as Loss, response, '{"id":"vid')
    case 'accept-500': return refuse(GATEWAY_REFUSALS['server-error'], response)
    case 'accept-502': return refuse(GATEWAY_REFUSALS['proxy-error'], response)
    case 'accept-html': return refuse(GATEWAY_REFUSALS.html, response)
    case 'accept-no-id': return sendJson(response, 200, { status: 'queued' })
    case 'accept-bad-id': return sendJson(response, 200, { id: '..', status: 'queued' })
  }
}

async function answerPicture(behaviour: string, { path, body }: ReceivedCreate, origin: string, response: ServerResponse): Promise<void> {
  const [width, height] = (body.size as string).split('x').map(Number) as [number, number]
  const base64 = (await picture(width, height)).toString('base64')
  const file = `/v1/images/serve/${randomUUID()}.png`
  const items: Record<string, unknown[]> = {
    url: [{ url: origin + file }],
    'relative-url': [{ url: file }],
    'data-url': [{ url: `data:image/png;base64,${base64}` }],
    'b64-data-url': [{ b64_json: `data:image/png;base64,${base64}` }],
    empty: [],
    'no-bytes': [{}],
    'item-refusal': [{ error: { code: 'content_policy_violation', message: 'vendor words' } }],
  }
  const usage = path === '/images' || behaviour === 'cost' ? { usage: { prompt_tokens: 20, completion_tokens: 1300, total_tokens: 1320, cost: 0.04 } } : {}
  sendJson(response, 200, behaviour === 'no-data' ? {} : { data: items[behaviour] ?? [{ b64_json: base64, media_type: 'image/png' }], ...usage })
}
