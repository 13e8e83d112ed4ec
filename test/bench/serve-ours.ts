/** Our service as `npm start` runs it: web and worker in one process, logging to standard output. */
import { loadConfig } from '../../src/config.ts'
import { createLogger } from '../../src/log.ts'
import { providerSettings } from '../../src/providers/registry.ts'
import { startService } from '../../src/start.ts'
import { serveParent } from './serve-parent.ts'

await serveParent(async () => {
  const config = loadConfig(process.env, { providers: providerSettings })
  const service = await startService(config, createLogger({ level: config.logLevel }), { web: true, worker: true })
  return { ready: { url: service.url }, stop: () => service.stop() }
})
