/** From what a caller wrote to a video plan: every refusal happens here, before anything is paid. */
import { z } from 'zod'
import type { ErrorDetail } from '../errors.ts'
import type { VideoModelEntry } from './catalog.ts'
import type { PictureFit } from './files.ts'
import { fromForm, jsonText, wholeNumber, yesOrNo } from './form-fields.ts'
import { findModel, MAX_SEED, MEANING, modelIdSchema, promptSchema, providerOptionsSchema, planChain, refuseIfAny, toCommonPlan, type Chosen, type CommonPlan, type PlanContext } from './plan.ts'
import { estimateVideo, videoTokenPrice } from './price.ts'
import type { Warning } from './provider.ts'

/** Seconds, as the frontend offers them. */
const DURATION = { min: 2, max: 10, default: 5 }
export const ASPECT_RATIOS = ['16:9', '9:16', '1:1'] as const

export const videoRequestSchema = z.strictObject({
  prompt: promptSchema.describe('What the video is to show, as long as the model takes it.'),
  model: fromForm(modelIdSchema.optional()).describe('The id of a model that makes videos; the first of `GET /api/videos/models` where absent.'),
  duration: wholeNumber(z.int('must be a whole number of seconds').min(DURATION.min, `must be at least ${DURATION.min} seconds`).max(DURATION.max, `must be at most ${DURATION.max} seconds`).optional()).describe('Seconds, as the model can; its usual length where absent.'),
  aspectRatio: fromForm(z.enum(ASPECT_RATIOS, `must be one of ${ASPECT_RATIOS.join(', ')}`).default('16:9')).describe('Width to height.'),
  resolution: fromForm(z.string().max(20).optional()).describe('Such as `720p`: one of the model’s, its usual one where absent.'),
  seed: wholeNumber(z.int('must be a whole number').min(0).max(MAX_SEED).optional()).describe(MEANING.seed),
  generateAudio: yesOrNo(z.boolean('must be true or false').optional()).describe('Whether the video has sound, where the model makes it.'),
  userId: fromForm(z.guid('must be a uuid').optional()).describe(MEANING.userId),
  providerOptions: fromForm(providerOptionsSchema.optional(), jsonText),
  fallback: yesOrNo(z.boolean('must be true or false').default(true)).describe(MEANING.fallback),
  /** A form without a file sends its field empty; a file is no field. */
  image: fromForm(z.undefined('must be a file')),
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
  refuseIfAny(problemsOf(requested, input, hasFirstFrame))
  return planChain<VideoModelEntry, VideoPlan>(requested, context, input.fallback, (chosen) => planFor(chosen, requested, input, hasFirstFrame, context))
}

function planFor(chosen: Chosen<VideoModelEntry>, requested: VideoModelEntry, input: VideoRequestInput, hasFirstFrame: boolean, context: PlanContext): VideoPlan {
  const { model, warnings } = chosen
  // A successor may be able to do less than what was asked for by its forerunner's name.
  refuseIfAny([...problemsOf(model, input, hasFirstFrame), ...firstFrameProblems(model, hasFirstFrame)])
  const resolution = input.resolution ?? model.defaultResolution
  const duration = input.duration ?? defaultDuration(model)
  return {
    kind: 'video',
    ...toCommonPlan(chosen, requested, input, context),
    n: 1,
    duration,
    aspectRatio: input.aspectRatio,
    resolution,
    ...(model.supports.audio ? { generateAudio: input.generateAudio ?? false } : silent(model, input, warnings)),
    ...(hasFirstFrame && { firstFrameFit: { ratio: toRatio(input.aspectRatio), minSide: model.firstFrame.minSide, maxSide: model.firstFrame.maxSide } }),
    estimatedCostMicros: estimateVideo(model.price, resolution, duration),
    tokenPrice: videoTokenPrice(model.price, resolution),
  }
}

function problemsOf(model: VideoModelEntry, input: VideoRequestInput, hasFirstFrame: boolean): ErrorDetail[] {
  const { min, max, only } = model.durations
  const { aspectRatio, duration } = input
  const fromText = hasFirstFrame ? undefined : model.aspectRatiosFromText
  const details = []
  if (input.prompt.length > model.maxPromptCharacters) details.push({ path: 'prompt', message: `must be at most ${model.maxPromptCharacters} characters for ${model.id}` })
  if (duration !== undefined && only && !only.includes(duration)) details.push({ path: 'duration', message: `must be one of ${only.join(', ')} seconds for ${model.id}` })
  else if (duration !== undefined && (duration < min || duration > max)) details.push({ path: 'duration', message: `must be from ${Math.max(min, DURATION.min)} to ${Math.min(max, DURATION.max)} seconds for ${model.id}` })
  if (fromText && model.aspectRatios.includes(aspectRatio) && !fromText.includes(aspectRatio)) details.push({ path: 'aspectRatio', message: `must be one of ${fromText.join(', ')} for ${model.id} without a picture` })
  if (!model.aspectRatios.includes(aspectRatio)) details.push({ path: 'aspectRatio', message: `must be one of ${model.aspectRatios.join(', ')} for ${model.id}` })
  if (input.resolution !== undefined && !model.resolutions.includes(input.resolution)) details.push({ path: 'resolution', message: `must be one of ${model.resolutions.join(', ')} for ${model.id}` })
  return details
}

/** The length nearest to the usual one; of two, the shorter. */
function defaultDuration({ durations: { min, max, only } }: VideoModelEntry): number {
  if (!only) return Math.min(Math.max(DURATION.default, min), max)
  return only.toSorted((a, b) => Math.abs(a - DURATION.default) - Math.abs(b - DURATION.default) || a - b)[0]!
}

function firstFrameProblems({ id, firstFrame }: VideoModelEntry, isGiven: boolean): ErrorDetail[] {
  if (isGiven && firstFrame.use === 'none') return [{ path: 'image', message: `cannot be given: ${id} makes videos from text alone` }]
  if (!isGiven && firstFrame.use === 'required') return [{ path: 'image', message: `is missing: ${id} makes videos from a picture` }]
  return []
}

function silent(model: VideoModelEntry, { generateAudio }: VideoRequestInput, warnings: Warning[]): object {
  if (generateAudio === true) warnings.push({ type: 'unsupported', setting: 'generateAudio', message: `${model.id} makes silent videos.` })
  return {}
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
