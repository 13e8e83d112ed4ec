/** What ModelArk's image endpoint accepts, by family, as its fact sheet has it in November 2026. */
interface Family {
  pattern: RegExp
  fields: string[]
  check: (width: number, height: number) => boolean
}

const COMMON = ['model', 'prompt', 'size', 'response_format', 'watermark']
const between = (min: number, max: number) => (width: number, height: number) => width * height >= min && width * height <= max && width / height >= 1 / 16 && width / height <= 16

const FAMILIES: Family[] = [
  { pattern: /^seedream-4-0-250828$|^ep-/, fields: ['image', 'sequential_image_generation', 'sequential_image_generation_options', 'optimize_prompt_options', 'stream'], check: between(921_600, 16_777_216) },
  { pattern: /^seedream-4-5-251128$/, fields: ['image', 'sequential_image_generation', 'sequential_image_generation_options', 'optimize_prompt_options', 'stream'], check: between(3_686_400, 16_777_216) },
  { pattern: /^seedream-5-0-(lite-)?260128$/, fields: ['image', 'sequential_image_generation', 'sequential_image_generation_options', 'optimize_prompt_options', 'stream', 'output_format', 'tools'], check: between(3_686_400, 10_404_496) },
  { pattern: /^(dola-)?seedream-5-0-(pro|flash)-\d{6}$/, fields: ['image', 'optimize_prompt_options', 'output_format'], check: between(1, 4_194_304) },
  // Still served to accounts with an endpoint of their own; the public id is gone.
  { pattern: /^ep3-/, fields: ['seed', 'guidance_scale'], check: (width, height) => Math.min(width, height) >= 512 && Math.max(width, height) <= 2048 },
]

export function checkImageRequest(body: Record<string, unknown>): { status: number; code: string; message: string } | undefined {
  const invalid = (name: string) => ({ status: 400, code: 'InvalidParameter', message: `The parameter \`${name}\` specified in the request is not valid.` })
  if (typeof body.model !== 'string') return { status: 400, code: 'MissingParameter', message: 'The request is missing `model`.' }
  if (typeof body.prompt !== 'string' || body.prompt === '') return { status: 400, code: 'MissingParameter', message: 'The request is missing `prompt`.' }
  const family = FAMILIES.find(({ pattern }) => pattern.test(body.model as string))
  if (!family) return { status: 404, code: 'InvalidEndpointOrModel.NotFound', message: `The model or endpoint ${body.model} does not exist or you do not have access to it.` }
  const unknown = Object.keys(body).find((field) => ![...COMMON, ...family.fields].includes(field))
  if (unknown !== undefined) return { ...invalid(unknown), code: 'InvalidParameter.UnsupportedParameter' }
  const size = /^(\d+)x(\d+)$/.exec(String(body.size))
  if (!size || !family.check(Number(size[1]), Number(size[2]))) return invalid('size')
  if (!['url', 'b64_json', undefined].includes(body.response_format as string)) return invalid('response_format')
  return undefined
}
