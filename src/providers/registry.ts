/** Every provider, one entry each. Configuration reads its list of keys from here. */
import type { Provider, ProviderConfig, ProviderSetting } from '../generation/provider.ts'
import { blackForestLabsSetting, createBlackForestLabs } from './black-forest-labs.ts'
import { createFal, falSetting } from './fal.ts'
import { createGateway, gatewaySetting } from './gateway.ts'
import { createGoogle, googleSetting } from './google.ts'
import { createModelArk, modelArkSetting } from './modelark.ts'
import { createOpenAI, openAISetting } from './openai.ts'
import { createReplicate, replicateSetting } from './replicate.ts'
import { createRunway, runwaySetting } from './runway.ts'
import { createStability, stabilitySetting } from './stability.ts'

interface Registration {
  setting: ProviderSetting
  create: (options: { id: string; apiKey: string; baseURL: string }) => Provider
}

const registry: readonly Registration[] = [
  { setting: modelArkSetting, create: createModelArk },
  { setting: openAISetting, create: createOpenAI },
  { setting: gatewaySetting, create: createGateway },
  { setting: runwaySetting, create: createRunway },
  { setting: stabilitySetting, create: createStability },
  { setting: falSetting, create: createFal },
  { setting: replicateSetting, create: createReplicate },
  { setting: blackForestLabsSetting, create: createBlackForestLabs },
  { setting: googleSetting, create: createGoogle },
]

export const providerSettings: readonly ProviderSetting[] = registry.map(({ setting }) => setting)

/** Where the results of the providers that are switched on lie, as far as their vendors tell. */
export function resultHosts(configs: Readonly<Record<string, ProviderConfig>>): string[] {
  const kinds = new Set(Object.entries(configs).flatMap(([id, { kind = id, apiKey }]) => (apiKey === undefined ? [] : [kind])))
  return providerSettings.filter(({ id }) => kinds.has(id)).flatMap((setting) => setting.resultHosts ?? [])
}

/**
 * A key that no header can hold: fetch would repeat it in its own error, and that would read as a lost connection. The
 * vendor is asked with one that it does not know, and says so.
 */
const toUsableKey = (apiKey: string): string => (/^[\x21-\x7e]+$/.test(apiKey) ? apiKey : 'not-a-usable-key')

/** The providers that have a key, and an address where the vendor has none of its own. */
export function createProviders(configs: Readonly<Record<string, ProviderConfig>>): Map<string, Provider> {
  const providers = new Map<string, Provider>()
  for (const [id, { kind = id, apiKey, baseURL }] of Object.entries(configs)) {
    const registration = registry.find(({ setting }) => setting.id === kind)
    if (registration && apiKey !== undefined && baseURL !== '') providers.set(id, registration.create({ id, apiKey: toUsableKey(apiKey), baseURL }))
  }
  return providers
}
