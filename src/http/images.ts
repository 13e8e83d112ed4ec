import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { Catalog } from '../generation/catalog.ts'
import { editRequestSchema, REMOVE_BACKGROUND_PROMPT, removeBackgroundRequestSchema, type EditRequestInput, type EditTask } from '../generation/edit-request.ts'
import type { FileStore, Media } from '../generation/files.ts'
import { imageRequestSchema, planImage } from '../generation/image-request.ts'
import type { PlanContext, StandIns } from '../generation/plan.ts'
import type { Provider } from '../generation/provider.ts'
import type { Generation } from '../generation/records.ts'
import { generate, type GenerateOptions } from './generate.ts'
import { toImageResponse } from './generation-response.ts'
import { jsonBody, parseBody } from './json-body.ts'
import { usableModels } from './models.ts'
import { multipartBody, uploadsOf } from './multipart-body.ts'
import { hashOf, prepareEdit } from './prepare-edit.ts'

export interface ImageRoutesOptions extends GenerateOptions {
  authenticate: Middleware
  catalog: Catalog
  providers: ReadonlyMap<string, Provider>
  standIns: StandIns
  isGone: PlanContext['isGone']
  media: Media
  maxJsonBytes: number
  maxUploadBytes: number
  maxUploads: number
  /** Longest silence while a form arrives. */
  uploadIdleMs: number
}

export const testRequestSchema = z.strictObject({ prompt: z.string().trim().min(1).max(4000).describe('Anything: nothing is made of it.') })

/** More than any vendor takes; the model's own limit is told apart. */
export const MAX_EDIT_IMAGES = 16

const PROBE_TIMEOUT_MS = 15_000

export function imageRoutes(options: ImageRoutesOptions): Router {
  const { catalog, providers, standIns } = options
  const router = new Router({ prefix: '/api/images', sensitive: true })
  const json = jsonBody({ maxBytes: options.maxJsonBytes })
  const form = (fields: Record<string, number>) => multipartBody({ files: fields, maxBytes: options.maxUploadBytes, maxUploads: options.maxUploads, idleMs: options.uploadIdleMs })
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
    await generate(ctx, { kind: 'images', input, identity: () => input, prepare: async () => ({ plan: planImage(input, options) }), present }, options)
  })

  router.post('/edit', ...form({ image: MAX_EDIT_IMAGES, mask: 1 }), async (ctx) => {
    await change(ctx, 'edit', parseBody(editRequestSchema, ctx))
  })

  router.post('/remove-background', ...form({ image: 1 }), async (ctx) => {
    const input = parseBody(removeBackgroundRequestSchema, ctx)
    await change(ctx, 'remove-background', { ...input, prompt: REMOVE_BACKGROUND_PROMPT, size: undefined, n: 1, seed: undefined, negativePrompt: undefined })
  })

  function change(ctx: Context, task: EditTask, input: EditRequestInput): Promise<void> {
    const files = () => ({ uploads: uploadsOf(ctx, 'image'), mask: uploadsOf(ctx, 'mask')[0] })
    const identity = () => {
      const { uploads, mask } = files()
      return { ...input, image: uploads.map(hashOf), mask: mask && hashOf(mask) }
    }
    return generate(ctx, { kind: 'images', input, identity, prepare: () => prepareEdit({ task, input, ...files(), media: options.media, context: options }), present }, options)
  }

  const present = (generation: Generation) => toImagesResponse(generation, options.files)

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
    costMicros: generation.costMicros,
    attempts: generation.attempts,
    cached: generation.cached,
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
