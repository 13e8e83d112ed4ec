import Router from '@koa/router'
import type { Middleware } from 'koa'
import type { Catalog } from '../generation/catalog.ts'
import type { FileStore, Media } from '../generation/files.ts'
import type { PlanContext, StandIns } from '../generation/plan.ts'
import type { InputFile, Provider } from '../generation/provider.ts'
import type { Generation } from '../generation/records.ts'
import { FIRST_FRAME } from '../generation/prepare-call.ts'
import { planVideo, videoRequestSchema, type VideoPlan, type VideoRequestInput } from '../generation/video-request.ts'
import { generate, type GenerateOptions } from './generate.ts'
import { jsonBody, parseBody } from './json-body.ts'
import { usableModels } from './models.ts'
import { multipartBody, uploadsOf } from './multipart-body.ts'
import { hashOf } from './prepare-edit.ts'

export interface VideoRoutesOptions extends GenerateOptions {
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

export function videoRoutes(options: VideoRoutesOptions): Router {
  const router = new Router({ prefix: '/api/videos', sensitive: true })
  const multipart = multipartBody({ files: { image: 1 }, maxBytes: options.maxUploadBytes, maxUploads: options.maxUploads, idleMs: options.uploadIdleMs, otherwise: jsonBody({ maxBytes: options.maxJsonBytes }) })
  router.use(options.authenticate)

  router.get('/models', (ctx) => {
    ctx.body = { models: usableModels('video', options).map(({ id }) => id) }
  })

  router.post('/generate', ...multipart, async (ctx) => {
    const input = parseBody(videoRequestSchema, ctx)
    const upload = () => uploadsOf(ctx, 'image')[0]
    const identity = () => {
      const image = upload()
      return { ...input, image: image && hashOf(image) }
    }
    await generate(ctx, { kind: 'videos', input, identity, prepare: () => prepare(input, upload()), present: (generation) => toVideoAnswer(generation, options.files) }, options)
  })

  async function prepare(input: VideoRequestInput, upload: Uint8Array | undefined) {
    const plan = planVideo(input, upload !== undefined, options)
    return { plan, inputs: upload && { [FIRST_FRAME]: await cleanFirstFrame(upload, plan) } }
  }

  async function cleanFirstFrame(upload: Uint8Array, plan: VideoPlan): Promise<InputFile> {
    const picture = await options.media.cleanPicture(upload, plan.firstFrameFit!)
    if (picture.isCropped) plan.warnings.push({ type: 'adjusted', setting: 'image', message: `The picture was cut to ${plan.aspectRatio}, its middle kept.` })
    return { bytes: picture.bytes, mediaType: picture.mediaType }
  }

  return router
}

/** The frontend's three fields first; the rest is ours. */
async function toVideoAnswer(generation: Generation, files: FileStore) {
  const video = generation.videos[0]!
  return {
    video_url: video.bucketUrl ?? (await files.readableUrl(video.storagePath)),
    duration: video.duration,
    aspectRatio: video.aspectRatio,
    id: video.id,
    promptId: generation.promptId,
    generationId: generation.id,
    model: generation.model,
    warnings: generation.warnings,
    url: video.url,
    width: video.width,
    height: video.height,
    mimeType: video.mimeType,
    fileSize: video.fileSize,
    storagePath: video.storagePath,
    estimatedCostMicros: generation.estimatedCostMicros,
    costMicros: generation.costMicros,
    attempts: generation.attempts,
    cached: generation.cached,
  }
}
