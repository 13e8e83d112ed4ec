/** What ModelArk's video task endpoint accepts, by family, as its fact sheet has it in November 2026. */
import sharp from 'sharp'
import type { Ratio } from './films.ts'

export interface Problem {
  status: number
  code: string
  message: string
}

/** A create call that was understood. */
export interface VideoOrder {
  generation: '1' | '2'
  /** The model that answers name, also where an endpoint was asked. */
  model: string
  prompt: string
  /** The pictures that came as bytes, in order; links are not fetched. */
  pictures: Buffer[]
  firstFrame?: Buffer
  /** What would be taken for options and cut from the prompt. */
  parsedSuffix?: string
  ratio: Ratio
  resolution: string
  seconds: number
  frames?: number
}

interface Family {
  pattern: RegExp
  generation: '1' | '2'
  fields: string[]
  seconds: [least: number, most: number]
  resolutions: string[]
  resolution: string
  lastFrame: boolean
  /** How many pictures, videos and sounds it takes as reference. */
  references: { image: number; video: number; audio: number }
  framesNeedAdaptive?: boolean
  /** Sound is no reference of its own, only beside a picture or a video. */
  soundNeedsMore?: boolean
}

const COMMON = ['model', 'content', 'ratio', 'resolution', 'duration', 'watermark', 'return_last_frame', 'service_tier', 'execution_expires_after', 'callback_url', 'safety_identifier']
const ONE = { generation: '1', fields: ['frames', 'seed', 'camera_fixed'], seconds: [2, 12], resolutions: ['480p', '720p', '1080p'], references: { image: 0, video: 0, audio: 0 } } satisfies Partial<Family>
const TWO = { generation: '2', fields: ['generate_audio', 'priority', 'seed'], seconds: [4, 15], resolution: '720p', lastFrame: true, references: { image: 9, video: 3, audio: 3 } } satisfies Partial<Family>
const TWO_FIVE = { ...TWO, fields: [...TWO.fields, 'output_format', 'omni_reference_task_type'], seconds: [4, 30], references: { image: 30, video: 10, audio: 10 } } satisfies Partial<Family>

/** The lite models and 1.5-pro are shut down, so they are as unknown as any other id. */
const FAMILIES: Family[] = [
  { ...ONE, pattern: /^seedance-1-0-pro-250528$/, resolution: '1080p', lastFrame: true },
  { ...ONE, pattern: /^seedance-1-0-pro-fast-251015$|^ep-/, resolution: '720p', lastFrame: false },
  { ...TWO, pattern: /^dreamina-seedance-2-0-260128$/, resolutions: ['480p', '720p', '1080p', '4k'], soundNeedsMore: true },
  { ...TWO, pattern: /^dreamina-seedance-2-0-(fast-260128|mini-260615)$/, resolutions: ['480p', '720p'], soundNeedsMore: true },
  { ...TWO_FIVE, pattern: /^dreamina-seedance-2-5-260628$/, resolutions: ['480p', '720p', '1080p'], framesNeedAdaptive: true },
]

const RATIOS: Record<Ratio, number> = { '16:9': 16 / 9, '4:3': 4 / 3, '1:1': 1, '3:4': 3 / 4, '9:16': 9 / 16, '21:9': 21 / 9 }

const isInteger = (least: number, most: number) => (value: unknown) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most
const isBoolean = (value: unknown) => typeof value === 'boolean'
const isOneOf = (...words: unknown[]) => (value: unknown) => words.includes(value)

/** Whether a field's value is one that the family takes. */
const VALUES: Record<string, (value: unknown, family: Family) => boolean> = {
  ratio: isOneOf(...Object.keys(RATIOS), 'adaptive'),
  resolution: (value, family) => family.resolutions.includes(value as string),
  duration: (value, family) => isInteger(...family.seconds)(value) || (value === -1 && family.generation === '2'),
  frames: (value) => isInteger(29, 289)(value) && ((value as number) - 25) % 4 === 0,
  seed: isInteger(-1, 2 ** 32 - 1),
  camera_fixed: isBoolean,
  watermark: isBoolean,
  generate_audio: isBoolean,
  return_last_frame: isBoolean,
  service_tier: (value, family) => value === 'default' || (value === 'flex' && family.generation === '1'),
  execution_expires_after: isInteger(3600, 259_200),
  priority: isInteger(0, 9),
  callback_url: (value) => typeof value === 'string' && /^https?:\/\//.test(value) && URL.canParse(value),
  safety_identifier: (value) => typeof value === 'string' && value.length <= 64,
  output_format: isOneOf('mp4', 'mov'),
  omni_reference_task_type: isOneOf('auto', 'reference', 'edit', 'extend'),
}

/** The options that 1.x still reads from the end of a prompt. */
const SUFFIX = /(?<=^|\s)--(ratio|rt|resolution|rs|duration|dur|frames|fps|framespersecond|seed|camerafixed|cf|watermark|wm)\b.*/is

const invalid = (name: string): Problem => ({ status: 400, code: 'InvalidParameter', message: `The parameter \`${name}\` specified in the request is not valid.` })
const unsupported = (name: string): Problem => ({ ...invalid(name), code: 'InvalidParameter.UnsupportedParameter' })
const missing = (name: string): Problem => ({ status: 400, code: 'MissingParameter', message: `The request is missing \`${name}\` parameter.` })

/** @param refuseSeed whether 2.x refuses a seed, as its documents say, or takes it, as it was seen to. */
export async function checkVideoRequest(body: Record<string, unknown>, refuseSeed: boolean): Promise<VideoOrder | Problem> {
  const { model } = body
  if (typeof model !== 'string' || model === '') return missing('model')
  const family = FAMILIES.find(({ pattern }) => pattern.test(model))
  if (!family) return { status: 404, code: 'InvalidEndpointOrModel.NotFound', message: `The model or endpoint ${model} does not exist or you do not have access to it.` }
  if (body.content === undefined) return missing('content')
  const fields = [...COMMON, ...family.fields].filter((field) => !(refuseSeed && family.generation === '2' && field === 'seed'))
  for (const [name, value] of Object.entries(body)) {
    if (!fields.includes(name)) return unsupported(name)
    if (VALUES[name]?.(value, family) === false) return invalid(name)
  }
  const content = await checkContent(body.content, family)
  if ('code' in content) return content
  const ratio = (body.ratio ?? (family.generation === '2' || content.hasFrame ? 'adaptive' : '16:9')) as Ratio | 'adaptive'
  if (ratio === 'adaptive' && family.generation === '1' && !content.hasFrame) return invalid('ratio')
  if (ratio !== 'adaptive' && family.framesNeedAdaptive && content.hasFrame) return invalid('ratio')
  const frames = body.frames as number | undefined
  const duration = (body.duration ?? 5) as number
  const suffix = family.generation === '1' ? SUFFIX.exec(content.prompt)?.[0] : undefined
  return {
    generation: family.generation,
    model: model.startsWith('ep-') ? 'seedance-1-0-pro-fast-251015' : model,
    prompt: content.prompt,
    pictures: content.pictures.map(({ bytes }) => bytes),
    ...(content.firstFrame && { firstFrame: content.firstFrame.bytes }),
    ...(suffix !== undefined && { parsedSuffix: suffix }),
    ratio: ratio === 'adaptive' ? nearestRatio(content.firstFrame) : ratio,
    resolution: (body.resolution as string | undefined) ?? family.resolution,
    // The model's own choice, where it is left to it.
    seconds: frames !== undefined ? frames / 24 : duration === -1 ? 5 : duration,
    ...(frames !== undefined && { frames }),
  }
}

interface Picture {
  bytes: Buffer
  width: number
  height: number
}

interface Content {
  prompt: string
  hasFrame: boolean
  pictures: Picture[]
  firstFrame?: Picture
}

interface Item {
  type?: unknown
  role?: unknown
  text?: unknown
  [key: string]: unknown
}

async function checkContent(content: unknown, family: Family): Promise<Content | Problem> {
  if (!Array.isArray(content) || content.length === 0 || !content.every((item) => typeof item === 'object' && item !== null)) return invalid('content')
  const items = content as Item[]
  const texts = items.filter(({ type }) => type === 'text')
  const media = items.filter(({ type }) => type !== 'text')
  if (texts.length > 1) return invalid('content')
  if (texts.length === 0 && media.length === 0) return missing('content.text')
  for (const item of texts) {
    if (typeof item.text !== 'string' || item.text.trim() === '') return missing('content.text')
    const extra = Object.keys(item).find((key) => !['type', 'text'].includes(key))
    if (extra !== undefined) return unsupported(`content.${extra}`)
  }
  const roles = media.map((item) => toRole(item, media.length))
  const count = (role: string) => roles.filter((other) => other === role).length
  const hasFrame = count('first_frame') > 0
  if (roles.includes(undefined) || (hasFrame && roles.some((role) => role!.startsWith('reference_')))) return invalid('content.role')
  if (count('first_frame') > 1 || count('last_frame') > (hasFrame && family.lastFrame ? 1 : 0)) return invalid('content.role')
  if ((['image', 'video', 'audio'] as const).some((kind) => count(`reference_${kind}`) > family.references[kind])) return invalid('content')

  if (family.soundNeedsMore && media.length > 0 && media.every(({ type }) => type === 'audio_url')) return invalid('content')

  const pictures: Picture[] = []
  let firstFrame: Picture | undefined
  for (const [index, item] of media.entries()) {
    const picture = await checkMedium(item, family)
    if (picture === undefined) continue
    if ('code' in picture) return picture
    pictures.push(picture)
    if (roles[index] === 'first_frame') firstFrame = picture
  }
  return { prompt: (texts[0]?.text as string | undefined) ?? '', hasFrame, pictures, ...(firstFrame && { firstFrame }) }
}

/** The part that an item plays, or undefined where it can play none. */
function toRole({ type, role }: Item, count: number): string | undefined {
  if (type === 'image_url') return role === undefined && count === 1 ? 'first_frame' : ['first_frame', 'last_frame', 'reference_image'].find((known) => known === role)
  if (type === 'video_url') return role === 'reference_video' ? role : undefined
  if (type === 'audio_url') return role === 'reference_audio' ? role : undefined
  return undefined
}

/** A picture that came as bytes; undefined for what is only linked. */
async function checkMedium(item: Item, family: Family): Promise<Picture | Problem | undefined> {
  const type = item.type as string
  const link = item[type] as { url?: unknown } | undefined
  const extra = [...Object.keys(item).filter((key) => !['type', 'role', type].includes(key)), ...Object.keys(link ?? {}).filter((key) => key !== 'url')]
  if (extra.length > 0) return unsupported(`content.${extra[0]}`)
  const url = link?.url
  if (typeof url !== 'string' || url === '') return { ...invalid(`content.${type}.url`), code: 'InvalidImageURL.EmptyURL' }
  if (url.startsWith('https://') && URL.canParse(url)) return undefined
  if (url.startsWith('asset://') && family.generation === '2') return undefined
  if (type === 'audio_url' && url.startsWith('data:audio/')) return undefined
  const [prefix, format] = (type === 'image_url' && /^data:image\/([a-z]+);base64,/.exec(url)) || []
  const base64 = url.slice(prefix?.length)
  const bytes = Buffer.from(base64, 'base64')
  // Buffer skips over what is not base64.
  if (format === undefined || bytes.toString('base64') !== base64) return { ...invalid(`content.${type}.url`), code: 'InvalidImageURL.InvalidFormat' }
  return checkPicture(bytes, format)
}

const MAX_PICTURE_BYTES = 30 * 1024 * 1024

/** sharp reads neither bmp nor heic, which the real one takes too. */
async function checkPicture(bytes: Buffer, format: string): Promise<Picture | Problem> {
  if (bytes.length >= MAX_PICTURE_BYTES) return invalid('content.image_url')
  try {
    const image = sharp(bytes)
    const { format: actual, autoOrient: { width, height } } = await image.metadata()
    if (actual !== format || !['jpeg', 'png', 'webp', 'tiff', 'gif'].includes(actual)) return { ...invalid('content.image_url'), code: 'InvalidImageURL.InvalidFormat' }
    if (Math.min(width, height) < 300 || Math.max(width, height) > 6000 || width / height < 0.4 || width / height > 2.5) return invalid('content.image_url')
    // Metadata are read of a truncated picture too; only decoding tells.
    await image.resize(16).raw().toBuffer()
    return { bytes, width, height }
  } catch {
    return invalid('content.image_url')
  }
}

function nearestRatio(picture: Picture | undefined): Ratio {
  if (!picture) return '16:9'
  const distance = (ratio: Ratio) => Math.abs(Math.log(RATIOS[ratio] / (picture.width / picture.height)))
  return (Object.keys(RATIOS) as Ratio[]).reduce((best, ratio) => (distance(ratio) < distance(best) ? ratio : best))
}

/** Pixels of the output: 1.0, then what came later. Upright formats are these, turned. */
const PIXELS: Record<string, Partial<Record<Ratio, [one: [number, number], later: [number, number]]>>> = {
  '480p': { '16:9': [[864, 480], [864, 496]], '4:3': [[736, 544], [752, 560]], '1:1': [[640, 640], [640, 640]], '21:9': [[960, 416], [992, 432]] },
  '720p': { '16:9': [[1248, 704], [1280, 720]], '4:3': [[1120, 832], [1112, 834]], '1:1': [[960, 960], [960, 960]], '21:9': [[1504, 640], [1470, 630]] },
  '1080p': { '16:9': [[1920, 1088], [1920, 1080]], '4:3': [[1664, 1248], [1664, 1248]], '1:1': [[1440, 1440], [1440, 1440]], '21:9': [[2176, 928], [2206, 946]] },
  '4k': { '16:9': [[3840, 2160], [3840, 2160]], '4:3': [[3840, 2880], [3840, 2880]], '1:1': [[3840, 3840], [3840, 3840]], '21:9': [[3840, 1646], [3840, 1646]] },
}

/** What a succeeded task is billed for: 24 frames a second and one more. */
export function tokensOf({ generation, ratio, resolution, seconds, frames }: VideoOrder): number {
  const lying: Ratio = ratio === '9:16' ? '16:9' : ratio === '3:4' ? '4:3' : ratio
  const [width, height] = PIXELS[resolution]![lying]![generation === '1' ? 0 : 1]
  return Math.floor((width * height * (frames ?? seconds * 24 + 1)) / 1024)
}
