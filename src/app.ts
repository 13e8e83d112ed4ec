/** The whole HTTP side, top to bottom: middleware in the order it runs, then the routers. It never listens. */
import cors from '@koa/cors'
import Koa from 'koa'
import helmet from 'koa-helmet'
import type { Audit } from './audit/audit.ts'
import type { TrustProxy } from './config.ts'
import { apiKeyRoutes, type ApiKeyRoutesOptions } from './http/api-keys.ts'
import { auditRequests } from './http/audit.ts'
import { authenticate, type AuthenticateOptions } from './http/authenticate.ts'
import { callbackRoutes, type CallbackRoutesOptions } from './http/callbacks.ts'
import { csrfRoutes, type CsrfRoutesOptions } from './http/csrf.ts'
import { deadline } from './http/deadline.ts'
import { documentationRoutes } from './http/documentation.ts'
import { downloadRoutes, type DownloadRoutesOptions } from './http/downloads.ts'
import { generationRoutes, type GenerationRoutesOptions } from './http/generations.ts'
import { healthRoutes, type HealthRoutesOptions } from './http/health.ts'
import { imageRoutes, type ImageRoutesOptions } from './http/images.ts'
import { metricsRoutes, type MetricsRoutesOptions } from './http/metrics.ts'
import { modelRoutes } from './http/models.ts'
import { oauthRoutes, type OAuthRoutesOptions } from './http/oauth.ts'
import { logLateErrors, requestContext } from './http/request-context.ts'
import { usageRoutes, type UsageRoutesOptions } from './http/usage.ts'
import { limitAddress, limitUser } from './http/rate-limit.ts'
import { videoRoutes, type VideoRoutesOptions } from './http/videos.ts'
import type { Logger } from './log.ts'

export interface AppServices extends Omit<ImageRoutesOptions & VideoRoutesOptions & GenerationRoutesOptions & DownloadRoutesOptions & UsageRoutesOptions & ApiKeyRoutesOptions & CsrfRoutesOptions, 'authenticate'>, AuthenticateOptions, OAuthRoutesOptions, CallbackRoutesOptions, MetricsRoutesOptions {
  logger: Logger
  audit: Audit
  health: HealthRoutesOptions
  /** Where users reach the service; undefined where that is not known. */
  publicUrl: string | undefined
  corsOrigins: readonly string[] | 'any'
  trustProxy: TrustProxy
  requestTimeoutMs: number
}

export function createApp(services: AppServices): Koa {
  const app = new Koa(proxySettings(services.trustProxy))
  logLateErrors(app, services.logger)
  const [known, limited] = [authenticate(services), limitUser(services.rateLimits)]
  const signedIn: Koa.Middleware = (ctx, next) => known(ctx, () => limited(ctx, next))

  app.use(cors({ origin: allowOrigin(services.corsOrigins), credentials: services.cookieSessions !== undefined, allowMethods: 'GET,POST,DELETE', allowHeaders: ALLOWED_HEADERS, exposeHeaders: EXPOSED_HEADERS, maxAge: PREFLIGHT_SECONDS }))
  app.use(helmet({ crossOriginResourcePolicy: { policy: 'cross-origin' } }))
  app.use(auditRequests(services.audit))
  app.use(requestContext(services.logger, services.metrics))
  app.use(deadline(services.requestTimeoutMs))
  app.use(limitAddress(services.rateLimits))

  const guarded = { ...services, authenticate: signedIn }
  const routers = [
    healthRoutes(services.health),
    imageRoutes(guarded),
    videoRoutes(guarded),
    generationRoutes(guarded),
    downloadRoutes(guarded),
    modelRoutes(guarded),
    usageRoutes(guarded),
    csrfRoutes(guarded),
    apiKeyRoutes(guarded),
    oauthRoutes(services),
    callbackRoutes(services),
    documentationRoutes({ version: services.health.version, publicUrl: services.publicUrl }),
    metricsRoutes(services),
  ]
  for (const router of routers) app.use(router.routes()).use(router.allowedMethods())
  return app
}

const ALLOWED_HEADERS = ['Authorization', 'Content-Type', 'Cache-Control', 'Idempotency-Key', 'Prefer', 'X-Request-Id', 'X-Client-Info', 'X-CSRF-Token', 'Last-Event-ID', 'Range', 'If-Range', 'apikey']
const EXPOSED_HEADERS = ['X-Request-Id', 'Retry-After', 'Location', 'Preference-Applied', 'Idempotency-Replayed', 'Content-Disposition', 'Content-Range', 'Accept-Ranges', 'ETag', 'RateLimit', 'RateLimit-Policy']
const PREFLIGHT_SECONDS = 600

/** An origin that is not on the list gets no CORS header: its browser keeps the answer from the page. */
function allowOrigin(origins: readonly string[] | 'any'): (ctx: Koa.Context) => string {
  return (ctx) => {
    const origin = ctx.get('Origin')
    return origins === 'any' || origins.includes(origin) ? origin : ''
  }
}

function proxySettings(trust: TrustProxy): { proxy?: boolean; maxIpsCount?: number; proxyIpHeader?: string } {
  if (trust === undefined) return {}
  // Without a count Koa would believe the leftmost address, which the client writes.
  return 'hops' in trust ? { proxy: true, maxIpsCount: trust.hops } : { proxy: true, proxyIpHeader: trust.header, maxIpsCount: 1 }
}
