/** What Stability's endpoints accept, as its fact sheet has it in November 2026. */
import sharp from 'sharp'

const RATIOS = ['16:9', '1:1', '21:9', '2:3', '3:2', '4:5', '5:4', '9:16', '9:21']
const STYLES = ['3d-model', 'analog-film', 'anime', 'cinematic', 'comic-book', 'digital-art', 'enhance', 'fantasy-art', 'isometric', 'line-art', 'low-poly', 'modeling-compound', 'neon-punk', 'origami', 'photographic', 'pixel-art', 'tile-texture']
const MODELS = ['sd3.5-large', 'sd3.5-large-turbo', 'sd3.5-medium']
const COMMON = ['prompt', 'aspect_ratio', 'negative_prompt', 'seed', 'output_format']

interface Rule {
  fields: string[]
  formats: string[]
  /** Of the picture that is made. */
  pixels: number
}

export const RULES = {
  '/v2beta/stable-image/generate/core': { fields: [...COMMON, 'style_preset'], formats: ['png', 'jpeg', 'webp'], pixels: 1_572_864 },
  '/v2beta/stable-image/generate/ultra': { fields: [...COMMON, 'image', 'strength'], formats: ['png', 'jpeg', 'webp'], pixels: 1_048_576 },
  '/v2beta/stable-image/generate/sd3': { fields: [...COMMON, 'image', 'strength', 'mode', 'model', 'cfg_scale'], formats: ['png', 'jpeg'], pixels: 1_048_576 },
  '/v2beta/stable-image/edit/remove-background': { fields: ['image', 'output_format'], formats: ['png', 'webp'], pixels: 0 },
} satisfies Record<string, Rule>

export type StabilityPath = keyof typeof RULES

/** @returns the errors, each beginning with its field. */
export async function checkStabilityForm(path: StabilityPath, form: FormData): Promise<string[]> {
  const rule: Rule = RULES[path]
  const errors: string[] = []
  for (const field of form.keys()) if (!rule.fields.includes(field)) errors.push(`${field}: is not a known field`)
  const text = (field: string) => {
    const value = form.get(field)
    return typeof value === 'string' ? value : undefined
  }
  const oneOf = (field: string, values: string[]) => {
    const value = text(field)
    if (value !== undefined && !values.includes(value)) errors.push(`${field}: must be one of ${values.join(', ')}`)
  }
  const within = (field: string, min: number, max: number, isWhole = false) => {
    const value = text(field)
    if (value === undefined) return
    const number = Number(value)
    if (value === '' || !(number >= min && number <= max) || (isWhole && !Number.isInteger(number))) errors.push(`${field}: must be between ${min} and ${max}`)
  }
  oneOf('aspect_ratio', RATIOS)
  oneOf('style_preset', STYLES)
  oneOf('output_format', rule.formats)
  oneOf('mode', ['text-to-image', 'image-to-image'])
  oneOf('model', MODELS)
  within('seed', 0, 4_294_967_294, true)
  within('strength', 0, 1)
  within('cfg_scale', 1, 10)
  const prompt = text('prompt') ?? ''
  if (rule.fields.includes('prompt') && (prompt === '' || prompt.length > 10_000)) errors.push('prompt: cannot be blank')
  errors.push(...checkMode(path, form), ...(await checkPicture(path, form)))
  return errors
}

function checkMode(path: StabilityPath, form: FormData): string[] {
  const hasImage = form.has('image')
  if (hasImage !== form.has('strength') && path.includes('/generate/')) return ['strength: goes with an image, and an image with it']
  if (!path.endsWith('/sd3')) return []
  const isImageMode = form.get('mode') === 'image-to-image'
  if (isImageMode !== hasImage) return ['mode: does not fit the image']
  return isImageMode && form.has('aspect_ratio') ? ['aspect_ratio: is for text-to-image only'] : []
}

async function checkPicture(path: StabilityPath, form: FormData): Promise<string[]> {
  const image = form.get('image')
  if (image === null) return path.includes('/edit/') ? ['image: is required'] : []
  if (!(image instanceof File) || !['image/jpeg', 'image/png', 'image/webp'].includes(image.type)) return ['image: must be a JPEG, PNG or WebP file']
  try {
    const { width, height } = await sharp(Buffer.from(await image.arrayBuffer())).metadata()
    const pixels = width * height
    if (Math.min(width, height) < 64) return ['image: each side must be at least 64 pixels']
    return path.includes('/edit/') && (pixels < 4096 || pixels > 4_194_304) ? ['image: must have from 4096 to 4194304 pixels'] : []
  } catch {
    return ['image: cannot be decoded']
  }
}

const CREDITS: Partial<Record<string, number>> = { core: 3, ultra: 8, 'remove-background': 5, 'sd3.5-large': 6.5, 'sd3.5-large-turbo': 4, 'sd3.5-medium': 3.5 }

/** What a picture costs. */
export function creditsOf(path: StabilityPath, form: FormData): number {
  const model = form.get('model')
  return CREDITS[typeof model === 'string' ? model : path.split('/').at(-1)!] ?? CREDITS['sd3.5-large']!
}
