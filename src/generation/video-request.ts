/** From what a caller wrote to a video plan: every refusal happens here, before anything is paid. */
import { z } from 'zod'
import type { VideoModelEntry } from './catalog.ts'
import type { PictureFit } from './files.ts'
import { checkProviderOptions, chooseModel, findModel, MAX_SEED, modelIdSchema, promptSchema, providerOptionsSchema, refuseIfAny, supported, type CommonPlan, type PlanContext } from './plan.ts'
import type { Warning } from './provider.ts'

/** Seconds, as the frontend offers them. */
const DURATION = { min: 2, max: 10, default: 5 }
export const ASPECT_RATIOS = ['16:9', '9:16', '1:1'] as const

/** A form sends text where JSON sends numbers, and an empty field for one that was left out. */
const fromForm = <T extends z.ZodType>(schema: T) => z.preprocess((value) => (value === '' ? undefined : value), schema)
const wholeNumber = (message: string) => z.union([z.int(message), z.string(message).regex(/^-?\d{1,15}$/, message).transform(Number)])
const yesOrNo = z.union([z.boolean(), z.enum(['true', 'false']).transform((word) => word === 'true')])
const jsonText = (value: unknown): unknown => {
  if (typeof value !== 'string') return value
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

export const videoRequestSchema = z.strictObject({
  prompt: promptSchema,
  model: fromForm(modelIdSchema.optional()),
  duration: fromForm(wholeNumber('must be a whole number of seconds').pipe(z.number().min(DURATION.min, `must be at least ${DURATION.min} seconds`).max(DURATION.max, `must be at most ${DURATION.max} seconds`)).default(DURATION.default)),
  aspectRatio: fromForm(z.enum(ASPECT_RATIOS, `must be one of ${ASPECT_RATIOS.join(', ')}`).default('16:9')),
  resolution: fromForm(z.string().max(20).optional()),
  seed: fromForm(wholeNumber('must be a whole number').pipe(z.number().min(0).max(MAX_SEED)).optional()),
  generateAudio: fromForm(yesOrNo.optional()),
  userId: fromForm(z.guid('must be a uuid').optional()),
  providerOptions: z.preprocess(jsonText, fromForm(providerOptionsSchema.optional())),
})

export type VideoRequestInput = z.infer<typeof videoRequestSchema>

export interface VideoPlan extends CommonPlan {
  kind: 'video'
  /** Seconds. */
  duration: number
  aspectRatio: string
  resolution: string
  generateAudio?: boolean | undefined
  /** What the first frame must be cut and scaled to; undefined where there is none. */
  firstFrameFit?: PictureFit | undefined
}

/** @throws {AppError} `invalid_request` with details, or `not_configured` when the model's provider has no key. */
export function planVideo(input: VideoRequestInput, hasFirstFrame: boolean, context: PlanContext): VideoPlan {
  const requested = findModel(input.model, 'video', context.catalog)
  checkAgainst(requested, input, hasFirstFrame)
  const { model, provider, warnings } = chooseModel(requested, context)
  // A successor may be able to do less than what was asked for by its forerunner's name.
  if (model !== requested) checkAgainst(model, input, hasFirstFrame)
  const seed = supported(model, 'seed', input.seed, warnings)
  const resolution = input.resolution ?? model.defaultResolution
  return {
    kind: 'video',
    requestedModel: requested.id,
    model: model.id,
    provider: provider.id,
    vendorId: model.vendorId ?? model.id,
    ...(model.family !== undefined && { family: model.family }),
    prompt: input.prompt,
    n: 1,
    duration: input.duration,
    aspectRatio: input.aspectRatio,
    resolution,
    ...(seed !== undefined && { seed }),
    ...(model.supports.audio ? { generateAudio: input.generateAudio ?? false } : silent(model, input, warnings)),
    ...(hasFirstFrame && { firstFrameFit: { ratio: toRatio(input.aspectRatio), minSide: model.firstFrame.minSide, maxSide: model.firstFrame.maxSide } }),
    providerOptions: checkProviderOptions(input.providerOptions ?? {}, provider, context),
    warnings,
    estimatedCostMicros: estimateCost(model, resolution, input.duration),
  }
}

function checkAgainst(model: VideoModelEntry, input: VideoRequestInput, hasFirstFrame: boolean): void {
  const { min, max } = model.durations
  const details = []
  if (input.prompt.length > model.maxPromptCharacters) details.push({ path: 'prompt', message: `must be at most ${model.maxPromptCharacters} characters for ${model.id}` })
  if (input.duration < min || input.duration > max) details.push({ path: 'duration', message: `must be from ${Math.max(min, DURATION.min)} to ${Math.min(max, DURATION.max)} seconds for ${model.id}` })
  if (!model.aspectRatios.includes(input.aspectRatio)) details.push({ path: 'aspectRatio', message: `must be one of ${model.aspectRatios.join(', ')} for ${model.id}` })
  if (input.resolution !== undefined && !model.resolutions.includes(input.resolution)) details.push({ path: 'resolution', message: `must be one of ${model.resolutions.join(', ')} for ${model.id}` })
  if (hasFirstFrame && model.firstFrame.use === 'none') details.push({ path: 'image', message: `cannot be given: ${model.id} makes videos from text alone` })
  if (!hasFirstFrame && model.firstFrame.use === 'required') details.push({ path: 'image', message: `is missing: ${model.id} makes videos from a picture` })
  refuseIfAny(details)
}

function silent(model: VideoModelEntry, { generateAudio }: VideoRequestInput, warnings: Warning[]): object {
  if (generateAudio === true) warnings.push({ type: 'unsupported', setting: 'generateAudio', message: `${model.id} makes silent videos.` })
  return {}
}

function estimateCost(model: VideoModelEntry, resolution: string, duration: number): number | null {
  const perSecond = model.pricePerSecondMicros?.[resolution]
  return perSecond === undefined ? null : perSecond * duration
}

/** `16:9` as a number. The text must have passed the schema. */
export function toRatio(aspectRatio: string): number {
  const [width, height] = aspectRatio.split(':').map(Number)
  return width! / height!
}

/** The ratio that was asked for where the video has it, within what encoders round, else the nearest common one. */
export function nameRatio(width: number, height: number, wanted: string): string {
  const distance = (name: string) => Math.abs(Math.log(width / height / toRatio(name)))
  if (distance(wanted) < RATIO_TOLERANCE) return wanted
  return COMMON_RATIOS.toSorted((a, b) => distance(a) - distance(b))[0]!
}

/** 1248x704 stands for 16:9, 1470x630 for 21:9. */
const RATIO_TOLERANCE = 0.03
const COMMON_RATIOS = ['16:9', '9:16', '1:1', '4:3', '3:4', '3:2', '2:3', '21:9']
