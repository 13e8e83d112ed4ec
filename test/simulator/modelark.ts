/**
 * A server that speaks ModelArk's image and video API as its fact sheet has it, refuses what the real one refuses, and
 * misbehaves on request: by `behave()`, or by a word such as `sim:hang` in the prompt when it is used by hand.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sendError, sendJson } from './answers.ts'
import { refuse } from './misbehaviour.ts'
import { createImageSimulation, type Behaviour, type SimulatedRequest } from './modelark-images.ts'
import { createVideoSimulation, type SimulatedVideos, type VideoQuirks } from './modelark-videos.ts'

export type { Behaviour, CreateBehaviour, FileBehaviour, SimulatedRequest } from './modelark-images.ts'
export type { SimulatedTask } from './modelark-tasks.ts'
export type { VideoBehaviour } from './modelark-video-words.ts'
export type { SimulatedVideos, VideoEvent, VideoEventDetail, VideoQuirks, VideoStats } from './modelark-videos.ts'

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
  /** The video tasks, counted and steered apart from the pictures. */
  videos: SimulatedVideos
  close(): Promise<void>
}

export interface SimulatorOptions {
  port?: number
  apiKey?: string
  /** How long a picture takes, in milliseconds. */
  latencyMs?: number
  /** The least bytes of a picture: noise is added until a file is so large. */
  minBytes?: number
  /** How long a video task waits in its queue, and then runs, in milliseconds. */
  queuedMs?: number
  runningMs?: number
  /** The least bytes of a video file: noise that players skip is added, and made as it is sent. */
  minVideoBytes?: number
  /** Whether callbacks are sent. */
  callbacks?: boolean
  videoQuirks?: Partial<VideoQuirks>
}

const KEEP_ALIVE_MS = 120_000

export async function startModelArkSimulator(options: SimulatorOptions = {}): Promise<ModelArkSimulator> {
  const apiKey = options.apiKey ?? 'ark-simulated-key'
  let origin = ''
  const isAuthorized = (request: IncomingMessage) => request.headers.authorization === `Bearer ${apiKey}`
  const { create, serveFile, ...images } = createImageSimulation({ origin: () => origin, isAuthorized, latencyMs: options.latencyMs ?? 0, minBytes: options.minBytes ?? 0 })
  const videos = createVideoSimulation({
    origin: () => origin,
    isAuthorized,
    queuedMs: options.queuedMs ?? 0,
    runningMs: options.runningMs ?? 30,
    minVideoBytes: options.minVideoBytes ?? 0,
    callbacks: options.callbacks ?? false,
    quirks: options.videoQuirks ?? {},
  })

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://simulator')
    const { pathname } = url
    const picture = /^\/files\/([0-9a-f-]+)\.jpeg$/.exec(pathname)?.[1]
    if (picture !== undefined) return serveFile(picture, request, response)
    const video = /^\/videos\/([\w-]+\.(?:mp4|png))$/.exec(pathname)?.[1]
    if (video !== undefined) return videos.serveFile(video, url, request, response)
    const task = /^\/api\/v3\/contents\/generations\/tasks\/([^/]+)$/.exec(pathname)?.[1]
    if (task !== undefined && request.method === 'GET') return videos.check(task, request, response)
    if (task !== undefined && request.method === 'DELETE') return videos.remove(task, request, response)
    switch (`${request.method} ${pathname}`) {
      case 'POST /api/v3/images/generations': return create(request, response)
      case 'POST /api/v3/contents/generations/tasks': return videos.create(request, response)
      case 'GET /api/v3/contents/generations/tasks': return videos.list(url, request, response)
      case 'GET /api/v3/models': return listModels(request, response)
      default: sendError(response, 404, 'NotFound', 'no such path')
    }
  }

  const server = createServer((request, response) => {
    response.setHeader('x-request-id', `021${randomUUID().replaceAll('-', '')}`)
    handle(request, response).catch(() => response.destroy())
  })
  // Node's 5 s end a connection in the very moment in which a slow test sends its next request on it.
  server.keepAliveTimeout = KEEP_ALIVE_MS

  async function listModels(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!isAuthorized(request)) return refuse('auth', response)
    sendJson(response, 200, { object: 'list', data: [{ id: 'seedream-4-0-250828', object: 'model', created: 0, owned_by: '', task_type: ['TextToImage'], status: 'Active' }] })
  }

  server.listen(options.port ?? 0, '127.0.0.1')
  await once(server, 'listening')
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    baseURL: `${origin}/api/v3`,
    apiKey,
    ...images,
    videos: videos.videos,
    async close() {
      videos.close()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
