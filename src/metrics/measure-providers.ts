/** Counts every call that is made to a provider, with how long it took and how it failed. */
import { AppError } from '../errors.ts'
import type { MediaModel, Provider } from '../generation/provider.ts'
import type { Metrics, ProviderCall } from './metrics.ts'

export function measureProviders(providers: ReadonlyMap<string, Provider>, metrics: Metrics): Map<string, Provider> {
  return new Map([...providers].map(([id, provider]) => [id, measureProvider(provider, metrics)]))
}

function measureProvider(provider: Provider, metrics: Metrics): Provider {
  const { id, image, video, probe } = provider

  async function measure<T>(what: Pick<ProviderCall, 'kind' | 'call'>, call: () => Promise<T>): Promise<T> {
    const startedAt = performance.now()
    const ended = (code?: ProviderCall['code']) => metrics.providerCall({ provider: id, ...what, seconds: (performance.now() - startedAt) / 1000, code })
    try {
      const result = await call()
      ended()
      return result
    } catch (error) {
      ended(error instanceof AppError ? error.code : 'internal_error')
      throw error
    }
  }

  function measureModel<Request>(kind: 'image' | 'video', model: MediaModel<Request>): MediaModel<Request> {
    const { check, cancel, find } = model
    return {
      ...model,
      start: (request, call) => measure({ kind, call: 'start' }, () => model.start(request, call)),
      ...(check && { check: (operation, call) => measure({ kind, call: 'check' }, () => check(operation, call)) }),
      ...(cancel && { cancel: (operation, call) => measure({ kind, call: 'cancel' }, () => cancel(operation, call)) }),
      ...(find && { find: (mark, call) => measure({ kind, call: 'find' }, () => find(mark, call)) }),
    }
  }

  return {
    ...provider,
    ...(image && { image: (model) => measureModel('image', image(model)) }),
    ...(video && { video: (model) => measureModel('video', video(model)) }),
    ...(probe && { probe: (call) => measure({ kind: 'none', call: 'probe' }, () => probe(call)) }),
  }
}
