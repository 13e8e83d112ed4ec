/**
 * Where providers tell that something changed. The address holds an unguessable token of the generation's own; what comes
 * is never believed, only looked up: it hurries the next look at the operation, and names it where the answer to the paid
 * call was lost.
 */
import Router from '@koa/router'
import { z } from 'zod'
import { AppError } from '../errors.ts'
import type { Provider } from '../generation/provider.ts'
import type { Records } from '../generation/records.ts'
import { jsonBody } from './json-body.ts'

export interface CallbackRoutesOptions {
  records: Records
  providers: ReadonlyMap<string, Provider>
  /** Has a generation's next step done now. */
  hurryGeneration: (generationId: string) => Promise<void>
}

const MAX_BYTES = 64 * 1024

const addressSchema = z.object({
  generationId: z.guid(),
  index: z.string().regex(/^\d{1,2}$/).transform(Number),
  token: z.string().regex(/^[\w-]{20,100}$/),
})

export function callbackRoutes({ records, providers, hurryGeneration }: CallbackRoutesOptions): Router {
  const router = new Router({ prefix: '/api/callbacks', sensitive: true })

  router.post('/:generationId/:index/:token', ...jsonBody({ maxBytes: MAX_BYTES }), async (ctx) => {
    const address = addressSchema.safeParse(ctx.params)
    const work = address.success ? await records.findWork(address.data.generationId) : undefined
    if (!address.success || !work) throw unknownAddress()
    const { generationId, index, token } = address.data
    const model = providers.get(work.plan.provider)?.video?.({ vendorId: work.plan.vendorId, family: work.plan.family })
    const operation = model?.parseCallback?.(ctx.request.body)
    if (!operation) throw new AppError('invalid_request', 'This callback could not be read.')
    if (!(await records.saveTold(generationId, index, token, operation))) throw unknownAddress()
    const state = work.submissions[index]?.state
    // One that is just being started has its own answer to come.
    if (state !== undefined && ['uncertain', 'started', 'unknown'].includes(state)) await hurryGeneration(generationId)
    ctx.status = 204
  })

  return router
}

const unknownAddress = () => new AppError('not_found', 'There is nothing to call back here.')
