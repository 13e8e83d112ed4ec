/** What Runway's create endpoints accept, by model, as its fact sheet and SDK have it in November 2026. */
export interface Issue {
  path: (string | number)[]
  message: string
}

export type Endpoint = 'image_to_video' | 'text_to_video' | 'text_to_image'

interface Rule {
  fields: string[]
  required: string[]
  ratios: string[]
  durations?: (seconds: number) => boolean
  references?: { min: number; max: number }
}

const GEN4 = ['1280:720', '720:1280', '1104:832', '960:960', '832:1104', '1584:672']
const VEO = ['1280:720', '720:1280', '1080:1920', '1920:1080']
const IMAGE = ['1024:1024', '1080:1080', '1168:880', '1360:768', '1440:1080', '1080:1440', '1808:768', '1920:1080', '1080:1920', '2112:912', '1280:720', '720:1280', '720:720', '960:720', '720:960', '1680:720']
const within = (seconds: number) => Number.isInteger(seconds) && seconds >= 2 && seconds <= 10
const few = (seconds: number) => [4, 6, 8].includes(seconds)

const VIDEO = ['model', 'promptText', 'ratio', 'duration', 'seed']
const veo: Rule = { fields: [...VIDEO, 'audio', 'negativePrompt'], required: ['promptText', 'ratio'], ratios: VEO, durations: few }
const still: Rule = { fields: ['model', 'promptText', 'ratio', 'seed', 'contentModeration', 'referenceImages'], required: ['promptText', 'ratio'], ratios: IMAGE, references: { min: 0, max: 3 } }

const withPicture = (rule: Rule): Rule => ({ ...rule, fields: [...rule.fields, 'promptImage'], required: [...rule.required.filter((field) => field !== 'promptText'), 'promptImage'] })

const RULES: Record<Endpoint, Record<string, Rule>> = {
  text_to_video: {
    'gen4.5': { fields: [...VIDEO, 'contentModeration', 'outputFormat', 'proresProfile'], required: ['promptText', 'ratio', 'duration'], ratios: ['1280:720', '720:1280'], durations: within },
    'veo3.1': veo,
    'veo3.1_fast': veo,
  },
  image_to_video: {
    'gen4.5': { fields: [...VIDEO, 'contentModeration', 'outputFormat', 'proresProfile', 'promptImage'], required: ['promptText', 'promptImage', 'ratio', 'duration'], ratios: GEN4, durations: within },
    gen4_turbo: { fields: [...VIDEO, 'contentModeration', 'promptImage'], required: ['promptImage', 'ratio'], ratios: GEN4, durations: within },
    'veo3.1': withPicture(veo),
    'veo3.1_fast': withPicture(veo),
  },
  text_to_image: {
    gen4_image: still,
    gen4_image_turbo: { ...still, references: { min: 1, max: 3 } },
  },
}

/** @param isUpload whether a `runway://` URI leads to a file that was uploaded. */
export function checkRunwayRequest(endpoint: Endpoint, body: Record<string, unknown>, isUpload: (uri: string) => boolean): Issue[] {
  const rule = RULES[endpoint][String(body.model)]
  if (!rule) return [{ path: ['model'], message: 'Invalid discriminator value' }]
  const issues: Issue[] = []
  const bad = (message: string, ...path: (string | number)[]) => void issues.push({ path, message })
  for (const field of Object.keys(body)) if (!rule.fields.includes(field)) bad('Unrecognized key', field)
  for (const field of rule.required) if (body[field] === undefined) bad('Required', field)
  const { promptText, ratio, duration, seed, contentModeration, audio, negativePrompt } = body
  if (promptText !== undefined && (typeof promptText !== 'string' || promptText === '' || promptText.length > 1000)) bad('String must contain between 1 and 1000 characters', 'promptText')
  if (ratio !== undefined && !rule.ratios.includes(ratio as string)) bad('Invalid enum value', 'ratio')
  if (duration !== undefined && !rule.durations?.(Number(duration))) bad('Invalid duration', 'duration')
  if (seed !== undefined && !(Number.isInteger(seed) && Number(seed) >= 0 && Number(seed) <= 4_294_967_295)) bad('Invalid seed', 'seed')
  if (contentModeration !== undefined && !['auto', 'low'].includes((contentModeration as { publicFigureThreshold?: string }).publicFigureThreshold ?? '')) bad('Invalid enum value', 'contentModeration', 'publicFigureThreshold')
  if (audio !== undefined && typeof audio !== 'boolean') bad('Expected boolean', 'audio')
  if (negativePrompt !== undefined && typeof negativePrompt !== 'string') bad('Expected string', 'negativePrompt')
  checkPictures(rule, body, isUpload, bad)
  return issues
}

function checkPictures(rule: Rule, body: Record<string, unknown>, isUpload: (uri: string) => boolean, bad: (message: string, ...path: (string | number)[]) => void): void {
  for (const [field, { uri, position }] of framesOf(body)) {
    if (!isUri(uri, isUpload)) bad('Invalid asset', field)
    if (position !== undefined && position !== 'first') bad('Invalid enum value', field, 'position')
  }
  const references = (body.referenceImages ?? []) as { uri?: string; tag?: string }[]
  const { min = 0, max = 0 } = rule.references ?? {}
  if (references.length < min || references.length > max) bad(`Array must contain ${min} to ${max} elements`, 'referenceImages')
  for (const [index, { uri, tag }] of references.entries()) {
    if (!isUri(uri, isUpload)) bad('Invalid asset', 'referenceImages', index, 'uri')
    if (tag !== undefined && !/^[A-Za-z]\w{2,15}$/.test(tag)) bad('Invalid tag', 'referenceImages', index, 'tag')
  }
}

/** `promptImage` is a URI by itself or a list. */
function framesOf({ promptImage }: Record<string, unknown>): [field: string, frame: { uri?: string; position?: string }][] {
  if (promptImage === undefined) return []
  const frames = Array.isArray(promptImage) ? (promptImage as { uri?: string; position?: string }[]) : [{ uri: promptImage as string }]
  return frames.map((frame) => ['promptImage', frame])
}

const MAX_DATA_URI = 5_000_000

function isUri(uri: string | undefined, isUpload: (uri: string) => boolean): boolean {
  if (uri === undefined) return false
  if (uri.startsWith('runway://')) return isUpload(uri)
  if (uri.startsWith('data:')) return uri.length <= MAX_DATA_URI && /^data:image\/(jpeg|png|webp);base64,[A-Za-z0-9+/]+=*$/.test(uri)
  return uri.startsWith('https://')
}
