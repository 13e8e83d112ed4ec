/** `providerOptions.stability`: what only this vendor knows. */
import { z } from 'zod'

export const stabilityOptionsSchema = z.strictObject({
  /** Stable Image Core only. */
  stylePreset: z
    .enum(['3d-model', 'analog-film', 'anime', 'cinematic', 'comic-book', 'digital-art', 'enhance', 'fantasy-art', 'isometric', 'line-art', 'low-poly', 'modeling-compound', 'neon-punk', 'origami', 'photographic', 'pixel-art', 'tile-texture'])
    .optional(),
  /** How far an edit may leave the given picture: 0 keeps it, 1 ignores it. */
  strength: z.number().min(0).max(1).optional(),
  /** How closely to follow the prompt; Stable Diffusion 3.5 only. */
  cfgScale: z.number().min(1).max(10).optional(),
  /** Not every model makes all three. */
  outputFormat: z.enum(['png', 'jpeg', 'webp']).optional(),
})

export type StabilityOptions = z.infer<typeof stabilityOptionsSchema>
