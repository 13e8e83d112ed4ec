import Router from '@koa/router'
import type { Middleware } from 'koa'
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { Catalog } from '../generation/catalog.ts'
import type { FileStore } from '../generation/files.ts'
import { imageRequestSchema, planImage, type ImageRequestInput } from '../generation/image-request.ts'
import { checkOwner, type StandIns } from '../generation/plan.ts'
import type { Provider } from '../generation/provider.ts'
import type { Generation, IdempotencyKey } from '../generation/records.ts'
import { answerWhenDone, type WaitingOptions } from './answer-when-done.ts'
import type { AuthenticatedUser } from './authenticate.ts'
import { toImageResponse } from './generation-response.ts'
import { readIdempotencyKey } from './idempotency.ts'
import { jsonBody, parseBody } from './json-body.ts'
import { usableModels } from './models.ts'

export interface ImageRoutesOptions extends WaitingOptions {
  authenticate: Middleware
  catalog: Catalog
  providers: ReadonlyMap<string, Provider>
  standIns: StandIns
  maxJsonBytes: number
}

const testRequestSchema = z.strictObject({ prompt: z.string().trim().min(1).max(4000) })

const PROBE_TIMEOUT_MS = 15_000

export function imageRoutes(options: ImageRoutesOptions): Router {
  const { catalog, providers, standIns, records, files } = options
  const router = new Router({ prefix: '/api/images', sensitive: true })
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
    checkOwner(input, user.id)
    const idempotencyKey = readIdempotencyKey(ctx, input)
    // Before the plan: what was made once is answered again, even if its model is gone by now.
    const earlier = idempotencyKey && (await records.findEarlier(user.id, idempotencyKey))
    const { generationId, isNew } = earlier === undefined ? await create(input, user, idempotencyKey) : { generationId: earlier, isNew: false }
    if (!isNew) ctx.set('Idempotency-Replayed', 'true')
    await answerWhenDone(ctx, generationId, user.id, (generation) => toImagesResponse(generation, files), options)
  })

  function create(input: ImageRequestInput, user: AuthenticatedUser, idempotencyKey: IdempotencyKey | undefined) {
    const plan = planImage(input, { catalog, providers, standIns })
    return records.create({ userId: user.id, plan, bucket: files.bucket, idempotencyKey })
  }

  function defaultProvider(): Provider | undefined {
    const requested = catalog.list().find(({ kind }) => kind === 'image')
    const model = requested && catalog.resolve(requested).model
    return (model && providers.get(model.provider)) ?? providers.get(catalog.find(standIns.image ?? '')?.provider ?? '')
  }

  return router
}

async function toImagesResponse(generation: Generation, files: FileStore) {
  return {
    promptId: generation.promptId,
    images: await Promise.all(generation.images.map((image) => toImageResponse(image, files))),
    model: generation.model,
    warnings: generation.warnings,
    generationId: generation.id,
    estimatedCostMicros: generation.estimatedCostMicros,
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
