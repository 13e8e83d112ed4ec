/** Failures of the AI SDK's packages as ours. What was seen on the wire decides: the packages' own errors are not kept. */
import { AISDKError } from '@ai-sdk/provider'
import { z } from 'zod'
import { ProviderError, type ErrorCode } from '../errors.ts'
import type { Wire } from './ai-sdk-wire.ts'
import { retryAfterOf, toLostCallError, toLostLookError } from './call-failures.ts'
import { TELLS_NOTHING, type VendorAnswer } from './vendor-call.ts'

interface Meaning {
  code: ErrorCode
  message: string
  isRetryable?: boolean
}

const SETTING: Meaning = { code: 'invalid_request', message: 'The provider cannot make this request: one of its settings is not accepted.' }
const KEY: Meaning = { code: 'provider_misconfigured', message: "The provider does not accept this service's key, or not for this model. Tell the operator." }

const BY_STATUS: [fits: (status: number) => boolean, meaning: Meaning][] = [
  [(status) => status === 400 || status === 422, SETTING],
  [(status) => status === 401 || status === 403, KEY],
  [(status) => status === 402, { code: 'provider_quota_reached', message: "The service's credit with the provider is used up. Tell the operator." }],
  [(status) => status === 404, { code: 'model_unavailable', message: 'The provider does not offer this model to this service. Choose another one.' }],
  [(status) => status === 413, { code: 'invalid_request', message: 'The picture is too large for the provider.' }],
  [(status) => status === 429, { code: 'provider_rate_limited', message: 'The provider is busy. Try again in a moment.', isRetryable: true }],
  [() => true, { code: 'provider_failed', message: 'The provider refused the request.' }],
]

/** What a start became that gave no operation. Work may exist behind any answer but a plain no. */
export function toStartError(provider: string, error: unknown, { wasUsed, answer, failure }: Wire): ProviderError {
  if (!wasUsed) return toUnsentError(provider, error)
  if (!answer) return toLostCallError(provider, failure)
  const { status } = answer
  if (status >= 400 && status < 500 && !TELLS_NOTHING.has(status)) return toError(provider, answer)
  const message = status < 300 ? 'The provider answered in a form that this service does not understand.' : 'The provider or something on the way to it failed.'
  return new ProviderError('submission_unknown', `${message} What was asked for may have been made and paid, so it was not asked for again.`, { ...about(provider, answer), charged: 'unknown' })
}

/** The package itself refused: its own errors are about what it was given. */
function toUnsentError(provider: string, error: unknown): ProviderError {
  const { code, message } = AISDKError.isInstance(error) ? SETTING : { code: 'provider_failed' as const, message: 'This service could not ask the provider.' }
  return new ProviderError(code, message, { provider, charged: 'no', cause: new Error(error instanceof Error ? error.name : 'not an error') })
}

/** A look that told nothing. It says nothing of the work itself. */
export function toLookError(provider: string, { answer, failure }: Wire): ProviderError {
  if (!answer) return toLostLookError(provider, failure)
  const { status } = answer
  // A page with the same status is somebody else's.
  if (status === 404 && answer.body !== undefined) return toLost(provider, answer)
  if ([401, 402, 403, 429].includes(status)) return toError(provider, answer)
  return new ProviderError('provider_failed', 'The provider could not be asked how far it is. Try again in a moment.', { ...about(provider, answer), charged: 'no', isRetryable: true })
}

export const toLost = (provider: string, answer?: VendorAnswer): ProviderError =>
  new ProviderError('operation_lost', 'The provider does not know this work any more.', { provider, ...(answer && about(provider, answer)), charged: 'unknown' })

function toError(provider: string, answer: VendorAnswer): ProviderError {
  const { code, message, isRetryable = false } = BY_STATUS.find(([fits]) => fits(answer.status))![1]
  return new ProviderError(code, message, { ...about(provider, answer), charged: 'no', isRetryable, retryAfterSeconds: retryAfterOf(answer.headers) })
}

const about = (provider: string, answer: VendorAnswer) => ({ provider, statusCode: answer.status, providerRequestId: answer.headers.get('x-request-id') ?? undefined, cause: new Error([answer.status, ...codesOf(answer)].join(' ')) })

/** The vendor's words for programs. Those for people may repeat the prompt. */
function codesOf({ body }: VendorAnswer): string[] {
  const { error, code, detail } = codesSchema.safeParse(body).data ?? {}
  return [error, code, detail?.[0]?.type].filter((word) => word !== undefined)
}

const word = z.string().regex(/^[\w.-]{1,60}$/)

const codesSchema = z.object({
  error: word.optional().catch(undefined),
  code: word.optional().catch(undefined),
  detail: z.array(z.object({ type: word })).optional().catch(undefined),
})
