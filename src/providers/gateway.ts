/**
 * Any OpenAI-compatible gateway: OpenRouter, new-api, one-api, LiteLLM and the like. Which of their ways of asking a model
 * wants is told by its catalog entry's family: `openai-images` (the default) or `openrouter-images`; `openai-videos` (the
 * default), `new-api-videos` or `openrouter-videos`. Wire formats as of November 2026.
 */
import type { Provider, ProviderSetting } from '../generation/provider.ts'
import { createGatewayClient } from './gateway-client.ts'
import { createGatewayImages } from './gateway-images.ts'
import { gatewayOptionsSchema } from './gateway-options.ts'
import { createGatewayVideos } from './gateway-videos.ts'
import { trustedOriginOf } from './trusted-origin.ts'

export const gatewaySetting: ProviderSetting = {
  id: 'gateway',
  keyVariable: 'GATEWAY_API_KEY',
  baseURLVariable: 'GATEWAY_BASE_URL',
  // There is no gateway of everybody's: without an address it is off, key or no key.
  baseURL: '',
}

export interface CreateGatewayOptions {
  /** For a second gateway beside the first. */
  id?: string
  apiKey: string
  baseURL: string
  fetch?: typeof fetch
}

const PROBE_TIMEOUT_MS = 10_000

export function createGateway({ id = gatewaySetting.id, ...options }: CreateGatewayOptions): Provider {
  const client = createGatewayClient({ provider: id, ...options })
  const trustedOrigin = trustedOriginOf(options.baseURL)
  return {
    id,
    optionsSchema: gatewayOptionsSchema,
    ...(trustedOrigin !== undefined && { trustedOrigin }),
    downloadHeaders: (url) => client.downloadHeaders(url),
    image: (model) => createGatewayImages(client, model),
    video: (model) => createGatewayVideos(client, model),
    // Free, and most gateways want the key for it.
    async probe({ signal }) {
      const { data } = await client.call({ path: '/models', purpose: 'look', signal: AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]) })
      return data
    },
  }
}
