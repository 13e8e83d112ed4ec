/** Pictures of Replicate: Flux in its families, SDXL, background removal, and whatever takes the same words. */
import { ProviderError } from '../errors.ts'
import type { ImageModel, ImageRequest, Mark, Size, VendorModel, Warning } from '../generation/provider.ts'
import { nearestRatio } from './nearest-ratio.ts'
import type { SendFile } from './replicate-files.ts'
import type { ReplicateOptions } from './replicate-options.ts'
import { drawMark, type Predictions } from './replicate-predictions.ts'

const PROVIDER = 'replicate'

type Knob = Exclude<keyof ReplicateOptions, 'outputFormat' | 'cameraFixed'>

/** How a model is asked for one task. Absent fields are what it does not take. */
interface Shape {
  /** The field of the picture to work on. */
  image?: string
  /** `custom` is a ratio of that name with pixels beside it. */
  size?: 'ratio' | 'custom' | 'pixels'
  /** Sides must be multiples of this. */
  step?: number
  formats?: readonly string[]
  /** Their options, by our names for them. */
  knobs?: Partial<Record<Knob, string>>
  /** `perhaps` sends a seed that was wanted, and none that was not. */
  seed?: 'known' | 'perhaps'
  negativePrompt?: true
  /** Whether it makes several pictures unless it is told. */
  counts?: true
}

type Family = Partial<Record<ImageRequest['task'], Shape>>

const FORMATS = ['jpeg', 'png', 'webp'] as const
const FLUX: Shape = { size: 'ratio', seed: 'known', counts: true, formats: FORMATS, knobs: { numInferenceSteps: 'num_inference_steps', outputQuality: 'output_quality', goFast: 'go_fast' } }
const { size: _, ...FLUX_EDIT } = FLUX
const KONTEXT: Shape = { size: 'ratio', seed: 'known', formats: ['jpeg', 'png'], knobs: { expandPrompt: 'prompt_upsampling' } }
const SDXL: Shape = { seed: 'known', counts: true, negativePrompt: true, knobs: { numInferenceSteps: 'num_inference_steps', guidanceScale: 'guidance_scale' } }

/** Fields that each family knows, from the schemas of their versions as published in 2025 and 2026. */
const FAMILIES = {
  'flux-schnell': { generate: FLUX },
  'flux-dev': {
    generate: { ...FLUX, knobs: { ...FLUX.knobs, guidanceScale: 'guidance' } },
    // An edit has the shape of its picture.
    edit: { ...FLUX_EDIT, image: 'image', knobs: { ...FLUX.knobs, guidanceScale: 'guidance', strength: 'prompt_strength' } },
  },
  'flux-pro': { generate: { size: 'custom', step: 32, seed: 'known', formats: FORMATS, knobs: { outputQuality: 'output_quality', expandPrompt: 'prompt_upsampling' } } },
  kontext: { generate: KONTEXT, edit: { ...KONTEXT, image: 'input_image' } },
  sdxl: {
    generate: { ...SDXL, size: 'pixels', step: 8 },
    edit: { ...SDXL, size: 'pixels', step: 8, image: 'image', knobs: { ...SDXL.knobs, strength: 'prompt_strength' } },
  },
  'background-removal': { 'remove-background': { image: 'image' } },
  /** Any other model, in the words that most of them share. */
  generic: { generate: { size: 'ratio', seed: 'perhaps' }, edit: { image: 'image', seed: 'perhaps' }, 'remove-background': { image: 'image' } },
} satisfies Record<string, Family>

type FamilyName = keyof typeof FAMILIES

/** By the vendor's id, with or without a version. */
const BY_ID: [pattern: RegExp, family: FamilyName][] = [
  [/^black-forest-labs\/flux-schnell(:|$)/, 'flux-schnell'],
  [/^black-forest-labs\/flux-dev(:|$)/, 'flux-dev'],
  [/^black-forest-labs\/flux-1\.1-pro(:|$)/, 'flux-pro'],
  [/^black-forest-labs\/flux-kontext-(pro|max)(:|$)/, 'kontext'],
  [/^stability-ai\/sdxl(:|$)/, 'sdxl'],
  [/^(bria\/remove-background|851-labs\/background-remover|lucataco\/remove-bg)(:|$)/, 'background-removal'],
]

function toFamily({ vendorId, family }: VendorModel): Family {
  const name = family !== undefined && family in FAMILIES ? (family as FamilyName) : (BY_ID.find(([pattern]) => pattern.test(vendorId))?.[1] ?? 'generic')
  return FAMILIES[name]
}

export interface ReplicateModels {
  predictions: Predictions
  sendFile: SendFile
}

export function createReplicateImages({ predictions, sendFile }: ReplicateModels, model: VendorModel): ImageModel {
  const family = toFamily(model)
  return {
    mark: ({ seed, task }) => drawMark(seed, family[task]?.seed === 'known'),

    async start(request, { signal, mark }) {
      const shape = family[request.task]
      const [picture] = request.images
      if (!shape || (request.task !== 'generate' && !picture)) throw new ProviderError('invalid_request', 'This model cannot do what was asked of it.', { provider: PROVIDER, charged: 'no' })
      const { input, warnings } = toInput(model.vendorId, shape, request, mark)
      if (shape.image !== undefined && picture) input[shape.image] = await sendFile(picture, signal)
      return await predictions.create(model.vendorId, { input, warnings, callbackUrl: request.callbackUrl, mark }, signal)
    },

    check: (operation, { signal }) => predictions.check(operation, signal),
    cancel: (operation, { signal }) => predictions.cancel(operation, signal),
    find: (mark, call) => predictions.find(model.vendorId, mark, call),
    parseCallback: (body) => predictions.parseCallback(body),
  }
}

function toInput(model: string, shape: Shape, request: ImageRequest, mark: Mark): { input: Record<string, unknown>; warnings: Warning[] } {
  const { outputFormat, ...options } = request.providerOptions as ReplicateOptions
  const warnings: Warning[] = []
  const unsupported = (setting: string) => void warnings.push({ type: 'unsupported', setting, message: `${model} takes no ${setting.replace(/^.*\./, '')}: it was left out.` })
  const seed = request.seed ?? mark.seed
  const input: Record<string, unknown> = {
    ...(request.task !== 'remove-background' && { prompt: request.prompt }),
    ...toSize(shape, request.size),
    ...(shape.counts && { num_outputs: 1 }),
    ...(shape.seed && seed !== undefined && { seed }),
    // Otherwise a seed that was wanted would not give the same picture again.
    ...(shape.knobs?.goFast !== undefined && request.seed !== undefined && { go_fast: false }),
  }
  if (request.seed !== undefined && !shape.seed) unsupported('seed')
  if (request.negativePrompt !== undefined && shape.negativePrompt) input.negative_prompt = request.negativePrompt
  else if (request.negativePrompt !== undefined) unsupported('negativePrompt')
  // SDXL paints where a mask is white, and knows nothing of transparency.
  if (request.mask) unsupported('mask')
  if (shape.image !== undefined && request.images.length > 1) warnings.push({ type: 'partial', setting: 'images', message: `${model} works on one picture: the others were left out.` })
  if (outputFormat !== undefined && shape.formats?.includes(outputFormat)) input.output_format = outputFormat === 'jpeg' ? 'jpg' : outputFormat
  else if (outputFormat !== undefined) unsupported('providerOptions.replicate.outputFormat')
  for (const [name, value] of Object.entries(options)) {
    const theirs = shape.knobs?.[name as Knob]
    if (theirs !== undefined) input[theirs] = value
    else unsupported(`providerOptions.replicate.${name}`)
  }
  return { input, warnings }
}

/** What the Flux models name; other shapes get the nearest. */
const RATIOS = ['21:9', '16:9', '3:2', '4:3', '5:4', '1:1', '4:5', '3:4', '2:3', '9:16', '9:21'] as const

/** Sides are rounded up, so that nothing of the wanted picture is left out. */
function toSize({ size, step = 1 }: Shape, { width, height }: Size): Record<string, unknown> {
  const pixels = { width: Math.ceil(width / step) * step, height: Math.ceil(height / step) * step }
  switch (size) {
    case 'ratio': return { aspect_ratio: nearestRatio({ width, height }, RATIOS) }
    case 'custom': return { aspect_ratio: 'custom', ...pixels }
    case 'pixels': return pixels
    default: return {}
  }
}
