/**
 * Models behind an OpenAI-compatible gateway. What one offers, and for how much, is its operator's to say, so these are
 * common names; OPEN_PROVIDERS lets users name any other, MODELS_FILE adds them by `extends` with their own `vendorId`.
 */
import type { ModelInput } from '../catalog.ts'

const common = { provider: 'gateway' } as const

const image = {
  ...common,
  kind: 'image',
  tasks: ['generate', 'edit'],
  maxPromptCharacters: 32_000,
  maxImages: 4,
  sizes: { known: ['1024x1024', '1536x1024', '1024x1536'], onlyKnown: true },
} satisfies Partial<ModelInput>

const video = {
  ...common,
  kind: 'video',
  // No gateway names a limit; vendors begin to lose detail long before.
  maxPromptCharacters: 4000,
  resolutions: ['720p'],
  defaultResolution: '720p',
} satisfies Partial<ModelInput>

export const gatewayModels: readonly ModelInput[] = [
  { ...image, id: 'gateway/gpt-image-2', vendorId: 'gpt-image-2', family: 'openai-images', inputs: { max: 16, minSide: 64, maxSide: 2048, mask: true } },
  // OpenRouter's one call, which takes pictures but no mask.
  { ...image, id: 'gateway/openai/gpt-image-2', vendorId: 'openai/gpt-image-2', family: 'openrouter-images', inputs: { max: 16, minSide: 64, maxSide: 2048 } },
  { ...image, id: 'qwen-image', tasks: ['generate'], family: 'openai-images' },
  { ...image, id: 'flux-schnell', tasks: ['generate'], family: 'openai-images' },
  {
    ...video,
    id: 'sora-2',
    family: 'openai-videos',
    durations: { min: 4, max: 12, only: [4, 8, 12] },
    aspectRatios: ['16:9', '9:16'],
    // The first frame must have the video's very size: for these ratios, sides from 720 to 1280 are 1280x720 and 720x1280.
    firstFrame: { use: 'optional', minSide: 720, maxSide: 1280 },
  },
  {
    ...video,
    id: 'veo-3',
    family: 'openai-videos',
    durations: { min: 4, max: 8 },
    aspectRatios: ['16:9', '9:16'],
    firstFrame: { use: 'optional', minSide: 720, maxSide: 1280 },
  },
  {
    ...video,
    id: 'wan-2.1',
    family: 'new-api-videos',
    durations: { min: 1, max: 8 },
    aspectRatios: ['16:9', '9:16', '1:1', '4:3', '3:4'],
    resolutions: ['480p', '720p'],
    firstFrame: { use: 'optional' },
  },
  {
    ...video,
    id: 'gateway/google/veo-3.1',
    vendorId: 'google/veo-3.1',
    family: 'openrouter-videos',
    // The one length that the gateway's documents show; GET /videos/models lists what it takes today.
    durations: { min: 8, max: 8 },
    aspectRatios: ['16:9', '9:16'],
    firstFrame: { use: 'optional' },
    supports: { seed: true, audio: true },
  },
]

/** Any model of a gateway by its name there: `openrouter/google/veo-3.1`. What it can do is for the gateway to say. */
export const openGatewayModels = (name: string): ModelInput[] => [
  { ...image, id: `${name}/*`, provider: name, vendorId: '*', sizes: { minSide: 256, maxSide: 4096, known: ['1024x1024', '1536x1024', '1024x1536'] }, inputs: { max: 16, minSide: 64, maxSide: 2048, mask: true }, supports: { seed: true, negativePrompt: true } },
  {
    ...video,
    id: `${name}/*`,
    provider: name,
    vendorId: '*',
    durations: { min: 1, max: 60 },
    aspectRatios: ['16:9', '9:16', '1:1', '4:3', '3:4', '21:9'],
    resolutions: ['480p', '720p', '1080p', '4k'],
    firstFrame: { use: 'optional' },
    supports: { seed: true, audio: true },
  },
]
