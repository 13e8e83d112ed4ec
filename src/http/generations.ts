import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import { z } from 'zod'
import { AppError } from '../errors.ts'
import type { CancelGeneration } from '../generation/cancel.ts'
import type { FileStore } from '../generation/files.ts'
import { GENERATION_STATUSES, type Generation, type Records } from '../generation/records.ts'
import type { GenerationWaiter } from '../generation/wait.ts'
import type { Action } from '../keys/scopes.ts'
import type { AuthenticatedUser } from './authenticated-user.ts'
import { refuseSignedBody } from './body-digest.ts'
import { createEventStreams } from './event-stream.ts'
import { toGenerationResponse } from './generation-response.ts'
import { parseInput } from './json-body.ts'
import { readQuery } from './query.ts'
import { demandKindScope } from './route-scopes.ts'

export interface GenerationRoutesOptions {
  authenticate: Middleware
  records: Records
  files: FileStore
  waiter: GenerationWaiter
  cancelGeneration: CancelGeneration
  heartbeatMs: number
  /** Event streams that one user may hold open in one process. */
  maxEventStreams: number
}

const MAX_PAGE = 100

export const listSchema = z.strictObject({
  limit: z.preprocess((text) => (/^\d{1,3}$/.test(String(text)) ? Number(text) : text), z.int('must be a number').min(1).max(MAX_PAGE).default(20)).describe('How many at most.'),
  cursor: z.string().max(200).optional().describe('The `nextCursor` of the page before.'),
  status: z.enum(GENERATION_STATUSES).optional().describe('Only those of this status.'),
  kind: z.enum(['image', 'video']).optional().describe('Only those of this kind.'),
})

export function generationRoutes(options: GenerationRoutesOptions): Router {
  const { records, files } = options
  const router = new Router({ prefix: '/api/generations', sensitive: true })
  const openEventStream = createEventStreams(options)
  router.use(options.authenticate)

  router.get('/', async (ctx) => {
    const { limit, cursor, status, kind } = parseInput(listSchema, readQuery(ctx))
    demandKindScope(ctx, kind, 'read')
    const generations = await records.list(userOf(ctx).id, { limit: limit + 1, before: cursor === undefined ? undefined : parseCursor(cursor), status, kind })
    const page = generations.slice(0, limit)
    ctx.body = {
      generations: await Promise.all(page.map((generation) => toGenerationResponse(generation, files))),
      nextCursor: generations.length > limit ? toCursor(page.at(-1)!) : null,
    }
  })

  router.get('/:id', async (ctx) => {
    ctx.set('Cache-Control', 'no-store')
    ctx.body = await toGenerationResponse(await getGeneration(ctx), files)
  })

  router.get('/:id/events', async (ctx) => {
    await getGeneration(ctx)
    openEventStream(ctx, idOf(ctx), userOf(ctx).id)
  })

  router.post('/:id/cancel', refuseSignedBody, async (ctx) => {
    await getGeneration(ctx, 'generate')
    const isCancelled = await options.cancelGeneration(idOf(ctx), userOf(ctx).id)
    const generation = await getGeneration(ctx, 'generate')
    if (!isCancelled && generation.status !== 'cancelled') {
      const why = ['queued', 'running', 'storing'].includes(generation.status) ? 'its provider is already working on it and cannot be stopped' : `it has ${generation.status}`
      throw new AppError('conflict', `This generation cannot be cancelled: ${why}.`, { generationId: generation.id })
    }
    ctx.body = await toGenerationResponse(generation, files)
  })

  async function getGeneration(ctx: Context, action: Action = 'read'): Promise<Generation> {
    const generation = await records.find(idOf(ctx), userOf(ctx).id)
    if (!generation) throw new AppError('not_found', 'There is no such generation of yours.')
    demandKindScope(ctx, generation.kind, action)
    return generation
  }

  return router
}

const userOf = (ctx: Context): AuthenticatedUser => ctx.state.user as AuthenticatedUser

/** Anything that is no uuid is nobody's generation. */
function idOf(ctx: Context): string {
  const { id } = ctx.params as { id: string }
  if (!z.guid().safeParse(id).success) throw new AppError('not_found', 'There is no such generation of yours.')
  return id
}

const toCursor = ({ id, createdAtMicros }: Generation): string => Buffer.from(`${createdAtMicros}.${id}`).toString('base64url')

function parseCursor(cursor: string): { createdAtMicros: string; id: string } {
  const match = /^(\d{1,18})\.(.+)$/.exec(Buffer.from(cursor, 'base64url').toString())
  if (!match || !z.guid().safeParse(match[2]).success) throw new AppError('invalid_request', 'cursor must be one that an earlier answer gave as nextCursor.', { details: [{ path: 'cursor', message: 'is not valid' }] })
  return { createdAtMicros: match[1]!, id: match[2]! }
}
