/** The files of finished video tasks, served as the object store behind ModelArk's links does, or worse. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setImmediate } from 'node:timers/promises'
import { pipeline } from 'node:stream/promises'
import sharp from 'sharp'
import { send } from './answers.ts'
import { film, filmFile, type FilmFile } from './films.ts'
import { isSigned, type TaskRecord } from './modelark-tasks.ts'
import type { VideoBehaviour } from './modelark-video-words.ts'

/** More than any file that a service should take. */
const HUGE_BYTES = 2 ** 40

/** What a task's link serves when all goes well. */
export async function taskFile(task: TaskRecord, minBytes: number): Promise<FilmFile> {
  return filmFile(await film(task.order.seconds, task.order.ratio), task.id, minBytes)
}

export interface ServeVideoOptions {
  minBytes: number
  /** Called when half of the bytes are on their way, and awaited. */
  atHalf: () => Promise<void>
  /** Whether the task has this behaviour and it did not happen before. */
  once: (behaviour: VideoBehaviour) => boolean
}

/** Sends the film of a task. A request that its link does not allow is refused before this. */
export async function serveVideo(task: TaskRecord, request: IncomingMessage, response: ServerResponse, { minBytes, atHalf, once }: ServeVideoOptions): Promise<void> {
  const has = (behaviour: VideoBehaviour) => task.behaviours.has(behaviour)
  if (once('file-hang-once')) return
  if (once('file-error-once')) return void response.writeHead(503).end()
  if (has('file-html')) return send(response, 'text/html', '<!doctype html><title>not a video</title>')
  if (has('file-expired')) return void response.writeHead(403, { 'content-type': 'application/xml' }).end('<Error><Code>AccessDenied</Code></Error>')
  if (has('file-redirect-inward')) return void response.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data/' }).end()
  if (has('file-redirect-loop')) return void response.writeHead(302, { location: request.url }).end()
  const bytes = await film(task.order.seconds, task.order.ratio)
  if (has('file-truncated')) return send(response, 'video/mp4', bytes.subarray(0, bytes.length >> 1))
  const endless = has('file-huge') || has('file-endless')
  const file = filmFile(bytes, task.id, endless ? HUGE_BYTES : minBytes)
  response.writeHead(200, { 'content-type': has('file-wrong-type') ? 'text/plain' : 'video/mp4', ...(!has('file-endless') && { 'content-length': file.byteLength }) })
  if (has('file-hang')) return response.flushHeaders()
  const cut = has('file-cut') || once('file-cut-once')
  // A client that hangs up ends this too.
  await pipeline(halves(file, atHalf, cut), response).catch(() => undefined)
}

async function* halves(file: FilmFile, atHalf: () => Promise<void>, cut: boolean): AsyncGenerator<Buffer> {
  const half = Math.floor(file.byteLength / 2)
  yield* file.read(0, half)
  // The first bytes leave only in the next turn of the event loop.
  await setImmediate()
  await atHalf()
  if (cut) throw new Error('The connection is cut here.')
  yield* file.read(half)
}

/** A request for a file that is not one of a signed GET is answered as the store does; it signs for GET alone. */
export function isAllowed(request: IncomingMessage, url: URL): boolean {
  return request.method === 'GET' && isSigned(url)
}

/** The last frame, as a PNG. */
export async function serveLastFrame(response: ServerResponse): Promise<void> {
  send(response, 'image/png', await sharp({ create: { width: 320, height: 180, channels: 3, background: { r: 40, g: 90, b: 140 } } }).png().toBuffer())
}
