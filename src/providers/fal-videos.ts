/** Videos of fal: Stable Video, which moves one picture, and any other endpoint in the words that most of them share. */
import { ProviderError } from '../errors.ts'
import type { VendorModel, VideoModel, VideoRequest, Warning } from '../generation/provider.ts'
import { toHeaders, type FalOptions } from './fal-options.ts'
import type { FalQueue, Submission } from './fal-queue.ts'
import { toDataUrl } from './data-url.ts'

const PROVIDER = 'fal'

/** Stable Video always makes so many pictures; how fast they follow each other is all that decides its length. */
const STABLE_VIDEO_FRAMES = 25

interface Family {
  /** Makes its pictures from a first frame alone, without words. */
  isStableVideo?: true
  knobs?: Partial<Record<keyof FalOptions, string>>
  /** Written after the seconds: these models take the duration as one of a few texts. */
  durationUnit?: string
}

const STABLE_VIDEO: Family = { isStableVideo: true, knobs: { motionBucketId: 'motion_bucket_id', condAug: 'cond_aug' } }

const FAMILIES = {
  'stable-video': STABLE_VIDEO,
  'fast-svd': { ...STABLE_VIDEO, knobs: { ...STABLE_VIDEO.knobs, numInferenceSteps: 'steps' } },
  veo: { durationUnit: 's' },
  generic: {},
} satisfies Record<string, Family>

type FamilyName = keyof typeof FAMILIES

function toFamily({ vendorId, family }: VendorModel): Family {
  if (family !== undefined && family in FAMILIES) return FAMILIES[family as FamilyName]
  if (vendorId === 'fal-ai/stable-video') return FAMILIES['stable-video']
  if (vendorId === 'fal-ai/fast-svd-lcm') return FAMILIES['fast-svd']
  return vendorId.startsWith('fal-ai/veo') ? FAMILIES.veo : FAMILIES.generic
}

export function createFalVideos(queue: FalQueue, model: VendorModel): VideoModel {
  const family = toFamily(model)
  return {
    async start(request, { signal }) {
      if (family.isStableVideo && !request.firstFrame) throw new ProviderError('invalid_request', 'This model makes videos from a picture: give it a first frame.', { provider: PROVIDER, charged: 'no' })
      return await queue.submit(model.vendorId, toSubmission(model.vendorId, family, request), signal)
    },
    check: (operation, { signal }) => queue.check(operation, signal),
    cancel: (operation, { signal }) => queue.cancel(operation, signal),
    parseCallback: (body) => queue.parseCallback(model.vendorId, body),
  }
}

function toSubmission(model: string, family: Family, request: VideoRequest): Submission {
  const options = request.providerOptions as FalOptions
  const warnings: Warning[] = []
  const { firstFrame, seed } = request
  const input: Record<string, unknown> = {
    ...(family.isStableVideo ? {} : toWords(family, request)),
    ...(firstFrame && { image_url: toDataUrl(firstFrame) }),
    ...(family.isStableVideo && { fps: Math.max(1, Math.round(STABLE_VIDEO_FRAMES / request.duration)) }),
    ...(seed !== undefined && { seed }),
  }
  if (family.isStableVideo) warnings.push({ type: 'unsupported', setting: 'prompt', message: `${model} moves the picture as it sees fit: it takes no prompt.` })
  if (family.isStableVideo && request.generateAudio === true) warnings.push({ type: 'unsupported', setting: 'generateAudio', message: `${model} makes silent videos.` })
  for (const [name, value] of Object.entries(options)) {
    const theirs = family.knobs?.[name as keyof FalOptions]
    if (theirs !== undefined) input[theirs] = value
    else if (name !== 'priority') warnings.push({ type: 'unsupported', setting: `providerOptions.fal.${name}`, message: `${model} takes no ${name}: it was left out.` })
  }
  return { input, warnings, headers: toHeaders(options), callbackUrl: request.callbackUrl }
}

function toWords(family: Family, { prompt, aspectRatio, resolution, duration, generateAudio }: VideoRequest): Record<string, unknown> {
  return {
    prompt,
    aspect_ratio: aspectRatio,
    resolution,
    duration: `${duration}${family.durationUnit ?? ''}`,
    ...(generateAudio !== undefined && { generate_audio: generateAudio }),
  }
}
