/** What the models of the simulated Replicate take, as the schemas on their pages have it. Inputs are checked at the create. */
export interface SimulatedModel {
  name: string
  fields: string[]
  required: string[]
  gives: 'one' | 'many' | 'film'
  /** Community models run by this version alone. */
  version?: string
}

export const SDXL_VERSION = '7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc'

const FLUX = ['prompt', 'aspect_ratio', 'num_outputs', 'num_inference_steps', 'seed', 'output_format', 'output_quality', 'go_fast', 'megapixels', 'disable_safety_checker']
const SEEDANCE = ['prompt', 'image', 'last_frame_image', 'duration', 'resolution', 'aspect_ratio']

export const MODELS: SimulatedModel[] = [
  { name: 'black-forest-labs/flux-schnell', fields: FLUX, required: ['prompt'], gives: 'many' },
  { name: 'black-forest-labs/flux-dev', fields: [...FLUX, 'guidance', 'image', 'prompt_strength'], required: ['prompt'], gives: 'many' },
  { name: 'black-forest-labs/flux-1.1-pro', fields: ['prompt', 'aspect_ratio', 'width', 'height', 'output_format', 'output_quality', 'safety_tolerance', 'seed', 'prompt_upsampling', 'image_prompt'], required: ['prompt'], gives: 'one' },
  { name: 'black-forest-labs/flux-kontext-pro', fields: ['prompt', 'input_image', 'aspect_ratio', 'seed', 'output_format', 'safety_tolerance', 'prompt_upsampling'], required: ['prompt'], gives: 'one' },
  { name: 'stability-ai/sdxl', version: SDXL_VERSION, fields: ['prompt', 'negative_prompt', 'image', 'mask', 'width', 'height', 'num_outputs', 'num_inference_steps', 'guidance_scale', 'prompt_strength', 'seed'], required: [], gives: 'many' },
  { name: 'bria/remove-background', fields: ['image', 'image_url', 'preserve_alpha', 'content_moderation'], required: ['image'], gives: 'one' },
  { name: 'bytedance/seedance-1-pro', fields: [...SEEDANCE, 'fps', 'camera_fixed', 'seed'], required: ['prompt'], gives: 'film' },
  { name: 'bytedance/seedance-2.0', fields: [...SEEDANCE, 'generate_audio', 'reference_images'], required: ['prompt'], gives: 'film' },
  { name: 'someone/any-model', fields: ['prompt', 'aspect_ratio', 'image', 'seed', 'duration', 'resolution', 'generate_audio'], required: [], gives: 'one' },
]

export function findInputFault(model: SimulatedModel, input: Record<string, unknown>): { field: string; words: string } | undefined {
  const extra = Object.keys(input).find((field) => !model.fields.includes(field))
  if (extra !== undefined) return { field: extra, words: `Additional property ${extra} is not allowed` }
  const missing = model.required.find((field) => input[field] === undefined)
  if (missing !== undefined) return { field: missing, words: `${missing} is required` }
  const wrong = ['width', 'height'].find((field) => typeof input[field] === 'number' && (input[field] < 256 || input[field] > 1440) && model.name.includes('flux'))
  return wrong === undefined ? undefined : { field: wrong, words: `${wrong} is out of range` }
}
