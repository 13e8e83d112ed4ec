/** From what a caller wrote to a plan that can be run: every refusal happens here, before anything is paid. */
import { z } from 'zod'
import { AppError } from '../errors.ts'
import { parseSize, toSizeText, type ImageModelEntry } from './catalog.ts'
import { checkSize, fitSize } from './image-size.ts'
import { findModel, MAX_SEED, MEANING, modelIdSchema, planChain, promptSchema, providerOptionsSchema, refuseIfAny, storableText, supported, toCommonPlan, type Chosen, type CommonPlan, type PlanContext } from './plan.ts'
import type { PictureFit } from './files.ts'
import { estimateImages, imageTokenPrice } from './price.ts'
import type { ImageRequest, Size } from './provider.ts'

export const DEFAULT_IMAGE_SIZE = '1024x1024'

export const sizeSchema = z.string().regex(/^[1-9]\d{1,4}x[1-9]\d{1,4}$/, 'must look like 1024x1024')

export const imageRequestSchema = z.strictObject({
  prompt: promptSchema.describe('What the picture is to show, as long as the model takes it.'),
  model: modelIdSchema.optional().describe('The id of a model that makes pictures from text; the first of `GET /api/images/models` where absent.'),
  size: sizeSchema.default(DEFAULT_IMAGE_SIZE).describe('Width and height in pixels. What the model does not make by itself is cut from something larger.'),
  userId: z.guid('must be a uuid').optional().describe(MEANING.userId),
  n: z.int().min(1).max(16).default(1).describe('How many pictures, as many as the model makes at once.'),
  seed: z.int().min(0).max(MAX_SEED).optional().describe(MEANING.seed),
  negativePrompt: storableText.max(4000).optional().describe(MEANING.negativePrompt),
  providerOptions: providerOptionsSchema.optional(),
  fallback: z.boolean().default(true).describe(MEANING.fallback),
})

export type ImageRequestInput = z.infer<typeof imageRequestSchema>

export interface ImagePlan extends CommonPlan {
  kind: 'image'
  task: ImageRequest['task']
  /** What the caller gets. */
  size: Size
  /** What the vendor is asked for: `size`, or something larger that it is cut from. */
  requestSize: Size
  negativePrompt?: string | undefined
  /** Whether the picture is kept in whatever size it comes. */
  isAnySize?: boolean | undefined
  /** What pictures to work on must fit. */
  inputFit?: PictureFit | undefined
}

/** @throws {AppError} `invalid_request` with details, or `not_configured` when the model's provider has no key. */
export function planImage(input: ImageRequestInput, context: PlanContext): ImagePlan {
  const requested = findModel(input.model, 'image', context.catalog)
  checkAgainst(requested, input)
  checkSize(requested, parseSize(input.size))
  return planChain<ImageModelEntry, ImagePlan>(requested, context, input.fallback, (chosen) => planFor(chosen, requested, input, context))
}

function planFor(chosen: Chosen<ImageModelEntry>, requested: ImageModelEntry, input: ImageRequestInput, context: PlanContext): ImagePlan {
  const { model, warnings } = chosen
  const size = parseSize(input.size)
  const requestSize = fitSize(model.sizes, size)
  if (!requestSize) checkSize(model, size)
  if (!requestSize || input.prompt.length > model.maxPromptCharacters || input.n > model.maxImages || !model.tasks.includes('generate')) {
    throw new AppError('invalid_request', `${model.id}, which does the work of ${requested.id}, cannot make this request.`, { details: [{ path: 'model', message: 'choose another model' }] })
  }
  if (toSizeText(requestSize) !== input.size) {
    warnings.push({ type: 'adjusted', setting: 'size', message: `${model.id} does not make ${input.size}: it was made at ${toSizeText(requestSize)} and scaled down.` })
  }
  const negativePrompt = supported(model, 'negativePrompt', input.negativePrompt, warnings)
  return {
    kind: 'image',
    task: 'generate',
    ...toCommonPlan(chosen, requested, input, context),
    size,
    requestSize,
    n: input.n,
    ...(negativePrompt !== undefined && { negativePrompt }),
    estimatedCostMicros: estimateImages(model.price, requestSize, input.n),
    tokenPrice: imageTokenPrice(model.price),
  }
}

function checkAgainst(model: ImageModelEntry, input: ImageRequestInput): void {
  const details = []
  if (input.prompt.length > model.maxPromptCharacters) details.push({ path: 'prompt', message: `must be at most ${model.maxPromptCharacters} characters for ${model.id}` })
  if (!model.tasks.includes('generate')) details.push({ path: 'model', message: `cannot be ${model.id}, which makes no pictures from text` })
  if (input.n > model.maxImages) details.push({ path: 'n', message: `must be at most ${model.maxImages} for ${model.id}` })
  refuseIfAny(details)
}
