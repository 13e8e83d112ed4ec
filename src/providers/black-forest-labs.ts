/**
 * Black Forest Labs' Flux 3 video through `@ai-sdk/black-forest-labs`. Its pictures are not served: the package looks for
 * them again and again within one call, and a crash would lose what was paid. Wire format as of November 2026.
 */
import { createBlackForestLabs as createPackage } from '@ai-sdk/black-forest-labs'
import { z } from 'zod'
import { ProviderError, type Charged, type ErrorCode } from '../errors.ts'
import type { Operation, OperationState, Provider, ProviderSetting, VideoRequest, Warning } from '../generation/provider.ts'
import { toLost } from './ai-sdk-errors.ts'
import { fromVideoModel, type Told } from './ai-sdk.ts'
import { trustedOriginOf } from './trusted-origin.ts'

export const blackForestLabsSetting: ProviderSetting = {
  id: 'bfl',
  keyVariable: 'BFL_API_KEY',
  baseURLVariable: 'BFL_BASE_URL',
  baseURL: 'https://api.bfl.ai/v1',
}

const PROVIDER = blackForestLabsSetting.id
/** 1 credit is $0.01. */
const MICROS_PER_CREDIT = 10_000
/** The vendor's word for each of ours. The package refuses others before it sends anything, ratios too. */
const RESOLUTIONS: Partial<Record<string, string>> = { '720p': 'hd', '1080p': 'fhd' }

/** `providerOptions.bfl`. */
const optionsSchema = z.strictObject({
  /** How much is let pass, from 0. 2 is the vendor's default; to let more pass, up to 4, is not for users to decide. */
  safetyTolerance: z.int().min(0).max(2).optional(),
  /** A quick preview of lower quality and price, 720p at most. */
  draft: z.boolean().optional(),
})

export interface BlackForestLabsInput {
  apiKey: string
  baseURL: string
  fetch?: typeof fetch
}

export function createBlackForestLabs({ apiKey, baseURL, fetch }: BlackForestLabsInput): Provider {
  const root = baseURL.replace(/\/+$/, '')
  const isVendors = createAddressCheck(new URL(root).origin)
  const operationSchema = createOperationSchema(root, isVendors)
  const trustedOrigin = trustedOriginOf(baseURL)
  return {
    id: PROVIDER,
    optionsSchema,
    ...(trustedOrigin !== undefined && { trustedOrigin }),
    video: ({ vendorId }) =>
      fromVideoModel(PROVIDER, (wire) => createPackage({ apiKey, baseURL: root, fetch: wire }).video(vendorId), {
        apiKey,
        isVendors,
        fetch,
        toCallOptions: (request, warnings) => toCallOptions(vendorId, request, warnings),
        operationSchema,
        requestIdOf: ({ requestId }) => String(requestId),
        toState,
        costMicrosOf: (metadata) => toMicros(metadataSchema.safeParse(metadata).data?.blackForestLabs.videos[0].cost),
      }),
  }
}

/** The vendor's regions look after their own work: a start at `api.bfl.ai` is followed at `api.us1.bfl.ai`. */
function createAddressCheck(ownOrigin: string): (url: URL) => boolean {
  const regions = /^https:\/\/([\w-]+\.)*bfl\.ai$/
  return ({ origin }) => origin === ownOrigin || (regions.test(ownOrigin) && regions.test(origin))
}

/** A link to elsewhere, as gateways pass on, is not followed: whoever took the work on is asked for it. */
const createOperationSchema = (root: string, isVendors: (url: URL) => boolean): z.ZodType<Operation> =>
  z.object({
    // It becomes part of an address.
    requestId: z.string().regex(/^[\w-]{1,100}$/),
    pollingUrl: z.string().transform((text) => {
      const url = URL.parse(text)
      return url && isVendors(url) ? text : `${root}/get_result`
    }),
    /** Credits. The vendor tells it here, or with the result. */
    cost: z.number().optional(),
  })

function toCallOptions(model: string, { resolution, aspectRatio, providerOptions }: VideoRequest, warnings: Warning[]) {
  const { draft, safetyTolerance } = providerOptions as z.infer<typeof optionsSchema>
  if (draft && resolution !== '720p') warnings.push({ type: 'adjusted', setting: 'resolution', message: `${model} makes its drafts at 720p.` })
  const blackForestLabs = {
    aspectRatio,
    resolution: draft ? 'hd' : (RESOLUTIONS[resolution] ?? resolution),
    ...(draft !== undefined && { draft }),
    ...(safetyTolerance !== undefined && { safetyTolerance }),
  }
  return { providerOptions: { blackForestLabs } }
}

function toState({ status: kind }: Told, body: unknown): OperationState {
  const { state = '', status = state, cost } = lookSchema.safeParse(body).data ?? {}
  switch (status) {
    case 'Pending': return { status: 'queued' }
    case 'Reasoning':
    case 'Generating': return { status: 'running' }
    // "Not charged", says the vendor's help of both.
    case 'Request Moderated': return failed('content_refused', 'The provider refused the prompt or the picture because of its content. Change them and try again.', status, cost, 'no')
    case 'Content Moderated': return failed('content_refused', 'The provider made a result and withheld it because of its content. Change the prompt or the picture.', status, cost, 'no')
    case 'Task not found': throw toLost(PROVIDER)
    case 'Ready': return failed('output_invalid', 'The provider finished without a file that this service knows how to take.', status, cost, 'yes')
    default: return kind === 'error' ? failed('provider_failed', 'The provider could not make this. Try again.', status, cost, 'unknown') : { status: 'unknown', vendorStatus: status.slice(0, 100) }
  }
}

/** @param cost in credits, where it is settled: the only sure word on the bill. @param untold what holds without one. */
function failed(code: ErrorCode, message: string, status: string, cost: number | null | undefined, untold: Charged): OperationState {
  const charged = typeof cost !== 'number' ? untold : cost > 0 ? 'yes' : 'no'
  return { status: 'failed', error: new ProviderError(code, message, { provider: PROVIDER, charged, isRetryable: code === 'provider_failed' && charged === 'no', statusCode: 200, cause: new Error(`The vendor's word: ${status.slice(0, 100)}`) }) }
}

const toMicros = (credits: number | undefined): number | undefined => (credits === undefined ? undefined : Math.round(credits * MICROS_PER_CREDIT))

/** Read tolerantly: fields are added weekly. */
const lookSchema = z.object({ status: z.string().optional(), state: z.string().optional(), cost: z.number().nullish().catch(undefined) })

const metadataSchema = z.object({ blackForestLabs: z.object({ videos: z.tuple([z.object({ cost: z.number().optional() })]) }) })
