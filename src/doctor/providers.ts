/** Each provider's key, proven by a call that costs nothing, where the vendor has one. */
import { AppError } from '../errors.ts'
import type { Provider } from '../generation/provider.ts'
import { createProviders, providerSettings } from '../providers/registry.ts'
import { need, type Check, type Context } from './context.ts'
import { NotApplicable, type Notebook } from './report.ts'

const PROBE_TIMEOUT_MS = 15_000

export const providers: Check = {
  name: 'providers',
  needs: ['configuration'],
  timeoutMs: 60_000,
  async run(context, note) {
    const found = [...createProviders(need(context, 'config').providers).values()]
    if (found.length === 0 && context.isLocal) throw new NotApplicable('no provider has a key: the sandbox stands in for all')
    if (found.length === 0) note.problem({ code: 'providers.none', subject: 'providers', what: 'No provider has a key: nothing can be made.', mend: `Set at least one of ${providerSettings.map(({ keyVariable }) => keyVariable).join(', ')}.` })
    await Promise.all(found.map((provider) => tryProvider(context, provider, note)))
  },
}

/** Where the vendor was in trouble, the key may be right. */
const PASSING = ['provider_rate_limited', 'provider_timeout', 'provider_failed']

async function tryProvider({ signal }: Context, { id, probe }: Provider, note: Notebook): Promise<void> {
  if (!probe) return note.cannotTell(`whether the key of ${id} is right: it has no call that costs nothing`)
  try {
    await probe({ signal: AbortSignal.any([signal(), AbortSignal.timeout(PROBE_TIMEOUT_MS)]) })
    note.fact(`${id} answers`)
  } catch (error) {
    signal().throwIfAborted()
    const code = error instanceof AppError ? error.code : 'internal_error'
    const words = error instanceof Error ? error.message : String(error)
    const variable = providerSettings.find((setting) => setting.id === id)?.keyVariable ?? `GATEWAY_${id.toUpperCase().replaceAll('-', '_')}_API_KEY`
    const finding = { subject: id, what: `${id}: ${words}`, mend: `Check ${variable}, the account behind it, and its base URL.` }
    if (PASSING.includes(code)) note.warning({ ...finding, code: 'providers.trouble' })
    else note.problem({ ...finding, code: 'providers.refused' })
  }
}
