/** What Google accepts, as its fact sheet has it in November 2026: unknown fields are errors, as protobuf's JSON has them. */
type Json = Record<string, unknown>

export type Problem = { status: 400 | 404; message: string } | undefined

const RATIOS = ['1:1', '2:3', '3:2', '3:4', '4:3', '4:5', '5:4', '9:16', '16:9', '21:9']
const LONG_RATIOS = ['1:4', '4:1', '1:8', '8:1']

const IMAGE_MODELS: Record<string, { ratios: string[]; sizes: string[]; maxPictures: number }> = {
  'gemini-3.1-flash-image': { ratios: [...RATIOS, ...LONG_RATIOS], sizes: ['512', '1K', '2K', '4K'], maxPictures: 14 },
  'gemini-3.1-flash-lite-image': { ratios: [...RATIOS, ...LONG_RATIOS], sizes: ['1K'], maxPictures: 14 },
  'gemini-3-pro-image': { ratios: RATIOS, sizes: ['1K', '2K', '4K'], maxPictures: 14 },
  'gemini-nano-banana-2.1': { ratios: RATIOS, sizes: ['1K'], maxPictures: 3 },
}
const VIDEO_MODELS = ['gemini-omni-1.2-flash', 'gemini-omni-1.1-flash', 'gemini-omni-flash-preview']
const PICTURE_TYPES = ['image/png', 'image/jpeg', 'image/webp', 'image/heic', 'image/heif']
const MAX_REQUEST_BYTES = 20 * 1024 * 1024

const bad = (message: string): Problem => ({ status: 400, message })

function unknownField(name: string, value: unknown, fields: readonly string[]): Problem {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return bad(`Invalid value at '${name}'`)
  const unknown = Object.keys(value).find((field) => !fields.includes(field))
  return unknown === undefined ? undefined : bad(`Invalid JSON payload received. Unknown name "${unknown}" at '${name}': Cannot find field.`)
}

const first = (...checks: (() => Problem)[]): Problem => {
  for (const check of checks) {
    const problem = check()
    if (problem) return problem
  }
  return undefined
}

export function checkGenerateContent(model: string, body: Json, byteLength: number, isUploaded: (uri: unknown) => boolean): Problem {
  const rules = IMAGE_MODELS[model]
  if (VIDEO_MODELS.includes(model)) return bad(`${model} is not supported by generateContent`)
  if (!rules) return { status: 404, message: `models/${model} is not found for API version v1beta, or is not supported for generateContent.` }
  if (byteLength > MAX_REQUEST_BYTES) return bad('Request payload size exceeds the limit: 20971520 bytes.')
  const config = (body.generationConfig ?? {}) as Json
  const image = (config.imageConfig ?? {}) as Json
  const contents = (Array.isArray(body.contents) ? body.contents : []) as Json[]
  const parts = contents.flatMap(({ parts }) => (Array.isArray(parts) ? parts : [])) as Json[]
  return first(
    () => unknownField('', body, ['contents', 'generationConfig', 'safetySettings', 'systemInstruction', 'tools']),
    () => (contents.length === 1 && contents[0]!.role === 'user' ? undefined : bad('contents is not specified')),
    () => unknownField('generation_config', config, ['responseModalities', 'imageConfig', 'seed', 'temperature']),
    () => unknownField('generation_config.image_config', image, ['aspectRatio', 'imageSize', 'personGeneration']),
    () => (rules.ratios.includes(String(image.aspectRatio)) ? undefined : bad('Invalid aspect ratio')),
    () => (rules.sizes.includes(String(image.imageSize)) ? undefined : bad('Invalid image size')),
    () => (config.seed === undefined || (Number.isInteger(config.seed) && Math.abs(config.seed as number) < 2 ** 31) ? undefined : bad("Invalid value at 'generation_config.seed' (TYPE_INT32)")),
    () => checkParts(parts, rules.maxPictures, isUploaded),
  )
}

function checkParts(parts: Json[], maxPictures: number, isUploaded: (uri: unknown) => boolean): Problem {
  const pictures = parts.filter(({ text }) => text === undefined)
  if (pictures.length > maxPictures) return bad('Too many images')
  if (!parts.some(({ text }) => typeof text === 'string' && text !== '')) return bad('no text')
  for (const part of parts) {
    const problem = unknownField('contents.parts', part, ['text', 'inlineData', 'fileData'])
    if (problem) return problem
  }
  const isPicture = ({ inlineData, fileData }: Json): boolean => {
    const { mimeType, data, fileUri } = (inlineData ?? fileData ?? {}) as Json
    return PICTURE_TYPES.includes(String(mimeType)) && (fileData === undefined ? isBase64(data) : isUploaded(fileUri))
  }
  return pictures.every(isPicture) ? undefined : bad('Unable to process input image')
}

const isBase64 = (data: unknown): boolean => typeof data === 'string' && data !== '' && Buffer.from(data, 'base64').toString('base64') === data

export function checkInteraction(body: Json): Problem {
  const format = (body.response_format ?? {}) as Json
  const task = String(((body.generation_config as Json | undefined)?.video_config as Json | undefined)?.task)
  const input = (Array.isArray(body.input) ? body.input : []) as Json[]
  const pictures = input.filter(({ type }) => type === 'image')
  return first(
    () => (VIDEO_MODELS.includes(String(body.model)) ? undefined : { status: 404, message: `model ${String(body.model)} not found` }),
    () => unknownField('', body, ['model', 'input', 'response_format', 'generation_config', 'background', 'store', 'previous_interaction_id', 'webhook_config', 'safety_settings', 'service_tier']),
    () => unknownField('response_format', format, ['type', 'aspect_ratio', 'resolution', 'duration', 'delivery']),
    () => (format.type === 'video' && ['16:9', '9:16'].includes(String(format.aspect_ratio)) ? undefined : bad('Invalid value at response_format.aspect_ratio')),
    () => (['360p', '720p', '1080p', '4k'].includes(String(format.resolution)) ? undefined : bad('Invalid value at response_format.resolution')),
    () => (/^([3-9]|10)s$/.test(String(format.duration)) ? undefined : bad('Invalid value at response_format.duration')),
    () => (format.delivery === 'uri' || format.delivery === 'inline' ? undefined : bad('Invalid value at response_format.delivery')),
    () => (input.some(({ type, text }) => type === 'text' && typeof text === 'string' && text !== '') ? undefined : bad('input has no text')),
    () => (pictures.every(({ mime_type: type, data }) => PICTURE_TYPES.includes(String(type)) && isBase64(data)) ? undefined : bad('Invalid input image')),
    () => ((pictures.length === 0) === (task === 'text_to_video') && ['text_to_video', 'image_to_video', 'reference_to_video'].includes(task) ? undefined : bad('Invalid value at generation_config.video_config.task')),
    () => (body.background === true && body.store === true ? undefined : bad('background requires store')),
  )
}
