/** Google's Gemini pictures: made and edited by `generateContent`. Wire format as of November 2026. */
import { z } from 'zod'
import { ProviderError, type Charged } from '../errors.ts'
import type { ImageModel, ImageRequest, InputFile, Size, Started, VendorModel, Warning } from '../generation/provider.ts'
import type { GoogleClient } from './google-client.ts'
import { isContentWord, PROVIDER, toUnreadableError } from './google-errors.ts'
import { uploadFile } from './google-files.ts'
import type { GoogleOptions } from './google-options.ts'

const RATIOS = ['1:1', '2:3', '3:2', '3:4', '4:3', '4:5', '5:4', '9:16', '16:9', '21:9']
const LONG_RATIOS = ['1:4', '4:1', '1:8', '8:1']

interface Family {
  ratios: readonly string[]
  /** Sides of the square of each `imageSize`, from the smallest. */
  sides: Readonly<Record<string, number>>
}

/** What each family makes (its model's page, November 2026). */
const FAMILIES = {
  'gemini-3.1-flash-image': { ratios: [...RATIOS, ...LONG_RATIOS], sides: { '512': 512, '1K': 1024, '2K': 2048, '4K': 4096 } },
  'gemini-3.1-flash-lite-image': { ratios: [...RATIOS, ...LONG_RATIOS], sides: { '1K': 1024 } },
  'gemini-3-pro-image': { ratios: RATIOS, sides: { '1K': 1024, '2K': 2048, '4K': 4096 } },
  // What every model takes.
  other: { ratios: RATIOS, sides: { '1K': 1024 } },
} satisfies Record<string, Family>

function toFamily({ vendorId, family }: VendorModel): Family {
  const name = family ?? vendorId
  return Object.hasOwn(FAMILIES, name) ? FAMILIES[name as keyof typeof FAMILIES] : FAMILIES.other
}

/** The vendor takes a request of about 20 MB; the prompt and the rest have room beside the pictures. */
const MAX_INLINE_CHARACTERS = 19_500_000

export function createGeminiImages(client: GoogleClient, model: VendorModel): ImageModel {
  const family = toFamily(model)
  return {
    async start(request, { signal }) {
      // Before anything was sent: it makes no transparent pictures.
      if (request.task === 'remove-background') throw new ProviderError('invalid_request', 'This model cannot take a background away. Choose another one.', { provider: PROVIDER, charged: 'no' })
      const { body, warnings } = toBody(model.vendorId, family, request, await toParts(client, request.images, signal))
      const data = await client.call('POST', `/models/${encodeURIComponent(model.vendorId)}:generateContent`, { kind: 'picture', signal, body })
      return toStarted(data, warnings)
    },
  }
}

type Part = { inlineData: { mimeType: string; data: string } } | { fileData: { mimeType: string; fileUri: string } }

/** The pictures go along with the request, or ahead of it where they would make that too large. */
async function toParts(client: GoogleClient, images: readonly InputFile[], signal: AbortSignal): Promise<Part[]> {
  const characters = images.reduce((sum, { bytes }) => sum + Math.ceil(bytes.length / 3) * 4, 0)
  if (characters <= MAX_INLINE_CHARACTERS) return images.map(({ bytes, mediaType }) => ({ inlineData: { mimeType: mediaType, data: toBase64(bytes) } }))
  return await Promise.all(images.map(async (image) => ({ fileData: { mimeType: image.mediaType, fileUri: await uploadFile(client, image, signal) } })))
}

function toBody(model: string, family: Family, request: ImageRequest, pictures: Part[]): { body: Record<string, unknown>; warnings: Warning[] } {
  const { temperature, pictureUse } = request.providerOptions as GoogleOptions
  const warnings: Warning[] = []
  const unsupported = (setting: string) => void warnings.push({ type: 'unsupported', setting, message: `${model} takes no ${setting}: it was left out.` })
  const { aspectRatio, imageSize, isNear } = toImageConfig(family, request.size)
  if (!isNear) warnings.push({ type: 'adjusted', setting: 'size', message: `${model} makes no ${request.size.width}x${request.size.height}: it was asked for ${aspectRatio} in ${imageSize}.` })
  if (request.mask !== undefined) unsupported('mask')
  if (request.negativePrompt !== undefined) unsupported('negativePrompt')
  if (pictureUse !== undefined) unsupported('providerOptions.google.pictureUse')
  const body = {
    contents: [{ role: 'user', parts: [{ text: request.prompt }, ...pictures] }],
    generationConfig: {
      // Otherwise it may answer with words alone.
      responseModalities: ['IMAGE'],
      imageConfig: { aspectRatio, imageSize },
      ...(request.seed !== undefined && { seed: request.seed }),
      ...(temperature !== undefined && { temperature }),
    },
  }
  return { body, warnings }
}

/** Documented sizes miss their ratio by up to a hundredth: 1376x768 is what the vendor calls 16:9. */
const RATIO_TOLERANCE = 0.02
/** And their square by up to an eighth: 384x3072 is its 1:8 of 1K. */
const AREA_TOLERANCE = 1.15

/** The vendor's words for a size: the nearest ratio, and the smallest `imageSize` that covers it. */
function toImageConfig({ ratios, sides }: Family, { width, height }: Size): { aspectRatio: string; imageSize: string; isNear: boolean } {
  const distance = (ratio: string) => {
    const [w, h] = ratio.split(':').map(Number) as [number, number]
    return Math.abs(Math.log((width / height) * (h / w)))
  }
  const aspectRatio = ratios.toSorted((a, b) => distance(a) - distance(b))[0]!
  const tiers = Object.entries(sides).toSorted(([, a], [, b]) => a - b)
  const covering = tiers.find(([, side]) => width * height <= side * side * AREA_TOLERANCE)
  return { aspectRatio, imageSize: (covering ?? tiers.at(-1)!)[0], isNear: covering !== undefined && distance(aspectRatio) < RATIO_TOLERANCE }
}

const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')

function toStarted(data: unknown, warnings: Warning[]): Started {
  const parsed = answerSchema.safeParse(data)
  if (!parsed.success) throw toUnreadableError(parsed.error, 'picture')
  const { candidates, usageMetadata: usage, responseId } = parsed.data
  // A thought may hold a sketch of the picture: it is not the picture.
  const picture = candidates.flatMap(({ content }) => content?.parts ?? []).find(({ thought, inlineData }) => thought !== true && inlineData?.data)?.inlineData?.data
  if (!picture) throw toPictureError(parsed.data)
  const tokens = usage?.candidatesTokenCount
  return {
    outputs: [{ type: 'bytes', bytes: Buffer.from(picture, 'base64') }],
    warnings,
    ...(responseId !== undefined && { providerRequestId: responseId }),
    // The few tokens of the prompt are left out: they are a hundredth of it.
    ...(tokens !== undefined && { usage: { outputTokens: tokens } }),
  }
}

/** A 200 without a picture: refused before, or made and withheld. */
function toPictureError({ candidates, promptFeedback, usageMetadata, responseId }: Answer): ProviderError {
  const blockReason = promptFeedback?.blockReason
  const reason = blockReason ?? candidates[0]?.finishReason ?? ''
  const options = { provider: PROVIDER, charged: chargedBy(blockReason, usageMetadata), statusCode: 200, providerRequestId: responseId, cause: new Error(`no picture: ${reason}`) }
  if (blockReason !== undefined) return new ProviderError('content_refused', 'The provider refused the prompt or a picture because of its content. Change it and try again.', options)
  if (reason.endsWith('RECITATION')) return new ProviderError('content_refused', 'The provider withheld its result because it may infringe copyright. Describe it in other words.', options)
  if (reason === 'NO_IMAGE' || reason.endsWith('OTHER')) return new ProviderError('content_refused', 'The provider made no picture of this. Try again or change the prompt.', options)
  if (isContentWord(reason)) return new ProviderError('content_refused', 'The provider withheld its result because of its content. Change the prompt and try again.', options)
  return new ProviderError('provider_failed', 'The provider answered without a picture.', options)
}

/** Its usage says whether anything was made; a prompt that was blocked never got so far. */
function chargedBy(blockReason: string | undefined, usage: Answer['usageMetadata']): Charged {
  if ((usage?.candidatesTokenCount ?? 0) + (usage?.thoughtsTokenCount ?? 0) > 0) return 'yes'
  return blockReason !== undefined || usage !== undefined ? 'no' : 'unknown'
}

/** Read tolerantly: fields are added weekly. */
const answerSchema = z.object({
  candidates: z
    .array(
      z.object({
        finishReason: z.string().optional(),
        content: z.object({ parts: z.array(z.object({ thought: z.boolean().optional(), inlineData: z.object({ data: z.string().optional() }).optional() })).optional() }).optional(),
      }),
    )
    .default([]),
  promptFeedback: z.object({ blockReason: z.string().optional() }).optional(),
  usageMetadata: z.object({ candidatesTokenCount: z.number().optional(), thoughtsTokenCount: z.number().optional() }).optional(),
  responseId: z.string().optional(),
})

type Answer = z.infer<typeof answerSchema>
