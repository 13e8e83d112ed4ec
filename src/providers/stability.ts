/** Stability's pictures. It has no SDK: one multipart call that answers with the picture. Wire format as of November 2026. */
import { ProviderError } from '../errors.ts'
import type { ImageModel, ImageRequest, InputFile, Provider, ProviderSetting, Size, Started, VendorModel, Warning } from '../generation/provider.ts'
import { encodeForm } from './encode-form.ts'
import { longFetch } from './long-fetch.ts'
import { toFinishError, toLostError, toStatusError, unreadable } from './stability-errors.ts'
import { stabilityOptionsSchema, type StabilityOptions } from './stability-options.ts'
import { trustedOriginOf } from './trusted-origin.ts'

export const stabilitySetting: ProviderSetting = {
  id: 'stability',
  keyVariable: 'STABILITY_API_KEY',
  baseURLVariable: 'STABILITY_BASE_URL',
  baseURL: 'https://api.stability.ai',
}

export interface StabilityInput {
  apiKey: string
  baseURL: string
  fetch?: typeof fetch
}

type Setting = 'seed' | 'negativePrompt' | 'aspectRatio' | 'stylePreset' | 'cfgScale'

interface Family {
  path: string
  tasks: readonly ImageRequest['task'][]
  /** What it knows of a request's settings, by the names that they have here. */
  knows: readonly Setting[]
  formats: readonly string[]
  /** Whether several models share the address, and the request names one and its mode. */
  isNamed?: true
}

const FAMILIES = {
  core: { path: '/v2beta/stable-image/generate/core', tasks: ['generate'], knows: ['seed', 'negativePrompt', 'aspectRatio', 'stylePreset'], formats: ['png', 'jpeg', 'webp'] },
  ultra: { path: '/v2beta/stable-image/generate/ultra', tasks: ['generate', 'edit'], knows: ['seed', 'negativePrompt', 'aspectRatio'], formats: ['png', 'jpeg', 'webp'] },
  sd3: { path: '/v2beta/stable-image/generate/sd3', tasks: ['generate', 'edit'], knows: ['seed', 'negativePrompt', 'aspectRatio', 'cfgScale'], formats: ['png', 'jpeg'], isNamed: true },
  'remove-background': { path: '/v2beta/stable-image/edit/remove-background', tasks: ['remove-background'], knows: [], formats: ['png', 'webp'] },
} satisfies Record<string, Family>

const ASPECT_RATIOS = ['16:9', '1:1', '21:9', '2:3', '3:2', '4:5', '5:4', '9:16', '9:21']
/** The vendor wants a strength with every picture to work on: this much of the picture is made anew. */
const DEFAULT_STRENGTH = 0.7
const EXTENSIONS: Record<string, string> = { 'image/jpeg': 'jpg', 'image/png': 'png', 'image/webp': 'webp' }

/** An id that is not known here is taken for a further Stable Diffusion: that address alone takes a model's name. */
function toFamily({ vendorId, family }: VendorModel): Family {
  const named = family ?? vendorId.replace(/^stable-image-/, '')
  return named in FAMILIES ? FAMILIES[named as keyof typeof FAMILIES] : FAMILIES.sd3
}

/** Sends a request to the vendor. A redirect is not followed: the key would go to wherever it leads. */
type Send = (path: string, init: RequestInit) => Promise<Response>

export function createStability(options: StabilityInput): Provider {
  const fetch = options.fetch ?? longFetch
  const base = options.baseURL.replace(/\/+$/, '')
  const trustedOrigin = trustedOriginOf(options.baseURL)
  const send: Send = (path, init) => fetch(base + path, { ...init, redirect: 'manual', headers: { ...(init.headers as Record<string, string>), authorization: `Bearer ${options.apiKey}` } })
  return {
    id: stabilitySetting.id,
    optionsSchema: stabilityOptionsSchema,
    ...(trustedOrigin !== undefined && { trustedOrigin }),
    image: (model) => createStabilityImage(send, model),
    // The credits that are left.
    probe: ({ signal }) => probe(send, signal),
  }
}

async function probe(send: Send, signal: AbortSignal): Promise<unknown> {
  try {
    const response = await send('/v1/user/balance', { headers: { accept: 'application/json' }, signal: AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]) })
    if (!response.ok) throw toStatusError(response, await response.text(), 'free')
    return await response.json()
  } catch (error) {
    throw toLostError(error, 'free')
  }
}

const PROBE_TIMEOUT_MS = 10_000

function createStabilityImage(send: Send, model: VendorModel): ImageModel {
  const family = toFamily(model)
  return {
    async start(request, { signal }) {
      const { form, warnings } = toForm(model.vendorId, family, request)
      const { headers, body } = await encodeForm(form)
      // What was never sent is never paid.
      if (signal.aborted) throw new ProviderError('provider_timeout', 'There was no time left to ask the provider.', { provider: stabilitySetting.id, charged: 'no', isRetryable: true })
      try {
        // As bytes: in JSON they would come as base64, a third larger.
        const response = await send(family.path, { method: 'POST', headers: { ...headers, accept: 'image/*' }, body, signal })
        if (response.status !== 200) throw toStatusError(response, await response.text(), 'paid')
        return { ...(await toOutput(response)), warnings }
      } catch (error) {
        throw toLostError(error, 'paid')
      }
    },
  }
}

async function toOutput(response: Response): Promise<Omit<Extract<Started, { outputs: unknown }>, 'warnings'>> {
  const providerRequestId = response.headers.get('x-request-id') ?? undefined
  const finishReason = response.headers.get('finish-reason') ?? 'SUCCESS'
  const bytes = new Uint8Array(await response.arrayBuffer())
  // A refused picture comes too, blurred.
  if (finishReason !== 'SUCCESS') throw toFinishError(finishReason, providerRequestId)
  if (bytes.byteLength === 0 || !response.headers.get('content-type')?.startsWith('image/')) throw unreadable(providerRequestId)
  return { outputs: [{ type: 'bytes', bytes }], ...(providerRequestId !== undefined && { providerRequestId }) }
}

function toForm(model: string, family: Family, request: ImageRequest): { form: FormData; warnings: Warning[] } {
  const { task, images } = request
  const [image] = images
  if (!family.tasks.includes(task) || (task !== 'generate' && !image)) {
    const problem = family.tasks.includes(task) ? 'needs a picture to work on' : task === 'remove-background' ? 'cannot cut out a background' : task === 'edit' ? 'makes pictures from text alone' : 'makes no pictures from text'
    throw new ProviderError('invalid_request', `${model} ${problem}.`, { provider: stabilitySetting.id, charged: 'no' })
  }
  const warnings: Warning[] = []
  const form = new FormData()
  if (task !== 'remove-background') form.append('prompt', request.prompt)
  if (family.isNamed) {
    form.append('mode', image ? 'image-to-image' : 'text-to-image')
    form.append('model', model)
  }
  if (image) form.append('image', new Blob([Buffer.from(image.bytes)], { type: image.mediaType }), toFilename(image))
  if (task === 'edit') form.append('strength', String((request.providerOptions as StabilityOptions).strength ?? DEFAULT_STRENGTH))
  addSettings(model, family, request, { form, warnings })
  return { form, warnings }
}

function addSettings(model: string, family: Family, request: ImageRequest, { form, warnings }: { form: FormData; warnings: Warning[] }): void {
  const { stylePreset, cfgScale, strength, outputFormat } = request.providerOptions as StabilityOptions
  const unsupported = (setting: string) => void warnings.push({ type: 'unsupported', setting, message: `${model} takes no ${setting.split('.').at(-1)}: it was left out.` })
  const add = (setting: Setting, path: string, field: string, value: string | number | undefined) => {
    if (value === undefined) return
    if (family.knows.includes(setting)) form.append(field, String(value))
    else unsupported(path)
  }
  // Next to a picture to work on, Stable Diffusion takes none: the result has the picture's shape.
  if (family.knows.includes('aspectRatio') && !(family.isNamed && request.task === 'edit')) form.append('aspect_ratio', toAspectRatio(request.size))
  add('seed', 'seed', 'seed', request.seed)
  if (request.seed === 0 && family.knows.includes('seed')) warnings.push({ type: 'adjusted', setting: 'seed', message: `${model} takes the seed 0 for a random one.` })
  add('negativePrompt', 'negativePrompt', 'negative_prompt', request.negativePrompt)
  add('stylePreset', 'providerOptions.stability.stylePreset', 'style_preset', stylePreset)
  add('cfgScale', 'providerOptions.stability.cfgScale', 'cfg_scale', cfgScale)
  if (strength !== undefined && request.task !== 'edit') unsupported('providerOptions.stability.strength')
  if (outputFormat !== undefined && !family.formats.includes(outputFormat)) unsupported('providerOptions.stability.outputFormat')
  // Said always: what a missing word means differs between the vendor's documents.
  form.append('output_format', outputFormat !== undefined && family.formats.includes(outputFormat) ? outputFormat : 'png')
  if (request.mask) unsupported('mask')
  if (request.images.length > 1) warnings.push({ type: 'unsupported', setting: 'images', message: `${model} works on one picture: the first was taken.` })
}

/** The nearest that the vendor knows: it takes no sizes. */
function toAspectRatio({ width, height }: Size): string {
  const distance = (name: string) => {
    const [across, down] = name.split(':').map(Number) as [number, number]
    return Math.abs(Math.log((width / height) * (down / across)))
  }
  return ASPECT_RATIOS.toSorted((a, b) => distance(a) - distance(b))[0]!
}

const toFilename = ({ mediaType }: InputFile): string => `image.${EXTENSIONS[mediaType] ?? 'bin'}`
