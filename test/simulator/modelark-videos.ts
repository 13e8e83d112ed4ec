/**
 * The video task endpoints of the simulated ModelArk. Tasks are created, looked at, listed and deleted over HTTP as the
 * real ones are; what the test behind it asks for, and counts, is in `SimulatedVideos`.
 */
import { randomInt } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { readBody, sendError, sendJson } from './answers.ts'
import { isNamedError, lose, LOSSES, refuse, REFUSALS, wordsIn } from './misbehaviour.ts'
import { tellCallback } from './modelark-callbacks.ts'
import type { SimulatedRequest } from './modelark-images.ts'
import { toListQuery } from './modelark-task-list.ts'
import { createTaskClock, describe, statusOf, type SimulatedTask, type TaskRecord } from './modelark-tasks.ts'
import { isAllowed, serveLastFrame, serveVideo, taskFile } from './modelark-video-files.ts'
import { checkVideoRequest, tokensOf, type VideoOrder } from './modelark-video-rules.ts'
import { isVideoBehaviour, LIST, UNTOLD, type VideoBehaviour } from './modelark-video-words.ts'

export type VideoEvent = 'create-received' | 'create-accepted' | 'check-received' | 'check-answering' | 'list-received' | 'file-requested' | 'file-half'

export interface VideoEventDetail {
  /** Empty where no task is concerned. */
  prompt: string
  taskId?: string
  /** What a check is about to answer. */
  status?: string
}

/** What is known of the real one only by hearsay, so that a service can be tried against either. May be changed at any time. */
export interface VideoQuirks {
  /** The seed on 2.x: taken and echoed, taken and replaced by a random one, or refused as an unknown field. */
  seedOn2: 'kept' | 'ignored' | 'refused'
  /** When a task tells its seed, resolution, ratio and duration: always, or only after it has succeeded. */
  settings: 'always' | 'succeeded'
}

export interface VideoStats {
  created: number
  /** Accepted tasks by prompt. */
  creates: Record<string, number>
  checks: number
  lists: number
  fetches: number
}

export interface SimulatedVideos {
  /** Every create that arrived, good or bad. */
  requests: SimulatedRequest[]
  /** Every task ever accepted, by id, in that order, deleted ones too. */
  tasks: ReadonlyMap<string, SimulatedTask>
  quirks: VideoQuirks
  /** How many tasks were ever accepted: the bill. */
  created(): number
  /** How many accepted tasks have a text that begins so. */
  createsOf(prompt: string): number
  /** How often a task was asked for by its id, known or not. */
  checks(): number
  lists(): number
  /** How often a file was asked for. */
  fetches(): number
  stats(): VideoStats
  /** The bytes that a task's link serves, padding and all. */
  file(taskId: string): Promise<Buffer>
  /** The next valid create calls and their tasks behave so, one each: one word, several, or `ok`. */
  behave(...behaviours: (VideoBehaviour | 'ok' | readonly VideoBehaviour[])[]): void
  /** Keeps tasks in a status until the returned function is called. */
  hold(status: 'queued' | 'running'): () => void
  /** The simulator waits for what the handler returns, and cuts the connection if that throws. @returns what takes it off. */
  on(event: VideoEvent, handler: (detail: VideoEventDetail) => unknown): () => void
}

export interface VideoSimulation {
  videos: SimulatedVideos
  create(request: IncomingMessage, response: ServerResponse): Promise<void>
  check(id: string, request: IncomingMessage, response: ServerResponse): Promise<void>
  list(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void>
  remove(id: string, request: IncomingMessage, response: ServerResponse): Promise<void>
  serveFile(name: string, url: URL, request: IncomingMessage, response: ServerResponse): Promise<void>
  close(): void
}

export interface VideoSimulationOptions {
  origin: () => string
  isAuthorized: (request: IncomingMessage) => boolean
  queuedMs: number
  runningMs: number
  minVideoBytes: number
  callbacks: boolean
  quirks: Partial<VideoQuirks>
}

const MAX_BODY_BYTES = 64 * 1024 * 1024
const UNLISTED_LISTS = 2

export function createVideoSimulation(options: VideoSimulationOptions): VideoSimulation {
  const clock = createTaskClock(options.queuedMs, options.runningMs)
  const requests: SimulatedRequest[] = []
  const tasks = new Map<string, TaskRecord>()
  const quirks: VideoQuirks = { seedOn2: 'kept', settings: 'always', ...options.quirks }
  const next: ReadonlySet<VideoBehaviour>[] = []
  const handlers: { event: VideoEvent; handler: (detail: VideoEventDetail) => unknown }[] = []
  /** What the coming list calls answer instead. */
  const listFaults: VideoBehaviour[] = []
  const closing = new AbortController()
  let checks = 0
  let lists = 0
  let fetches = 0

  async function emit(event: VideoEvent, detail: VideoEventDetail): Promise<void> {
    for (const one of handlers.filter((other) => other.event === event)) await one.handler(detail)
  }

  const toJson = (task: TaskRecord, status: string) => describe(task, status, { clock, origin: options.origin(), tokens: tokensOf(task.order), settingsAlways: quirks.settings === 'always' })

  function once(task: TaskRecord, behaviour: VideoBehaviour): boolean {
    if (!task.behaviours.has(behaviour) || task.spent.has(behaviour)) return false
    task.spent.add(behaviour)
    return true
  }

  async function create(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const bytes = await readBody(request, MAX_BODY_BYTES)
    if (bytes === undefined) return sendError(response, 400, 'InvalidParameter', 'The request body is larger than 64 MB.')
    const body = parseObject(bytes)
    if (body === undefined) return sendError(response, 400, 'InvalidParameter', 'The request body is not a JSON object.')
    requests.push({ body, headers: request.headers })
    const prompt = promptOf(body)
    await emit('create-received', { prompt })
    if (!options.isAuthorized(request)) return refuse('auth', response)
    const order = await checkVideoRequest(body, quirks.seedOn2 === 'refused')
    if ('code' in order) return sendError(response, order.status, order.code, order.message)
    const behaviours = next.shift() ?? new Set(wordsIn(prompt).filter(isVideoBehaviour))
    if (behaviours.has('queue-full')) return sendError(response, 429, 'QuotaExceeded', 'The task queue of your account is full.')
    const refusal = REFUSALS.find((word) => behaviours.has(word)) ?? [...behaviours].find(isNamedError)
    if (refusal) return refuse(refusal, response)
    const loss = LOSSES.find((word) => behaviours.has(word))
    if (loss) return lose(loss, response, '{"id":"cgt-')

    const seed = toSeed(body.seed, order)
    const task = accept(body, order, seed, behaviours)
    const accepted = behaviours.has('accept-twice') ? [task, accept(body, order, seed, behaviours)] : [task]
    listFaults.push(...LIST.filter((word) => word !== 'unlisted-at-first' && behaviours.has(word)))
    for (const { id } of accepted) await emit('create-accepted', { prompt, taskId: id })
    answerCreate(response, task)
  }

  function toSeed(asked: unknown, { generation }: VideoOrder): number {
    const isKept = typeof asked === 'number' && asked >= 0 && (generation === '1' || quirks.seedOn2 === 'kept')
    return isKept ? asked : randomInt(2 ** 31)
  }

  function accept(body: Record<string, unknown>, order: VideoOrder, seed: number, behaviours: ReadonlySet<VideoBehaviour>): TaskRecord {
    const createdAt = clock.now()
    let id = newId(createdAt, body)
    while (tasks.has(id)) id = newId(createdAt, body)
    const { prompt, pictures, firstFrame, parsedSuffix } = order
    const task: TaskRecord = {
      id, body, prompt, pictures, createdAt, seed, behaviours, order,
      ...(firstFrame && { picture: firstFrame }),
      ...(parsedSuffix !== undefined && { parsedSuffix }),
      checks: 0, fetches: 0, looks: 0, unlisted: 0, deleted: false, spent: new Set(),
      status: () => statusOf(task, clock),
    }
    tasks.set(id, task)
    if (options.callbacks && typeof body.callback_url === 'string') void tellCallback(task, body.callback_url, { clock, toJson, signal: closing.signal }).catch(() => undefined)
    return task
  }

  async function check(id: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    checks++
    const task = tasks.get(id)
    if (task) task.checks++
    const detail = { prompt: task?.prompt ?? '', taskId: id }
    await emit('check-received', detail)
    if (!options.isAuthorized(request)) return refuse('auth', response)
    if (!isOnRecord(task)) return sendNoTask(response, id)
    if (once(task, 'check-error-once')) return refuse('server-error', response)
    if (once(task, 'check-rate-limit-once')) {
      response.setHeader('retry-after', '1')
      return refuse('rate-limit', response)
    }
    if (once(task, 'check-hang-once')) return
    if (once(task, 'check-html-once')) return refuse('html', response)
    if (once(task, 'check-drop-once')) return lose('drop', response, '')
    if (once(task, 'check-proxy-error-once')) return refuse('proxy-error', response)
    const status = statusOf(task, clock)
    const answer = toJson(task, status)
    task.looks++
    await emit('check-answering', { ...detail, status })
    sendJson(response, 200, answer)
  }

  async function list({ searchParams }: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    lists++
    await emit('list-received', { prompt: '' })
    if (!options.isAuthorized(request)) return refuse('auth', response)
    const fault = listFaults.shift()
    if (fault) return refuse(fault === 'list-error-once' ? 'server-error' : 'rate-limit', response)
    const query = toListQuery(searchParams)
    if (query === undefined) return sendError(response, 400, 'InvalidParameter', 'A parameter of the query is not valid.')
    const found = [...tasks.values()].reverse().filter((task) => isOnRecord(task) && query.matches(task, statusOf(task, clock)))
    const told = found.filter((task) => !task.behaviours.has('unlisted-at-first') || ++task.unlisted > UNLISTED_LISTS)
    const items = told.slice((query.page - 1) * query.size, query.page * query.size)
    sendJson(response, 200, { items: items.map((task) => toJson(task, statusOf(task, clock))), total: told.length })
  }

  async function remove(id: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!options.isAuthorized(request)) return refuse('auth', response)
    const task = tasks.get(id)
    if (!isOnRecord(task)) return sendNoTask(response, id)
    switch (statusOf(task, clock)) {
      case 'queued': task.cancelledAt = clock.now(); break
      case 'running': case 'paused': return sendError(response, 409, 'InvalidAction.RunningTaskDeletion', 'Cannot delete task because it is currently running.')
      case 'cancelled': return sendError(response, 400, 'OperationDenied.InvalidState', 'The task is cancelled.')
      default: task.deleted = true
    }
    sendJson(response, 200, {})
  }

  async function serveFile(name: string, url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [id, type] = name.split('.') as [string, string]
    const task = tasks.get(id)
    const isMade = task !== undefined && ['succeeded', 'deleted'].includes(statusOf(task, clock))
    if (!isMade || !isAllowed(request, url)) return void response.writeHead(403).end()
    if (type === 'png') return await serveLastFrame(response)
    fetches++
    task.fetches++
    const detail = { prompt: task.prompt, taskId: id }
    await emit('file-requested', detail)
    await serveVideo(task, request, response, { minBytes: options.minVideoBytes, atHalf: () => emit('file-half', detail), once: (word) => once(task, word) })
  }

  const videos: SimulatedVideos = {
    requests,
    tasks,
    quirks,
    created: () => tasks.size,
    createsOf: (prompt) => [...tasks.values()].filter((task) => task.prompt.startsWith(prompt)).length,
    checks: () => checks,
    lists: () => lists,
    fetches: () => fetches,
    stats() {
      const creates: Record<string, number> = {}
      for (const { prompt } of tasks.values()) creates[prompt] = (creates[prompt] ?? 0) + 1
      return { created: tasks.size, creates, checks, lists, fetches }
    },
    async file(taskId) {
      const task = tasks.get(taskId)
      if (!task) throw new Error(`There is no task ${taskId}.`)
      return Buffer.concat([...(await taskFile(task, options.minVideoBytes)).read()])
    },
    behave: (...behaviours) => void next.push(...behaviours.map((one) => new Set(one === 'ok' ? [] : typeof one === 'string' ? [one] : one))),
    hold: (status) => clock.hold(status),
    on(event, handler) {
      const one = { event, handler }
      handlers.push(one)
      return () => void handlers.splice(handlers.indexOf(one), handlers.includes(one) ? 1 : 0)
    },
  }
  return { videos, create, check, list, remove, serveFile, close: () => closing.abort() }
}

function answerCreate(response: ServerResponse, task: TaskRecord): void {
  const has = (word: VideoBehaviour) => task.behaviours.has(word)
  const { id, body } = task
  if (has('accept-cut')) return lose('cut', response, `{"id":"${id.slice(0, 12)}`)
  if (has('accept-500')) return refuse('server-error', response)
  if (has('accept-502')) return refuse('proxy-error', response)
  if (has('accept-hang')) return
  if ([...UNTOLD, ...LIST].some(has)) return lose('drop', response, '')
  sendJson(response, 200, { id, ...(body.safety_identifier !== undefined && { safety_identifier: body.safety_identifier }) })
}

/** Such as `cgt-20261101120000-abcde`. */
function newId(createdAt: number, body: Record<string, unknown>): string {
  const time = new Date(createdAt).toISOString().replaceAll(/\D/g, '').slice(0, 14)
  const rest = randomInt(36 ** 5).toString(36).padStart(5, '0')
  return `cgt-${body.service_tier === 'flex' ? 'batch-' : ''}${time}-${rest}`
}

const isOnRecord = (task: TaskRecord | undefined): task is TaskRecord => task !== undefined && !task.deleted && !task.behaviours.has('task-forgotten')

const sendNoTask = (response: ServerResponse, id: string): void => sendError(response, 404, 'NotFound', `The task ${id} was not found.`)

function parseObject(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const body: unknown = JSON.parse(bytes.toString())
    return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/** The text of a body that need not be a valid one. */
function promptOf({ content }: Record<string, unknown>): string {
  if (!Array.isArray(content)) return ''
  const texts = content.map((item: unknown) => (typeof item === 'object' && item !== null && 'text' in item ? item.text : undefined))
  return texts.find((text) => typeof text === 'string') ?? ''
}
