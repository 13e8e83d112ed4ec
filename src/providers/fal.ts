/**
 * fal through its queue, over plain HTTP: its own client, and the one of the AI SDK, take a look that failed for a run that
 * failed, and repeat or poll by themselves.
 */
import type { Provider, ProviderSetting } from '../generation/provider.ts'
import { createFalImages } from './fal-images.ts'
import { falOptionsSchema } from './fal-options.ts'
import { createFalQueue } from './fal-queue.ts'
import { createFalVideos } from './fal-videos.ts'
import { trustedOriginOf } from './trusted-origin.ts'
import { createVendorCall } from './vendor-call.ts'

export const falSetting: ProviderSetting = {
  id: 'fal',
  keyVariable: 'FAL_KEY',
  baseURLVariable: 'FAL_BASE_URL',
  baseURL: 'https://queue.fal.run',
  resultHosts: ['v3.fal.media', 'v3b.fal.media'],
  canBeOpen: true,
}

export interface FalOptionsInput {
  apiKey: string
  baseURL: string
  fetch?: typeof fetch
}

export function createFal({ apiKey, baseURL, fetch }: FalOptionsInput): Provider {
  const call = createVendorCall({ provider: falSetting.id, apiKey, headers: { authorization: `Key ${apiKey}` }, fetch })
  const queue = createFalQueue({ call, baseURL })
  const trustedOrigin = trustedOriginOf(baseURL)
  return {
    id: falSetting.id,
    optionsSchema: falOptionsSchema,
    ...(trustedOrigin !== undefined && { trustedOrigin }),
    image: (model) => createFalImages(queue, model),
    video: (model) => createFalVideos(queue, model),
  }
}
