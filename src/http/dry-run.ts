/** `?dryRun=true` on the generate routes: what would run, as which parameters, for how much. Nothing is asked, nothing written. */
import type { Context } from 'koa'
import type { Plan } from '../generation/records.ts'
import { toSizeText } from '../generation/catalog.ts'
import { AppError } from '../errors.ts'
import { readQuery } from './query.ts'

/** @throws {AppError} `invalid_request` for a value that is neither true nor false: a typing error must not cost money. */
export function isDryRun(ctx: Context): boolean {
  const { dryRun } = readQuery(ctx)
  if (dryRun === undefined || dryRun === 'false') return false
  if (dryRun === 'true') return true
  throw new AppError('invalid_request', 'dryRun must be true or false.', { details: [{ path: 'dryRun', message: 'must be true or false' }] })
}

export function toDryRunResponse(plan: Plan) {
  return {
    dryRun: true,
    requestedModel: plan.requestedModel,
    model: plan.model,
    provider: plan.provider,
    parameters: toParameters(plan),
    warnings: plan.warnings,
    estimatedCostMicros: plan.estimatedCostMicros,
    fallbacks: plan.fallbacks.map(({ model, provider, estimatedCostMicros }) => ({ model, provider, estimatedCostMicros })),
  }
}

function toParameters(plan: Plan) {
  const common = { n: plan.n, seed: plan.seed, providerOptions: plan.providerOptions }
  if (plan.kind === 'image') return { ...common, size: toSizeText(plan.size), requestSize: toSizeText(plan.requestSize), negativePrompt: plan.negativePrompt }
  return { ...common, duration: plan.duration, aspectRatio: plan.aspectRatio, resolution: plan.resolution, generateAudio: plan.generateAudio }
}
