/** The way from a checked request to its answer, the same for every route that generates. */
import type { Context } from 'koa'
import { checkOwner } from '../generation/plan.ts'
import type { InputFile } from '../generation/provider.ts'
import type { Generation, Plan } from '../generation/records.ts'
import { answerWhenDone, type WaitingOptions } from './answer-when-done.ts'
import type { AuthenticatedUser } from './authenticated-user.ts'
import type { RateLimits } from '../rate-limits.ts'
import { readMaxAge } from './cache-control.ts'
import { isDryRun, toDryRunResponse } from './dry-run.ts'
import { readIdempotencyKey } from './idempotency.ts'
import { limitKind, limitModel } from './rate-limit.ts'
import { releaseUploads } from './multipart-body.ts'

export interface GenerationRequest {
  kind: 'images' | 'videos'
  input: { userId?: string | undefined }
  /** What is asked for, with files as their hashes: the same key may only repeat the same. */
  identity: () => object
  /** @throws {AppError} for whatever cannot be done: nothing was paid or written yet. */
  prepare: () => Promise<{ plan: Plan; inputs?: Record<string, InputFile> | undefined }>
  /** Makes the answer of a generation that succeeded. */
  present: (generation: Generation) => Promise<object>
}

export interface GenerateOptions extends WaitingOptions {
  /** How old an answer to the same seeded request is given again, where the client says nothing. */
  cacheSeconds: number
  rateLimits: RateLimits
}

/** @throws {AppError} `forbidden` for another user's id, what `prepare` throws, and what the generation failed with. */
export async function generate(ctx: Context, request: GenerationRequest, options: GenerateOptions): Promise<void> {
  const user = ctx.state.user as AuthenticatedUser
  checkOwner(request.input, user.id)
  if (isDryRun(ctx)) {
    ctx.body = toDryRunResponse((await request.prepare()).plan)
    return
  }
  await limitKind(ctx, options.rateLimits, request.kind)
  const { generationId, isNew } = await submit(ctx, request, user, options)
  // Whoever waits for minutes holds no pictures meanwhile.
  releaseUploads(ctx)
  if (!isNew) ctx.set('Idempotency-Replayed', 'true')
  await answerWhenDone(ctx, generationId, user.id, request.present, options)
}

async function submit(ctx: Context, { identity, prepare }: GenerationRequest, { id: userId }: AuthenticatedUser, { records, files, cacheSeconds, rateLimits }: GenerateOptions): Promise<{ generationId: string; isNew: boolean }> {
  const idempotencyKey = readIdempotencyKey(ctx, identity)
  // Before the plan: what was made once is answered again, even if its model is gone by now.
  const earlier = idempotencyKey && (await records.findEarlier(userId, idempotencyKey))
  if (earlier !== undefined) return { generationId: earlier, isNew: false }
  const { plan, inputs } = await prepare()
  await limitModel(ctx, rateLimits, plan.model)
  // Without a seed every answer is another one: only who asks for it is given the same again.
  const maxAgeSeconds = readMaxAge(ctx, plan.seed === undefined ? 0 : cacheSeconds)
  return await records.create({ userId, plan, bucket: files.bucket, inputs, idempotencyKey, maxAgeSeconds })
}
