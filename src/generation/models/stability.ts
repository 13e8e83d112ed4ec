/** Stability's models: the v2beta API document and platform.stability.ai's prices, read in November 2026. */
import type { ModelInput } from '../catalog.ts'

/** 1 credit is $0.01. */
const MICROS_PER_CREDIT = 10_000

/** The vendor takes ratios: these are exact ones within the megapixel that it makes of each. */
const SIZES_1MP = ['1024x1024', '1344x756', '756x1344', '1470x630', '630x1470', '1215x810', '810x1215', '1120x896', '896x1120']
/** The same for a megapixel and a half. */
const SIZES_CORE = ['1024x1024', '1216x1216', '1600x900', '900x1600', '1820x780', '780x1820', '1500x1000', '1000x1500', '1360x1088', '1088x1360']

const picture = {
  kind: 'image' as const,
  provider: 'stability',
  maxPromptCharacters: 10_000,
  sizes: { known: SIZES_1MP, onlyKnown: true },
  supports: { seed: true, negativePrompt: true },
} satisfies Partial<ModelInput>

/** One picture with sides of 64 pixels and more; 2048 a side are the 4.19 megapixels that the cutting out takes at most. */
const inputs = { max: 1, minSide: 64, maxSide: 2048 }

const diffusion = { ...picture, family: 'sd3', tasks: ['generate', 'edit'], inputs } satisfies Partial<ModelInput>

export const stabilityModels: readonly ModelInput[] = [
  { ...picture, id: 'stable-image-core', family: 'core', sizes: { known: SIZES_CORE, onlyKnown: true }, price: { per: 'image', usdMicros: 3 * MICROS_PER_CREDIT } },
  { ...picture, id: 'stable-image-ultra', family: 'ultra', tasks: ['generate', 'edit'], inputs, price: { per: 'image', usdMicros: 8 * MICROS_PER_CREDIT } },
  { ...diffusion, id: 'sd3.5-large', price: { per: 'image', usdMicros: 6.5 * MICROS_PER_CREDIT } },
  { ...diffusion, id: 'sd3.5-large-turbo', price: { per: 'image', usdMicros: 4 * MICROS_PER_CREDIT } },
  { ...diffusion, id: 'sd3.5-medium', price: { per: 'image', usdMicros: 3.5 * MICROS_PER_CREDIT } },
  // The vendor itself has led the old names to the new ones since then.
  { ...diffusion, id: 'sd3-large', state: 'retired', retiresOn: '2025-04-17', successor: 'sd3.5-large' },
  { ...diffusion, id: 'sd3-large-turbo', state: 'retired', retiresOn: '2025-04-17', successor: 'sd3.5-large-turbo' },
  { ...diffusion, id: 'sd3-medium', state: 'retired', retiresOn: '2025-04-17', successor: 'sd3.5-medium' },
  {
    ...picture,
    id: 'stable-image-remove-background',
    family: 'remove-background',
    tasks: ['remove-background'],
    inputs,
    // The result has the given picture's size.
    sizes: { minSide: 64, maxSide: 2048, known: ['1024x1024', '2048x2048'] },
    supports: {},
    price: { per: 'image', usdMicros: 5 * MICROS_PER_CREDIT },
  },
]
