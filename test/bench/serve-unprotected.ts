/** The least that answers `GET /api/usage` to the right user: Koa, the check of the token, the query. Nothing else is on. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import { loadConfig } from '../../src/config.ts'
import { usageRoutes } from '../../src/http/usage.ts'
import { createLogger } from '../../src/log.ts'
import { providerSettings } from '../../src/providers/registry.ts'
import { createDatabase } from '../../src/supabase/database.ts'
import { createKeySet } from '../../src/supabase/key-set.ts'
import { createTokenVerifier } from '../../src/supabase/tokens.ts'
import { findUsage } from '../../src/supabase/usage.ts'
import { serveParent } from './serve-parent.ts'

await serveParent(async () => {
  const { supabase, database: databaseConfig, generation } = loadConfig(process.env, { providers: providerSettings })
  const logger = createLogger({ level: 'silent' })
  const database = createDatabase({ ...databaseConfig, logger })
  const keySet = createKeySet({ url: `${supabase.url}/auth/v1/.well-known/jwks.json`, maxAgeMs: supabase.jwksMaxAgeMs, cooldownMs: supabase.jwksCooldownMs, logger })
  const tokens = createTokenVerifier({ keySet, jwtSecret: supabase.jwtSecret, issuers: supabase.issuers, cacheSize: supabase.tokenCacheSize, askAuth: async () => false })
  const authenticate: Koa.Middleware = async (ctx, next) => {
    ctx.state.user = await tokens.verify(ctx.get('Authorization').slice('Bearer '.length))
    await next()
  }
  const server = new Koa().use(usageRoutes({ authenticate, findUsage: (userId) => findUsage(database.query, userId, generation.limits) }).routes()).listen(0)
  await once(server, 'listening')
  return {
    ready: { url: `http://localhost:${(server.address() as AddressInfo).port}` },
    async stop() {
      server.closeAllConnections()
      server.close()
      await database.close()
    },
  }
})
