/** Replicate over plain HTTP: any model, version or deployment as a prediction. */
import type { Provider, ProviderSetting } from '../generation/provider.ts'
import { toLookError } from './replicate-errors.ts'
import { createFileSender } from './replicate-files.ts'
import { createReplicateImages } from './replicate-images.ts'
import { replicateOptionsSchema } from './replicate-options.ts'
import { createPredictions } from './replicate-predictions.ts'
import { createReplicateVideos } from './replicate-videos.ts'
import { trustedOriginOf } from './trusted-origin.ts'
import { createVendorCall } from './vendor-call.ts'

export const replicateSetting: ProviderSetting = {
  id: 'replicate',
  keyVariable: 'REPLICATE_API_TOKEN',
  baseURLVariable: 'REPLICATE_BASE_URL',
  baseURL: 'https://api.replicate.com/v1',
  resultHosts: ['replicate.delivery', '.replicate.delivery'],
  canBeOpen: true,
}

export interface ReplicateOptionsInput {
  apiKey: string
  baseURL: string
  fetch?: typeof fetch
}

export function createReplicate({ apiKey, baseURL, fetch }: ReplicateOptionsInput): Provider {
  const authorization = `Bearer ${apiKey}`
  const root = baseURL.replace(/\/+$/, '')
  const call = createVendorCall({ provider: replicateSetting.id, apiKey, headers: { authorization }, fetch })
  const models = { predictions: createPredictions(call, root), sendFile: createFileSender(call, root) }
  const trustedOrigin = trustedOriginOf(baseURL)
  return {
    id: replicateSetting.id,
    optionsSchema: replicateOptionsSchema,
    ...(trustedOrigin !== undefined && { trustedOrigin }),
    // The vendor says that its files may ask for the key; a model may answer with anybody's address.
    downloadHeaders: (url) => (isVendorsFile(url, root) ? { authorization } : undefined),
    image: (model) => createReplicateImages(models, model),
    video: (model) => createReplicateVideos(models, model),
    // Names the account that the key belongs to, and costs nothing.
    async probe({ signal }) {
      const answer = await call('GET', `${root}/account`, { signal })
      if (answer.status !== 200) throw toLookError(answer, false)
      return answer.body
    },
  }
}

function isVendorsFile(address: string, root: string): boolean {
  const url = URL.parse(address)
  if (!url) return false
  return url.origin === new URL(root).origin || (url.protocol === 'https:' && /^([\w-]+\.)*replicate\.delivery$/.test(url.hostname) && url.port === '')
}
