/** A generation's progress as Server-Sent Events. The row is the truth: an event is what the row says when it changed. */
import { PassThrough } from 'node:stream'
import type { Context } from 'koa'
import { AppError } from '../errors.ts'
import type { FileStore } from '../generation/files.ts'
import type { Generation } from '../generation/records.ts'
import type { GenerationWaiter } from '../generation/wait.ts'
import { toGenerationResponse } from './generation-response.ts'

export interface EventStreamOptions {
  files: FileStore
  waiter: GenerationWaiter
  heartbeatMs: number
  maxEventStreams: number
}

/** What a browser waits before it connects again. */
const RECONNECT_MS = 2000

/** @returns a function that begins the answer and goes on with it behind the request. */
export function createEventStreams({ files, waiter, heartbeatMs, maxEventStreams }: EventStreamOptions): (ctx: Context, generationId: string, userId: string) => void {
  const open = new Map<string, number>()

  async function send(stream: PassThrough, generationId: string, userId: string, lastVersion: string, signal: AbortSignal): Promise<void> {
    let version = lastVersion
    for await (const generation of waiter.follow(generationId, userId, signal)) {
      // A client that comes back has seen this state already, unless it is the last one, which ends the stream.
      if (generation.version === version && !isEnded(generation)) continue
      version = generation.version
      stream.write(`id: ${version}\nevent: ${isEnded(generation) ? generation.status : 'progress'}\ndata: ${JSON.stringify(await toGenerationResponse(generation, files))}\n\n`)
      if (isEnded(generation)) return
    }
  }

  return (ctx, generationId, userId) => {
    const streams = open.get(userId) ?? 0
    if (streams >= maxEventStreams) throw new AppError('rate_limited', `You already follow ${streams} generations. Close some of them first.`, { retryAfterSeconds: 30 })
    open.set(userId, streams + 1)
    const stream = new PassThrough()
    const gone = new AbortController()
    const beating = setInterval(() => stream.write(': still here\n\n'), heartbeatMs)
    stream.on('close', () => {
      clearInterval(beating)
      gone.abort()
      const left = (open.get(userId) ?? 1) - 1
      if (left === 0) open.delete(userId)
      else open.set(userId, left)
    })
    ctx.status = 200
    ctx.type = 'text/event-stream'
    ctx.set('Cache-Control', 'no-store')
    // nginx and its relatives would collect events otherwise.
    ctx.set('X-Accel-Buffering', 'no')
    ctx.body = stream
    stream.write(`retry: ${RECONNECT_MS}\n\n`)
    // A failure in the middle ends the stream: the client connects again and finds out.
    void send(stream, generationId, userId, ctx.get('Last-Event-ID'), gone.signal).catch(() => undefined).finally(() => stream.end())
  }
}

const isEnded = ({ status }: Generation): boolean => ['succeeded', 'failed', 'cancelled'].includes(status)
