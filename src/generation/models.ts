/** Every model that the service knows without being told; the first of a kind is its default. */
import type { ModelInput } from './catalog.ts'
import { blackForestLabsModels } from './models/black-forest-labs.ts'
import { falModels, openFalModels } from './models/fal.ts'
import { gatewayModels, openGatewayModels } from './models/gateway.ts'
import { googleModels } from './models/google.ts'
import { modelArkModels } from './models/modelark.ts'
import { openAIModels } from './models/openai.ts'
import { openReplicateModels, replicateModels } from './models/replicate.ts'
import { runwayModels } from './models/runway.ts'
import { stabilityModels } from './models/stability.ts'

export const models: readonly ModelInput[] = [
  ...modelArkModels,
  ...openAIModels,
  ...googleModels,
  ...runwayModels,
  ...stabilityModels,
  ...falModels,
  ...replicateModels,
  ...blackForestLabsModels,
  ...gatewayModels,
]

/**
 * Entries for whatever else a provider has, for those that the operator opens: nobody knows their prices beforehand.
 * @param providers ids of providers that can be opened, named gateways among them.
 */
export function openModels(providers: readonly string[]): ModelInput[] {
  return providers.flatMap((provider) => {
    if (provider === 'fal') return openFalModels
    return provider === 'replicate' ? openReplicateModels : openGatewayModels(provider)
  })
}
