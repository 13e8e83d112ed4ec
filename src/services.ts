/** The only place that constructs clients, stores, providers and the queue, from the configuration to the last wire. */
import { readFile } from 'node:fs/promises'
import type Koa from 'koa'
import { createApiAccess } from './api-access.ts'
import { createApp } from './app.ts'
import { createAudit, type Audit } from './audit/audit.ts'
import type { Config } from './config.ts'
import { createCancelGeneration } from './generation/cancel.ts'
import { createCatalog, type Catalog, type ModelInput } from './generation/catalog.ts'
import { createNewsExchange, newsChannel } from './generation/model-news.ts'
import { models, openModels } from './generation/models.ts'
import type { StandIns } from './generation/plan.ts'
import type { Provider } from './generation/provider.ts'
import { observeProviders } from './generation/provider-health.ts'
import { createGenerationRunner } from './generation/run-generation.ts'
import { createGenerationWaiter } from './generation/wait.ts'
import { createMetricsApp } from './http/metrics.ts'
import { FILE_DELETIONS, LOG_EXPIRY, PICTURES, startQueue, STEPS, STORES, SWEEP } from './jobs/queue.ts'
import { createQueueState } from './jobs/queue-state.ts'
import type { CookieSessions } from './http/cookie-session.ts'
import { generationJob } from './jobs/run-generation.ts'
import { startWorkers } from './jobs/workers.ts'
import { createMemoryNonces, createSharedNonces } from './keys/nonces.ts'
import { limitConcurrency } from './limit-concurrency.ts'
import type { Logger } from './log.ts'
import { createDownloadHosts } from './media/download-hosts.ts'
import { createDownloads } from './media/downloads.ts'
import { createGuardedFetch } from './media/guarded-fetch.ts'
import { createMedia } from './media/pictures.ts'
import { measureProviders } from './metrics/measure-providers.ts'
import { measureRecords } from './metrics/measure-records.ts'
import { createMetrics } from './metrics/metrics.ts'
import { createProviders, resultHosts } from './providers/registry.ts'
import { createRateLimits } from './rate-limits.ts'
import type { RedisLink } from './redis.ts'
import { createAskAuth, probeAuth } from './supabase/auth.ts'
import { createBucketLinks } from './supabase/bucket-links.ts'
import { createDatabase } from './supabase/database.ts'
import { createFindEnd } from './supabase/generation-ends.ts'
import { createKeySet } from './supabase/key-set.ts'
import { checkSchema } from './supabase/migrations.ts'
import { createRecords } from './supabase/records.ts'
import { createRequestLogs } from './supabase/request-logs.ts'
import { createStorage } from './supabase/storage.ts'
import { createTokenVerifier } from './supabase/tokens.ts'
import { findUsage } from './supabase/usage.ts'
import packageJson from '../package.json' with { type: 'json' }

/** What local mode adds: the sandbox, which production never loads. */
export interface Extras {
  providers: Provider[]
  models: ModelInput[]
  /** The models that answer for providers without a key. */
  standIns: StandIns
}

export interface Services {
  app: Koa
  /** What a worker shows that does not serve `app`. */
  metricsApp: Koa
  catalog: Catalog
  audit: Audit
  /** Ends what requests wait for, so that they are answered before the server closes. */
  stopWaiting(): void
  startWorkers(): Promise<void>
  /** Takes no more jobs. @param timeoutMs what running ones may still take. */
  stopWorkers(timeoutMs: number): Promise<void>
  /** Closes every connection. */
  stop(): Promise<void>
}

/** Pauses between tries of one step; longer ones are left to the queue. */
const PACE = { minTimeoutMs: 500, maxTimeoutMs: 8000 }

export async function createServices(config: Config, logger: Logger, roles: { web: boolean; worker: boolean }, extras?: Extras): Promise<Services> {
  const catalog = createCatalog([...models, ...openModels(config.generation.openProviders), ...(extras?.models ?? [])], await readModelsFile(config.generation.modelsFile))
  const own = createProviders(config.providers)
  const all = new Map([...own, ...(extras?.providers ?? []).map((provider) => [provider.id, provider] as const)])
  const listed = new Set(catalog.list().map(({ id }) => id))

  const database = createDatabase({ ...config.database, logger })
  await checkSchema(database.query)
  const { places, limits } = config.generation
  const audit = createAudit({ ...config.audit, masterKeys: config.masterKeys, store: createRequestLogs(database), logger })
  if (!audit.keepsPayloads) logger[config.local ? 'info' : 'warn']('there is no STORAGE_MASTER_KEY: the audit log keeps nothing of what requests say, and whoever reads the database can sign as its API keys')
  const metrics = createMetrics({
    isOn: config.metrics.token !== undefined,
    version: packageJson.version,
    role: roles.web && roles.worker ? 'both' : roles.web ? 'web' : 'worker',
    // One of an open catalog may have any name.
    isKnownModel: (id) => listed.has(id),
    providers: [...all.keys()],
    readAudit: audit.stats,
    readQueues: createQueueState(database, [STEPS, PICTURES, STORES, FILE_DELETIONS, SWEEP, LOG_EXPIRY]),
  })
  const queue = await startQueue(database, logger, { supervise: roles.worker, places })
  const redis = await connectRedis(config, logger)
  const news = redis && createNewsExchange(redis, newsChannel(new URL(config.supabase.url).host))
  const { providers, health, isGone } = observeProviders(measureProviders(all, metrics), { ...config.generation.breaker, news })
  const records = measureRecords(createRecords(database, { ...queue, enqueue: queue.enqueueGeneration, places, limits }), metrics, createFindEnd(database.query))
  const storage = createStorage({ ...config.supabase, ...config.media })
  const keySet = createKeySet({ url: `${config.supabase.url}/auth/v1/.well-known/jwks.json`, maxAgeMs: config.supabase.jwksMaxAgeMs, cooldownMs: config.supabase.jwksCooldownMs, logger })
  const tokens = createTokenVerifier({ keySet, jwtSecret: config.supabase.jwtSecret, issuers: config.supabase.issuers, cacheSize: config.supabase.tokenCacheSize, askAuth: createAskAuth(config.supabase) })
  const ownNonces = createMemoryNonces(config.apiKeys.nonces)
  const nonces = redis ? createSharedNonces(redis.client, ownNonces) : ownNonces
  const apiAccess = createApiAccess({ ...config.apiKeys, masterKeys: config.masterKeys.map(({ key }) => key), database, logger, nonces })
  const guard = createGuardedFetch({ timeoutMs: config.media.downloadTimeoutMs, onRefused: ({ host, reason, onBehalfOf }) => audit.security('address_refused', { ...onBehalfOf, reason: `${reason}: ${host}` }) })
  const media = createMedia(guard, { ...config.media, maxBytes: config.media.maxImageBytes, maxPixels: config.media.maxImagePixels, timeoutMs: config.media.downloadTimeoutMs })
  // A guard of its own: what users do not read on must not hold up what is stored.
  const downloadGuard = createGuardedFetch({ timeoutMs: config.downloads.idleMs, sharesConnections: false })
  const downloadHosts = createDownloadHosts([...resultHosts(config.providers), ...config.downloads.hosts], new URL(config.supabase.url).origin)
  const openDownload = createDownloads({ ...config.downloads, guard: downloadGuard, hosts: downloadHosts, findStored: createBucketLinks({ ...config.supabase, ...config.media }) })
  const waiter = createGenerationWaiter({ records, patienceMs: config.database.patienceMs, onChange: (handler) => void database.listen('darkroom_generations', handler).catch(() => undefined) })
  const runner = createGenerationRunner({ ...config.generation, ...config.media, records, files: storage, media, providers, logger, storeConcurrency: limitConcurrency(config.generation.storeConcurrency), pace: { ...PACE, onRetry: metrics.retried } })

  const app = createApp({
    ...config.http,
    publicUrl: config.generation.publicUrl,
    metrics,
    metricsToken: config.metrics.token,
    logger,
    audit,
    verifyToken: tokens.verify,
    ...apiAccess,
    cookieSessions: await createCookieSessions(config),
    catalog,
    providers,
    standIns: extras?.standIns ?? {},
    isGone,
    records,
    files: storage,
    media,
    waiter,
    cancelGeneration: createCancelGeneration({ ...config.generation, records, providers }),
    rateLimits: createRateLimits({ ...config.rateLimits, redis: redis?.client }),
    hurryGeneration: queue.hurryGeneration,
    findUsage: (userId) => findUsage(database.query, userId, limits),
    download: { ...config.downloads, open: openDownload },
    health: {
      version: packageJson.version,
      checks: {
        database: async () => void (await database.query('select 1')),
        storage: storage.probe,
        auth: () => probeAuth(config.supabase),
      },
      providers: health,
    },
  })

  let stopWorkers: (timeoutMs: number) => Promise<void> = async () => undefined
  return {
    app,
    metricsApp: createMetricsApp({ metrics, metricsToken: config.metrics.token, logger }),
    catalog,
    audit,
    stopWaiting: waiter.stop,
    async startWorkers() {
      stopWorkers = await startWorkers({ database, queue, storage, logger, ...config.generation, retentionDays: config.audit.retentionDays, isPublic: config.media.access === 'public', run: generationJob(runner.run, records, logger), store: generationJob(runner.store, records, logger) })
    },
    stopWorkers: (timeoutMs) => stopWorkers(timeoutMs),
    async stop() {
      waiter.stop()
      await audit.stop()
      await queue.stop()
      await Promise.all([guard.close(), downloadGuard.close()])
      await redis?.close()
      await database.close()
    },
  }
}

/** Its package brings all of supabase-js along, so it is loaded only where it is used. */
async function createCookieSessions({ cookies, http, supabase }: Config): Promise<CookieSessions | undefined> {
  if (!cookies || http.corsOrigins === 'any') return undefined
  const sessions = await import('./http/cookie-session.ts')
  return sessions.createCookieSessions({ ...cookies, origins: http.corsOrigins, secretKey: supabase.secretKey })
}

/** Loaded only where there is one: the client costs 20 MiB and a tenth of a second. */
async function connectRedis({ redis: { url, rejectUnauthorized } }: Config, logger: Logger): Promise<RedisLink | undefined> {
  if (url !== undefined) return (await import('./redis.ts')).createRedis({ url, rejectUnauthorized, logger })
  logger.info('there is no REDIS_URL: what this process learns of providers, no other one hears')
  return undefined
}

async function readModelsFile(path: string | undefined): Promise<unknown> {
  if (path === undefined) return []
  try {
    return JSON.parse(await readFile(path, 'utf8')) as unknown
  } catch (error) {
    throw new Error(`MODELS_FILE cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}
