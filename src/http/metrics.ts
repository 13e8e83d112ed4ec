/** `GET /metrics` for Prometheus: in the web process beside the API, in a worker on a port of its own. */
import Router from '@koa/router'
import Koa from 'koa'
import helmet from 'koa-helmet'
import { AppError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { isSameSecret } from './is-same-secret.ts'
import { requestContext } from './request-context.ts'

export interface MetricsRoutesOptions {
  metrics: Metrics
  /** What a reader must know; without one nobody may read. */
  metricsToken: string | undefined
}

export function metricsRoutes({ metrics, metricsToken }: MetricsRoutesOptions): Router {
  const router = new Router({ sensitive: true })
  router.get('/metrics', async (ctx) => {
    // Left unanswered, as any path that there is not.
    if (metricsToken === undefined) return
    const given = /^Bearer +([^\s]+) *$/i.exec(ctx.get('Authorization'))?.[1]
    if (!isSameSecret(metricsToken, given)) throw new AppError('unauthenticated', 'Send the METRICS_TOKEN of this service as a bearer token.')
    ctx.set('Cache-Control', 'no-store')
    ctx.set('Content-Type', metrics.contentType)
    ctx.body = await metrics.read()
  })
  return router
}

/** All that a worker shows. */
export function createMetricsApp(options: MetricsRoutesOptions & { logger: Logger }): Koa {
  const app = new Koa()
  const router = metricsRoutes(options)
  app.use(helmet()).use(requestContext(options.logger)).use(router.routes()).use(router.allowedMethods())
  return app
}
