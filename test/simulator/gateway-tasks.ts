/** The video tasks of the simulated gateway. A task goes on by being looked at: queued, then running, then at its end. */
import { randomUUID } from 'node:crypto'
import { isOpenRouterVideo, type ReceivedCreate } from './gateway-rules.ts'

export const TASK_WORDS = ['task-failed', 'task-failed-moderation', 'task-failed-text', 'task-failed-free', 'task-failed-paid', 'task-failed-server', 'task-failed-server-free', 'task-cancelled', 'task-expired', 'task-unknown-status', 'task-forgotten', 'task-forgotten-400', 'task-no-url', 'task-relative-url', 'task-unsigned-url', 'task-stray-url', 'task-no-error'] as const
export type TaskWord = (typeof TASK_WORDS)[number]

export interface GatewayTask {
  id: string
  shape: 'openai' | 'new-api' | 'openrouter'
  create: ReceivedCreate
  word: TaskWord | undefined
  looks: number
}

export function createTask(create: ReceivedCreate, word: TaskWord | undefined): GatewayTask {
  const shape = create.path === '/video/generations' ? 'new-api' : isOpenRouterVideo(create) ? 'openrouter' : 'openai'
  const prefix = { openai: 'video_', 'new-api': 'task_', openrouter: 'gen-vid-' }[shape]
  return { id: `${prefix}${randomUUID()}`, shape, create, word, looks: 0 }
}

/** What the create call answers. */
export function describeStart({ id, shape, create }: GatewayTask): { status: number; body: object } {
  const { model } = create.body
  if (shape === 'openrouter') return { status: 202, body: { id, polling_url: `/api/v1/videos/${id}`, status: 'pending' } }
  if (shape === 'new-api') return { status: 201, body: { id: 'upstream-id', task_id: id, object: 'video', model, created_at: 1795305600, status: 'processing' } }
  return { status: 200, body: { id, object: 'video', model, status: 'queued', progress: 0, created_at: 1795305600, completed_at: null, expires_at: null, error: null } }
}

const WORDS = { openai: ['queued', 'in_progress', 'completed'], 'new-api': ['queued', 'processing', 'succeeded'], openrouter: ['pending', 'in_progress', 'completed'] } as const

/** What a look answers. Each look takes the task one step further. */
export function describeTask(task: GatewayTask, origin: string): object {
  const { id, shape, word } = task
  const step = Math.min(task.looks++, 2)
  const common = { [shape === 'new-api' ? 'task_id' : 'id']: id, status: WORDS[shape][step]!, error: null, ...(shape === 'openai' && { progress: step * 50 }) }
  if (word === 'task-unknown-status') return { ...common, status: 'on_hold' }
  if (step < 2) return common
  if (word === 'task-cancelled' || word === 'task-expired') return { ...common, status: word.slice(5) }
  if (word?.startsWith('task-failed') || word === 'task-no-error') return { ...common, status: 'failed', ...toFailure(word as TaskWord) }
  return { ...common, ...toResult(task, origin) }
}

function toFailure(word: TaskWord): object {
  switch (word) {
    case 'task-no-error': return {}
    case 'task-failed-moderation': return { error: { code: 'moderation_blocked', message: 'vendor words' } }
    case 'task-failed-text': return { error: 'Rejected by the safety system' }
    case 'task-failed-free': return { error: 'vendor words', usage: { cost: 0, is_byok: false } }
    case 'task-failed-server': return { error: { code: 'server', message: 'vendor words' } }
    case 'task-failed-server-free': return { error: { code: 'server', message: 'vendor words' }, usage: { cost: 0, is_byok: false } }
    case 'task-failed-paid': return { error: 'vendor words', usage: { cost: 0.1, is_byok: false } }
    default: return { error: { code: 'internal_error', message: 'vendor words' } }
  }
}

function toResult({ id, shape, word }: GatewayTask, origin: string): object {
  const film = `${origin}/v1/videos/serve/${id}.mp4`
  if (word === 'task-no-url') return {}
  if (shape === 'openrouter') {
    const usage = { cost: 3.2, is_byok: false }
    const content = `${origin}/v1/videos/${id}/content?index=0`
    if (word === 'task-unsigned-url') return { unsigned_urls: [content], usage }
    if (word === 'task-stray-url') return { unsigned_urls: ['https://elsewhere.example/film.mp4'], usage }
    return { urls: [`${film}?signature=s`], unsigned_urls: [content], generation_id: 'gen-1', usage }
  }
  if (word === 'task-relative-url') return { url: `/v1/videos/serve/${id}.mp4` }
  // OpenAI's own shape has no link: its bytes are behind `/content`.
  return shape === 'openai' ? {} : { url: film, format: 'mp4', metadata: { duration: 5, fps: 24, width: 1280, height: 720, seed: 1 } }
}
