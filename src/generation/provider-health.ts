/** What the calls that were made anyway tell about each provider: nobody pays for a check. */
import { ProviderError } from '../errors.ts'
import { createBreakers, type BreakerOptions } from './breakers.ts'
import type { MediaModel, Provider, Task } from './provider.ts'

export interface ProviderHealth {
  status: 'ok' | 'down' | 'unknown'
  /** Of the last call that was answered, in milliseconds. */
  latencyMs?: number
  lastAnswerAt?: string
  /** Models that fail again and again, and are left alone for a moment. */
  leftAlone?: string[]
  /** Models that the vendor said it does not have, and that are not asked for until that is old. */
  gone?: string[]
}

export interface ObservedProviders {
  providers: Map<string, Provider>
  health: () => Record<string, ProviderHealth>
  /** Whether the vendor said a while ago that it has no such model, or not for such work. */
  isGone: (provider: string, vendorId: string, task?: Task) => boolean
}

/** Wraps every provider so that its calls leave a trace. A refusal of the request is an answer: the provider is up. */
export function observeProviders(providers: ReadonlyMap<string, Provider>, options: BreakerOptions): ObservedProviders {
  const breakers = createBreakers(options)
  const seen = new Map<string, ProviderHealth>([...providers.keys()].map((id) => [id, { status: 'unknown' }]))

  async function observe<T>(id: string, call: () => Promise<T>): Promise<T> {
    const startedAt = performance.now()
    const answered = (status: 'ok' | 'down') => void seen.set(id, { status, latencyMs: Math.round(performance.now() - startedAt), lastAnswerAt: new Date().toISOString() })
    try {
      const result = await call()
      answered('ok')
      return result
    } catch (error) {
      const isUp = error instanceof ProviderError && ['content_refused', 'invalid_request', 'model_unavailable', 'provider_rate_limited', 'operation_lost'].includes(error.code)
      answered(isUp ? 'ok' : 'down')
      throw error
    }
  }

  function wrap(provider: Provider): Provider {
    const { id, image, video, probe } = provider
    return {
      ...provider,
      ...(image && { image: (model) => wrapModel(id, model.vendorId, image(model), ({ task }) => task) }),
      ...(video && { video: (model) => wrapModel(id, model.vendorId, video(model), () => 'generate') }),
      ...(probe && { probe: (call) => observe(id, () => probe(call)) }),
    }
  }

  function wrapModel<Request>(id: string, vendorId: string, model: MediaModel<Request>, taskOf: (request: Request) => Task): MediaModel<Request> {
    const { check, cancel, find } = model
    return {
      ...model,
      start: (request, call) => breakers.guard({ provider: id, model: vendorId, task: taskOf(request) }, () => observe(id, () => model.start(request, call))),
      ...(check && { check: (operation, call) => observe(id, () => check(operation, call)) }),
      ...(cancel && { cancel: (operation, call) => observe(id, () => cancel(operation, call)) }),
      ...(find && { find: (mark, call) => observe(id, () => find(mark, call)) }),
    }
  }
  function health(): Record<string, ProviderHealth> {
    return Object.fromEntries([...seen].map(([id, state]) => {
      const [leftAlone, gone] = [breakers.listOpen(id), breakers.listGone(id)]
      return [id, { ...state, ...(leftAlone.length > 0 && { leftAlone }), ...(gone.length > 0 && { gone }) }]
    }))
  }

  return {
    providers: new Map([...providers].map(([id, provider]) => [id, wrap(provider)])),
    health,
    isGone: (provider, vendorId, task = 'generate') => breakers.isGone(provider, vendorId, task),
  }
}
