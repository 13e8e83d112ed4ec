/** `providerOptions.runway`: what only this vendor knows, for pictures and videos. */
import { z } from 'zod'

/** A tag by which the prompt may speak of a picture, as in `@style`. */
const tag = z.string().regex(/^[A-Za-z]\w{2,15}$/, 'must be 3 to 16 letters, digits or underscores and begin with a letter')

export const runwayOptionsSchema = z.strictObject({
  /** How strict the vendor is about well-known people; Runway's own models only. */
  publicFigureThreshold: z.enum(['auto', 'low']).optional(),
  /** What is not to be seen in a video; Veo only. */
  negativePrompt: z.string().min(1).max(1000).optional(),
  /** Names of the given pictures, in their order; `image1`, `image2` and `image3` where absent. */
  referenceTags: z.array(tag).min(1).max(3).optional(),
})

export type RunwayOptions = z.infer<typeof runwayOptionsSchema>
