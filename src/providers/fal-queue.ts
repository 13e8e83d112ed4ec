/** fal's queue: a request is submitted, looked at, fetched and cancelled. Wire format as of November 2026. */
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { Operation, OperationState, Output, Warning } from '../generation/provider.ts'
import { requestIdOf, toLookError, toRunError, toStartError } from './fal-errors.ts'
import type { VendorAnswer, VendorCall } from './vendor-call.ts'

const PROVIDER = 'fal'
const VENDOR_ORIGIN = 'https://queue.fal.run'

export interface FalQueueOptions {
  call: VendorCall
  baseURL: string
}

export interface Submission {
  input: Record<string, unknown>
  warnings: Warning[]
  headers?: Record<string, string>
  callbackUrl?: string | undefined
}

export type FalQueue = ReturnType<typeof createFalQueue>

export function createFalQueue({ call, baseURL }: FalQueueOptions) {
  const root = baseURL.replace(/\/+$/, '')
  const addressOf = (operation: Operation, action: '' | '/status' | '/cancel'): string => {
    const parsed = operationSchema.safeParse(operation)
    if (!parsed.success) throw new ProviderError('operation_lost', 'The provider does not know this work any more.', { provider: PROVIDER, charged: 'unknown' })
    return `${root}/${parsed.data.app}/requests/${parsed.data.requestId}${action}`
  }

  return {
    /** The paid call. @param endpoint such as `fal-ai/flux-2/edit`. */
    async submit(endpoint: string, { input, warnings, headers, callbackUrl }: Submission, signal: AbortSignal) {
      if (!ENDPOINT.test(endpoint)) throw new ProviderError('model_unavailable', 'The provider has no model of this name.', { provider: PROVIDER, charged: 'no' })
      // Calls back to https alone. One that it would refuse is not worth a refused generation.
      const query = callbackUrl?.startsWith('https://') ? `?fal_webhook=${encodeURIComponent(callbackUrl)}` : ''
      const answer = await call('POST', `${root}/${endpoint}${query}`, { body: input, signal, isPaid: true, ...(headers && { headers }) })
      if (answer.status < 200 || answer.status > 299) throw toStartError(answer)
      const parsed = submittedSchema.safeParse(answer.body)
      const providerRequestId = requestIdOf(answer.headers)
      // The vendor said yes in a way that cannot be read: something may be under way.
      if (!parsed.success) throw new ProviderError('submission_unknown', 'The provider answered in a form that this service does not understand. What was asked for may have been made and paid, so it was not asked for again.', { provider: PROVIDER, charged: 'unknown', statusCode: answer.status, providerRequestId })
      const requestId = parsed.data.request_id
      return { operation: { app: appIn(parsed.data.status_url, requestId, new URL(root)) ?? appOf(endpoint), requestId }, warnings, providerRequestId: providerRequestId ?? requestId }
    },

    async check(operation: Operation, signal: AbortSignal): Promise<OperationState> {
      const { status, ...told } = await look(call, addressOf(operation, '/status'), signal)
      switch (status) {
        case 'IN_QUEUE': return { status: 'queued' }
        case 'IN_PROGRESS': return { status: 'running' }
        case 'COMPLETED': return toResult(await call('GET', addressOf(operation, ''), { signal }), told.error_type ?? (told.error ? '' : undefined))
        default: return { status: 'unknown', vendorStatus: status.slice(0, 100) }
      }
    },

    /**
     * Takes out what still waits. To a run that has begun the call is only a wish, which may cost the result and not the
     * bill: so that is left alone.
     */
    async cancel(operation: Operation, signal: AbortSignal): Promise<boolean> {
      const { status } = await look(call, addressOf(operation, '/status'), signal)
      if (status !== 'IN_QUEUE') return false
      const answer = await call('PUT', addressOf(operation, '/cancel'), { signal })
      if (answer.status === 200) return true
      // It began, or ended, in the meantime.
      if (answer.status === 202 || (answer.status === 400 && cancelSchema.safeParse(answer.body).success)) return false
      throw toLookError(answer)
    },

    /** @param endpoint the one that the callback's request was submitted to. */
    parseCallback(endpoint: string, body: unknown): Operation | undefined {
      const parsed = callbackSchema.safeParse(body)
      return parsed.success ? { app: appOf(endpoint), requestId: parsed.data.request_id } : undefined
    },
  }
}

async function look(call: VendorCall, url: string, signal: AbortSignal): Promise<z.infer<typeof statusSchema>> {
  const answer = await call('GET', url, { signal })
  if (answer.status !== 200 && answer.status !== 202) throw toLookError(answer)
  const parsed = statusSchema.safeParse(answer.body)
  if (!parsed.success) throw unreadable(answer)
  return parsed.data
}

/** There is no state for failure: a run has failed when its result is an error. */
function toResult(answer: VendorAnswer, statusType: string | undefined): OperationState {
  if (answer.status !== 200) {
    const error = toRunError(answer, statusType)
    if (error) return { status: 'failed', error }
    // Completed, but not to be had yet.
    if (answer.status === 400) return { status: 'running' }
    throw toLookError(answer)
  }
  const parsed = resultSchema.safeParse(answer.body)
  if (!parsed.success) throw unreadable(answer)
  const { images, image, videos, video, has_nsfw_concepts: refused } = parsed.data
  const files = [...(images ?? []).filter((_, index) => refused?.[index] !== true), image, ...(videos ?? []), video].filter((file) => file !== null && file !== undefined)
  const about = { provider: PROVIDER, charged: 'yes', statusCode: 200, providerRequestId: requestIdOf(answer.headers) } as const
  const isRefused = refused?.includes(true) === true && (files.length === 0 || !refused.includes(false))
  if (files.length > 0 && !isRefused) return { status: 'succeeded', outputs: files.map(({ url }) => toOutput(url)) }
  if (isRefused) return { status: 'failed', error: new ProviderError('content_refused', 'The provider made a result and withheld it because of its content. Try again or change the prompt.', about) }
  return { status: 'failed', error: new ProviderError('output_invalid', 'The provider finished without a file that this service knows how to take.', about) }
}

/** Some models answer with the file itself. */
function toOutput(url: string): Output {
  const data = /^data:[^,]*;base64,/.exec(url)
  return data ? { type: 'bytes', bytes: Buffer.from(url.slice(data[0].length), 'base64') } : { type: 'url', url }
}

/** An answer that cannot be read says nothing: the next look may. */
const unreadable = (answer: VendorAnswer) => new ProviderError('provider_failed', 'The provider answered in a form that this service does not understand.', { provider: PROVIDER, charged: 'no', isRetryable: true, statusCode: answer.status, providerRequestId: requestIdOf(answer.headers) })

const SEGMENT = String.raw`[A-Za-z0-9_][\w.-]*`
const ENDPOINT = new RegExp(`^${SEGMENT}(/${SEGMENT})+$`)
const APP = new RegExp(`^${SEGMENT}(/${SEGMENT}){1,2}$`)
/** First segments that stand before the owner. */
const NAMESPACES = new Set(['workflows', 'comfy'])

/** Requests live under the app, without the path of its endpoint: `fal-ai/flux/dev` is looked at as `fal-ai/flux`. */
function appOf(endpoint: string): string {
  const segments = endpoint.split('/')
  return segments.slice(0, NAMESPACES.has(segments[0]!) ? 3 : 2).join('/')
}

/**
 * The app as the vendor's own link names it. Only the name is taken, and only from a link to the vendor: calls with the
 * key go to the configured address alone, whatever an answer says.
 */
function appIn(statusUrl: string | undefined, requestId: string, base: URL): string | undefined {
  const url = URL.parse(statusUrl ?? '')
  if (!url || (url.origin !== VENDOR_ORIGIN && url.origin !== base.origin)) return undefined
  const prefix = url.origin === base.origin ? base.pathname.replace(/\/$/, '') : ''
  const end = `/requests/${requestId}/status`
  if (!url.pathname.startsWith(`${prefix}/`) || !url.pathname.endsWith(end)) return undefined
  const app = url.pathname.slice(prefix.length + 1, -end.length)
  return APP.test(app) ? app : undefined
}

/** It becomes part of an address. */
const requestIdSchema = z.string().regex(/^[\w-]{1,100}$/)

const operationSchema = z.object({ app: z.string().regex(APP), requestId: requestIdSchema })

/** Read tolerantly: fields are added weekly. */
const submittedSchema = z.object({ request_id: requestIdSchema, status_url: z.string().optional().catch(undefined) })

const statusSchema = z.object({ status: z.string(), error: z.unknown().optional(), error_type: z.string().optional().catch(undefined) })

const cancelSchema = z.object({ status: z.literal('ALREADY_COMPLETED') })

const callbackSchema = z.object({ request_id: requestIdSchema })

const fileSchema = z.object({ url: z.string().min(1) })

const resultSchema = z.object({
  images: z.array(fileSchema).nullish(),
  image: fileSchema.nullish(),
  videos: z.array(fileSchema).nullish(),
  video: fileSchema.nullish(),
  has_nsfw_concepts: z.array(z.boolean()).nullish().catch(undefined),
})
