/**
 * Google's models. States and prices: its deprecations and pricing pages, read in November 2026; pixels: the table of
 * its image generation page.
 */
import type { ModelInput } from '../catalog.ts'

/** Pixels of 1K by ratio; the other sizes are multiples of them. */
const PIXELS: Readonly<Record<string, readonly [width: number, height: number]>> = {
  '1:1': [1024, 1024],
  '2:3': [848, 1264],
  '3:2': [1264, 848],
  '3:4': [896, 1200],
  '4:3': [1200, 896],
  '4:5': [928, 1152],
  '5:4': [1152, 928],
  '9:16': [768, 1376],
  '16:9': [1376, 768],
  '21:9': [1584, 672],
}
const LONG_PIXELS: typeof PIXELS = { '1:4': [512, 2048], '4:1': [2048, 512], '1:8': [384, 3072], '8:1': [3072, 384] }

/** @param factors of 1K: half is `512`, 2 is `2K`, 4 is `4K`. */
function sizes(pixels: typeof PIXELS, factors: readonly number[]): { known: string[]; onlyKnown: true } {
  return { known: factors.flatMap((factor) => Object.values(pixels).map(([width, height]) => `${width * factor}x${height * factor}`)), onlyKnown: true }
}

const gemini = {
  kind: 'image',
  provider: 'google',
  // None is documented: far within the 65,536 tokens of input that the smallest of them takes.
  maxPromptCharacters: 20_000,
  tasks: ['generate', 'edit'],
  // One call makes one picture.
  maxImages: 4,
  supports: { seed: true },
} satisfies Partial<ModelInput>

/** What the pages of the 3.x models say; for others nothing is certain. */
const MANY_INPUTS = { max: 14, maxSide: 2048 }
const FEW_INPUTS = { max: 3, maxSide: 2048 }

const imagen = { ...gemini, tasks: ['generate'], maxPromptCharacters: 4000, state: 'retired', retiresOn: '2026-08-17', supports: {}, sizes: sizes(PIXELS, [1, 2]) } satisfies Partial<ModelInput>

const omni = {
  kind: 'video',
  provider: 'google',
  // None is documented.
  maxPromptCharacters: 20_000,
  durations: { min: 3, max: 10 },
  aspectRatios: ['16:9', '9:16'],
  resolutions: ['360p', '720p', '1080p', '4k'],
  defaultResolution: '720p',
  firstFrame: { use: 'optional', minSide: 300, maxSide: 2048 },
} satisfies Partial<ModelInput>

/** $17.50 for a million video tokens, and what that is by the second. */
const OMNI_PRICE = {
  per: 'token' as const,
  perMillion: { '360p': 17_500_000, '720p': 17_500_000, '1080p': 17_500_000, '4k': 17_500_000 },
  perSecond: { '360p': 34_000, '720p': 100_000, '1080p': 152_000, '4k': 304_000 },
}

/** @param dollars for a million tokens of pictures, of which one in 1K takes 1120 (pricing page). */
const tokens = (dollars: number, typical: number) => ({ per: 'token' as const, perMillion: { output: dollars * 1_000_000 }, typical })

const veo = { ...omni, durations: { min: 4, max: 8 }, resolutions: ['720p', '1080p', '4k'], state: 'retired', retiresOn: '2026-10-22', successor: 'gemini-omni-1.2-flash' } satisfies Partial<ModelInput>

export const googleModels: readonly ModelInput[] = [
  // What a picture comes to is told for 1K; a larger one's price is settled by its tokens.
  { ...gemini, id: 'gemini-3.1-flash-image', sizes: sizes({ ...PIXELS, ...LONG_PIXELS }, [1, 0.5, 2, 4]), inputs: MANY_INPUTS, price: tokens(60, 67_000) },
  { ...gemini, id: 'gemini-3.1-flash-lite-image', sizes: sizes({ ...PIXELS, ...LONG_PIXELS }, [1]), inputs: MANY_INPUTS, price: tokens(30, 34_000) },
  { ...gemini, id: 'gemini-3-pro-image', sizes: sizes(PIXELS, [1, 2, 4]), inputs: MANY_INPUTS, price: tokens(120, 134_000) },
  // The price is a reseller's.
  { ...gemini, id: 'gemini-nano-banana-2.1', sizes: sizes(PIXELS, [1]), inputs: FEW_INPUTS, price: { per: 'image', usdMicros: 45_000 } },
  { ...gemini, id: 'gemini-3.1-flash-image-preview', state: 'retired', retiresOn: '2026-06-25', successor: 'gemini-3.1-flash-image', sizes: sizes({ ...PIXELS, ...LONG_PIXELS }, [1, 0.5, 2, 4]), inputs: MANY_INPUTS },
  { ...gemini, id: 'gemini-3-pro-image-preview', state: 'retired', retiresOn: '2026-06-25', successor: 'gemini-3-pro-image', sizes: sizes(PIXELS, [1, 2, 4]), inputs: MANY_INPUTS },
  { ...gemini, id: 'gemini-2.5-flash-image', state: 'retired', retiresOn: '2026-10-02', successor: 'gemini-3.1-flash-image', sizes: sizes(PIXELS, [1]), inputs: FEW_INPUTS },
  { ...imagen, id: 'imagen-4.0-generate-001', successor: 'gemini-3.1-flash-image' },
  { ...imagen, id: 'imagen-4.0-ultra-generate-001', successor: 'gemini-3-pro-image' },
  { ...imagen, id: 'imagen-4.0-fast-generate-001', successor: 'gemini-3.1-flash-lite-image', sizes: sizes(PIXELS, [1]) },
  { ...omni, id: 'gemini-omni-1.2-flash', price: OMNI_PRICE },
  { ...omni, id: 'gemini-omni-1.1-flash', price: OMNI_PRICE },
  // A preview may go without a date.
  { ...omni, id: 'gemini-omni-flash-preview', price: OMNI_PRICE, fallbacks: ['gemini-omni-1.1-flash'] },
  { ...veo, id: 'veo-3.1-generate-preview' },
  { ...veo, id: 'veo-3.1-fast-generate-preview' },
  { ...veo, id: 'veo-3.1-lite-generate-preview' },
]
