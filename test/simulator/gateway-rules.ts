/** What the gateways' calls accept, as the fact sheet has it in November 2026. Each path knows its own fields. */
import type { ReceivedFile } from './forms.ts'

export interface ReceivedCreate {
  path: string
  body: Record<string, unknown>
  files: ReceivedFile[]
}

const PICTURE = ['model', 'prompt', 'size', 'quality', 'style', 'background', 'output_format', 'output_compression', 'response_format', 'seed', 'negative_prompt']

const FIELDS: Record<string, string[]> = {
  '/images/generations': PICTURE,
  '/images/edits': [...PICTURE, 'input_fidelity'],
  '/images': ['model', 'prompt', 'size', 'quality', 'background', 'output_format', 'output_compression', 'seed', 'input_references'],
  '/videos': ['model', 'prompt', 'seconds', 'size', 'seed'],
  '/video/generations': ['model', 'prompt', 'image', 'duration', 'width', 'height', 'fps', 'seed'],
  // OpenRouter's, told apart by its model ids.
  '/videos openrouter': ['model', 'prompt', 'duration', 'resolution', 'aspect_ratio', 'generate_audio', 'seed', 'frame_images'],
}

const FILES: Record<string, RegExp> = { '/images/edits': /^(image|image\[\]|mask)$/, '/videos': /^input_reference$/ }

export const isOpenRouterVideo = ({ path, body }: ReceivedCreate): boolean => path === '/videos' && String(body.model as string).includes('/')

/** @returns the name of what is wrong. */
export function findProblem(create: ReceivedCreate): string | undefined {
  const { path, body, files } = create
  if (typeof body.model !== 'string') return 'model'
  if (typeof body.prompt !== 'string' || body.prompt === '') return 'prompt'
  const fields = FIELDS[isOpenRouterVideo(create) ? '/videos openrouter' : path]!
  const unknown = Object.keys(body).find((field) => !fields.includes(field)) ?? files.find(({ name }) => !FILES[path]?.test(name))?.name
  if (unknown !== undefined) return unknown
  if (path === '/images/edits' && !files.some(({ name }) => name.startsWith('image'))) return 'image'
  if (body.size !== undefined && !/^\d+x\d+$/.test(body.size as string)) return 'size'
  if (path === '/videos' && !isOpenRouterVideo(create)) return findVideoProblem(body)
  const duration = body.duration
  return duration !== undefined && typeof duration !== 'number' ? 'duration' : undefined
}

function findVideoProblem({ model, seconds, size }: Record<string, unknown>): string | undefined {
  if (typeof seconds !== 'string' || !/^\d+$/.test(seconds)) return 'seconds'
  if (model !== 'sora-2') return undefined
  if (!['4', '8', '12'].includes(seconds)) return 'seconds'
  return ['720x1280', '1280x720', '1024x1792', '1792x1024'].includes(size as string) ? undefined : 'size'
}
