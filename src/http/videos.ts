import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import type { Catalog } from '../generation/catalog.ts'
import type { FileStore, Media } from '../generation/files.ts'
import { checkOwner, type StandIns } from '../generation/plan.ts'
import type { InputFile, Provider } from '../generation/provider.ts'
import type { Generation, IdempotencyKey } from '../generation/records.ts'
import { FIRST_FRAME } from '../generation/prepare-call.ts'
import { planVideo, videoRequestSchema, type VideoPlan, type VideoRequestInput } from '../generation/video-request.ts'
import { answerWhenDone, type WaitingOptions } from './answer-when-done.ts'
import type { AuthenticatedUser } from './authenticate.ts'
import { isDryRun, toDryRunResponse } from './dry-run.ts'
import { readIdempotencyKey } from './idempotency.ts'
import { jsonBody, parseBody } from './json-body.ts'
import { usableModels } from './models.ts'
import { multipartBody, releaseUploads, uploadsOf } from './multipart-body.ts'
import { hashOf } from './prepare-edit.ts'

export interface VideoRoutesOptions extends WaitingOptions {
  authenticate: Middleware
  catalog: Catalog
  providers: ReadonlyMap<string, Provider>
  standIns: StandIns
  media: Media
  maxJsonBytes: number
  maxUploadBytes: number
  maxUploads: number
}

export function videoRoutes(options: VideoRoutesOptions): Router {
  const { catalog, providers, standIns, records, files, media } = options
  const router = new Router({ prefix: '/api/videos', sensitive: true })
  const multipart = multipartBody({ files: { image: 1 }, maxBytes: options.maxUploadBytes, maxUploads: options.maxUploads, otherwise: jsonBody({ maxBytes: options.maxJsonBytes }) })
  router.use(options.authenticate)

  router.get('/models', (ctx) => {
    ctx.body = { models: usableModels('video', options).map(({ id }) => id) }
  })

  router.post('/generate', ...multipart, async (ctx) => {
    const input = parseBody(videoRequestSchema, ctx)
    const user = ctx.state.user as AuthenticatedUser
    checkOwner(input, user.id)
    if (isDryRun(ctx)) return void (ctx.body = toDryRunResponse(planVideo(input, uploadsOf(ctx, 'image').length > 0, { catalog, providers, standIns })))
    const { generationId, isNew } = await submit(ctx, input, user)
    // Whoever waits for minutes holds no picture meanwhile.
    releaseUploads(ctx)
    if (!isNew) ctx.set('Idempotency-Replayed', 'true')
    await answerWhenDone(ctx, generationId, user.id, (generation) => toVideoAnswer(generation, files), options)
  })

  async function submit(ctx: Context, input: VideoRequestInput, user: AuthenticatedUser): Promise<{ generationId: string; isNew: boolean }> {
    const [upload] = uploadsOf(ctx, 'image')
    const idempotencyKey = readIdempotencyKey(ctx, () => ({ ...input, image: upload && hashOf(upload) }))
    // Before the plan: what was made once is answered again, even if its model is gone by now.
    const earlier = idempotencyKey && (await records.findEarlier(user.id, idempotencyKey))
    return earlier === undefined ? await create(input, upload, user, idempotencyKey) : { generationId: earlier, isNew: false }
  }

  async function create(input: VideoRequestInput, upload: Uint8Array | undefined, user: AuthenticatedUser, idempotencyKey: IdempotencyKey | undefined) {
    const plan = planVideo(input, upload !== undefined, { catalog, providers, standIns })
    const firstFrame = upload && (await cleanFirstFrame(upload, plan))
    return await records.create({ userId: user.id, plan, bucket: files.bucket, inputs: firstFrame && { [FIRST_FRAME]: firstFrame }, idempotencyKey })
  }

  async function cleanFirstFrame(upload: Uint8Array, plan: VideoPlan): Promise<InputFile> {
    const picture = await media.cleanPicture(upload, plan.firstFrameFit!)
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
  }
}
