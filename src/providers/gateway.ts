/**
 * Any OpenAI-compatible gateway: OpenRouter, new-api, one-api, LiteLLM and the like. Which of their ways of asking a model
 * wants is told by its catalog entry's family: `openai-images` or `openrouter-images`; `openai-videos`, `new-api-videos` or
 * `openrouter-videos`. OpenAI's is taken where none is named, except at OpenRouter. Wire formats as of November 2026.
 */
import type { Provider, ProviderSetting, VendorModel } from '../generation/provider.ts'
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
  more: { variable: 'GATEWAYS', setting: namedSetting },
  canBeOpen: true,
}

/** `openrouter` has GATEWAY_OPENROUTER_API_KEY and GATEWAY_OPENROUTER_BASE_URL. */
function namedSetting(name: string): ProviderSetting {
  const prefix = `GATEWAY_${name.toUpperCase().replaceAll('-', '_')}`
  return { id: name, keyVariable: `${prefix}_API_KEY`, baseURLVariable: `${prefix}_BASE_URL`, baseURL: '', canBeOpen: true }
}

export interface CreateGatewayOptions {
  /** The name of a further gateway beside the first. */
  id?: string
  apiKey: string
  baseURL: string
  fetch?: typeof fetch
}

const PROBE_TIMEOUT_MS = 10_000

export function createGateway({ id = gatewaySetting.id, ...options }: CreateGatewayOptions): Provider {
  const client = createGatewayClient({ provider: id, ...options })
  const trustedOrigin = trustedOriginOf(options.baseURL)
  const isOpenRouter = /(^|\.)openrouter\.ai$/.test(new URL(options.baseURL).hostname)
  const inShape = (model: VendorModel, family: string): VendorModel => ({ ...model, family: model.family ?? (isOpenRouter ? family : undefined) })
  return {
    id,
    optionsSchema: gatewayOptionsSchema,
    ...(trustedOrigin !== undefined && { trustedOrigin }),
    downloadHeaders: (url) => client.downloadHeaders(url),
    image: (model) => createGatewayImages(client, inShape(model, 'openrouter-images')),
    video: (model) => createGatewayVideos(client, inShape(model, 'openrouter-videos')),
    // Free, and most gateways want the key for it.
    async probe({ signal }) {
      const { data } = await client.call({ path: '/models', purpose: 'look', signal: AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]) })
      return data
    },
  }
}
