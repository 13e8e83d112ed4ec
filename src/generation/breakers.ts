/** A provider's model that fails again and again is left alone for a while: whoever asks for it is told, or served by another, at once. */
import { BrokenCircuitError, circuitBreaker, CircuitState, ConsecutiveBreaker, handleWhen, type CircuitBreakerPolicy } from 'cockatiel'
import { ProviderError, type ErrorCode } from '../errors.ts'

export interface BreakerOptions {
  /** Failures in a row after which a model is left alone. */
  failures: number
  /** How long, before one call may try it again. */
  pauseMs: number
}

export interface Breakers {
  /** @throws {ProviderError} `provider_failed`, charged 'no', while the model is left alone. */
  guard<T>(provider: string, model: string, call: () => Promise<T>): Promise<T>
  /** The vendor's ids of a provider's models that are left alone now. */
  listOpen(provider: string): string[]
}

/** What says that the vendor is in trouble, or we with it; a refusal of the request or a busy moment says nothing of that. */
const OUTAGES: ReadonlySet<ErrorCode> = new Set(['provider_failed', 'provider_timeout', 'submission_unknown', 'provider_misconfigured', 'provider_quota_reached', 'model_unavailable'])

export function createBreakers({ failures, pauseMs }: BreakerOptions): Breakers {
  const breakers = new Map<string, Map<string, CircuitBreakerPolicy>>()

  function breakerOf(provider: string, model: string): CircuitBreakerPolicy {
    const ofProvider = breakers.get(provider) ?? new Map<string, CircuitBreakerPolicy>()
    breakers.set(provider, ofProvider)
    const breaker = ofProvider.get(model) ?? circuitBreaker(handleWhen((error) => error instanceof ProviderError && OUTAGES.has(error.code)), { halfOpenAfter: pauseMs, breaker: new ConsecutiveBreaker(failures) })
    ofProvider.set(model, breaker)
    return breaker
  }

  return {
    async guard(provider, model, call) {
      try {
        return await breakerOf(provider, model).execute(call)
      } catch (error) {
        if (!(error instanceof BrokenCircuitError)) throw error
        throw new ProviderError('provider_failed', 'The provider has failed several times in a row and is left alone for a moment. Try again soon, or choose another model.', { provider, charged: 'no', retryAfterSeconds: Math.ceil(pauseMs / 1000), cause: error })
      }
    },
    listOpen: (provider) => [...(breakers.get(provider) ?? [])].flatMap(([model, { state }]) => (state === CircuitState.Open ? [model] : [])),
  }
}
