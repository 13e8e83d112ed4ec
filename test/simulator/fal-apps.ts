/** What the models of the simulated fal take and give, as the client's types have it. The queue takes anything; a run does not. */
import sharp from 'sharp'
import type { ModelError } from './fal-words.ts'

interface App {
  pattern: RegExp
  fields: string[]
  required: string[]
  gives: 'images' | 'image' | 'video'
  /** Both sides of `image_size`. */
  sides?: [min: number, max: number]
}

const COMMON = ['prompt', 'seed', 'output_format', 'sync_mode']
const FLUX = [...COMMON, 'num_images', 'enable_safety_checker', 'guidance_scale', 'num_inference_steps', 'acceleration']
const PRO = [...COMMON, 'num_images', 'safety_tolerance', 'enhance_prompt']
const CUTOUT = { fields: ['image_url', 'sync_mode', 'crop_to_bbox', 'output_format'], required: ['image_url'], gives: 'image' as const }

const APPS: App[] = [
  { pattern: /^fal-ai\/flux(-1)?\/(dev|schnell)$/, fields: [...FLUX, 'image_size'], required: ['prompt'], gives: 'images' },
  { pattern: /^fal-ai\/flux(-1)?\/dev\/image-to-image$/, fields: [...FLUX, 'image_url', 'strength'], required: ['prompt', 'image_url'], gives: 'images' },
  { pattern: /^fal-ai\/flux-2$/, fields: [...FLUX, 'image_size', 'enable_prompt_expansion'], required: ['prompt'], gives: 'images', sides: [512, 2048] },
  { pattern: /^fal-ai\/flux-2\/edit$/, fields: [...FLUX, 'image_size', 'enable_prompt_expansion', 'image_urls'], required: ['prompt', 'image_urls'], gives: 'images', sides: [512, 2048] },
  { pattern: /^fal-ai\/flux-2\/(turbo|flash)(\/edit)?$/, fields: [...COMMON, 'num_images', 'guidance_scale', 'image_size', 'enable_prompt_expansion', 'image_urls'], required: ['prompt'], gives: 'images', sides: [512, 2048] },
  { pattern: /^fal-ai\/flux-2-(pro|max)(\/edit)?$/, fields: [...COMMON, 'image_size', 'safety_tolerance', 'enable_safety_checker', 'image_urls'], required: ['prompt'], gives: 'images' },
  { pattern: /^fal-ai\/flux-2-flex(\/edit)?$/, fields: [...COMMON, 'image_size', 'safety_tolerance', 'enable_safety_checker', 'image_urls', 'guidance_scale', 'num_inference_steps'], required: ['prompt'], gives: 'images' },
  { pattern: /^fal-ai\/flux-pro\/v1\.1$/, fields: [...PRO, 'image_size'], required: ['prompt'], gives: 'images' },
  { pattern: /^fal-ai\/flux-pro\/v1\.1-ultra$/, fields: [...PRO, 'aspect_ratio', 'raw', 'image_url'], required: ['prompt'], gives: 'images' },
  { pattern: /^fal-ai\/flux-pro\/kontext$/, fields: [...PRO, 'aspect_ratio', 'guidance_scale', 'image_url'], required: ['prompt', 'image_url'], gives: 'images' },
  { pattern: /^fal-ai\/flux-pro\/kontext\/text-to-image$/, fields: [...PRO, 'aspect_ratio', 'guidance_scale'], required: ['prompt'], gives: 'images' },
  { pattern: /^fal-ai\/imageutils\/rembg$|^fal-ai\/birefnet\/v2$|^fal-ai\/bria\/background\/remove$/, ...CUTOUT },
  { pattern: /^fal-ai\/stable-video$/, fields: ['image_url', 'motion_bucket_id', 'cond_aug', 'fps', 'seed'], required: ['image_url'], gives: 'video' },
  { pattern: /^fal-ai\/fast-svd-lcm$/, fields: ['image_url', 'motion_bucket_id', 'cond_aug', 'fps', 'seed', 'steps'], required: ['image_url'], gives: 'video' },
  { pattern: /^fal-ai\/bytedance\/seedance\/v1\/pro\/(text|image)-to-video$/, fields: ['prompt', 'image_url', 'aspect_ratio', 'resolution', 'duration', 'seed', 'camera_fixed'], required: ['prompt'], gives: 'video' },
  { pattern: /^fal-ai\/veo3\.1$/, fields: ['prompt', 'aspect_ratio', 'resolution', 'duration', 'seed', 'generate_audio'], required: ['prompt'], gives: 'video' },
  { pattern: /^(fal-ai|someone)\/any-model(\/endpoint)?$/, fields: [...COMMON, 'image_size', 'num_images', 'image_url', 'image_urls'], required: [], gives: 'images' },
  { pattern: /^workflows\/someone\/a-flow$/, fields: [...COMMON, 'image_size', 'num_images'], required: [], gives: 'images' },
]

export const findApp = (endpoint: string): App | undefined => APPS.find(({ pattern }) => pattern.test(endpoint))

/** What the run says about its input. */
export async function findFault(app: App, body: Record<string, unknown>): Promise<{ type: ModelError | 'extra_forbidden'; field: string } | undefined> {
  const extra = Object.keys(body).find((field) => !app.fields.includes(field))
  if (extra !== undefined) return { type: 'extra_forbidden', field: extra }
  const missing = app.required.find((field) => body[field] === undefined)
  if (missing !== undefined) return { type: 'missing', field: missing }
  const size = body.image_size as { width: number; height: number } | undefined
  if (size && app.sides && (Math.min(size.width, size.height) < app.sides[0] || Math.max(size.width, size.height) > app.sides[1])) return { type: 'value_error', field: 'image_size' }
  if (body.duration !== undefined && typeof body.duration !== 'string') return { type: 'one_of', field: 'duration' }
  const pictures = [body.image_url, ...((body.image_urls as unknown[] | undefined) ?? [])].filter((url) => url !== undefined)
  for (const url of pictures) if (!(await isPicture(url))) return { type: 'image_load_error', field: 'image_url' }
  return undefined
}

async function isPicture(url: unknown): Promise<boolean> {
  const data = /^data:image\/(png|jpeg|webp);base64,(.+)$/.exec(String(url))
  if (!data) return false
  return await sharp(Buffer.from(data[2]!, 'base64')).metadata().then(({ format }) => format === data[1], () => false)
}
