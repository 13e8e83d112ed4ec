/** The process in its role: both at once unless one is named. */
import { ConfigError, loadConfig } from './config.ts'
import { CatalogError } from './generation/catalog.ts'
import { createLogger } from './log.ts'
import { providerSettings } from './providers/registry.ts'
import { startService } from './start.ts'

const role = process.argv[2]
if (role !== undefined && role !== 'web' && role !== 'worker') refuse(`Unknown role ${role}: say web, worker, or nothing for both.`)

try {
  const config = loadConfig(process.env, { providers: providerSettings })
  const logger = createLogger({ level: config.logLevel })
  const service = await startService(config, logger, { web: role !== 'worker', worker: role !== 'web' })
  // The signal may come more than once; stopping happens once.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      logger.info({ signal }, 'stopping')
      void service.stop().then(() => process.exit(0))
    })
  }
} catch (error) {
  if (error instanceof ConfigError || error instanceof CatalogError) refuse(error.message)
  refuse(`The service could not start: ${error instanceof Error ? error.message : String(error)}`)
}

function refuse(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
