/** Our service as `npm start`, `npm run web` or `npm run worker` runs it, logging to standard output. */
import { loadConfig } from '../../src/config.ts'
import { createLogger } from '../../src/log.ts'
import { providerSettings } from '../../src/providers/registry.ts'
import { startService } from '../../src/start.ts'
import { serveParent } from './serve-parent.ts'

/** `web`, `worker`, or nothing for both in one process. */
const role = process.env.BENCH_ROLE

await serveParent(async () => {
  const config = loadConfig(process.env, { providers: providerSettings })
  const service = await startService(config, createLogger({ level: config.logLevel }), { web: role !== 'worker', worker: role !== 'web' })
  return { ready: { url: service.url }, stop: () => service.stop() }
})
