/** The only place that constructs clients, stores, providers and the queue, from the configuration to the last wire. */
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
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
import { deleteFilesJob } from './jobs/delete-files.ts'
import { startDispatcher, type JobHandler } from './jobs/dispatcher.ts'
import { expireLogsJob } from './jobs/expire-logs.ts'
import { FILE_DELETIONS, JOBS_CHANNEL, LOG_EXPIRY, PICTURES, PLACES_CHANNEL, startQueue, STEPS, STORES, SWEEP, type Queue } from './jobs/queue.ts'
import { generationJob, type GenerationJob } from './jobs/run-generation.ts'
import { sweepJob } from './jobs/sweep.ts'
import { createMemoryNonces, createSharedNonces } from './keys/nonces.ts'
import { limitConcurrency } from './limit-concurrency.ts'
import type { Logger } from './log.ts'
import { createDownloadHosts } from './media/download-hosts.ts'
import { createDownloads } from './media/downloads.ts'
import { createGuardedFetch } from './media/guarded-fetch.ts'
import { createMedia } from './media/pictures.ts'
import { createRateLimits } from './rate-limits.ts'
import { createProviders, resultHosts } from './providers/registry.ts'
import type { RedisLink } from './redis.ts'
import { createAskAuth, probeAuth } from './supabase/auth.ts'
import { createBucketLinks } from './supabase/bucket-links.ts'
import { createDatabase, type Database } from './supabase/database.ts'
import { createKeySet } from './supabase/key-set.ts'
import { checkSchema } from './supabase/migrations.ts'
import { createRecords } from './supabase/records.ts'
import { createRequestLogs } from './supabase/request-logs.ts'
import { createStorage, type Storage } from './supabase/storage.ts'
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

export async function createServices(config: Config, logger: Logger, roles: { worker: boolean }, extras?: Extras): Promise<Services> {
  const catalog = createCatalog([...models, ...openModels(config.generation.openProviders), ...(extras?.models ?? [])], await readModelsFile(config.generation.modelsFile))

  const database = createDatabase({ ...config.database, logger })
  await checkSchema(database.query)
  const { places, limits } = config.generation
  const queue = await startQueue(database, logger, { supervise: roles.worker, places })
  const redis = await connectRedis(config, logger)
  const news = redis && createNewsExchange(redis, newsChannel(new URL(config.supabase.url).host))
  const unobserved = new Map([...createProviders(config.providers), ...(extras?.providers ?? []).map((provider) => [provider.id, provider] as const)])
  const { providers, health, isGone } = observeProviders(unobserved, { ...config.generation.breaker, news })
  const records = createRecords(database, { ...queue, enqueue: queue.enqueueGeneration, places, limits })
  const storage = createStorage({ ...config.supabase, ...config.media })
  const keySet = createKeySet({ url: `${config.supabase.url}/auth/v1/.well-known/jwks.json`, maxAgeMs: config.supabase.jwksMaxAgeMs, cooldownMs: config.supabase.jwksCooldownMs, logger })
  const tokens = createTokenVerifier({ keySet, jwtSecret: config.supabase.jwtSecret, issuers: config.supabase.issuers, cacheSize: config.supabase.tokenCacheSize, askAuth: createAskAuth(config.supabase) })
  const ownNonces = createMemoryNonces(config.apiKeys.nonces)
  const nonces = redis ? createSharedNonces(redis.client, ownNonces) : ownNonces
  const apiAccess = await createApiAccess({ ...config.apiKeys, masterKeys: config.masterKeys.map(({ key }) => key), database, logger, nonces })
  const audit = createAudit({ ...config.audit, masterKeys: config.masterKeys, store: createRequestLogs(database), logger })
  if (!audit.keepsPayloads) logger[config.local ? 'info' : 'warn']('there is no STORAGE_MASTER_KEY: the audit log keeps nothing of what requests say, and whoever reads the database can sign as its API keys')
  const guard = createGuardedFetch({ timeoutMs: config.media.downloadTimeoutMs, onRefused: ({ host, reason, onBehalfOf }) => audit.security('address_refused', { ...onBehalfOf, reason: `${reason}: ${host}` }) })
  const media = createMedia(guard, { ...config.media, maxBytes: config.media.maxImageBytes, maxPixels: config.media.maxImagePixels, timeoutMs: config.media.downloadTimeoutMs })
  // A guard of its own: what users do not read on must not hold up what is stored.
  const downloadGuard = createGuardedFetch({ timeoutMs: config.downloads.idleMs, sharesConnections: false })
  const downloadHosts = createDownloadHosts([...resultHosts(config.providers), ...config.downloads.hosts], new URL(config.supabase.url).origin)
  const openDownload = createDownloads({ ...config.downloads, guard: downloadGuard, hosts: downloadHosts, findStored: createBucketLinks({ ...config.supabase, ...config.media }) })
  const waiter = createGenerationWaiter({ records, patienceMs: config.database.patienceMs, onChange: (handler) => void database.listen('darkroom_generations', handler).catch(() => undefined) })
  const runner = createGenerationRunner({ ...config.generation, ...config.media, records, files: storage, media, providers, logger, storeConcurrency: limitConcurrency(config.generation.storeConcurrency), pace: PACE })

  const app = createApp({
    ...config.http,
    logger,
    audit,
    verifyToken: tokens.verify,
    ...apiAccess,
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

/** Loaded only where there is one: the client costs 20 MiB and a tenth of a second. */
async function connectRedis({ redis: { url, rejectUnauthorized } }: Config, logger: Logger): Promise<RedisLink | undefined> {
  if (url !== undefined) return (await import('./redis.ts')).createRedis({ url, rejectUnauthorized, logger })
  logger.info('there is no REDIS_URL: what this process learns of providers, no other one hears')
  return undefined
}

interface WorkerOptions {
  database: Database
  queue: Queue
  storage: Storage
  logger: Logger
  startConcurrency: number
  storeConcurrency: number
  retentionDays: number
  isPublic: boolean
  run: JobHandler<GenerationJob>
  store: JobHandler<GenerationJob>
}

/** Bucket first, then one dispatcher a queue; each is woken by the channel that announces its jobs. */
async function startWorkers({ database, queue, storage, logger, startConcurrency, storeConcurrency, retentionDays, isPublic, run, store }: WorkerOptions): Promise<(timeoutMs: number) => Promise<void>> {
  const { boss } = queue
  const stopping = new AbortController()
  const prepared = prepareBucket(storage, logger, stopping.signal)
  // A private picture must not reach a bucket that is still public: until that is settled its generation waits.
  const oncePrepared = (handler: JobHandler<GenerationJob>): JobHandler<GenerationJob> => async (job, context) => (isPublic || (await prepared) ? await handler(job, context) : { afterMs: 0 })
  const common = { boss, logger, transact: database.transaction }
  const dispatchers = {
    [STEPS]: startDispatcher<GenerationJob>({ ...common, queue: STEPS, concurrency: startConcurrency, keyOf: ({ generationId }) => generationId, handler: oncePrepared(run) }),
    [PICTURES]: startDispatcher<GenerationJob>({ ...common, queue: PICTURES, concurrency: startConcurrency, keyOf: ({ generationId }) => generationId, handler: oncePrepared(run) }),
    [STORES]: startDispatcher<GenerationJob>({ ...common, queue: STORES, concurrency: storeConcurrency, keyOf: ({ generationId }) => generationId, handler: oncePrepared(store) }),
    [FILE_DELETIONS]: startDispatcher({ ...common, queue: FILE_DELETIONS, concurrency: 1, keyOf: () => 'all', handler: deleteFilesJob(database, storage, logger) }),
    [SWEEP]: startDispatcher({ ...common, queue: SWEEP, concurrency: 1, keyOf: () => 'all', handler: sweepJob(database, queue, storage.bucket, logger) }),
    [LOG_EXPIRY]: startDispatcher({ ...common, queue: LOG_EXPIRY, concurrency: 1, keyOf: () => 'all', handler: expireLogsJob(database, { retentionDays }, logger) }),
  }
  const ignore = () => undefined
  await database.listen(JOBS_CHANNEL, (name) => {
    for (const [of, dispatcher] of Object.entries(dispatchers)) if (name === of || name === '') dispatcher.wake()
  })
  // Whoever is not heard is found by the sweep.
  await database.listen(PLACES_CHANNEL, () => void queue.wakeWaiting().catch(ignore))
  await database.listen('darkroom_file_deletions', () => void boss.send(FILE_DELETIONS, {}, { singletonKey: 'all' }).then(dispatchers[FILE_DELETIONS].wake, ignore))
  await boss.schedule(SWEEP, '* * * * *')
  await boss.schedule(LOG_EXPIRY, '7 * * * *')
  return async (timeoutMs) => {
    stopping.abort()
    const left = await Promise.all(Object.values(dispatchers).map((dispatcher) => dispatcher.stop(timeoutMs)))
    if (left.some((count) => count > 0)) logger.warn({ left }, 'jobs were still running at the end: another worker takes them')
  }
}

const PREPARE_RETRY_MS = 2000

/** Tries until the bucket is what the configuration says. @returns false when `stopping` ends it before. */
async function prepareBucket(storage: Storage, logger: Logger, stopping: AbortSignal): Promise<boolean> {
  while (!stopping.aborted) {
    try {
      await storage.prepareBucket()
      return true
    } catch (error) {
      logger.warn({ err: error }, 'the bucket cannot be prepared yet: where it is to be private, no generation is worked on before')
    }
    await sleep(PREPARE_RETRY_MS, undefined, { signal: stopping }).catch(() => undefined)
  }
  return false
}

async function readModelsFile(path: string | undefined): Promise<unknown> {
  if (path === undefined) return []
  try {
    return JSON.parse(await readFile(path, 'utf8')) as unknown
  } catch (error) {
    throw new Error(`MODELS_FILE cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}
