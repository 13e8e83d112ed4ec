/**
 * The models that the service knows without being told. States and prices: BytePlus's model list, pricing and end of
 * life pages, read in November 2026. The first of a kind is its default.
 */
import type { ModelInput } from '../catalog.ts'

/** Pixels of the 2K table of Seedream, which every family from 4.0 on accepts. */
const SIZES_2K = ['2048x2048', '2304x1728', '1728x2304', '2848x1600', '1600x2848', '2496x1664', '1664x2496', '3136x1344', '1344x3136']
const SIZES_1K = ['1024x1024', '1152x864', '864x1152', '1312x736', '736x1312', '1248x832', '832x1248', '1568x672', '672x1568']
const SIZES_4K = ['4096x4096', '5504x3040', '3040x5504']

/** The smallest side that callers may ask of a model whose vendor names none: smaller pictures are scaled down. */
const MIN_SIDE = 512

/** 600 English words are recommended; longer prompts are accepted and lose detail. */
const MAX_PROMPT = 4000

const seedream = { kind: 'image', provider: 'modelark', maxPromptCharacters: MAX_PROMPT, maxImages: 4 } as const

const seedance = {
  kind: 'video' as const,
  provider: 'modelark',
  // 1000 English words are recommended.
  maxPromptCharacters: 6000,
  aspectRatios: ['16:9', '9:16', '1:1', '4:3', '3:4', '21:9'],
  defaultResolution: '720p',
  firstFrame: { use: 'optional' as const, minSide: 300, maxSide: 2048 },
} satisfies Partial<ModelInput>

/** Output pixels of 16:9, the largest of the ratios that a frontend asks for. */
const PIXELS_1_0: Record<string, number> = { '480p': 864 * 480, '720p': 1248 * 704, '1080p': 1920 * 1088 }
const PIXELS_1_5: Record<string, number> = { '480p': 864 * 496, '720p': 1280 * 720, '1080p': 1920 * 1080, '4k': 3840 * 2160 }
const FRAMES_PER_SECOND = 24
const PIXELS_PER_TOKEN = 1024

/** @param prices US dollars for a million tokens, by resolution. */
function byTokens(pixels: Record<string, number>, prices: Record<string, number>) {
  const map = (toMicros: (resolution: string, dollars: number) => number) => Object.fromEntries(Object.entries(prices).map(([resolution, dollars]) => [resolution, Math.round(toMicros(resolution, dollars))]))
  return {
    per: 'token' as const,
    perMillion: map((_, dollars) => dollars * 1_000_000),
    perSecond: map((resolution, dollars) => (pixels[resolution]! * FRAMES_PER_SECOND * dollars) / PIXELS_PER_TOKEN),
  }
}

export const modelArkModels: readonly ModelInput[] = [
  {
    ...seedream,
    id: 'seedream-3-0-t2i-250415',
    family: 'seedream-3',
    state: 'retired',
    retiresOn: '2026-05-13',
    successor: 'seedream-4-0-250828',
    sizes: { minSide: 512, maxSide: 2048, known: ['1024x1024', '512x512', '1536x1024', '1024x1536', '2048x2048'] },
    supports: { seed: true },
    price: { per: 'image', usdMicros: 30_000 },
  },
  {
    ...seedream,
    id: 'seedream-4-0-250828',
    tasks: ['generate', 'edit'],
    inputs: { max: 10, maxSide: 4096 },
    family: 'seedream-4',
    sizes: { minSide: MIN_SIDE, minPixels: 921_600, maxPixels: 16_777_216, minRatio: 1 / 16, maxRatio: 16, known: [...SIZES_1K, ...SIZES_2K, ...SIZES_4K] },
    price: { per: 'image', usdMicros: 30_000 },
  },
  {
    ...seedream,
    id: 'seedream-4-5-251128',
    tasks: ['generate', 'edit'],
    inputs: { max: 14, maxSide: 4096 },
    family: 'seedream-4',
    sizes: { minSide: MIN_SIDE, minPixels: 3_686_400, maxPixels: 16_777_216, minRatio: 1 / 16, maxRatio: 16, known: [...SIZES_2K, ...SIZES_4K] },
    price: { per: 'image', usdMicros: 40_000 },
  },
  {
    ...seedream,
    id: 'seedream-5-0-260128',
    tasks: ['generate', 'edit'],
    inputs: { max: 14, maxSide: 4096 },
    family: 'seedream-5-lite',
    sizes: { minSide: MIN_SIDE, minPixels: 3_686_400, maxPixels: 10_404_496, minRatio: 1 / 16, maxRatio: 16, known: SIZES_2K },
    price: { per: 'image', usdMicros: 35_000 },
  },
  {
    ...seedream,
    id: 'seedream-5-0-flash-260915',
    tasks: ['generate', 'edit'],
    inputs: { max: 10, maxSide: 4096 },
    family: 'seedream-5-pro',
    sizes: { minSide: MIN_SIDE, minPixels: 921_600, maxPixels: 4_194_304, minRatio: 1 / 16, maxRatio: 16, known: [...SIZES_1K, '2048x2048', '2304x1728', '1728x2304'] },
    price: { per: 'image', usdMicros: 18_000 },
  },
  {
    ...seedream,
    id: 'dola-seedream-5-0-pro-260628',
    tasks: ['generate', 'edit'],
    inputs: { max: 10, maxSide: 4096 },
    family: 'seedream-5-pro',
    sizes: { minSide: MIN_SIDE, minPixels: 921_600, maxPixels: 4_194_304, minRatio: 1 / 16, maxRatio: 16, known: [...SIZES_1K, '2048x2048', '2304x1728', '1728x2304'] },
    price: { per: 'image', usdMicros: 90_000, small: { maxPixels: 2_610_000, usdMicros: 45_000 } },
  },
  {
    ...seedance,
    id: 'seedance-1-0-lite-t2v',
    family: 'seedance-1-0',
    state: 'retired',
    retiresOn: '2026-05-13',
    successor: 'seedance-1-0-pro-fast-251015',
    durations: { min: 2, max: 12 },
    resolutions: ['480p', '720p', '1080p'],
    supports: { seed: true },
  },
  {
    ...seedance,
    id: 'seedance-1-0-pro-fast-251015',
    family: 'seedance-1-0',
    durations: { min: 2, max: 12 },
    resolutions: ['480p', '720p', '1080p'],
    supports: { seed: true },
    price: byTokens(PIXELS_1_0, { '480p': 1, '720p': 1, '1080p': 1 }),
  },
  {
    ...seedance,
    id: 'seedance-1-0-pro-250528',
    family: 'seedance-1-0',
    durations: { min: 2, max: 12 },
    resolutions: ['480p', '720p', '1080p'],
    supports: { seed: true },
    price: byTokens(PIXELS_1_0, { '480p': 2.5, '720p': 2.5, '1080p': 2.5 }),
  },
  {
    ...seedance,
    id: 'seedance-1-5-pro-251215',
    family: 'seedance-1-5',
    state: 'retired',
    retiresOn: '2026-11-11',
    successor: 'dreamina-seedance-2-0-mini-260615',
    durations: { min: 4, max: 12 },
    resolutions: ['480p', '720p', '1080p'],
    supports: { seed: true, audio: true },
  },
  {
    ...seedance,
    id: 'dreamina-seedance-2-0-mini-260615',
    family: 'seedance-2-0',
    durations: { min: 4, max: 15 },
    resolutions: ['480p', '720p'],
    supports: { audio: true },
    price: byTokens(PIXELS_1_5, { '480p': 3.5, '720p': 3.5 }),
  },
  {
    ...seedance,
    id: 'dreamina-seedance-2-0-fast-260128',
    family: 'seedance-2-0',
    durations: { min: 4, max: 15 },
    resolutions: ['480p', '720p'],
    supports: { audio: true },
    price: byTokens(PIXELS_1_5, { '480p': 5.6, '720p': 5.6 }),
  },
  {
    ...seedance,
    id: 'dreamina-seedance-2-0-260128',
    family: 'seedance-2-0',
    durations: { min: 4, max: 15 },
    resolutions: ['480p', '720p', '1080p', '4k'],
    supports: { audio: true },
    price: byTokens(PIXELS_1_5, { '480p': 7, '720p': 7, '1080p': 7.7, '4k': 4 }),
  },
  {
    ...seedance,
    id: 'dreamina-seedance-2-5-260628',
    family: 'seedance-2-5',
    durations: { min: 4, max: 30 },
    resolutions: ['480p', '720p', '1080p'],
    supports: { audio: true },
    price: byTokens(PIXELS_1_5, { '480p': 10.7, '720p': 10.7, '1080p': 11.7 }),
  },
]
