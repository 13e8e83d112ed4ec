/** What OpenAI's image endpoints accept, as its fact sheet has it in November 2026. */
import sharp from 'sharp'
import type { ReceivedFile } from './forms.ts'

export interface OpenAIProblem {
  status: number
  code: string
  message: string
  param?: string
}

/** The JSON of a create, or the text fields of its form. */
export type SentFields = Record<string, string | number | undefined>

const CURRENT = /^gpt-image-(2(-2026-04-21)?|2\.5-(sunburst|flare)(-2026-09-08)?|2\.6-(sunburst|flare))$/
const RETIRING = /^(gpt-image-1\.5|gpt-image-1-mini|chatgpt-image-latest)$/
const FIELDS = ['model', 'prompt', 'n', 'size', 'quality', 'background', 'output_format', 'output_compression', 'moderation', 'safety_identifier', 'user', 'stream', 'partial_images']
const VALUES: Record<string, string[]> = { background: ['transparent', 'opaque', 'auto'], output_format: ['png', 'jpeg', 'webp'], moderation: ['auto', 'low'] }
const MIB = 1024 * 1024

const invalid = (param: string): OpenAIProblem => ({ status: 400, code: 'invalid_value', message: `Invalid value for '${param}'.`, param })
const missing = (param: string): OpenAIProblem => ({ status: 400, code: 'missing_required_parameter', message: `Missing required parameter: '${param}'.`, param })

/** @param isEdit whether it came to `/images/edits`, as text fields of a form. */
export function checkFields(body: SentFields, isEdit: boolean): OpenAIProblem | undefined {
  const { model, prompt } = body
  if (typeof prompt !== 'string' || prompt === '') return missing('prompt')
  if (prompt.length > 32_000) return invalid('prompt')
  if (typeof model !== 'string') return missing('model')
  const isCurrent = CURRENT.test(model)
  if (!isCurrent && !RETIRING.test(model)) return { status: 404, code: 'model_not_found', message: `The model '${model}' does not exist.`, param: 'model' }
  const unknown = Object.keys(body).find((field) => !FIELDS.includes(field) && !(isEdit && field === 'input_fidelity' && !isCurrent))
  if (unknown !== undefined) return { status: 400, code: 'unknown_parameter', message: `Unknown parameter: '${unknown}'.`, param: unknown }
  const wrong = Object.keys(VALUES).find((field) => body[field] !== undefined && !VALUES[field]!.includes(String(body[field])))
  if (wrong !== undefined) return invalid(wrong)
  const qualities = ['low', 'medium', 'high', 'auto', ...(/2\.[56]/.test(model) ? ['xhigh', 'max'] : [])]
  if (body.quality !== undefined && !qualities.includes(String(body.quality))) return invalid('quality')
  if (body.background === 'transparent' && body.output_format === 'jpeg') return invalid('background')
  if (body.output_compression !== undefined && !['jpeg', 'webp'].includes(String(body.output_format))) return invalid('output_compression')
  if (!isEdit && typeof (body.output_compression ?? 0) !== 'number') return invalid('output_compression')
  if (body.input_fidelity !== undefined && !(model === 'gpt-image-1-mini' ? ['low'] : ['low', 'high']).includes(String(body.input_fidelity))) return invalid('input_fidelity')
  return isSize(String(body.size ?? 'auto'), isCurrent) ? undefined : invalid('size')
}

function isSize(size: string, isFree: boolean): boolean {
  if (['auto', '1024x1024', '1536x1024', '1024x1536'].includes(size)) return true
  const [, width, height] = /^(\d+)x(\d+)$/.exec(size)?.map(Number) ?? []
  if (!isFree || width === undefined || height === undefined || width % 16 !== 0 || height % 16 !== 0) return false
  const pixels = width * height
  return pixels >= 655_360 && pixels <= 8_294_400 && Math.max(width, height) <= 3840 && Math.max(width / height, height / width) <= 3
}

/** The files of an edit: 1 to 16 pictures, and a mask that fits the first. */
export async function checkFiles(files: readonly ReceivedFile[]): Promise<OpenAIProblem | undefined> {
  const images = files.filter(({ name }) => name === 'image' || name === 'image[]')
  const masks = files.filter(({ name }) => name === 'mask')
  const other = files.find((file) => !images.includes(file) && !masks.includes(file))
  if (other) return { status: 400, code: 'unknown_parameter', message: `Unknown parameter: '${other.name}'.`, param: other.name }
  if (images.length === 0) return missing('image')
  if (images.length > 16 || (images.length > 1 && images.some(({ name }) => name === 'image'))) return invalid('image')
  if (images.some(({ mediaType, filename, bytes }) => !/^image\/(png|webp|jpeg)$/.test(mediaType) || !/\.(png|webp|jpg)$/.test(filename) || bytes.length >= 50 * MIB)) return invalid('image')
  if (masks.length === 0) return undefined
  const [mask] = masks
  const [drawn, first] = await Promise.all([sharp(mask!.bytes).metadata(), sharp(images[0]!.bytes).metadata()])
  const fits = drawn.format === 'png' && drawn.hasAlpha && drawn.width === first.width && drawn.height === first.height && mask!.bytes.length < 4 * MIB
  return fits && masks.length === 1 ? undefined : invalid('mask')
}
