import Router from '@koa/router'
import type { Middleware } from 'koa'
import type { Catalog, Model } from '../generation/catalog.ts'
import type { Provider } from '../generation/provider.ts'

export interface ModelRoutesOptions {
  authenticate: Middleware
  catalog: Catalog
  providers: ReadonlyMap<string, Provider>
  standIn: string | undefined
}

export function modelRoutes(options: ModelRoutesOptions): Router {
  const router = new Router({ prefix: '/api/models', sensitive: true })
  router.use(options.authenticate)
  router.get('/', (ctx) => {
    ctx.body = { models: options.catalog.list().map((model) => toModelResponse(model, options)) }
  })
  return router
}

/** The models of a kind that answer now: by themselves, or through the one that replaced them. */
export function usableModels(kind: Model['kind'], options: Pick<ModelRoutesOptions, 'catalog' | 'providers' | 'standIn'>): Model[] {
  return options.catalog.list().filter((model) => model.kind === kind && whyNotUsable(model, options) === undefined)
}

function whyNotUsable(model: Model, { catalog, providers, standIn }: Pick<ModelRoutesOptions, 'catalog' | 'providers' | 'standIn'>): string | undefined {
  const runs = catalog.resolve(model).model
  if (providers.has(runs.provider) || standIn !== undefined) return undefined
  return `there is no key for ${runs.provider}`
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
    usable: reason === undefined,
    ...(reason !== undefined && { reason }),
    capabilities: {
      sizes: model.sizes.known,
      sizeLimits: { minSide: model.sizes.minSide, maxSide: model.sizes.maxSide, maxPixels: model.sizes.maxPixels, minRatio: model.sizes.minRatio, maxRatio: model.sizes.maxRatio },
      maxImages: model.maxImages,
      maxPromptCharacters: model.maxPromptCharacters,
      ...model.supports,
    },
    price: model.priceMicrosPerImage === undefined ? null : { perImageUsdMicros: model.priceMicrosPerImage },
  }
}
