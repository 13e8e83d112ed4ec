import Router from '@koa/router'
import type { Middleware } from 'koa'
import type { Usage } from '../generation/usage.ts'
import type { AuthenticatedUser } from './authenticated-user.ts'

export interface UsageRoutesOptions {
  authenticate: Middleware
  findUsage: (userId: string) => Promise<Usage>
}

export function usageRoutes({ authenticate, findUsage }: UsageRoutesOptions): Router {
  const router = new Router({ prefix: '/api/usage', sensitive: true })
  router.use(authenticate)
  router.get('/', async (ctx) => {
    const { bytes, reservedBytes, quotaBytes, month, costMicros, reservedMicros, budgetMicros, open, maxOpen } = await findUsage((ctx.state.user as AuthenticatedUser).id)
    ctx.body = { storage: { bytes, reservedBytes, quotaBytes }, spending: { month, costMicros, reservedMicros, budgetMicros }, generations: { open, maxOpen } }
  })
  return router
}
