import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import { z } from 'zod'
import { AppError, ProviderError } from '../errors.ts'
import type { Catalog } from '../generation/catalog.ts'
import type { FileStore } from '../generation/files.ts'
import { imageRequestSchema, planImage, type ImagePlan, type ImageRequestInput } from '../generation/image-request.ts'
import type { Provider } from '../generation/provider.ts'
import type { Generation, Records } from '../generation/records.ts'
import type { GenerationWaiter } from '../generation/wait.ts'
import type { AuthenticatedUser } from './authenticate.ts'
import { jsonBody, parseBody } from './json-body.ts'
import { usableModels } from './models.ts'

export interface ImageRoutesOptions {
  authenticate: Middleware
  catalog: Catalog
  providers: ReadonlyMap<string, Provider>
  standIn: string | undefined
  records: Records
  files: FileStore
  waiter: GenerationWaiter
  maxJsonBytes: number
  syncWaitMs: number
}

const testRequestSchema = z.strictObject({ prompt: z.string().trim().min(1).max(4000) })

const PROBE_TIMEOUT_MS = 15_000

export function imageRoutes(options: ImageRoutesOptions): Router {
  const { catalog, providers, standIn, records, files, waiter } = options
  const router = new Router({ prefix: '/api/images' })
  const json = jsonBody({ maxBytes: options.maxJsonBytes })
  router.use(options.authenticate)

  router.get('/models', (ctx) => {
    ctx.body = { models: usableModels('image', options).map(({ id }) => id) }
  })

  router.post('/test', ...json, async (ctx) => {
    parseBody(testRequestSchema, ctx)
    ctx.body = await testConnection(defaultProvider())
  })

  router.post('/generate', ...json, async (ctx) => {
    const input = parseBody(imageRequestSchema, ctx)
    const user = ctx.state.user as AuthenticatedUser
    checkOwner(input, user)
    const plan = planImage(input, { catalog, providers, standIn })
    const { generationId } = await records.create({ userId: user.id, plan, bucket: files.bucket })
    ctx.state.generationId = generationId
    const generation = await waiter.wait(generationId, user.id, untilGone(ctx, options.syncWaitMs))
    if (!generation) return answerStillRunning(ctx, generationId)
    if (generation.status !== 'succeeded') throw toFailure(generation)
    ctx.body = await toImageResponse(generation, plan, files)
  })

  function defaultProvider(): Provider | undefined {
    const requested = catalog.list().find(({ kind }) => kind === 'image')
    const model = requested && catalog.resolve(requested).model
    return (model && providers.get(model.provider)) ?? (standIn === undefined ? undefined : providers.get(catalog.find(standIn)?.provider ?? ''))
  }

  return router
}

function checkOwner(input: ImageRequestInput, user: AuthenticatedUser): void {
  if (input.userId !== undefined && input.userId.toLowerCase() !== user.id.toLowerCase()) throw new AppError('forbidden', 'userId must be your own id, or be left out.')
}

/** Ends with the caller's connection or with the longest wait; the generation goes on either way. */
function untilGone(ctx: Context, maxWaitMs: number): AbortSignal {
  const gone = new AbortController()
  ctx.res.once('close', () => gone.abort())
  return AbortSignal.any([gone.signal, AbortSignal.timeout(maxWaitMs)])
}

function answerStillRunning(ctx: Context, generationId: string): void {
  ctx.status = 202
  ctx.body = { error: 'This takes longer than a request may wait. The work goes on: look for its rows.', code: 'still_running', status: 202, generationId, requestId: ctx.state.requestId as string }
}

function toFailure({ id, status, error }: Generation): AppError {
  if (status === 'cancelled') return new AppError('conflict', 'This generation was cancelled.', { generationId: id })
  const { code, message } = error ?? { code: 'internal_error' as const, message: 'Something went wrong inside the service.' }
  return new AppError(code, message, { generationId: id, ...(code === 'provider_rate_limited' && { retryAfterSeconds: RATE_LIMIT_PAUSE_SECONDS }) })
}

/** What to wait where the vendor told no time. */
const RATE_LIMIT_PAUSE_SECONDS = 30

async function toImageResponse(generation: Generation, plan: ImagePlan, files: FileStore) {
  const images = generation.images.map(async (image) => {
    const bucketUrl = image.bucketUrl ?? (await files.readableUrl(image.storagePath))
    return {
      id: image.id,
      url: image.url ?? bucketUrl,
      bucketUrl,
      size: image.size,
      storagePath: image.storagePath,
      width: image.width,
      height: image.height,
      mimeType: image.mimeType,
      fileSize: image.fileSize,
      thumbnailUrl: image.thumbnailUrl ?? (await files.readableUrl(image.thumbnailPath)),
      placeholder: image.placeholder,
    }
  })
  return {
    promptId: generation.promptId,
    images: await Promise.all(images),
    model: generation.model,
    warnings: generation.warnings,
    generationId: generation.id,
    estimatedCostMicros: plan.estimatedCostMicros,
  }
}

/** The frontend shows the sentence as it stands; its form is part of the contract. */
async function testConnection(provider: Provider | undefined): Promise<{ success: true; data: unknown } | { success: false; error: string }> {
  if (!provider?.probe) return { success: false, error: 'API Error: No provider is configured (Status: 503)' }
  try {
    return { success: true, data: await provider.probe({ signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) }) }
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error
    const status = error.statusCode ?? error.status
    return { success: false, error: `API Error: ${status === 401 ? 'Authentication failed' : error.message.replace(/\.$/, '')} (Status: ${status})` }
  }
}
