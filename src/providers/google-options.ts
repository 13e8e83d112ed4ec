/** `providerOptions.google`: what only this vendor knows, for pictures and videos. */
import { z } from 'zod'

export const googleOptionsSchema = z.strictObject({
  /** How freely a picture is made, 0 to 2; the vendor's default is 1. */
  temperature: z.number().min(0).max(2).optional(),
  /** What a video does with the given picture: begins with it, or only shows what is in it. */
  pictureUse: z.enum(['first-frame', 'reference']).optional(),
})

export type GoogleOptions = z.infer<typeof googleOptionsSchema>
