/** Pictures of fal: Flux in its families, background removal, and whatever takes the same words. */
import { ProviderError } from '../errors.ts'
import type { ImageModel, ImageRequest, Size, VendorModel, Warning } from '../generation/provider.ts'
import { toHeaders, type FalOptions } from './fal-options.ts'
import type { FalQueue, Submission } from './fal-queue.ts'
import { nearestRatio } from './nearest-ratio.ts'
import { toDataUrl } from './data-url.ts'

const PROVIDER = 'fal'

type Knob = Exclude<keyof FalOptions, 'priority' | 'motionBucketId' | 'condAug'>

/** How an endpoint is asked for one task. Absent fields are what it does not take. */
interface Shape {
  /** Added to the model's id. */
  path?: string
  /** `one` takes a picture as `image_url`, `many` takes them as `image_urls`. */
  images?: 'one' | 'many'
  size?: 'pixels' | 'ratio'
  formats?: readonly string[]
  /** Their options, by our names for them. */
  knobs?: Partial<Record<Knob, string>>
  seed?: true
  /** Whether it must be told to make one picture; those that always do refuse the word. */
  counts?: true
}

interface Family {
  generate?: Shape
  edit?: Shape
  'remove-background'?: Shape
}

const JPEG_PNG = ['jpeg', 'png'] as const
const ALL_FORMATS = ['jpeg', 'png', 'webp'] as const
const STEPS_GUIDANCE = { numInferenceSteps: 'num_inference_steps', guidanceScale: 'guidance_scale' } as const
const FLUX_1: Shape = { size: 'pixels', seed: true, counts: true, formats: JPEG_PNG, knobs: { ...STEPS_GUIDANCE, acceleration: 'acceleration' } }
const FLUX_2: Shape = { size: 'pixels', seed: true, counts: true, formats: ALL_FORMATS, knobs: { ...STEPS_GUIDANCE, acceleration: 'acceleration', expandPrompt: 'enable_prompt_expansion' } }
const FLUX_2_FAST: Shape = { ...FLUX_2, knobs: { guidanceScale: 'guidance_scale', expandPrompt: 'enable_prompt_expansion' } }
const FLUX_2_PRO: Shape = { size: 'pixels', seed: true, formats: JPEG_PNG }
const FLUX_2_FLEX: Shape = { ...FLUX_2_PRO, knobs: STEPS_GUIDANCE }
const KONTEXT: Shape = { size: 'ratio', seed: true, counts: true, formats: JPEG_PNG, knobs: { guidanceScale: 'guidance_scale', expandPrompt: 'enhance_prompt' } }

/** Fields that each family knows, from the types of @fal-ai/client 1.10.1; some refuse a request that has others. */
const FAMILIES = {
  'flux-schnell': { generate: FLUX_1 },
  // An edit has the size of its picture.
  'flux-dev': { generate: FLUX_1, edit: { ...FLUX_1, path: '/image-to-image', images: 'one', size: undefined, knobs: { ...FLUX_1.knobs, strength: 'strength' } } },
  'flux-2': { generate: FLUX_2, edit: { ...FLUX_2, path: '/edit', images: 'many' } },
  'flux-2-fast': { generate: FLUX_2_FAST, edit: { ...FLUX_2_FAST, path: '/edit', images: 'many' } },
  'flux-2-pro': { generate: FLUX_2_PRO, edit: { ...FLUX_2_PRO, path: '/edit', images: 'many' } },
  'flux-2-flex': { generate: FLUX_2_FLEX, edit: { ...FLUX_2_FLEX, path: '/edit', images: 'many' } },
  'flux-pro': { generate: { size: 'pixels', seed: true, counts: true, formats: JPEG_PNG, knobs: { expandPrompt: 'enhance_prompt' } } },
  'flux-pro-ultra': { generate: { size: 'ratio', seed: true, counts: true, formats: JPEG_PNG, knobs: { expandPrompt: 'enhance_prompt', raw: 'raw' } } },
  kontext: { generate: { ...KONTEXT, path: '/text-to-image' }, edit: { ...KONTEXT, images: 'one' } },
  'background-removal': { 'remove-background': { images: 'one' } },
  /** Any other endpoint, named in full, in the words that most of them share. */
  generic: { generate: { size: 'pixels', seed: true, counts: true }, edit: { images: 'many', seed: true, counts: true }, 'remove-background': { images: 'one' } },
} satisfies Record<string, { [task in keyof Family]: { [field in keyof Shape]: Shape[field] | undefined } }>

type FamilyName = keyof typeof FAMILIES

/** By the vendor's id, the most telling first. */
const BY_ID: [pattern: RegExp, family: FamilyName][] = [
  [/^fal-ai\/flux-pro\/kontext(\/max)?$/, 'kontext'],
  [/^fal-ai\/flux-pro\/v1\.1-ultra$/, 'flux-pro-ultra'],
  [/^fal-ai\/flux-pro\/v1\.1$/, 'flux-pro'],
  [/^fal-ai\/flux-2-(pro|max)$/, 'flux-2-pro'],
  [/^fal-ai\/flux-2-flex$/, 'flux-2-flex'],
  [/^fal-ai\/flux-2\/(turbo|flash)$/, 'flux-2-fast'],
  [/^fal-ai\/flux-2$/, 'flux-2'],
  [/^fal-ai\/flux(-1)?\/dev$/, 'flux-dev'],
  [/^fal-ai\/flux(-1)?\/schnell$/, 'flux-schnell'],
  [/^fal-ai\/(imageutils\/rembg|birefnet(\/v2)?|bria\/background\/remove)$/, 'background-removal'],
]

function toFamily({ vendorId, family }: VendorModel): FamilyName {
  if (family !== undefined && family in FAMILIES) return family as FamilyName
  return BY_ID.find(([pattern]) => pattern.test(vendorId))?.[1] ?? 'generic'
}

export function createFalImages(queue: FalQueue, model: VendorModel): ImageModel {
  const family = FAMILIES[toFamily(model)] as Family
  const endpointFor = (task: ImageRequest['task']) => `${model.vendorId}${family[task]?.path ?? ''}`
  return {
    async start(request, { signal }) {
      const shape = family[request.task]
      if (!shape || (request.task !== 'generate' && request.images.length === 0)) throw new ProviderError('invalid_request', 'This model cannot do what was asked of it.', { provider: PROVIDER, charged: 'no' })
      return await queue.submit(endpointFor(request.task), toSubmission(model.vendorId, shape, request), signal)
    },
    check: (operation, { signal }) => queue.check(operation, signal),
    cancel: (operation, { signal }) => queue.cancel(operation, signal),
    // Every task of a model lives under the same app.
    parseCallback: (body) => queue.parseCallback(model.vendorId, body),
  }
}

function toSubmission(model: string, shape: Shape, request: ImageRequest): Submission {
  const { images, seed, task } = request
  const { outputFormat, ...options } = request.providerOptions as FalOptions
  const warnings: Warning[] = []
  const unsupported = (setting: string) => void warnings.push({ type: 'unsupported', setting, message: `${model} takes no ${setting.replace(/^.*\./, '')}: it was left out.` })
  const input: Record<string, unknown> = task === 'remove-background' ? {} : { prompt: request.prompt }
  if (shape.images === 'one') input.image_url = toDataUrl(images[0]!)
  if (shape.images === 'many') input.image_urls = images.map(toDataUrl)
  if (shape.images === 'one' && images.length > 1) warnings.push({ type: 'partial', setting: 'images', message: `${model} works on one picture: the others were left out.` })
  if (shape.size === 'pixels') input.image_size = toMultiples(request.size)
  if (shape.size === 'ratio') input.aspect_ratio = nearestRatio(request.size, RATIOS)
  if (shape.counts) input.num_images = 1
  if (seed !== undefined && shape.seed) input.seed = seed
  else if (seed !== undefined) unsupported('seed')
  if (outputFormat !== undefined && shape.formats?.includes(outputFormat)) input.output_format = outputFormat
  else if (outputFormat !== undefined) unsupported('providerOptions.fal.outputFormat')
  for (const [name, value] of Object.entries(options)) {
    const theirs = shape.knobs?.[name as Knob]
    if (theirs !== undefined) input[theirs] = value
    else if (name !== 'priority') unsupported(`providerOptions.fal.${name}`)
  }
  if (request.negativePrompt !== undefined) unsupported('negativePrompt')
  if (request.mask) unsupported('mask')
  return { input, warnings, headers: toHeaders(options), callbackUrl: request.callbackUrl }
}

/** What Flux pro names; other shapes get the nearest. */
const RATIOS = ['21:9', '16:9', '4:3', '3:2', '1:1', '2:3', '3:4', '9:16', '9:21'] as const

/** Flux works on blocks of 16 pixels: asked for the next larger picture, it leaves nothing out of the one that was wanted. */
const BLOCK = 16
const toMultiples = ({ width, height }: Size): Size => ({ width: Math.ceil(width / BLOCK) * BLOCK, height: Math.ceil(height / BLOCK) * BLOCK })
