/** From what a caller wrote to the plan of a changed picture: every refusal happens here, before anything is paid. */
import { z } from 'zod'
import { AppError, type ErrorDetail } from '../errors.ts'
import { parseSize, type ImageModelEntry } from './catalog.ts'
import { fromForm, jsonText, wholeNumber, yesOrNo } from './form-fields.ts'
import { sizeSchema, type ImagePlan } from './image-request.ts'
import { checkSize, fitSize } from './image-size.ts'
import { findModel, MAX_SEED, MEANING, modelIdSchema, planChain, promptSchema, providerOptionsSchema, refuseIfAny, storableText, supported, toCommonPlan, vendorIdOf, type Chosen, type PlanContext } from './plan.ts'
import { estimateImages, imageTokenPrice } from './price.ts'
import type { Size } from './provider.ts'

const common = {
  model: fromForm(modelIdSchema.optional()).describe('The id of a model that does such work; the first one that can be used where absent.'),
  userId: fromForm(z.guid('must be a uuid').optional()).describe(MEANING.userId),
  providerOptions: fromForm(providerOptionsSchema.optional(), jsonText),
  fallback: yesOrNo(z.boolean('must be true or false').default(true)).describe(MEANING.fallback),
}

export const editRequestSchema = z.strictObject({
  ...common,
  prompt: promptSchema.describe('What is to be changed, as an instruction.'),
  size: fromForm(sizeSchema.optional()).describe('Width and height in pixels; as the model makes it of the first picture where absent.'),
  n: wholeNumber(z.int('must be a whole number').min(1).max(16).default(1)).describe('How many pictures, as many as the model makes at once.'),
  seed: wholeNumber(z.int('must be a whole number').min(0).max(MAX_SEED).optional()).describe(MEANING.seed),
  negativePrompt: fromForm(storableText.max(4000).optional()).describe(MEANING.negativePrompt),
})

export const removeBackgroundRequestSchema = z.strictObject(common)

export type EditRequestInput = z.infer<typeof editRequestSchema>
export type EditTask = 'edit' | 'remove-background'

/** What is to be changed. */
export interface EditInputs {
  /** How many pictures were given. */
  count: number
  /** Of the first. */
  size: Size
  hasMask: boolean
}

/** @throws {AppError} `invalid_request` with details, or `not_configured` when the model's provider has no key. */
export function planEdit(task: EditTask, input: EditRequestInput, inputs: EditInputs, given: PlanContext): ImagePlan {
  const context: PlanContext = { ...given, isGone: (provider, vendorId) => given.isGone(provider, vendorId, task) }
  const requested = input.model === undefined ? defaultModel(task, context) : findModel(input.model, 'image', context.catalog)
  if (input.size !== undefined) checkSize(requested, parseSize(input.size))
  return planChain<ImageModelEntry, ImagePlan>(requested, context, input.fallback, (chosen) => planFor(task, chosen, requested, input, inputs, context))
}

/** The first model that does such work, has a key here and is not gone; where there is none, the first that does such work. */
function defaultModel(task: EditTask, { catalog, providers, standIns, isGone }: PlanContext): ImageModelEntry {
  const able = catalog.list().flatMap((model) => (model.kind === 'image' && model.state !== 'retired' && model.tasks.includes(task) ? [model] : []))
  const standIn = able.find(({ id }) => id === standIns.image)
  const known = able.filter(({ provider }) => providers.has(provider))
  const model = known.find((one) => !isGone(one.provider, vendorIdOf(one))) ?? standIn ?? known[0] ?? able[0]
  if (!model) throw new AppError('not_configured', 'No model of this service does such work.')
  return model
}

function planFor(task: EditTask, chosen: Chosen<ImageModelEntry>, requested: ImageModelEntry, input: EditRequestInput, inputs: EditInputs, context: PlanContext): ImagePlan {
  const { model, warnings } = chosen
  refuseIfAny(problemsOf(task, model, input, inputs))
  const wanted = input.size === undefined ? undefined : parseSize(input.size)
  const requestSize = task === 'remove-background' ? inputs.size : wanted ? fitSize(model.sizes, wanted) : nearestShape(model, inputs.size)
  if (!requestSize) throw new AppError('invalid_request', `${model.id} cannot make ${input.size}.`, { details: [{ path: 'size', message: 'choose another size or model' }] })
  const negativePrompt = supported(model, 'negativePrompt', input.negativePrompt, warnings)
  const { minSide, maxSide } = model.inputs!
  return {
    kind: 'image',
    task,
    ...toCommonPlan(chosen, requested, input, context),
    size: wanted ?? requestSize,
    requestSize,
    // Without a size asked for, the picture is what the model makes of the one that was given.
    isAnySize: wanted === undefined,
    inputFit: { minSide, maxSide, keepsAlpha: true },
    n: input.n,
    ...(negativePrompt !== undefined && { negativePrompt }),
    estimatedCostMicros: estimateImages(model.price, requestSize, input.n),
    tokenPrice: imageTokenPrice(model.price),
  }
}

function problemsOf(task: EditTask, model: ImageModelEntry, input: EditRequestInput, { count, hasMask }: EditInputs): ErrorDetail[] {
  if (!model.tasks.includes(task) || !model.inputs) return [{ path: 'model', message: `cannot be ${model.id}, which does no such work` }]
  const details = []
  if (input.prompt.length > model.maxPromptCharacters) details.push({ path: 'prompt', message: `must be at most ${model.maxPromptCharacters} characters for ${model.id}` })
  if (input.n > model.maxImages) details.push({ path: 'n', message: `must be at most ${model.maxImages} for ${model.id}` })
  if (count > model.inputs.max) details.push({ path: 'image', message: `may be given ${model.inputs.max === 1 ? 'once' : `at most ${model.inputs.max} times`} for ${model.id}` })
  if (hasMask && !model.inputs.mask) details.push({ path: 'mask', message: `cannot be given: ${model.id} knows no masks` })
  return details
}

/** The documented size that is nearest in shape to the picture, and among those the nearest in pixels. */
function nearestShape({ sizes }: ImageModelEntry, size: Size): Size {
  const distance = (known: Size) => Math.abs(Math.log((known.width / known.height) * (size.height / size.width)))
  const excess = (known: Size) => Math.abs(Math.log((known.width * known.height) / (size.width * size.height)))
  const known = sizes.known.map(parseSize).toSorted((a, b) => distance(a) - distance(b) || excess(a) - excess(b))
  return known[0]!
}

/** For the row: what a picture without a prompt was asked for. */
export const REMOVE_BACKGROUND_PROMPT = 'Remove the background'

/** The names of the pictures among a request's files. */
export const inputName = (index: number): string => `image${index}`
export const MASK = 'mask'
