/**
 * Replicate's official models, which need no version. Fields: the schemas on their pages; prices: the same pages as quoted
 * in 2026. Community models run by an entry of the operator's own whose `vendorId` names a version, `owner/name:64 hex digits`.
 */
import type { ModelInput } from '../catalog.ts'

/** What FLUX.1 on Replicate makes of each ratio that can be asked of it: about a megapixel. */
const FLUX_SIZES = {
  minSide: 256,
  maxSide: 1536,
  onlyKnown: true,
  known: ['1024x1024', '1344x768', '768x1344', '1536x640', '640x1536', '1216x832', '832x1216', '1152x896', '896x1152', '1088x896', '896x1088'],
}
/** Flux Kontext's own sizes for the ratios that it takes. */
const KONTEXT_SIZES = { minSide: 256, maxSide: 1568, onlyKnown: true, known: ['1024x1024', '1184x880', '880x1184', '1248x832', '832x1248', '1392x752', '752x1392', '1568x672', '672x1568'] }
/** Any sides of 256 to 1440 pixels. */
const PRO_SIZES = { minSide: 256, maxSide: 1440, known: ['1024x1024', '1440x1440', '1344x768', '768x1344', '1216x832', '832x1216', '1280x720', '720x1280'] }

// The vendor names no limit; Flux reads about 500 words.
const flux = { kind: 'image' as const, provider: 'replicate', maxPromptCharacters: 4000, maxImages: 4, supports: { seed: true } }
const onePicture = { max: 1, minSide: 256 }

const seedance = {
  kind: 'video' as const,
  provider: 'replicate',
  maxPromptCharacters: 6000,
  aspectRatios: ['16:9', '9:16', '1:1', '4:3', '3:4', '21:9'],
  resolutions: ['480p', '720p', '1080p'],
  defaultResolution: '720p',
  firstFrame: { use: 'optional' as const, minSide: 300, maxSide: 2048 },
}

export const replicateModels: readonly ModelInput[] = [
  { ...flux, id: 'black-forest-labs/flux-schnell', sizes: FLUX_SIZES, price: { per: 'image', usdMicros: 3_000 } },
  { ...flux, id: 'black-forest-labs/flux-dev', tasks: ['generate', 'edit'], inputs: onePicture, sizes: FLUX_SIZES, price: { per: 'image', usdMicros: 25_000 } },
  { ...flux, id: 'black-forest-labs/flux-1.1-pro', sizes: PRO_SIZES, price: { per: 'image', usdMicros: 40_000 } },
  { ...flux, id: 'black-forest-labs/flux-kontext-pro', tasks: ['generate', 'edit'], inputs: onePicture, sizes: KONTEXT_SIZES },
  {
    kind: 'image',
    provider: 'replicate',
    id: 'bria/remove-background',
    tasks: ['remove-background'],
    maxPromptCharacters: 4000,
    // The result has its picture's size; these say what may be given.
    sizes: { minSide: 64, maxSide: 4096, known: ['1024x1024'] },
    inputs: { max: 1, maxSide: 4096 },
  },
  { ...seedance, id: 'bytedance/seedance-1-pro', durations: { min: 2, max: 12 }, supports: { seed: true } },
  { ...seedance, id: 'bytedance/seedance-2.0', durations: { min: 4, max: 15 }, supports: { audio: true } },
]

/** Any other model, `owner/name` or `owner/name:version`, in the words that most of them share. What it can do is for its owner to say. */
export const openReplicateModels: readonly ModelInput[] = [
  {
    ...flux,
    id: '*/*',
    maxImages: 1,
    tasks: ['generate', 'edit', 'remove-background'],
    // They are asked for a ratio; what comes is cut or scaled to the size that was wanted.
    sizes: { minSide: 64, maxSide: 4096, known: FLUX_SIZES.known },
    inputs: { max: 1, maxSide: 4096 },
  },
  { ...seedance, id: '*/*', durations: { min: 1, max: 60 }, supports: { seed: true, audio: true } },
]
