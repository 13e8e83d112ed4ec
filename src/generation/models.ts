/** Every model that the service knows without being told; the first of a kind is its default. */
import type { ModelInput } from './catalog.ts'
import { falModels } from './models/fal.ts'
import { gatewayModels } from './models/gateway.ts'
import { googleModels } from './models/google.ts'
import { modelArkModels } from './models/modelark.ts'
import { openAIModels } from './models/openai.ts'
import { replicateModels } from './models/replicate.ts'
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
  ...gatewayModels,
]
