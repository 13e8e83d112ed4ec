/** Every provider, one entry each. Configuration reads its list of keys from here. */
import type { Provider, ProviderConfig, ProviderSetting } from '../generation/provider.ts'
import { createModelArk, modelArkSetting } from './modelark.ts'

interface Registration {
  setting: ProviderSetting
  create: (options: { apiKey: string; baseURL: string }) => Provider
}

const registry: readonly Registration[] = [{ setting: modelArkSetting, create: createModelArk }]

export const providerSettings: readonly ProviderSetting[] = registry.map(({ setting }) => setting)

/** The providers that have a key. */
export function createProviders(configs: Readonly<Record<string, ProviderConfig>>): Map<string, Provider> {
  const providers = new Map<string, Provider>()
  for (const { setting, create } of registry) {
    const config = configs[setting.id]
    if (config?.apiKey !== undefined) providers.set(setting.id, create({ apiKey: config.apiKey, baseURL: config.baseURL }))
  }
  return providers
}
