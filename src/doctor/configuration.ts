/** Every variable, as the service itself would judge it. */
import { readFile } from 'node:fs/promises'
import { ConfigError, loadConfig, type Config } from '../config.ts'
import type { Environment } from '../config-values.ts'
import { createCatalog } from '../generation/catalog.ts'
import { models, openModels } from '../generation/models.ts'
import { providerSettings } from '../providers/registry.ts'
import type { Check } from './context.ts'
import type { Notebook } from './report.ts'

const SHOWN = '.env.example says what each variable means'

export const configuration: Check = {
  name: 'configuration',
  timeoutMs: 5000,
  async run({ env, isLocal, found }, note) {
    const { config, problems } = load(env, isLocal)
    for (const what of problems) note.problem({ code: 'configuration.variable', subject: what.split(' ', 1)[0]!, what, mend: `Set it where the service gets its environment from; ${SHOWN}.` })
    // A wrong port must not keep the doctor from looking at the database.
    const usable = config ?? load(withoutBroken(env, problems), true).config
    if (usable) found.config = usable
    if (usable) await checkModels(usable, note)
    if (note.findings.length === 0) note.fact('every variable can be used')
  },
}

function load(env: Environment, local: boolean): { config?: Config; problems: string[] } {
  try {
    return { config: loadConfig(env, { providers: providerSettings, local }), problems: [] }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { problems: error.problems }
  }
}

/** The environment without the variables that the problems begin with: their defaults take their place. */
function withoutBroken(env: Environment, problems: readonly string[]): Environment {
  const broken = problems.map((problem) => problem.split(' ', 1)[0]!)
  return Object.fromEntries(Object.entries(env).filter(([name]) => !broken.includes(name)))
}

/** What stands in the file is looked at by the service only when it starts. */
async function checkModels({ generation: { modelsFile, openProviders } }: Config, note: Notebook): Promise<void> {
  if (modelsFile === undefined) return
  try {
    createCatalog([...models, ...openModels(openProviders)], JSON.parse(await readFile(modelsFile, 'utf8')))
  } catch (error) {
    note.problem({ code: 'configuration.variable', subject: 'MODELS_FILE', what: `MODELS_FILE cannot be used: ${error instanceof Error ? error.message : String(error)}`, mend: 'Mend the file: the README shows its form.' })
  }
}
