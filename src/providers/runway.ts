/** Runway through its SDK: videos (runway-videos.ts) and its own pictures. Wire format as of November 2026. */
import RunwayML from '@runwayml/sdk'
import { ProviderError } from '../errors.ts'
import type { ImageModel, ImageRequest, Provider, ProviderSetting, Warning } from '../generation/provider.ts'
import { longFetch } from './long-fetch.ts'
import { toRunwayError } from './runway-errors.ts'
import { createUploader, type Uploader } from './runway-files.ts'
import { runwayOptionsSchema, type RunwayOptions } from './runway-options.ts'
import { cancelTask, checkTask, startTask } from './runway-tasks.ts'
import { createRunwayVideo } from './runway-videos.ts'
import { trustedOriginOf } from './trusted-origin.ts'

export const runwaySetting: ProviderSetting = {
  id: 'runway',
  keyVariable: 'RUNWAYML_API_SECRET',
  baseURLVariable: 'RUNWAYML_BASE_URL',
  // The address of production, whatever its name says.
  baseURL: 'https://api.dev.runwayml.com',
  resultHosts: ['dnznrvs05pmza.cloudfront.net'],
}

export interface RunwayInput {
  apiKey: string
  baseURL: string
  fetch?: typeof fetch
}

const PROBE_TIMEOUT_MS = 10_000

export function createRunway(options: RunwayInput): Provider {
  const fetch = options.fetch ?? longFetch
  // The SDK would repeat a create twice by itself, and each of them is paid.
  const client = new RunwayML({ apiKey: options.apiKey, baseURL: options.baseURL, maxRetries: 0, logLevel: 'off', fetch })
  const trustedOrigin = trustedOriginOf(options.baseURL)
  const uploader = createUploader(client, { fetch, trustedOrigin })
  return {
    id: runwaySetting.id,
    optionsSchema: runwayOptionsSchema,
    ...(trustedOrigin !== undefined && { trustedOrigin }),
    image: ({ vendorId }) => createRunwayImage(client, uploader, vendorId),
    video: (model) => createRunwayVideo(client, uploader, model),
    // What the account may use, and its credits.
    probe: ({ signal }) => client.get<unknown>('/v1/organization', { signal, timeout: PROBE_TIMEOUT_MS }).catch((error: unknown) => Promise.reject(toRunwayError(error, 'free'))),
  }
}

function createRunwayImage(client: RunwayML, uploader: Uploader, model: string): ImageModel {
  return {
    async start(request, { signal }) {
      if (request.task === 'remove-background') throw new ProviderError('invalid_request', `${model} cannot cut out a background.`, { provider: runwaySetting.id, charged: 'no' })
      const { body, warnings } = toBody(model, request)
      if (request.images.length === 0) return await startTask(client, '/v1/text_to_image', body, warnings, signal)
      const { referenceTags = [] } = request.providerOptions as RunwayOptions
      const uris = await Promise.all(request.images.map((image) => uploader.toUri(image, signal)))
      const referenceImages = uris.map((uri, index) => ({ uri, tag: referenceTags[index] ?? `image${index + 1}` }))
      return await startTask(client, '/v1/text_to_image', { ...body, referenceImages }, warnings, signal)
    },
    check: (operation, { signal }) => checkTask(client, operation, signal),
    cancel: (operation, { signal }) => cancelTask(client, operation, signal),
  }
}

function toBody(model: string, request: ImageRequest): { body: Record<string, unknown>; warnings: Warning[] } {
  const { publicFigureThreshold, negativePrompt, referenceTags = [] } = request.providerOptions as RunwayOptions
  const warnings: Warning[] = []
  const unsupported = (setting: string, what: string) => void warnings.push({ type: 'unsupported', setting, message: `${model} takes no ${what}: it was left out.` })
  if (request.negativePrompt !== undefined) unsupported('negativePrompt', 'negative prompt')
  if (negativePrompt !== undefined) unsupported('providerOptions.runway.negativePrompt', 'negative prompt')
  if (request.mask) unsupported('mask', 'mask')
  if (referenceTags.length > request.images.length) unsupported('providerOptions.runway.referenceTags', 'more names than pictures')
  const body = {
    model,
    promptText: request.prompt,
    // The vendor's word for a size.
    ratio: `${request.size.width}:${request.size.height}`,
    ...(request.seed !== undefined && { seed: request.seed }),
    ...(publicFigureThreshold !== undefined && { contentModeration: { publicFigureThreshold } }),
  }
  return { body, warnings }
}
