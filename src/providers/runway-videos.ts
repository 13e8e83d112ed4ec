/** Runway's videos: from text and from a first frame. Models: @runwayml/sdk 4.20.1 and the price list, November 2026. */
import type RunwayML from '@runwayml/sdk'
import { ProviderError } from '../errors.ts'
import type { VendorModel, VideoModel, VideoRequest, Warning } from '../generation/provider.ts'
import type { Uploader } from './runway-files.ts'
import type { RunwayOptions } from './runway-options.ts'
import { cancelTask, checkTask, startTask } from './runway-tasks.ts'

interface Family {
  /** The vendor's word for a resolution and a ratio. */
  ratios: Partial<Record<string, Partial<Record<string, string>>>>
  /** The ratios that it makes without a first frame, where it makes fewer. None: it makes nothing without one. */
  textRatios?: readonly string[]
  /** The seconds that it makes, where it is not every number between its limits. */
  durations?: readonly number[]
  moderation?: true
  audio?: true
  negativePrompt?: true
}

const RATIOS_GEN4 = { '720p': { '16:9': '1280:720', '9:16': '720:1280', '4:3': '1104:832', '1:1': '960:960', '3:4': '832:1104', '21:9': '1584:672' } }
const RATIOS_VEO = { '720p': { '16:9': '1280:720', '9:16': '720:1280' }, '1080p': { '16:9': '1920:1080', '9:16': '1080:1920' } }

const FAMILIES = {
  'gen4.5': { ratios: RATIOS_GEN4, textRatios: ['16:9', '9:16'], moderation: true },
  gen4_turbo: { ratios: RATIOS_GEN4, textRatios: [], moderation: true },
  'veo3.1': { ratios: RATIOS_VEO, durations: [4, 6, 8], audio: true, negativePrompt: true },
} satisfies Record<string, Family>

/** A model that came after this was written names its family in the catalog, or is taken for Runway's own newest. */
function toFamily({ vendorId, family }: VendorModel): Family {
  const named = family ?? vendorId
  if (named in FAMILIES) return FAMILIES[named as keyof typeof FAMILIES]
  return vendorId.startsWith('veo') ? FAMILIES['veo3.1'] : FAMILIES['gen4.5']
}

export function createRunwayVideo(client: RunwayML, uploader: Uploader, model: VendorModel): VideoModel {
  const family = toFamily(model)
  return {
    async start(request, { signal }) {
      const { firstFrame } = request
      // Before an upload, which would be in vain.
      const { body, warnings } = toBody(model.vendorId, family, request)
      if (!firstFrame) return await startTask(client, '/v1/text_to_video', body, warnings, signal)
      const promptImage = [{ uri: await uploader.toUri(firstFrame, signal), position: 'first' }]
      return await startTask(client, '/v1/image_to_video', { ...body, promptImage }, warnings, signal)
    },
    check: (operation, { signal }) => checkTask(client, operation, signal),
    cancel: (operation, { signal }) => cancelTask(client, operation, signal),
  }
}

function toBody(model: string, family: Family, request: VideoRequest): { body: Record<string, unknown>; warnings: Warning[] } {
  const warnings: Warning[] = []
  const unsupported = (setting: string) => void warnings.push({ type: 'unsupported', setting, message: `${model} takes no ${setting.split('.').at(-1)}: it was left out.` })
  const { publicFigureThreshold, negativePrompt, referenceTags } = request.providerOptions as RunwayOptions
  if (publicFigureThreshold !== undefined && !family.moderation) unsupported('providerOptions.runway.publicFigureThreshold')
  if (negativePrompt !== undefined && !family.negativePrompt) unsupported('providerOptions.runway.negativePrompt')
  if (referenceTags !== undefined) unsupported('providerOptions.runway.referenceTags')
  if (request.generateAudio === true && !family.audio) unsupported('generateAudio')
  const body = {
    model,
    promptText: request.prompt,
    ratio: toRatio(model, family, request),
    duration: toDuration(model, family, request.duration, warnings),
    ...(request.seed !== undefined && { seed: request.seed }),
    ...(publicFigureThreshold !== undefined && family.moderation && { contentModeration: { publicFigureThreshold } }),
    ...(negativePrompt !== undefined && family.negativePrompt && { negativePrompt }),
    // Sound costs more and is not documented to be off where nothing is said.
    ...(family.audio && { audio: request.generateAudio ?? false }),
  }
  return { body, warnings }
}

/** A video of another shape than was asked for is of no use, so this refuses before anything is paid. */
function toRatio(model: string, { ratios, textRatios }: Family, { aspectRatio, resolution, firstFrame }: VideoRequest): string {
  const offered = ratios[resolution] ?? {}
  const ratio = offered[aspectRatio]
  if (ratio === undefined) throw refused(`${model} makes no video of ${aspectRatio} at ${resolution}.`)
  if (firstFrame || !textRatios || textRatios.includes(aspectRatio)) return ratio
  throw refused(textRatios.length === 0 ? `${model} makes videos from a picture: give one.` : `From text alone ${model} makes videos of ${textRatios.join(' and ')}: choose one of these or give a picture.`)
}

/** The next longer of the few that a model makes, or its longest. */
function toDuration(model: string, { durations }: Family, wanted: number, warnings: Warning[]): number {
  if (!durations || durations.includes(wanted)) return wanted
  const duration = durations.find((seconds) => seconds > wanted) ?? durations.at(-1)!
  warnings.push({ type: 'adjusted', setting: 'duration', message: `${model} makes videos of ${durations.join(', ')} seconds: ${duration} were asked for in place of ${wanted}.` })
  return duration
}

const refused = (message: string) => new ProviderError('invalid_request', message, { provider: 'runway', charged: 'no' })
