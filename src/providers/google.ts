/**
 * Google's Gemini API over plain HTTP: pictures by `generateContent`, videos by the Interactions API. The vendor's SDK
 * would bring its own polling and uploads, and the kept AI SDK package knows no video model that is still served.
 */
import type { Provider, ProviderSetting } from '../generation/provider.ts'
import { createGoogleClient, type GoogleClientOptions } from './google-client.ts'
import { createGeminiImages } from './google-images.ts'
import { googleOptionsSchema } from './google-options.ts'
import { createGeminiOmni } from './google-videos.ts'
import { trustedOriginOf } from './trusted-origin.ts'

export const googleSetting: ProviderSetting = {
  id: 'google',
  keyVariable: 'GEMINI_API_KEY',
  baseURLVariable: 'GEMINI_BASE_URL',
  baseURL: 'https://generativelanguage.googleapis.com/v1beta',
}

const PROBE_TIMEOUT_MS = 10_000

export function createGoogle(options: GoogleClientOptions): Provider {
  const client = createGoogleClient(options)
  const trustedOrigin = trustedOriginOf(options.baseURL)
  return {
    id: googleSetting.id,
    optionsSchema: googleOptionsSchema,
    ...(trustedOrigin !== undefined && { trustedOrigin }),
    downloadHeaders: (url) => (client.isOwn(url) ? { 'x-goog-api-key': options.apiKey } : undefined),
    image: (model) => createGeminiImages(client, model),
    video: (model) => createGeminiOmni(client, model),
    // The list of models costs nothing, needs the key, and names what the account may use.
    probe: ({ signal }) => client.call('GET', '/models', { kind: 'free', signal: AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]) }),
  }
}
