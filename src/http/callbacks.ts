/**
 * Where providers tell that something changed. The address holds an unguessable token of the generation's own; what comes
 * is never believed, only looked up: it hurries the next look at the operation, and names it where the answer to the paid
 * call was lost.
 */
import { bodyParser } from '@koa/bodyparser'
import Router from '@koa/router'
import { z } from 'zod'
import { AppError } from '../errors.ts'
import { modelOf } from '../generation/prepare-call.ts'
import type { Provider } from '../generation/provider.ts'
import type { Records } from '../generation/records.ts'
import { isSameSecret } from './is-same-secret.ts'

export interface CallbackRoutesOptions {
  records: Records
  providers: ReadonlyMap<string, Provider>
  /** Has a generation's next step done now. */
  hurryGeneration: (generationId: string, kind: string) => Promise<void>
}

const MAX_BYTES = 64 * 1024

const addressSchema = z.object({
  generationId: z.guid(),
  index: z.string().regex(/^\d{1,2}$/).transform(Number),
  token: z.string().regex(/^[\w-]{20,100}$/),
})

export function callbackRoutes({ records, providers, hurryGeneration }: CallbackRoutesOptions): Router {
  const router = new Router({ prefix: '/api/callbacks', sensitive: true })

  router.post('/:generationId/:index/:token', bodyParser({ enableTypes: ['json'], jsonLimit: MAX_BYTES, detectJSON: () => true }), async (ctx) => {
    const address = addressSchema.safeParse(ctx.params)
    const work = address.success ? await records.findWork(address.data.generationId) : undefined
    const submission = address.success ? work?.submissions[address.data.index] : undefined
    if (!address.success || !work || !isSameSecret(submission?.callbackToken, address.data.token)) throw unknownAddress()
    const operation = modelOf(work.plan, providers.get(work.plan.provider))?.parseCallback?.(ctx.request.body)
    if (!operation) throw new AppError('invalid_request', 'This callback could not be read.')
    await records.saveTold(work.id, address.data.index, operation)
    // One that is just being started has its own answer to come.
    if (['uncertain', 'started', 'unknown'].includes(submission!.state)) await hurryGeneration(work.id, work.plan.kind)
    ctx.status = 204
  })

  return router
}

const unknownAddress = () => new AppError('not_found', 'There is nothing to call back here.')
