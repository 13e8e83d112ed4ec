/** What models cost, as data. Every figure is in millionths of a US dollar. */
import { z } from 'zod'
import type { Size, Usage } from './provider.ts'

const micros = z.int().min(0)
const byResolution = z.record(z.string().min(1), micros)

/** For a million tokens of each kind. Those that no price is known of cost nothing in what is settled. */
const tokenPriceSchema = z.strictObject({ text: micros.default(0), image: micros.default(0), output: micros })

export type TokenPrice = z.infer<typeof tokenPriceSchema>

export const imagePriceSchema = z.discriminatedUnion('per', [
  /** `small`: another price up to so many pixels. */
  z.strictObject({ per: z.literal('image'), usdMicros: micros, small: z.strictObject({ maxPixels: z.int().min(1), usdMicros: micros }).optional() }),
  /** For each megapixel that is begun, of 1024 times 1024. */
  z.strictObject({ per: z.literal('megapixel'), usdMicros: micros }),
  /** `typical`: what one picture comes to, for estimates. */
  z.strictObject({ per: z.literal('token'), perMillion: tokenPriceSchema, typical: micros.optional() }),
])

export const videoPriceSchema = z.discriminatedUnion('per', [
  z.strictObject({ per: z.literal('second'), usdMicros: byResolution }),
  /** Whatever its length. */
  z.strictObject({ per: z.literal('video'), usdMicros: micros }),
  /** For a million tokens of output; `perSecond`: what a second comes to, for estimates. */
  z.strictObject({ per: z.literal('token'), perMillion: byResolution, perSecond: byResolution }),
])

export type ImagePrice = z.infer<typeof imagePriceSchema>
export type VideoPrice = z.infer<typeof videoPriceSchema>

const MEGAPIXEL = 1024 * 1024

/** @param size what the vendor is asked for. @returns null where nobody knows. */
export function estimateImages(price: ImagePrice | undefined, size: Size, n: number): number | null {
  switch (price?.per) {
    case 'image':
      return n * (price.small && size.width * size.height <= price.small.maxPixels ? price.small.usdMicros : price.usdMicros)
    case 'megapixel':
      return n * Math.ceil((size.width * size.height) / MEGAPIXEL) * price.usdMicros
    case 'token':
      return price.typical === undefined ? null : n * price.typical
    default:
      return null
  }
}

/** @param duration seconds. @returns null where nobody knows. */
export function estimateVideo(price: VideoPrice | undefined, resolution: string, duration: number): number | null {
  if (price?.per === 'video') return price.usdMicros
  const perSecond = price?.per === 'token' ? price.perSecond[resolution] : price?.usdMicros[resolution]
  return perSecond === undefined ? null : perSecond * duration
}

/** What the vendor's usage is settled by, where it bills tokens. */
export const imageTokenPrice = (price: ImagePrice | undefined): TokenPrice | undefined => (price?.per === 'token' ? price.perMillion : undefined)

export function videoTokenPrice(price: VideoPrice | undefined, resolution: string): TokenPrice | undefined {
  const output = price?.per === 'token' ? price.perMillion[resolution] : undefined
  return output === undefined ? undefined : { text: 0, image: 0, output }
}

/** What was used, in money. Undefined where the vendor told nothing or its tokens have no price. */
export function costOf(price: TokenPrice | undefined, usage: Usage | undefined): number | undefined {
  if (!price || !usage) return undefined
  const { textTokens = 0, imageTokens = 0, outputTokens } = usage
  return Math.round((textTokens * price.text + imageTokens * price.image + outputTokens * price.output) / 1_000_000)
}
