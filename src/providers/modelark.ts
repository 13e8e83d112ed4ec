/** ByteDance ModelArk (BytePlus) through the OpenAI SDK, and its Seedream pictures. Wire format as of November 2026. */
import OpenAI from 'openai'
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { ImageModel, ImageRequest, Output, Provider, ProviderSetting, Started, Warning } from '../generation/provider.ts'
import { checkTimeLeft } from './call-failures.ts'
import { toDataUrl } from './data-url.ts'
import { longFetch } from './long-fetch.ts'
import { toModelArkError, toItemError } from './modelark-errors.ts'
import { modelArkOptionsSchema, type ModelArkOptions } from './modelark-options.ts'
import { createSeedance } from './modelark-videos.ts'
import { trustedOriginOf } from './trusted-origin.ts'

export const modelArkSetting: ProviderSetting = {
  id: 'modelark',
  keyVariable: 'ARK_API_KEY',
  baseURLVariable: 'ARK_BASE_URL',
  baseURL: 'https://ark.ap-southeast.bytepluses.com/api/v3',
  // Buckets of pictures and of videos. Anybody may have another one beside them.
  resultHosts: ['ark-content-generation-v2-ap-southeast-1.tos-ap-southeast-1.volces.com', 'ark-content-generation-ap-southeast-1.tos-ap-southeast-1.volces.com'],
}

/** Fields that each family of Seedream knows; it refuses a request that has others, whatever their value. */
const FAMILIES = {
  'seedream-3': { seed: true, guidanceScale: true },
  'seedream-4': { sequential: true, optimizePrompt: true },
  'seedream-5-lite': { sequential: true, optimizePrompt: true, outputFormat: true, webSearch: true },
  'seedream-5-pro': { optimizePrompt: true, outputFormat: true },
} satisfies Record<string, Partial<Record<'seed' | 'guidanceScale' | 'sequential' | 'optimizePrompt' | 'outputFormat' | 'webSearch', true>>>

export type SeedreamFamily = keyof typeof FAMILIES

export interface ModelArkOptionsInput {
  apiKey: string
  baseURL: string
  fetch?: typeof fetch
}

export function createModelArk(options: ModelArkOptionsInput): Provider {
  // organization and project are named because the SDK would otherwise take another vendor's from the environment.
  const client = new OpenAI({
    apiKey: options.apiKey,
    baseURL: options.baseURL,
    organization: null,
    project: null,
    maxRetries: 0,
    logLevel: 'off',
    fetch: options.fetch ?? longFetch,
  })
  const trustedOrigin = trustedOriginOf(options.baseURL)
  return {
    id: modelArkSetting.id,
    optionsSchema: modelArkOptionsSchema,
    ...(trustedOrigin !== undefined && { trustedOrigin }),
    image: ({ vendorId, family }) => createSeedream(client, vendorId, toFamily(vendorId, family)),
    video: (model) => createSeedance(client, model),
    // The list of models costs nothing, needs the key, and names what the account may use.
    probe: ({ signal }) => client.get<unknown>('/models', { signal, timeout: PROBE_TIMEOUT_MS }).catch((error: unknown) => Promise.reject(toModelArkError(error, 'free'))),
  }
}

const PROBE_TIMEOUT_MS = 10_000
/** Above the caller's own signal, so that it alone decides how long a picture may take. */
const SDK_TIMEOUT_MS = 1_800_000

/** An endpoint id (`ep-…`) tells nothing: its catalog entry names the family. */
function toFamily(vendorId: string, family: string | undefined): SeedreamFamily {
  if (family !== undefined && family in FAMILIES) return family as SeedreamFamily
  if (vendorId.includes('seedream-3')) return 'seedream-3'
  if (/seedream-5-0-(pro|flash)/.test(vendorId)) return 'seedream-5-pro'
  if (vendorId.includes('seedream-5')) return 'seedream-5-lite'
  return 'seedream-4'
}

function createSeedream(client: OpenAI, model: string, family: SeedreamFamily): ImageModel {
  return {
    async start(request, { signal }) {
      // A picture made of the words alone would be paid and be no such thing.
      if (request.task === 'remove-background') throw new ProviderError('invalid_request', 'This model does not cut out pictures. Choose another one.', { provider: modelArkSetting.id, charged: 'no' })
      checkTimeLeft(modelArkSetting.id, signal)
      const { body, warnings } = toBody(model, family, request)
      try {
        const { data, response } = await client.post<unknown>('/images/generations', { body, signal, timeout: SDK_TIMEOUT_MS }).withResponse()
        return toStarted(data, warnings, response.headers.get('x-request-id') ?? undefined)
      } catch (error) {
        throw toModelArkError(error, 'picture')
      }
    },
  }
}

function toBody(model: string, family: SeedreamFamily, request: ImageRequest): { body: Record<string, unknown>; warnings: Warning[] } {
  const knows: Partial<Record<string, true>> = FAMILIES[family]
  const options = request.providerOptions as ModelArkOptions
  const warnings: Warning[] = []
  const unsupported = (setting: string) => void warnings.push({ type: 'unsupported', setting, message: `${model} takes no ${setting}: it was left out.` })
  const body: Record<string, unknown> = {
    model,
    prompt: request.prompt,
    size: `${request.size.width}x${request.size.height}`,
    response_format: options.responseFormat ?? 'url',
    // The vendor's default is to print one on the picture.
    watermark: false,
  }
  // One picture as itself, several as a list: an edit is this same call with an instruction as its prompt.
  const images = request.images.map(toDataUrl)
  if (images.length > 0) body.image = images.length === 1 ? images[0] : images
  if (request.mask) unsupported('mask')
  if (knows.sequential) body.sequential_image_generation = 'disabled'
  const add = (name: keyof ModelArkOptions | 'seed', value: unknown, fields: Record<string, unknown>) => {
    if (value === undefined) return
    if (knows[name]) Object.assign(body, fields)
    else unsupported(name === 'seed' ? 'seed' : `providerOptions.modelark.${name}`)
  }
  add('seed', request.seed, { seed: request.seed })
  add('guidanceScale', options.guidanceScale, { guidance_scale: options.guidanceScale })
  add('optimizePrompt', options.optimizePrompt, { optimize_prompt_options: { mode: options.optimizePrompt } })
  add('outputFormat', options.outputFormat, { output_format: options.outputFormat })
  if (options.webSearch === true) add('webSearch', true, { tools: [{ type: 'web_search' }] })
  if (request.negativePrompt !== undefined) unsupported('negativePrompt')
  return { body, warnings }
}

function toStarted(data: unknown, warnings: Warning[], providerRequestId: string | undefined): Started {
  const parsed = answerSchema.safeParse(data)
  // The vendor said yes in a way that cannot be read: a picture may have been made and billed.
  if (!parsed.success) throw new ProviderError('submission_unknown', 'ModelArk answered in a form that this service does not understand.', { provider: modelArkSetting.id, charged: 'unknown', providerRequestId, cause: parsed.error })
  const outputs: Output[] = []
  for (const item of parsed.data.data) {
    if (item.url !== undefined) outputs.push({ type: 'url', url: item.url })
    else if (item.b64_json !== undefined) outputs.push({ type: 'bytes', bytes: Buffer.from(item.b64_json, 'base64') })
  }
  const refusal = parsed.data.data.find((item) => item.error)?.error ?? parsed.data.error
  if (outputs.length === 0) throw toItemError(refusal, parsed.data.usage?.generated_images, providerRequestId)
  return { outputs, warnings, ...(providerRequestId !== undefined && { providerRequestId }) }
}

const errorSchema = z.object({ code: z.string().nullish(), message: z.string().nullish() })

/** Read tolerantly: fields are added weekly. One item may hold an error while the status is 200. */
const answerSchema = z.object({
  data: z.array(z.object({ url: z.string().min(1).optional(), b64_json: z.string().min(1).optional(), error: errorSchema.optional() })),
  error: errorSchema.nullish(),
  usage: z.object({ generated_images: z.number().optional() }).nullish().catch(undefined),
})
