/**
 * fal's models. Fields and limits: the types of @fal-ai/client 1.10.1; prices: fal's model pages as quoted in 2026, right
 * to about a fifth.
 */
import type { ModelInput } from '../catalog.ts'

/** The named sizes, all of which Flux takes as pixels too. */
const NAMED_SIZES = ['1024x1024', '512x512', '768x1024', '576x1024', '1024x768', '1024x576']
/** Both sides of the named sizes and the usual ones of about a megapixel, within what FLUX.1 was made for: 0.1 to 2 megapixels. */
const FLUX_1_SIZES = { minSide: 256, maxSide: 1536, maxPixels: 2_097_152, known: [...NAMED_SIZES, '1536x1024', '1024x1536', '1280x720', '720x1280'] }
const FLUX_2_SIZES = { minSide: 512, maxSide: 2048, known: [...NAMED_SIZES, '1536x1024', '1024x1536', '2048x2048', '2048x1152', '1152x2048'] }
/** What Flux Kontext makes of each ratio that can be asked of it. */
const KONTEXT_SIZES = { minSide: 256, maxSide: 1568, onlyKnown: true, known: ['1024x1024', '1184x880', '880x1184', '1248x832', '832x1248', '1392x752', '752x1392', '1568x672', '672x1568'] }
/** Four megapixels of the same ratios. */
const ULTRA_SIZES = { minSide: 256, maxSide: 3136, onlyKnown: true, known: ['2048x2048', '2368x1792', '1792x2368', '2496x1664', '1664x2496', '2752x1536', '1536x2752', '3136x1344', '1344x3136'] }

// fal names no limit; Flux reads about 500 words.
const flux = { kind: 'image' as const, provider: 'fal', maxPromptCharacters: 4000, maxImages: 4, supports: { seed: true } }
/** The client's types: "a maximum of 4 images are allowed". */
const fourPictures = { tasks: ['generate' as const, 'edit' as const], inputs: { max: 4, minSide: 256 } }
const onePicture = { tasks: ['generate' as const, 'edit' as const], inputs: { max: 1, minSide: 256 } }

/** The size that is asked for is that of the picture; these say what may be given. */
const cutout = {
  kind: 'image' as const,
  provider: 'fal',
  tasks: ['remove-background' as const],
  maxPromptCharacters: 4000,
  sizes: { minSide: 64, maxSide: 4096, known: ['1024x1024'] },
  inputs: { max: 1, maxSide: 4096 },
}

/**
 * Twenty-five frames, which follow each other as slowly as the seconds want it: at five seconds there are five a second.
 */
const stableVideo = {
  kind: 'video' as const,
  provider: 'fal',
  vendorId: 'fal-ai/stable-video',
  maxPromptCharacters: 4000,
  durations: { min: 1, max: 5 },
  aspectRatios: ['16:9', '9:16', '1:1', '4:3', '3:4'],
  resolutions: ['576p'],
  defaultResolution: '576p',
  firstFrame: { use: 'required' as const, minSide: 256, maxSide: 2048 },
  supports: { seed: true },
  price: { per: 'video' as const, usdMicros: 75_000 },
}

export const falModels: readonly ModelInput[] = [
  { ...flux, id: 'fal-ai/flux/schnell', sizes: FLUX_1_SIZES, price: { per: 'megapixel', usdMicros: 3_000 } },
  { ...flux, ...onePicture, id: 'fal-ai/flux/dev', sizes: FLUX_1_SIZES, price: { per: 'megapixel', usdMicros: 25_000 } },
  { ...flux, ...onePicture, id: 'fal-ai/flux-1/dev', sizes: FLUX_1_SIZES, price: { per: 'megapixel', usdMicros: 25_000 } },
  { ...flux, ...fourPictures, id: 'fal-ai/flux-2', sizes: FLUX_2_SIZES, price: { per: 'megapixel', usdMicros: 12_000 } },
  { ...flux, ...fourPictures, id: 'fal-ai/flux-2/turbo', sizes: FLUX_2_SIZES },
  { ...flux, ...fourPictures, id: 'fal-ai/flux-2/flash', sizes: FLUX_2_SIZES },
  { ...flux, ...fourPictures, id: 'fal-ai/flux-2-pro', sizes: FLUX_2_SIZES, price: { per: 'image', usdMicros: 30_000 } },
  { ...flux, ...fourPictures, id: 'fal-ai/flux-2-max', sizes: FLUX_2_SIZES },
  { ...flux, ...fourPictures, id: 'fal-ai/flux-2-flex', sizes: FLUX_2_SIZES },
  { ...flux, id: 'fal-ai/flux-pro/v1.1', sizes: FLUX_1_SIZES, price: { per: 'image', usdMicros: 40_000 } },
  { ...flux, id: 'fal-ai/flux-pro/v1.1-ultra', sizes: ULTRA_SIZES, price: { per: 'image', usdMicros: 60_000 } },
  { ...flux, ...onePicture, id: 'fal-ai/flux-pro/kontext', sizes: KONTEXT_SIZES, price: { per: 'image', usdMicros: 40_000 } },
  { ...cutout, id: 'fal-ai/imageutils/rembg' },
  { ...cutout, id: 'fal-ai/birefnet/v2' },
  { ...cutout, id: 'fal-ai/bria/background/remove', price: { per: 'image', usdMicros: 18_000 } },
  { ...stableVideo, id: 'stable-video' },
  { ...stableVideo, id: 'fal-ai/stable-video' },
]

/** Any other endpoint by its name, in the words that most of them share. What it can do is for the vendor to say. */
export const openFalModels: readonly ModelInput[] = [
  {
    ...flux,
    id: 'fal-ai/*',
    tasks: ['generate', 'edit', 'remove-background'],
    sizes: { minSide: 64, maxSide: 4096, known: FLUX_2_SIZES.known },
    inputs: { max: 4, maxSide: 4096 },
  },
  {
    kind: 'video',
    provider: 'fal',
    id: 'fal-ai/*',
    maxPromptCharacters: 4000,
    durations: { min: 1, max: 60 },
    aspectRatios: ['16:9', '9:16', '1:1', '4:3', '3:4', '21:9'],
    resolutions: ['480p', '580p', '720p', '1080p', '4k'],
    defaultResolution: '720p',
    firstFrame: { use: 'optional' },
    supports: { seed: true, audio: true },
  },
]
