/** The providers' part of the environment: a key and an address each, and the names of further gateways. */
import { emptyIsAbsent, httpUrl, list, type Environment } from './config-values.ts'
import type { ProviderConfig, ProviderSetting } from './generation/provider.ts'

/** Becomes part of variables, model ids and `providerOptions`. */
const NAME = /^[a-z][a-z0-9-]{0,30}$/

/** @param problems receives a line for each thing that is wrong. @returns every known provider's values by its id, those without a key too. */
export function readProviders(env: Environment, settings: readonly ProviderSetting[], problems: string[]): Record<string, ProviderConfig> {
  const providers: Record<string, ProviderConfig> = {}
  for (const setting of settings) providers[setting.id] = read(env, setting, problems)
  for (const { id: kind, more } of settings) {
    if (!more) continue
    for (const name of list.parse(env[more.variable]) ?? []) {
      if (!NAME.test(name)) problems.push(`${more.variable} names ${JSON.stringify(name)}: a name is lower-case letters, digits and hyphens`)
      else if (name in providers || name === 'sandbox') problems.push(`${more.variable} names ${name}, which is taken`)
      else providers[name] = { kind, ...readNamed(env, more.setting(name), problems) }
    }
  }
  return providers
}

function readNamed(env: Environment, setting: ProviderSetting, problems: string[]): ProviderConfig {
  if (emptyIsAbsent(env[setting.baseURLVariable]) === undefined) problems.push(`${setting.baseURLVariable} is missing: the address of ${setting.id}`)
  return read(env, setting, problems)
}

function read(env: Environment, setting: ProviderSetting, problems: string[]): ProviderConfig {
  const baseURL = httpUrl.safeParse(env[setting.baseURLVariable])
  if (!baseURL.success) problems.push(`${setting.baseURLVariable} must be an http or https URL`)
  const apiKey = env[setting.keyVariable]?.trim()
  return { apiKey: apiKey === '' ? undefined : apiKey, baseURL: baseURL.data ?? setting.baseURL }
}

/** Nothing is opened by a typing error, and nothing whose models are all known here. */
export function openProblems(names: readonly string[], providers: Record<string, ProviderConfig>, settings: readonly ProviderSetting[]): string[] {
  const canBeOpen = (id: string): boolean => settings.some((setting) => setting.id === (providers[id]?.kind ?? id) && setting.canBeOpen === true)
  const able = Object.keys(providers).filter(canBeOpen)
  return names.filter((name) => !able.includes(name)).map((name) => `OPEN_PROVIDERS names ${name}, which cannot be opened: ${able.join(', ')} can`)
}
