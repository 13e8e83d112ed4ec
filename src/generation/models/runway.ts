/** Runway's models: @runwayml/sdk 4.20.1 and docs.dev.runwayml.com's inputs and prices, read in November 2026. */
import type { ModelInput } from '../catalog.ts'

/** What the vendor takes of a prompt, in UTF-16 units. */
const MAX_PROMPT = 1000
/** 1 credit is $0.01. */
const MICROS_PER_CREDIT = 10_000

const SIZES = ['1024:1024', '1080:1080', '1168:880', '1360:768', '1440:1080', '1080:1440', '1808:768', '1920:1080', '1080:1920', '2112:912', '1280:720', '720:1280', '720:720', '960:720', '720:960', '1680:720'].map((ratio) => ratio.replace(':', 'x'))

const picture = {
  kind: 'image' as const,
  provider: 'runway',
  maxPromptCharacters: MAX_PROMPT,
  sizes: { known: SIZES, onlyKnown: true },
  // Pictures that the prompt may speak of, up to three; the vendor says nothing of their sides.
  inputs: { max: 3, minSide: 64, maxSide: 2048 },
  supports: { seed: true },
} satisfies Partial<ModelInput>

const film = {
  kind: 'video' as const,
  provider: 'runway',
  maxPromptCharacters: MAX_PROMPT,
  defaultResolution: '720p',
} satisfies Partial<ModelInput>

const gen4 = {
  ...film,
  durations: { min: 2, max: 10 },
  aspectRatios: ['16:9', '9:16', '1:1', '4:3', '3:4', '21:9'],
  resolutions: ['720p'],
  supports: { seed: true },
} satisfies Partial<ModelInput>

const veo = {
  ...film,
  family: 'veo3.1',
  durations: { min: 4, max: 8, only: [4, 6, 8] },
  aspectRatios: ['16:9', '9:16'],
  resolutions: ['720p', '1080p'],
  firstFrame: { use: 'optional' as const },
  supports: { seed: true, audio: true },
} satisfies Partial<ModelInput>

export const runwayModels: readonly ModelInput[] = [
  { ...gen4, id: 'gen4.5', aspectRatiosFromText: ['16:9', '9:16'], firstFrame: { use: 'optional' }, price: { per: 'second', usdMicros: { '720p': 12 * MICROS_PER_CREDIT } } },
  { ...gen4, id: 'gen4_turbo', firstFrame: { use: 'required' }, price: { per: 'second', usdMicros: { '720p': 5 * MICROS_PER_CREDIT } } },
  // The prices with sound; silent ones cost 20 and 10 credits.
  { ...veo, id: 'veo3.1', price: { per: 'second', usdMicros: { '720p': 40 * MICROS_PER_CREDIT, '1080p': 40 * MICROS_PER_CREDIT } } },
  { ...veo, id: 'veo3.1_fast', price: { per: 'second', usdMicros: { '720p': 15 * MICROS_PER_CREDIT, '1080p': 15 * MICROS_PER_CREDIT } } },
  // The first was never offered here; the others are gone from the SDK. When they went is not told.
  { ...gen4, id: 'runway-gen-2', firstFrame: { use: 'optional' }, state: 'retired', successor: 'gen4.5' },
  { ...gen4, id: 'gen3a_turbo', firstFrame: { use: 'required' }, state: 'retired', successor: 'gen4_turbo' },
  { ...veo, id: 'veo3', state: 'retired', successor: 'veo3.1' },
  { ...picture, id: 'gen4_image', tasks: ['generate', 'edit'], price: { per: 'image', usdMicros: 8 * MICROS_PER_CREDIT, small: { maxPixels: 1280 * 720, usdMicros: 5 * MICROS_PER_CREDIT } } },
  // It makes nothing without a picture.
  { ...picture, id: 'gen4_image_turbo', tasks: ['edit'], price: { per: 'image', usdMicros: 2 * MICROS_PER_CREDIT } },
]
