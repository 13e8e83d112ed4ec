/** OpenAI's pictures through its SDK: one synchronous call, answered in base64. Wire format as of November 2026. */
import OpenAI from 'openai'
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { ImageModel, ImageRequest, Provider, ProviderSetting, Size, Started, Usage, VendorModel, Warning } from '../generation/provider.ts'
import { checkTimeLeft } from './call-failures.ts'
import { longFetch } from './long-fetch.ts'
import { toMultipart, type FormPart } from './multipart.ts'
import { toOpenAIError } from './openai-errors.ts'
import { trustedOriginOf } from './trusted-origin.ts'

export const openAISetting: ProviderSetting = {
  id: 'openai',
  keyVariable: 'OPENAI_API_KEY',
  baseURLVariable: 'OPENAI_BASE_URL',
  baseURL: 'https://api.openai.com/v1',
}

/** What each family takes beyond what all do. */
const FAMILIES = {
  'gpt-image-1.5': { inputFidelity: ['low', 'high'] },
  'gpt-image-1-mini': { inputFidelity: ['low'] },
  'gpt-image-2': { anySize: true },
  'gpt-image-2.5': { anySize: true, fineQuality: true },
} satisfies Record<string, Family>

interface Family {
  inputFidelity?: readonly string[]
  /** Any size on the grid, where the others know three. */
  anySize?: boolean
  /** `xhigh` and `max`. */
  fineQuality?: boolean
}

/** Both sides must be multiples of it, and the product may not exceed the other (image guide). */
const SIDE_STEP = 16
const MAX_PIXELS = 8_294_400

const PROBE_TIMEOUT_MS = 10_000
/** Above the caller's own signal, so that it alone decides how long a picture may take. */
const SDK_TIMEOUT_MS = 1_800_000

/** `providerOptions.openai`: what only this vendor knows. */
const optionsSchema = z.strictObject({
  quality: z.enum(['low', 'medium', 'high', 'xhigh', 'max', 'auto']).optional(),
  background: z.enum(['transparent', 'opaque', 'auto']).optional(),
  outputFormat: z.enum(['png', 'jpeg', 'webp']).optional(),
  /** Percent; jpeg and webp only. */
  outputCompression: z.int().min(0).max(100).optional(),
  moderation: z.enum(['auto', 'low']).optional(),
  /** How closely an edit keeps to its pictures; gpt-image-1.5 and 1-mini only. */
  inputFidelity: z.enum(['low', 'high']).optional(),
})

type OpenAIOptions = z.infer<typeof optionsSchema>

export interface CreateOpenAIOptions {
  apiKey: string
  baseURL: string
  fetch?: typeof fetch
}

export function createOpenAI(options: CreateOpenAIOptions): Provider {
  const client = new OpenAI({
    apiKey: options.apiKey,
    baseURL: options.baseURL,
    organization: null,
    project: null,
    maxRetries: 0,
    // A redirected create would be sent twice.
    fetchOptions: { redirect: 'manual' },
    logLevel: 'off',
    fetch: options.fetch ?? longFetch,
  })
  const trustedOrigin = trustedOriginOf(options.baseURL)
  return {
    id: openAISetting.id,
    optionsSchema,
    ...(trustedOrigin !== undefined && { trustedOrigin }),
    image: (model) => createImages(client, model),
    // Free, and needs the key.
    probe: ({ signal }) => client.get<unknown>('/models', { signal, timeout: PROBE_TIMEOUT_MS }).catch((error: unknown) => Promise.reject(toOpenAIError(error))),
  }
}

function createImages(client: OpenAI, model: VendorModel): ImageModel {
  return {
    async start(request, { signal }) {
      if (request.task === 'remove-background') throw new ProviderError('invalid_request', 'This model does not cut out pictures. Choose another one.', { provider: openAISetting.id, charged: 'no' })
      const { fields, warnings } = toFields(model, request)
      const call = request.task === 'edit' ? { path: '/images/edits', ...(await toMultipart(toParts(fields, request))) } : { path: '/images/generations', body: fields }
      checkTimeLeft(openAISetting.id, signal)
      try {
        const { path, ...rest } = call
        const { data, response } = await client.post<unknown>(path, { ...rest, signal, timeout: SDK_TIMEOUT_MS }).withResponse()
        return toStarted(data, warnings, response.headers.get('x-request-id') ?? undefined)
      } catch (error) {
        throw toOpenAIError(error)
      }
    },
  }
}

/** An id that is newer than this file is taken for one of the newest known kind. */
function toFamily({ vendorId, family }: VendorModel): Family {
  const named = [family, /^gpt-image-(?:1-mini|1\.5|2(?!\.))/.exec(vendorId)?.[0]].find((name) => name !== undefined && name in FAMILIES)
  if (named !== undefined) return FAMILIES[named as keyof typeof FAMILIES]
  return vendorId === 'chatgpt-image-latest' ? FAMILIES['gpt-image-1.5'] : FAMILIES['gpt-image-2.5']
}

/** The vendor's fields that both calls share. `response_format` and `n` are never said: the one is refused, the other is 1. */
function toFields(model: VendorModel, request: ImageRequest): { fields: Record<string, string | number>; warnings: Warning[] } {
  const family = toFamily(model)
  const { quality, background, outputFormat, outputCompression, moderation, inputFidelity } = request.providerOptions as OpenAIOptions
  const warnings: Warning[] = []
  const accepts = (setting: string, value: unknown, isAccepted: boolean, why: string): boolean => {
    if (value !== undefined && !isAccepted) warnings.push({ type: 'unsupported', setting, message: `${why}: it was left out.` })
    return value !== undefined && isAccepted
  }
  const option = (name: string) => `providerOptions.openai.${name}`
  accepts('seed', request.seed, false, `${model.vendorId} takes no seed`)
  accepts('negativePrompt', request.negativePrompt, false, `${model.vendorId} takes no negative prompt`)
  const fidelityProblem = request.task === 'edit' ? `${model.vendorId} takes no such inputFidelity` : 'inputFidelity is for edits'
  const fields = {
    model: model.vendorId,
    prompt: request.prompt,
    size: toSize(request.size, family, warnings),
    ...(accepts(option('quality'), quality, family.fineQuality === true || (quality !== 'xhigh' && quality !== 'max'), `${model.vendorId} takes no quality ${quality}`) && { quality }),
    ...(accepts(option('background'), background, background !== 'transparent' || outputFormat !== 'jpeg', 'A jpeg cannot be transparent') && { background }),
    ...(outputFormat !== undefined && { output_format: outputFormat }),
    ...(accepts(option('outputCompression'), outputCompression, outputFormat === 'jpeg' || outputFormat === 'webp', 'Only jpeg and webp can be compressed') && { output_compression: outputCompression }),
    ...(moderation !== undefined && { moderation }),
    ...(accepts(option('inputFidelity'), inputFidelity, request.task === 'edit' && (family.inputFidelity ?? []).includes(inputFidelity ?? ''), fidelityProblem) && { input_fidelity: inputFidelity }),
  }
  return { fields: fields as Record<string, string | number>, warnings }
}

/** The next size on the vendor's grid. */
function toSize({ width, height }: Size, { anySize }: Family, warnings: Warning[]): string {
  if (!anySize) return `${width}x${height}`
  const up = (side: number) => Math.ceil(side / SIDE_STEP) * SIDE_STEP
  const down = (side: number) => Math.floor(side / SIDE_STEP) * SIDE_STEP
  const onGrid = up(width) * up(height) <= MAX_PIXELS ? `${up(width)}x${up(height)}` : `${down(width)}x${down(height)}`
  if (onGrid !== `${width}x${height}`) warnings.push({ type: 'adjusted', setting: 'size', message: `The model makes sides that are multiples of ${SIDE_STEP} pixels: ${onGrid} was asked for.` })
  return onGrid
}

function toParts(fields: Record<string, string | number>, { images, mask }: ImageRequest): FormPart[] {
  const name = images.length === 1 ? 'image' : 'image[]'
  return [...Object.entries(fields), ...images.map((image): FormPart => [name, image]), ...(mask ? [['mask', mask] satisfies FormPart] : [])]
}

function toStarted(data: unknown, warnings: Warning[], providerRequestId: string | undefined): Started {
  const parsed = answerSchema.safeParse(data)
  // The vendor said yes in a way that cannot be read: a picture may have been made and billed.
  if (!parsed.success) throw new ProviderError('submission_unknown', 'OpenAI answered in a form that this service does not understand.', { provider: openAISetting.id, charged: 'unknown', statusCode: 200, providerRequestId, cause: parsed.error })
  const outputs = parsed.data.data.map(({ b64_json: base64 }) => ({ type: 'bytes' as const, bytes: Buffer.from(base64, 'base64') }))
  if (outputs.length === 0) throw new ProviderError('provider_failed', 'The provider answered without a picture.', { provider: openAISetting.id, charged: 'unknown', statusCode: 200, providerRequestId })
  const usage = toUsage(parsed.data.usage)
  return { outputs, warnings, ...(providerRequestId !== undefined && { providerRequestId }), ...(usage && { usage }) }
}

/** Input whose kind is not told counts as text. */
function toUsage(usage: z.infer<typeof answerSchema>['usage']): Usage | undefined {
  if (!usage) return undefined
  const imageTokens = usage.input_tokens_details?.image_tokens ?? 0
  return { textTokens: usage.input_tokens - imageTokens, imageTokens, outputTokens: usage.output_tokens }
}

/** Read tolerantly: fields are added weekly. */
const answerSchema = z.object({
  data: z.array(z.object({ b64_json: z.string().min(1) })),
  usage: z
    .object({ input_tokens: z.number(), output_tokens: z.number(), input_tokens_details: z.object({ image_tokens: z.number().nullish() }).nullish() })
    .nullish()
    .catch(undefined),
})
