import Router from '@koa/router'
import type { Middleware } from 'koa'
import type { Catalog, Model } from '../generation/catalog.ts'
import { chainOf, vendorIdOf, type PlanContext, type StandIns } from '../generation/plan.ts'
import type { Provider, Task } from '../generation/provider.ts'
import { answerTagged, toETag } from './etag.ts'

export interface ModelRoutesOptions {
  authenticate: Middleware
  catalog: Catalog
  providers: ReadonlyMap<string, Provider>
  standIns: StandIns
  isGone: PlanContext['isGone']
}

export function modelRoutes(options: ModelRoutesOptions): Router {
  const router = new Router({ prefix: '/api/models', sensitive: true })
  router.use(options.authenticate)
  router.get('/', (ctx) => {
    const body = JSON.stringify({ models: [...options.catalog.list(), ...options.catalog.open()].map((model) => toModelResponse(model, options)) })
    answerTagged(ctx, { body, etag: toETag(body), type: 'application/json', cacheControl: 'private, no-cache' })
  })
  return router
}

/**
 * The models of a kind that make something from text and answer now: by themselves, through the one that replaced them, or
 * while that is gone through another of their chain.
 */
export function usableModels(kind: Model['kind'], context: PlanContext): Model[] {
  const answers = (model: Model): boolean => {
    const state = stateOf(model, context, ['generate'])
    if (state !== 'gone') return state === 'usable'
    return chainOf(model, context).some((other) => makesFromText(context.catalog.resolve(other).model) && stateOf(other, { ...context, standIns: {} }, ['generate']) === 'usable')
  }
  return context.catalog.list().filter((model) => model.kind === kind && makesFromText(model) && answers(model))
}

const makesFromText = (model: Model): boolean => model.kind !== 'image' || model.tasks.includes('generate')

/** Whether a model answers by itself, or through the one that replaced it: for any of the tasks. */
function stateOf(model: Model, { catalog, providers, standIns, isGone }: PlanContext, tasks: readonly Task[]): 'usable' | 'off' | 'gone' {
  const runs = catalog.resolve(model).model
  if (!providers.has(runs.provider)) return standIns[model.kind] === undefined ? 'off' : 'usable'
  return tasks.every((task) => isGone(runs.provider, vendorIdOf(runs), task)) ? 'gone' : 'usable'
}

function whyNotUsable(model: Model, context: PlanContext): string | undefined {
  const { provider } = context.catalog.resolve(model).model
  switch (stateOf(model, context, model.kind === 'image' ? model.tasks : ['generate'])) {
    case 'off': return `there is no key for ${provider}`
    case 'gone': return `${provider} does not offer it to this service now`
    default: return undefined
  }
}

function toModelResponse(model: Model, options: ModelRoutesOptions) {
  const reason = whyNotUsable(model, options)
  return {
    id: model.id,
    kind: model.kind,
    provider: model.provider,
    state: model.state,
    ...(model.retiresOn !== undefined && { retiresOn: model.retiresOn }),
    ...(model.successor !== undefined && { successor: model.successor }),
    ...(model.fallbacks.length > 0 && { fallbacks: model.fallbacks }),
    usable: reason === undefined,
    ...(reason !== undefined && { reason }),
    capabilities: toCapabilities(model),
    price: model.price ?? null,
  }
}

function toCapabilities(model: Model) {
  if (model.kind === 'video') {
    const { durations, aspectRatios, aspectRatiosFromText, resolutions, defaultResolution, firstFrame, maxPromptCharacters, supports } = model
    return { durations, aspectRatios, ...(aspectRatiosFromText && { aspectRatiosFromText }), resolutions, defaultResolution, firstFrame: firstFrame.use, maxPromptCharacters, ...supports }
  }
  const { tasks, sizes, inputs, maxImages, maxPromptCharacters, supports } = model
  return {
    tasks,
    sizes: sizes.known,
    sizeLimits: { minSide: sizes.minSide, maxSide: sizes.maxSide, maxPixels: sizes.maxPixels, minRatio: sizes.minRatio, maxRatio: sizes.maxRatio },
    maxImages,
    maxInputImages: inputs?.max ?? 0,
    mask: inputs?.mask ?? false,
    maxPromptCharacters,
    ...supports,
  }
}
