/** Videos of Replicate: Seedance, and any other model in the words that most of them share. */
import type { Mark, VendorModel, VideoModel, VideoRequest, Warning } from '../generation/provider.ts'
import type { ReplicateModels } from './replicate-images.ts'
import type { ReplicateOptions } from './replicate-options.ts'
import { drawMark } from './replicate-predictions.ts'

interface Family {
  /** `perhaps` sends a seed that was wanted, and none that was not. */
  seed?: 'known' | 'perhaps'
  cameraFixed?: true
  audio?: true
}

/** Fields that each family knows, from the schemas of their versions as published in 2025 and 2026. */
const FAMILIES = {
  'seedance-1': { seed: 'known', cameraFixed: true },
  'seedance-1-5': { seed: 'known', cameraFixed: true, audio: true },
  'seedance-2': { audio: true },
  generic: { seed: 'perhaps', audio: true },
} satisfies Record<string, Family>

type FamilyName = keyof typeof FAMILIES

/** By the vendor's id, with or without a version. */
const BY_ID: [pattern: RegExp, family: FamilyName][] = [
  [/^bytedance\/seedance-1-(pro|lite|pro-fast)(:|$)/, 'seedance-1'],
  [/^bytedance\/seedance-1\.5-/, 'seedance-1-5'],
  [/^bytedance\/seedance-2/, 'seedance-2'],
]

function toFamily({ vendorId, family }: VendorModel): Family {
  const name = family !== undefined && family in FAMILIES ? (family as FamilyName) : (BY_ID.find(([pattern]) => pattern.test(vendorId))?.[1] ?? 'generic')
  return FAMILIES[name]
}

export function createReplicateVideos({ predictions, sendFile }: ReplicateModels, model: VendorModel): VideoModel {
  const family = toFamily(model)
  return {
    mark: ({ seed }) => drawMark(seed, family.seed === 'known'),

    async start(request, { signal, mark }) {
      const { input, warnings } = toInput(model.vendorId, family, request, mark)
      if (request.firstFrame) input.image = await sendFile(request.firstFrame, signal)
      return await predictions.create(model.vendorId, { input, warnings, callbackUrl: request.callbackUrl, mark }, signal)
    },

    check: (operation, { signal }) => predictions.check(operation, signal),
    cancel: (operation, { signal }) => predictions.cancel(operation, signal),
    find: (mark, call) => predictions.find(model.vendorId, mark, call),
    parseCallback: (body) => predictions.parseCallback(body),
  }
}

function toInput(model: string, family: Family, request: VideoRequest, mark: Mark): { input: Record<string, unknown>; warnings: Warning[] } {
  const { cameraFixed, ...others } = request.providerOptions as ReplicateOptions
  const warnings: Warning[] = []
  const unsupported = (setting: string) => void warnings.push({ type: 'unsupported', setting, message: `${model} takes no ${setting.replace(/^.*\./, '')}: it was left out.` })
  const seed = request.seed ?? mark.seed
  const { generateAudio } = request
  const input: Record<string, unknown> = {
    prompt: request.prompt,
    duration: request.duration,
    resolution: request.resolution,
    aspect_ratio: request.aspectRatio,
    ...(family.seed && seed !== undefined && { seed }),
    ...(family.cameraFixed && cameraFixed !== undefined && { camera_fixed: cameraFixed }),
    ...(family.audio && generateAudio !== undefined && { generate_audio: generateAudio }),
  }
  if (request.seed !== undefined && !family.seed) unsupported('seed')
  if (generateAudio === true && !family.audio) unsupported('generateAudio')
  if (cameraFixed !== undefined && !family.cameraFixed) unsupported('providerOptions.replicate.cameraFixed')
  for (const name of Object.keys(others)) unsupported(`providerOptions.replicate.${name}`)
  return { input, warnings }
}
