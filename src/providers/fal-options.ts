/** `providerOptions.fal`: what only this vendor's models know. Its safety checks are not among them: they are the operator's. */
import { z } from 'zod'

export const falOptionsSchema = z.strictObject({
  /** `low` waits until nobody else of the account does. */
  priority: z.enum(['normal', 'low']).optional(),
  numInferenceSteps: z.int().min(1).max(50).optional(),
  /** How closely to follow the prompt. */
  guidanceScale: z.number().min(0).max(20).optional(),
  acceleration: z.enum(['none', 'regular', 'high']).optional(),
  outputFormat: z.enum(['jpeg', 'png', 'webp']).optional(),
  /** Whether the vendor may write more into the prompt. */
  expandPrompt: z.boolean().optional(),
  /** Less processed, more natural pictures; FLUX 1.1 ultra only. */
  raw: z.boolean().optional(),
  /** How far an edit may leave its picture; FLUX.1 dev only. */
  strength: z.number().min(0.01).max(1).optional(),
  /** How much moves; Stable Video only. */
  motionBucketId: z.int().min(1).max(255).optional(),
  /** Noise added to the first frame; Stable Video only. */
  condAug: z.number().min(0).max(10).optional(),
})

export type FalOptions = z.infer<typeof falOptionsSchema>

export const toHeaders = ({ priority }: FalOptions): Record<string, string> => (priority === undefined ? {} : { 'x-fal-queue-priority': priority })
