/**
 * Black Forest Labs' own models. Fields and limits: the types of @ai-sdk/black-forest-labs 2.0.41; prices: 17 and 29
 * credits a second, as resellers quoted them in October 2026.
 */
import type { ModelInput } from '../catalog.ts'

export const blackForestLabsModels: readonly ModelInput[] = [
  {
    kind: 'video',
    provider: 'bfl',
    id: 'flux-3-video',
    // The vendor names no limit.
    maxPromptCharacters: 4000,
    durations: { min: 5, max: 20 },
    aspectRatios: ['16:9', '9:16', '1:1', '4:3', '3:4', '2:1', '21:9'],
    resolutions: ['720p', '1080p'],
    defaultResolution: '720p',
    firstFrame: { use: 'optional' },
    supports: { audio: true },
    price: { per: 'second', usdMicros: { '720p': 170_000, '1080p': 290_000 } },
  },
]
