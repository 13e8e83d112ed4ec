/** What a gateway's pictures and videos share: `providerOptions.<id>`, and the way that files and prices travel. */
import { z } from 'zod'
import type { InputFile } from '../generation/provider.ts'

/** A closed list: an open one would let users ask for ten pictures, or for another model, at the operator's cost. */
export const gatewayOptionsSchema = z.strictObject({
  /** In the words of the model behind the gateway. */
  quality: z.string().min(1).max(20).optional(),
  style: z.string().min(1).max(50).optional(),
  background: z.enum(['transparent', 'opaque', 'auto']).optional(),
  outputFormat: z.enum(['png', 'jpeg', 'webp']).optional(),
  /** Percent; jpeg and webp only. */
  outputCompression: z.int().min(0).max(100).optional(),
  /** How closely an edit keeps to its pictures. */
  inputFidelity: z.enum(['low', 'high']).optional(),
  /** How the picture travels; both end in storage. */
  responseFormat: z.enum(['url', 'b64_json']).optional(),
  /** Frames of a video in a second. */
  fps: z.int().min(1).max(120).optional(),
})

export type GatewayOptions = z.infer<typeof gatewayOptionsSchema>

export const toDataUrl = ({ bytes, mediaType }: InputFile): string => `data:${mediaType};base64,${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')}`

/** OpenRouter tells the cost of every call in US dollars. */
export function toCostMicros(usage: unknown): number | undefined {
  const parsed = z.object({ cost: z.number().min(0) }).safeParse(usage)
  return parsed.success ? Math.round(parsed.data.cost * 1_000_000) : undefined
}
