/**
 * A server that speaks fal's queue as its fact sheet has it: it takes any input, runs what its models take, and misbehaves
 * on request.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readBody, send, sendJson } from './answers.ts'
import { findApp, findFault } from './fal-apps.ts'
import { sendFault, sendModelError, sendRunError } from './fal-answers.ts'
import { UNMADE, UNTOLD, type FalBehaviour } from './fal-words.ts'
import { film } from './films.ts'
import { wordsIn } from './misbehaviour.ts'
import { picture as plainPicture, type PictureFormat } from './pictures.ts'

export interface FalSubmission {
  endpoint: string
  body: Record<string, unknown>
  headers: IncomingMessage['headers']
  callbackUrl: string | null
}

interface FalRequest extends FalSubmission {
  id: string
  words: Set<string>
  cancelled: boolean
}

export type FalState = 'IN_QUEUE' | 'IN_PROGRESS'

export interface FalSimulator {
  /** The value of FAL_BASE_URL. */
  baseURL: string
  apiKey: string
  /** Every submission that arrived, good or bad. */
  submissions: FalSubmission[]
  /** Every path that was asked for, with its method. */
  calls: string[]
  /** How many requests were made, and so run and billed. */
  created(): number
  createsOf(prompt: string): number
  /** The next submissions behave so, one each; several words at once in an array. */
  behave(...behaviours: (FalBehaviour | FalBehaviour[])[]): void
  /** Keeps every request in a state until the returned function is called. */
  hold(state: FalState): () => void
  close(): Promise<void>
}

export async function startFalSimulator({ port = 0, apiKey = 'fal-simulated-id:fal-simulated-secret', prefix = '' } = {}): Promise<FalSimulator> {
  const submissions: FalSubmission[] = []
  const calls: string[] = []
  const requests = new Map<string, FalRequest>()
  const next: Set<string>[] = []
  let held: FalState | undefined
  let origin = ''

  async function submit(endpoint: string, url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = parseObject(await readBody(request))
    if (request.headers['content-type'] !== 'application/json' || !body) return sendJson(response, 422, { detail: 'The body must be a JSON object.' })
    const submission = { endpoint, body, headers: request.headers, callbackUrl: url.searchParams.get('fal_webhook') }
    submissions.push(submission)
    const words = next.shift() ?? new Set(wordsIn(String(body.prompt)).map((word) => word.replace(/^run-.*$/, (run) => `run-${run.slice(4).replaceAll('-', '_')}`)))
    const unmade = UNMADE.find((word) => words.has(word))
    if (unmade === 'bad-request') return sendModelError(response, 'missing', body)
    if (unmade === 'moderation-at-once') return sendModelError(response, 'content_policy_violation', body)
    if (unmade) return sendFault(response, unmade, request.headers.authorization, '{"status":"IN_QUEUE","request_id":"')
    if (!findApp(endpoint)) return sendJson(response, 404, { detail: `Application "${endpoint}" not found` })
    const id = randomUUID()
    requests.set(id, { ...submission, id, words, cancelled: false })
    const untold = UNTOLD.find((word) => words.has(word))
    if (untold === 'accept-500') return sendFault(response, 'server-error', undefined)
    if (untold === 'accept-502') return sendFault(response, 'proxy-error', undefined)
    if (untold) return sendFault(response, untold.slice('accept-'.length), undefined, `{"status":"IN_QUEUE","request_id":"${id.slice(0, 8)}`)
    sendJson(response, 200, { status: 'IN_QUEUE', request_id: id, queue_position: 0, ...linksOf(requests.get(id)!) })
  }

  /** Requests live under their app: the path of the endpoint is dropped. */
  function linksOf({ endpoint, id, words }: FalRequest) {
    const root = `${words.has('other-links') ? 'https://elsewhere.example' : `${origin}${prefix}`}/${appOf(endpoint)}/requests/${id}`
    return { response_url: root, status_url: `${root}/status`, cancel_url: `${root}/cancel` }
  }

  function stateOf({ words }: FalRequest): string {
    return held ?? (words.has('unknown-state') ? 'PAUSED_BY_VENDOR' : 'COMPLETED')
  }

  function look(request: FalRequest, response: ServerResponse): void {
    const state = stateOf(request)
    const error = { ...((request.words.has('status-error') || request.words.has('status-error-type')) && { error: 'Runner disconnected' }), ...(request.words.has('status-error-type') && { error_type: 'runner_disconnected' }) }
    const body = { status: state, request_id: request.id, ...linksOf(request) }
    if (state === 'IN_QUEUE') return sendJson(response, 202, { ...body, queue_position: 3 })
    if (state === 'IN_PROGRESS') return sendJson(response, 202, { ...body, logs: [{ message: 'working', level: 'INFO', source: 'USER', timestamp: '2026-11-22T10:00:00.000Z' }] })
    sendJson(response, 200, { ...body, logs: null, metrics: { inference_time: 1.25 }, ...error })
  }

  async function answerResult(request: FalRequest, response: ServerResponse): Promise<void> {
    const { body, words, endpoint, id } = request
    if (stateOf(request) !== 'COMPLETED' || words.has('early')) return sendJson(response, 400, { detail: 'Request is still in progress' })
    if (words.has('status-error') || words.has('status-error-type')) return sendFault(response, 'proxy-error', undefined)
    const run = [...words].find((word) => word.startsWith('run-'))
    if (run !== undefined) return sendRunError(response, run.slice('run-'.length), body)
    const app = findApp(endpoint)!
    const fault = await findFault(app, body)
    if (fault) return sendModelError(response, fault.type, body, ['body', fault.field])
    if (words.has('no-output')) return sendJson(response, 200, { seed: 1, timings: {} })
    const format = app.gives === 'image' ? 'png' : ((body.output_format as PictureFormat | undefined) ?? 'jpeg')
    const { width, height } = (body.image_size as { width: number; height: number } | undefined) ?? { width: 256, height: 256 }
    if (app.gives === 'video') return sendJson(response, 200, { video: { url: `${origin}/files/${id}.mp4`, content_type: 'video/mp4', file_name: 'output.mp4', file_size: 1000 }, seed: 7 })
    const url = words.has('data-url') ? `data:image/${format};base64,${(await plainPicture(width, height, format)).toString('base64')}` : `${origin}/files/${id}-${width}x${height}.${format}`
    const picture = { url, width, height, content_type: `image/${format}` }
    if (app.gives === 'image') return sendJson(response, 200, { image: picture })
    const many = words.has('many')
    sendJson(response, 200, { images: many ? [picture, { ...picture, url: `${url}?second` }] : [picture], timings: { inference: 1.2 }, seed: body.seed ?? 7, has_nsfw_concepts: many ? [true, false] : [words.has('nsfw')], prompt: body.prompt })
  }

  function cancel(request: FalRequest, response: ServerResponse): void {
    if (request.words.has('cancel-late')) return sendJson(response, 202, { status: 'CANCELLATION_REQUESTED' })
    const state = stateOf(request)
    if (state === 'COMPLETED') return sendJson(response, 400, { status: 'ALREADY_COMPLETED' })
    if (state === 'IN_PROGRESS') return sendJson(response, 202, { status: 'CANCELLATION_REQUESTED' })
    request.cancelled = true
    sendJson(response, 200, { status: 'OK' })
  }

  async function aboutRequest(app: string, id: string, action: string, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = requests.get(id)
    // The trap: with the endpoint's whole path there is no such address.
    if (!request || request.cancelled || request.words.has('forgotten') || app !== appOf(request.endpoint)) {
      return sendJson(response, 404, action === 'cancel' ? { status: 'NOT_FOUND' } : { detail: 'Request not found' })
    }
    const call = action === 'status' ? 'look' : action === '' ? 'result' : 'cancel'
    const fault = [...request.words].find((word) => word.startsWith(`${call}-`) && word.endsWith('-once'))
    if (fault !== undefined) {
      request.words.delete(fault)
      return sendFault(response, fault.slice(call.length + 1, -'-once'.length), incoming.headers.authorization)
    }
    switch (`${incoming.method} ${call}`) {
      case 'GET look': return look(request, response)
      case 'GET result': return await answerResult(request, response)
      case 'PUT cancel': return cancel(request, response)
      default: sendJson(response, 405, { detail: 'Method Not Allowed' })
    }
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://simulator')
    calls.push(`${request.method} ${url.pathname}`)
    const file = /^\/files\/[\w-]+?(?:-(\d+)x(\d+))?\.(mp4|jpeg|png|webp)$/.exec(url.pathname)
    if (file?.[3] === 'mp4') return send(response, 'video/mp4', await film(1, '16:9'))
    if (file) return send(response, `image/${file[3]}`, await plainPicture(Number(file[1]), Number(file[2]), file[3] as PictureFormat))
    if (!url.pathname.startsWith(`${prefix}/`)) return sendJson(response, 404, { detail: 'Not Found' })
    if (request.headers.authorization !== `Key ${apiKey}`) return sendFault(response, 'auth', request.headers.authorization)
    const path = url.pathname.slice(prefix.length + 1)
    const about = /^(.+)\/requests\/([\w-]+)(?:\/(status|cancel))?$/.exec(path)
    if (about) return await aboutRequest(about[1]!, about[2]!, about[3] ?? '', request, response)
    if (request.method === 'POST') return await submit(path, url, request, response)
    sendJson(response, 405, { detail: 'Method Not Allowed' })
  }

  const server = createServer((request, response) => {
    response.setHeader('x-fal-request-id', `gateway-${randomUUID()}`)
    handle(request, response).catch(() => response.destroy())
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    baseURL: `${origin}${prefix}`,
    apiKey,
    submissions,
    calls,
    created: () => requests.size,
    createsOf: (prompt) => [...requests.values()].filter(({ body }) => String(body.prompt).startsWith(prompt)).length,
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

const appOf = (endpoint: string): string => endpoint.split('/').slice(0, /^(workflows|comfy)\//.test(endpoint) ? 3 : 2).join('/')

function parseObject(bytes: Buffer | undefined): Record<string, unknown> | undefined {
  try {
    const body: unknown = JSON.parse(String(bytes))
    return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
