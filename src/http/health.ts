import Router from '@koa/router'

export type ServiceStatus = 'ok' | 'down' | 'unknown'

export interface ServiceHealth {
  status: ServiceStatus
  /** Of the last check, in milliseconds. */
  latencyMs?: number
}

export interface HealthRoutesOptions {
  version: string
  /** What must answer for the service to do its work. Each check is free of charge and throws when the service is away. */
  checks: Readonly<Record<string, () => Promise<void>>>
  /** What is known of the providers from the calls that were made anyway. */
  providers: () => Record<string, ServiceHealth>
  now?: () => number
}

/** Anybody may ask, so the answers are kept for a while: asking often must not become load. */
const CACHE_MS = 5000
const CHECK_TIMEOUT_MS = 3000

export function healthRoutes(options: HealthRoutesOptions): Router {
  const { now = Date.now } = options
  const startedAt = now()
  const router = new Router({ sensitive: true })
  let cached: { at: number; services: Promise<Record<string, ServiceHealth>> } | undefined

  router.get('/health/live', (ctx) => {
    ctx.set('Cache-Control', 'no-store')
    ctx.body = { status: 'ok' }
  })

  router.get('/health', async (ctx) => {
    if (!cached || now() - cached.at > CACHE_MS) cached = { at: now(), services: checkAll(options.checks) }
    const services = await cached.services
    const isUp = Object.values(services).every(({ status }) => status === 'ok')
    ctx.set('Cache-Control', 'no-store')
    ctx.status = isUp ? 200 : 503
    ctx.body = {
      status: isUp ? 'ok' : 'down',
      version: options.version,
      uptimeSeconds: Math.floor((now() - startedAt) / 1000),
      services,
      providers: options.providers(),
    }
  })
  return router
}

async function checkAll(checks: HealthRoutesOptions['checks']): Promise<Record<string, ServiceHealth>> {
  const results = Object.entries(checks).map(async ([name, check]) => [name, await measure(check)] as const)
  return Object.fromEntries(await Promise.all(results))
}

async function measure(check: () => Promise<void>): Promise<ServiceHealth> {
  const startedAt = performance.now()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => (timer = setTimeout(() => reject(new Error('late')), CHECK_TIMEOUT_MS)))
  try {
    await Promise.race([check(), late])
    return { status: 'ok', latencyMs: Math.round(performance.now() - startedAt) }
  } catch {
    return { status: 'down', latencyMs: Math.round(performance.now() - startedAt) }
  } finally {
    clearTimeout(timer)
  }
}
