/** `providerOptions.replicate`: what only its models know. Their safety checks are not among them: they are the operator's. */
import { z } from 'zod'

export const replicateOptionsSchema = z.strictObject({
  numInferenceSteps: z.int().min(1).max(50).optional(),
  /** How closely to follow the prompt. */
  guidanceScale: z.number().min(0).max(20).optional(),
  outputFormat: z.enum(['jpeg', 'png', 'webp']).optional(),
  /** Of JPEG and WebP. */
  outputQuality: z.int().min(1).max(100).optional(),
  /** Whether the vendor may write more into the prompt. */
  expandPrompt: z.boolean().optional(),
  /** Faster and less exact: with it a seed does not give the same picture again. */
  goFast: z.boolean().optional(),
  /** How far an edit may leave its picture. */
  strength: z.number().min(0).max(1).optional(),
  /** Whether the camera stands still; Seedance 1 only. */
  cameraFixed: z.boolean().optional(),
})

export type ReplicateOptions = z.infer<typeof replicateOptionsSchema>
