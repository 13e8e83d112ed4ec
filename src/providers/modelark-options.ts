/** `providerOptions.modelark`: what only this vendor knows, for pictures and videos. */
import { z } from 'zod'

export const modelArkOptionsSchema = z.strictObject({
  /** How closely to follow the prompt; Seedream 3.0 only. */
  guidanceScale: z.number().min(1).max(10).optional(),
  optimizePrompt: z.enum(['standard', 'fast']).optional(),
  outputFormat: z.enum(['jpeg', 'png']).optional(),
  webSearch: z.boolean().optional(),
  /** How the picture travels; both end in storage. */
  responseFormat: z.enum(['url', 'b64_json']).optional(),
  /** Whether the camera stands still; Seedance 1 only. */
  cameraFixed: z.boolean().optional(),
})

export type ModelArkOptions = z.infer<typeof modelArkOptionsSchema>
