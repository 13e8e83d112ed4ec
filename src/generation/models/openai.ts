/**
 * OpenAI's picture models. States: its deprecations page and the SDK 7.57's type unions; prices: its model pages; all read
 * in November 2026. Its Sora videos ended on 2026-09-24 without a successor, so none are here.
 */
import type { ModelInput } from '../catalog.ts'

/** The three sizes that every GPT image model makes. */
const SIZES = ['1024x1024', '1536x1024', '1024x1536']
/** Others that the guide names, above 2560x1440 as experimental. */
const LARGE_SIZES = ['1536x864', '864x1536', '2048x2048', '2560x1440', '1440x2560', '3840x2160', '2160x3840']

const common = {
  kind: 'image',
  provider: 'openai',
  tasks: ['generate', 'edit'],
  maxPromptCharacters: 32_000,
  // One paid call each; the same number that the other vendors' models have.
  maxImages: 4,
  // Pictures of 2048 pixels keep their mask below 4 MB and themselves below 50 MB.
  inputs: { max: 16, minSide: 64, maxSide: 2048, mask: true },
} satisfies Partial<ModelInput>

/** Any size whose sides are multiples of 16: the provider rounds up to them. Smaller ones than the vendor's are scaled down. */
const free = {
  ...common,
  sizes: { minSide: 256, maxSide: 3840, minPixels: 655_360, maxPixels: 8_294_400, minRatio: 1 / 3, maxRatio: 3, known: [...SIZES, ...LARGE_SIZES] },
} satisfies Partial<ModelInput>

const fixed = { ...common, sizes: { known: SIZES, onlyKnown: true } } satisfies Partial<ModelInput>

const retiring = { ...fixed, state: 'retiring', retiresOn: '2026-12-01', successor: 'gpt-image-2' } as const

/** 1024x1024 at medium quality. */
const GPT_IMAGE_2_PRICE = 53_000

/** $5, $8 and $30 for a million tokens; what a picture comes to is not told. */
const TOKENS_2_5 = { per: 'token' as const, perMillion: { text: 5_000_000, image: 8_000_000, output: 30_000_000 } }

export const openAIModels: readonly ModelInput[] = [
  { ...free, id: 'gpt-image-2', family: 'gpt-image-2', price: { per: 'image', usdMicros: GPT_IMAGE_2_PRICE } },
  { ...free, id: 'gpt-image-2-2026-04-21', family: 'gpt-image-2', price: { per: 'image', usdMicros: GPT_IMAGE_2_PRICE } },
  // Sunburst is made for quality, flare for speed.
  { ...free, id: 'gpt-image-2.5-sunburst', family: 'gpt-image-2.5', price: TOKENS_2_5 },
  { ...free, id: 'gpt-image-2.5-sunburst-2026-09-08', family: 'gpt-image-2.5', price: TOKENS_2_5 },
  { ...free, id: 'gpt-image-2.5-flare', family: 'gpt-image-2.5', price: TOKENS_2_5 },
  { ...free, id: 'gpt-image-2.5-flare-2026-09-08', family: 'gpt-image-2.5', price: TOKENS_2_5 },
  // No price of theirs is published yet.
  { ...free, id: 'gpt-image-2.6-sunburst', family: 'gpt-image-2.5' },
  { ...free, id: 'gpt-image-2.6-flare', family: 'gpt-image-2.5' },
  { ...retiring, id: 'gpt-image-1.5', family: 'gpt-image-1.5' },
  // 1024x1024 at medium quality.
  { ...retiring, id: 'gpt-image-1-mini', family: 'gpt-image-1-mini', price: { per: 'image', usdMicros: 11_000 } },
  { ...retiring, id: 'chatgpt-image-latest', family: 'gpt-image-1.5' },
  { ...fixed, id: 'gpt-image-1', state: 'retired', retiresOn: '2026-10-23', successor: 'gpt-image-2.5-flare' },
  { ...fixed, id: 'dall-e-3', state: 'retired', retiresOn: '2026-05-12', successor: 'gpt-image-2' },
  { ...fixed, id: 'dall-e-2', state: 'retired', retiresOn: '2026-05-12', successor: 'gpt-image-2' },
]
