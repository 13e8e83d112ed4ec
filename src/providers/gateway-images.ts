/** Pictures through a gateway: OpenAI's two calls, or OpenRouter's one. Both answer when the picture is done. */
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { ImageModel, ImageRequest, InputFile, Output, VendorModel, Warning } from '../generation/provider.ts'
import { toUnreadable, type GatewayAnswer, type GatewayCall, type GatewayClient } from './gateway-client.ts'
import { readVendorError, toInnerError } from './gateway-errors.ts'
import { toCostMicros, toDataUrl, type GatewayOptions } from './gateway-options.ts'
import type { FormPart } from './multipart.ts'

type Fields = Record<string, string | number>

export function createGatewayImages(client: GatewayClient, model: VendorModel): ImageModel {
  return {
    async start(request, { signal }) {
      if (request.task === 'remove-background') throw new ProviderError('invalid_request', 'This model does not cut out pictures. Choose another one.', { provider: client.provider, charged: 'no' })
      const warnings: Warning[] = []
      const call = model.family === 'openrouter-images' ? toOpenRouterCall(client.provider, model.vendorId, request, warnings) : toOpenAICall(client.provider, model.vendorId, request, warnings)
      const answer = await client.call({ ...call, purpose: 'create', signal })
      const { outputs, costMicros } = toOutputs(client, answer)
      const { providerRequestId } = answer
      return { outputs, warnings, ...(providerRequestId !== undefined && { providerRequestId }), ...(costMicros !== undefined && { costMicros }) }
    },
  }
}

/** Only what was chosen: gateways pass unknown fields on, drop them, or refuse them. The catalog says what a model takes. */
function toFields(model: string, { prompt, size, seed, negativePrompt, providerOptions }: ImageRequest): Fields {
  const { quality, style, background, outputFormat, outputCompression, inputFidelity, responseFormat } = providerOptions as GatewayOptions
  return defined({
    model,
    prompt,
    size: `${size.width}x${size.height}`,
    seed,
    negative_prompt: negativePrompt,
    quality,
    style,
    background,
    output_format: outputFormat,
    output_compression: outputCompression,
    input_fidelity: inputFidelity,
    response_format: responseFormat,
  })
}

function toOpenAICall(provider: string, model: string, request: ImageRequest, warnings: Warning[]): Pick<GatewayCall, 'path' | 'json' | 'form'> {
  const fields = toFields(model, request)
  if (request.task === 'generate') {
    const { input_fidelity: fidelity, ...json } = fields
    if (fidelity !== undefined) warnings.push({ type: 'unsupported', setting: `providerOptions.${provider}.inputFidelity`, message: 'inputFidelity is for edits: it was left out.' })
    return { path: '/images/generations', json }
  }
  const name = request.images.length === 1 ? 'image' : 'image[]'
  const files = request.images.map((image): FormPart => [name, image])
  return { path: '/images/edits', form: [...Object.entries(fields), ...files, ...(request.mask ? [['mask', request.mask] satisfies FormPart] : [])] }
}

function toOpenRouterCall(provider: string, model: string, request: ImageRequest, warnings: Warning[]): Pick<GatewayCall, 'path' | 'json'> {
  const left = (setting: string, value: unknown) => value === undefined || warnings.push({ type: 'unsupported', setting, message: `The provider takes no ${setting.split('.').at(-1)}: it was left out.` })
  const { style, inputFidelity, responseFormat } = request.providerOptions as GatewayOptions
  for (const [name, value] of Object.entries({ style, inputFidelity, responseFormat })) left(`providerOptions.${provider}.${name}`, value)
  left('mask', request.mask)
  left('negativePrompt', request.negativePrompt)
  const { style: _style, input_fidelity: _fidelity, response_format: _format, negative_prompt: _negative, ...fields } = toFields(model, request)
  const references = request.images.map((image: InputFile) => ({ type: 'image_url', image_url: { url: toDataUrl(image) } }))
  return { path: '/images', json: { ...fields, ...(references.length > 0 && { input_references: references }) } }
}

function defined(fields: Record<string, string | number | undefined>): Fields {
  return Object.fromEntries(Object.entries(fields).filter((field): field is [string, string | number] => field[1] !== undefined))
}

function toOutputs(client: GatewayClient, { data, providerRequestId }: GatewayAnswer): { outputs: Output[]; costMicros: number | undefined } {
  const parsed = answerSchema.safeParse(data)
  // The gateway said yes in a way that cannot be read: a picture may have been made and billed.
  if (!parsed.success) throw toUnreadable(client.provider, 'create', providerRequestId, parsed.error)
  const outputs = parsed.data.data.flatMap((item) => toOutput(client, item) ?? [])
  if (outputs.length > 0) return { outputs, costMicros: toCostMicros(parsed.data.usage) }
  const error = [...parsed.data.data, data].map(readVendorError).find((one) => one !== undefined)
  throw toInnerError(client.provider, error ?? { words: [], text: '', hasReasons: false, isPassing: false }, providerRequestId)
}

/** A link, which may be relative to the host, or bytes, which may come as a link too. */
function toOutput(client: GatewayClient, { url, b64_json: base64 }: z.infer<typeof itemSchema>): Output | undefined {
  const inline = base64 || (url && /^data:/i.test(url) ? url : undefined)
  if (inline) return { type: 'bytes', bytes: Buffer.from(inline.replace(/^data:[^,]*,/i, ''), 'base64') }
  const address = url ? client.resolve(url) : undefined
  return address === undefined ? undefined : { type: 'url', url: address }
}

const itemSchema = z.object({ url: z.string().nullish().catch(undefined), b64_json: z.string().nullish().catch(undefined), error: z.unknown().optional() })

/** Read tolerantly: each gateway leaves out something else. */
const answerSchema = z.object({ data: z.array(itemSchema), usage: z.unknown().optional() })
