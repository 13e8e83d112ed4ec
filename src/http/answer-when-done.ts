/**
 * The three ways to wait for a generation: until it is done, at most so many seconds (`Prefer: wait=10`), or not at all
 * (`Prefer: respond-async`). The work goes on in every case.
 */
import { PassThrough } from 'node:stream'
import type { Context } from 'koa'
import { AppError } from '../errors.ts'
import type { FileStore } from '../generation/files.ts'
import type { Generation, Records } from '../generation/records.ts'
import type { GenerationWaiter } from '../generation/wait.ts'
import { toFailure, toGenerationResponse } from './generation-response.ts'
import { toAppError, toErrorBody } from './request-context.ts'

export interface WaitingOptions {
  records: Records
  files: FileStore
  waiter: GenerationWaiter
  /** Longest wait of a request. */
  syncWaitMs: number
  /** Heroku ends a request that is silent for 30 s: after this long the answer begins, with white space. */
  heartbeatAfterMs: number
  heartbeatMs: number
}

interface Answer {
  status: number
  body: object
}

/** @param present makes the body of a generation that succeeded. */
export async function answerWhenDone(ctx: Context, generationId: string, userId: string, present: (generation: Generation) => Promise<object>, options: WaitingOptions): Promise<void> {
  const preference = parsePrefer(ctx.get('Prefer'))
  ctx.state.generationId = generationId
  if (preference?.name === 'respond-async') {
    ctx.set('Preference-Applied', 'respond-async')
    return await answerAccepted(ctx, generationId, userId, options)
  }
  // A preference is answered with an honest status, so its wait ends before the answer would have to begin early.
  const waitMs = preference ? Math.min(preference.waitMs, options.heartbeatAfterMs) : options.syncWaitMs
  if (preference) ctx.set('Preference-Applied', `wait=${waitMs / 1000}`)
  const done = options.waiter.wait(generationId, userId, untilGone(ctx, waitMs)).then(async (generation): Promise<Answer> => {
    if (generation?.status === 'succeeded') return { status: 200, body: await present(generation) }
    if (generation) throw toFailure(generation)
    return preference ? await toAccepted(generationId, userId, options) : { status: 202, body: stillRunning(ctx, generationId) }
  })
  const first = preference ? await done : await Promise.race([done, silence(options.heartbeatAfterMs)])
  if (first === undefined) return beginEarly(ctx, done, options.heartbeatMs)
  ctx.status = first.status
  if (first.status === 202) ctx.set('Location', locationOf(generationId))
  ctx.body = first.body
}

/** `undefined` once the request was silent for too long. */
function silence(afterMs: number): Promise<undefined> {
  return new Promise((resolve) => void setTimeout(() => resolve(undefined), afterMs).unref())
}

/** Commits to 200 and JSON before the outcome is known: what fails from here on can only be told in the body. */
function beginEarly(ctx: Context, done: Promise<Answer>, heartbeatMs: number): void {
  const stream = new PassThrough()
  const beat = () => stream.write(' ')
  const beating = setInterval(beat, heartbeatMs)
  stream.on('close', () => clearInterval(beating))
  beat()
  ctx.status = 200
  ctx.type = 'application/json'
  ctx.body = stream
  const fail = (error: unknown): object => {
    const failure = toAppError(error)
    ctx.state.failure = failure
    return { ...toErrorBody(failure, ctx), status: failure.status }
  }
  void done.then(({ body }) => body, fail).then((body) => stream.end(JSON.stringify(body)))
}

async function answerAccepted(ctx: Context, generationId: string, userId: string, options: WaitingOptions): Promise<void> {
  const { status, body } = await toAccepted(generationId, userId, options)
  ctx.status = status
  ctx.set('Location', locationOf(generationId))
  ctx.body = body
}

async function toAccepted(generationId: string, userId: string, { records, files }: WaitingOptions): Promise<Answer> {
  const generation = await records.find(generationId, userId)
  if (!generation) throw new AppError('not_found', 'This generation was deleted.', { generationId })
  return { status: 202, body: await toGenerationResponse(generation, files) }
}

const locationOf = (generationId: string): string => `/api/generations/${generationId}`

const stillRunning = (ctx: Context, generationId: string) => ({
  error: `This takes longer than a request may wait. The work goes on: look for it at ${locationOf(generationId)}.`,
  code: 'still_running',
  status: 202,
  generationId,
  requestId: ctx.state.requestId as string,
})

/** RFC 7240: unknown preferences are passed over, the first known one wins. */
function parsePrefer(header: string): { name: 'respond-async'; waitMs?: undefined } | { name: 'wait'; waitMs: number } | undefined {
  for (const preference of header.split(',').map((part) => part.split(';', 1)[0]!.trim().toLowerCase())) {
    if (preference === 'respond-async') return { name: 'respond-async' }
    const seconds = /^wait\s*=\s*"?(\d{1,5})"?$/.exec(preference)?.[1]
    if (seconds !== undefined) return { name: 'wait', waitMs: Number(seconds) * 1000 }
  }
  return undefined
}

/** Ends with the caller's connection or with the longest wait; the generation goes on either way. */
function untilGone(ctx: Context, maxWaitMs: number): AbortSignal {
  const gone = new AbortController()
  ctx.res.once('close', () => gone.abort())
  return AbortSignal.any([gone.signal, AbortSignal.timeout(maxWaitMs)])
}
