/** The environment, read once: this file and its neighbours alone know the variables' names, defaults and limits. */
import { z } from 'zod'
import { apiKeyVariables, toApiKeyConfig } from './config-api-keys.ts'
import { cookieVariables, originProblems, toCookieConfig } from './config-cookies.ts'
import { masterKeys } from './config-keys.ts'
import { openProblems, readProviders } from './config-providers.ts'
import { dollars, emptyIsAbsent, httpUrl, integer, list, optionalInteger, redisUrl, text, type Environment } from './config-values.ts'
import type { ProviderConfig, ProviderSetting } from './generation/provider.ts'
import { parseHostRule } from './media/download-hosts.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB

const schema = z.object({
  PORT: integer(3001, 0, 65_535),
  HOST: text,
  PUBLIC_URL: httpUrl,
  METRICS_TOKEN: z.preprocess(emptyIsAbsent, z.string().trim().min(16, 'must have at least 16 characters').optional()),
  METRICS_PORT: optionalInteger(0, 65_535),
  LOG_LEVEL: z.preprocess(emptyIsAbsent, z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info')),
  CORS_ORIGINS: list,
  TRUST_PROXY: text,
  SUPABASE_URL: httpUrl,
  SUPABASE_SECRET_KEY: text,
  SUPABASE_SERVICE_ROLE_KEY: text,
  SUPABASE_PUBLISHABLE_KEY: text,
  SUPABASE_ANON_KEY: text,
  SUPABASE_JWT_SECRET: text,
  SUPABASE_JWT_ISSUER: list,
  DATABASE_URL: text,
  DATABASE_CA: text,
  DATABASE_POOL_SIZE: integer(4, 2, 50),
  DATABASE_PATIENCE_SECONDS: integer(10, 1, 120),
  REDIS_URL: redisUrl,
  REDIS_TLS_REJECT_UNAUTHORIZED: z.preprocess(emptyIsAbsent, z.enum(['true', 'false']).default('true')),
  MEDIA_BUCKET: z.preprocess(emptyIsAbsent, z.string().regex(/^[a-z0-9][a-z0-9_-]{1,62}$/, 'must be a bucket name in lower case').default('media')),
  MEDIA_ACCESS: z.preprocess(emptyIsAbsent, z.enum(['public', 'private']).default('public')),
  SIGNED_URL_SECONDS: integer(604_800, 60, 31_536_000),
  SYNC_WAIT_SECONDS: integer(840, 1, 3600),
  HEARTBEAT_AFTER_SECONDS: integer(20, 1, 3600),
  HEARTBEAT_SECONDS: integer(15, 1, 3600),
  REQUEST_TIMEOUT_SECONDS: integer(30, 1, 600),
  SHUTDOWN_SECONDS: integer(25, 1, 120),
  PROVIDER_TIMEOUT_SECONDS: integer(300, 1, 1800),
  CALL_TIMEOUT_SECONDS: integer(60, 1, 600),
  DOWNLOAD_TIMEOUT_SECONDS: integer(60, 1, 1800),
  STORAGE_TIMEOUT_SECONDS: integer(60, 1, 1800),
  STORE_RETRY_SECONDS: integer(30, 1, 3600),
  OUTPUT_LIFETIME_SECONDS: integer(86_400, 10, 604_800),
  CHECK_SECONDS: integer(5, 1, 600),
  MAX_CHECK_SECONDS: integer(30, 1, 3600),
  SETTLE_SECONDS: integer(120, 1, 86_400),
  START_PATIENCE_SECONDS: integer(300, 0, 86_400),
  OPERATION_LIFETIME_SECONDS: integer(604_800, 10, 2_592_000),
  BREAKER_FAILURES: integer(5, 1, 1_000_000),
  BREAKER_SECONDS: integer(30, 1, 3600),
  MODEL_GONE_SECONDS: integer(3600, 0, 604_800),
  PROVIDER_CONCURRENCY: integer(200, 1, 100_000),
  USER_CONCURRENCY: integer(20, 1, 100_000),
  START_CONCURRENCY: integer(32, 1, 1000),
  STORE_CONCURRENCY: integer(8, 1, 100),
  MAX_EVENT_STREAMS: integer(20, 1, 10_000),
  MAX_OPEN_GENERATIONS: integer(100, 1, 1_000_000),
  STORAGE_QUOTA_BYTES: integer(GIB, 0, Number.MAX_SAFE_INTEGER),
  MONTHLY_BUDGET_USD: dollars,
  RATE_WINDOW_SECONDS: integer(60, 1, 86_400),
  RATE_LIMIT_IP: integer(600, 0, 1_000_000_000),
  RATE_LIMIT_USER: integer(300, 0, 1_000_000_000),
  RATE_LIMIT_IMAGES: integer(60, 0, 1_000_000_000),
  RATE_LIMIT_VIDEOS: integer(30, 0, 1_000_000_000),
  RATE_LIMIT_MODEL: integer(40, 0, 1_000_000_000),
  CACHE_SECONDS: integer(86_400, 0, 31_536_000),
  MAX_JSON_BYTES: integer(256 * 1024, 1024, 16 * MIB),
  MAX_UPLOAD_BYTES: integer(10 * MIB, 1024, 100 * MIB),
  MAX_UPLOADS: integer(16, 1, 1000),
  UPLOAD_IDLE_SECONDS: integer(10, 1, 300),
  RECEIVE_TIMEOUT_SECONDS: integer(60, 1, 3600),
  MAX_IMAGE_BYTES: integer(32 * MIB, 1024, 512 * MIB),
  MAX_IMAGE_PIXELS: integer(50_000_000, 1_000_000, 268_402_689),
  MAX_UPLOAD_PIXELS: integer(50_000_000, 1_000_000, 268_402_689),
  MAX_VIDEO_BYTES: integer(GIB, MIB, 50 * GIB),
  VIDEO_TRANSFER_SECONDS: integer(3600, 1, 86_400),
  DOWNLOAD_HOSTS: list,
  DOWNLOAD_MAX_BYTES: integer(GIB, 1024, 50 * GIB),
  DOWNLOAD_IDLE_SECONDS: integer(60, 1, 1800),
  DOWNLOAD_TRANSFER_SECONDS: integer(3600, 1, 86_400),
  MAX_DOWNLOADS: integer(100, 1, 10_000),
  MAX_USER_DOWNLOADS: integer(6, 1, 10_000),
  TOKEN_CACHE_SIZE: integer(10_000, 1, 1_000_000),
  JWKS_MAX_AGE_SECONDS: integer(600, 1, 86_400),
  JWKS_COOLDOWN_SECONDS: integer(1, 1, 300),
  MODELS_FILE: text,
  OPEN_PROVIDERS: list,
  BACKUP_HOURS: integer(24, 0, 500),
  BACKUP_KEEP: integer(7, 1, 1000),
  ...apiKeyVariables,
  ...cookieVariables,
  STORAGE_MASTER_KEY: masterKeys,
  AUDIT_RETENTION_DAYS: integer(30, 1, 3650),
  AUDIT_PAYLOAD_BYTES: integer(16 * 1024, 256, MIB),
  AUDIT_QUEUE: integer(10_000, 10, 1_000_000),
  AUDIT_QUEUE_BYTES: integer(16 * MIB, 1024, GIB),
  AUDIT_SECURITY_PER_MINUTE: integer(120, 1, 1_000_000),
})

/** One line for each thing that is missing or wrong; the process must not start with any of them. */
export class ConfigError extends Error {
  readonly problems: string[]
  constructor(problems: string[]) {
    super(`The configuration has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/** Whose address a request came from: a count of proxies to trust, or the header that one proxy sets. */
export type TrustProxy = { hops: number } | { header: string } | undefined

export type Config = ReturnType<typeof toConfig>

/**
 * @param options.providers the settings of each known provider: its key variable and default base URL.
 * @param options.local true only for the local stack: the sandbox may stand in, and nothing about production is demanded.
 * @throws {ConfigError} naming every problem at once.
 */
export function loadConfig(env: Environment, options: { providers: readonly ProviderSetting[]; local?: boolean }): Config {
  const local = options.local ?? false
  const parsed = schema.safeParse(env)
  const problems = [...missing(env, local), ...(parsed.error?.issues ?? []).map((issue) => `${issue.path.join('.')} ${issue.message}`)]
  const providers = readProviders(env, options.providers, problems)
  problems.push(...openProblems(parsed.data?.OPEN_PROVIDERS ?? [], providers, options.providers))
  problems.push(...downloadHostProblems(parsed.data?.DOWNLOAD_HOSTS ?? []))
  problems.push(...originProblems(parsed.data?.CORS_ORIGINS ?? [], env))
  const trustProxy = parseTrustProxy(env.TRUST_PROXY?.trim(), problems)
  problems.push(...databaseProblems(env))
  if (problems.length > 0 || !parsed.success) throw new ConfigError(problems)
  return Object.freeze(toConfig(parsed.data, { providers, trustProxy, local }))
}

function missing(env: Environment, local: boolean): string[] {
  const has = (...names: string[]) => names.some((name) => emptyIsAbsent(env[name]) !== undefined)
  const problems: string[] = []
  const demand = (ok: boolean, problem: string) => ok || problems.push(problem)
  demand(has('SUPABASE_URL'), "SUPABASE_URL is missing: the project's API URL, https://<ref>.supabase.co")
  demand(has('SUPABASE_SECRET_KEY', 'SUPABASE_SERVICE_ROLE_KEY'), 'SUPABASE_SECRET_KEY is missing: a secret key (sb_secret_…) of the project, or SUPABASE_SERVICE_ROLE_KEY')
  demand(has('SUPABASE_PUBLISHABLE_KEY', 'SUPABASE_ANON_KEY'), 'SUPABASE_PUBLISHABLE_KEY is missing: the publishable key (sb_publishable_…) of the project, or SUPABASE_ANON_KEY')
  demand(has('DATABASE_URL'), "DATABASE_URL is missing: the project's direct connection or its session pooler (port 5432)")
  demand(!has('METRICS_PORT') || has('METRICS_TOKEN'), 'METRICS_TOKEN is missing: METRICS_PORT shows the metrics to whoever knows it')
  if (!local) demand(has('CORS_ORIGINS'), 'CORS_ORIGINS is missing: the origins of your frontend, separated by commas (https://app.example.com)')
  return problems
}

function parseTrustProxy(value: string | undefined, problems: string[]): TrustProxy {
  if (value === undefined || value === '' || value === '0') return undefined
  if (/^\d$/.test(value)) return { hops: Number(value) }
  if (/^[A-Za-z][A-Za-z-]*$/.test(value)) return { header: value }
  problems.push('TRUST_PROXY must be the number of proxies in front (1 on Heroku) or the header that one sets (X-Real-IP on Railway)')
  return undefined
}

function downloadHostProblems(hosts: readonly string[]): string[] {
  return hosts.filter((host) => !parseHostRule(host)).map((host) => `DOWNLOAD_HOSTS names ${JSON.stringify(host)}: give a host (cdn.example.com), a suffix (.cdn.example.com) or an origin (http://files.internal:9000)`)
}

/** What is wrong with DATABASE_URL and DATABASE_CA, also for the migrations, which need nothing else. */
export function databaseProblems(env: Environment): string[] {
  const [value, ca] = [env.DATABASE_URL?.trim(), env.DATABASE_CA?.trim()]
  if (!value) return []
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (!url || !/^postgres(ql)?:$/.test(url.protocol)) return ['DATABASE_URL must be a URL that begins with postgresql://']
  const problems: string[] = []
  if (url.port === '6543') problems.push('DATABASE_URL points at a transaction pooler (port 6543): the job queue needs the session pooler or the direct connection (port 5432)')
  const hasMode = url.searchParams.has('sslmode')
  // An sslmode in the URL silently beats the certificate that is given beside it.
  if (ca && hasMode) problems.push('DATABASE_URL has an sslmode, which overrides DATABASE_CA: remove it from the URL')
  const isLocal = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname)
  if (!ca && !hasMode && !isLocal) problems.push("DATABASE_CA is missing, so the connection to the database would not be encrypted: give the project's certificate (Dashboard, Database settings), or say sslmode=no-verify (encrypted, unproven) or sslmode=disable in DATABASE_URL")
  return problems
}

function toConfig(env: z.infer<typeof schema>, rest: { providers: Record<string, ProviderConfig>; trustProxy: TrustProxy; local: boolean }) {
  return {
    local: rest.local,
    logLevel: env.LOG_LEVEL,
    http: {
      port: env.PORT,
      host: env.HOST,
      /** Local mode answers any origin, since the frontend's port is anybody's guess. */
      corsOrigins: env.CORS_ORIGINS ?? ('any' as const),
      trustProxy: rest.trustProxy,
      maxJsonBytes: env.MAX_JSON_BYTES,
      maxEventStreams: env.MAX_EVENT_STREAMS,
      maxUploadBytes: env.MAX_UPLOAD_BYTES,
      maxUploads: env.MAX_UPLOADS,
      uploadIdleMs: env.UPLOAD_IDLE_SECONDS * 1000,
      receiveTimeoutMs: env.RECEIVE_TIMEOUT_SECONDS * 1000,
      requestTimeoutMs: env.REQUEST_TIMEOUT_SECONDS * 1000,
      /** Of answers to seeded requests, where the client says nothing. */
      cacheSeconds: env.CACHE_SECONDS,
      syncWaitMs: env.SYNC_WAIT_SECONDS * 1000,
      heartbeatAfterMs: env.HEARTBEAT_AFTER_SECONDS * 1000,
      heartbeatMs: env.HEARTBEAT_SECONDS * 1000,
      shutdownMs: env.SHUTDOWN_SECONDS * 1000,
    },
    metrics: {
      /** What a reader must know; without one there are no metrics. */
      token: env.METRICS_TOKEN,
      /** Where a worker without the API shows its own. */
      port: env.METRICS_PORT,
    },
    supabase: {
      url: env.SUPABASE_URL!,
      secretKey: (env.SUPABASE_SECRET_KEY ?? env.SUPABASE_SERVICE_ROLE_KEY)!,
      publishableKey: (env.SUPABASE_PUBLISHABLE_KEY ?? env.SUPABASE_ANON_KEY)!,
      jwtSecret: env.SUPABASE_JWT_SECRET,
      /** A project behind a domain of its own may sign with either host's name. */
      issuers: [`${env.SUPABASE_URL!}/auth/v1`, ...(env.SUPABASE_JWT_ISSUER ?? [])],
      tokenCacheSize: env.TOKEN_CACHE_SIZE,
      jwksMaxAgeMs: env.JWKS_MAX_AGE_SECONDS * 1000,
      jwksCooldownMs: env.JWKS_COOLDOWN_SECONDS * 1000,
      timeoutMs: env.STORAGE_TIMEOUT_SECONDS * 1000,
    },
    database: {
      url: env.DATABASE_URL!,
      ca: env.DATABASE_CA,
      poolSize: env.DATABASE_POOL_SIZE,
      patienceMs: env.DATABASE_PATIENCE_SECONDS * 1000,
    },
    redis: {
      /** Undefined where there is none: each process is on its own. */
      url: env.REDIS_URL,
      rejectUnauthorized: env.REDIS_TLS_REJECT_UNAUTHORIZED === 'true',
    },
    media: {
      bucket: env.MEDIA_BUCKET,
      access: env.MEDIA_ACCESS,
      signedUrlSeconds: env.SIGNED_URL_SECONDS,
      maxImageBytes: env.MAX_IMAGE_BYTES,
      maxImagePixels: env.MAX_IMAGE_PIXELS,
      maxUploadPixels: env.MAX_UPLOAD_PIXELS,
      maxVideoBytes: env.MAX_VIDEO_BYTES,
      /** The longest transfer of one video, from the provider to the storage. */
      videoTransferMs: env.VIDEO_TRANSFER_SECONDS * 1000,
      downloadTimeoutMs: env.DOWNLOAD_TIMEOUT_SECONDS * 1000,
    },
    rateLimits: {
      windowSeconds: env.RATE_WINDOW_SECONDS,
      limits: { ip: env.RATE_LIMIT_IP, user: env.RATE_LIMIT_USER, images: env.RATE_LIMIT_IMAGES, videos: env.RATE_LIMIT_VIDEOS, model: env.RATE_LIMIT_MODEL },
    },
    downloads: {
      /** Beside our own bucket and the providers' hosts. */
      hosts: env.DOWNLOAD_HOSTS ?? [],
      maxBytes: env.DOWNLOAD_MAX_BYTES,
      idleMs: env.DOWNLOAD_IDLE_SECONDS * 1000,
      transferMs: env.DOWNLOAD_TRANSFER_SECONDS * 1000,
      maxDownloads: env.MAX_DOWNLOADS,
      maxUserDownloads: env.MAX_USER_DOWNLOADS,
    },
    generation: {
      providerTimeoutMs: env.PROVIDER_TIMEOUT_SECONDS * 1000,
      callTimeoutMs: env.CALL_TIMEOUT_SECONDS * 1000,
      /** Where providers and users reach this service. */
      publicUrl: env.PUBLIC_URL,
      checkMs: env.CHECK_SECONDS * 1000,
      maxCheckMs: Math.max(env.CHECK_SECONDS, env.MAX_CHECK_SECONDS) * 1000,
      settleMs: env.SETTLE_SECONDS * 1000,
      startPatienceMs: env.START_PATIENCE_SECONDS * 1000,
      operationLifetimeMs: env.OPERATION_LIFETIME_SECONDS * 1000,
      breaker: { failures: env.BREAKER_FAILURES, pauseMs: env.BREAKER_SECONDS * 1000, goneMs: env.MODEL_GONE_SECONDS * 1000 },
      places: { perProvider: env.PROVIDER_CONCURRENCY, perUser: env.USER_CONCURRENCY },
      limits: { quotaBytes: env.STORAGE_QUOTA_BYTES, budgetMicros: env.MONTHLY_BUDGET_USD ?? null, maxOpen: env.MAX_OPEN_GENERATIONS },
      storeRetryMs: env.STORE_RETRY_SECONDS * 1000,
      outputLifetimeMs: env.OUTPUT_LIFETIME_SECONDS * 1000,
      startConcurrency: env.START_CONCURRENCY,
      storeConcurrency: env.STORE_CONCURRENCY,
      modelsFile: env.MODELS_FILE,
      /** The providers of which users may name any model, known here or not. */
      openProviders: env.OPEN_PROVIDERS ?? [],
    },
    providers: rest.providers,
    apiKeys: toApiKeyConfig(env),
    cookies: toCookieConfig(env, env.SUPABASE_URL!),
    /** The first encrypts, all of them decrypt. Without any, nothing of a request's body is kept, and what signs stands in its row as it is. */
    masterKeys: env.STORAGE_MASTER_KEY ?? [],
    audit: {
      retentionDays: env.AUDIT_RETENTION_DAYS,
      maxPayloadBytes: env.AUDIT_PAYLOAD_BYTES,
      queue: env.AUDIT_QUEUE,
      queueBytes: env.AUDIT_QUEUE_BYTES,
      securityPerMinute: env.AUDIT_SECURITY_PER_MINUTE,
    },
    /** Of the local project: how often, 0 for never, and how many are kept. */
    backups: { everyMs: env.BACKUP_HOURS * 3_600_000, keep: env.BACKUP_KEEP },
  }
}
