/** Simulated interactions: what is remembered of one, and how Google describes it at each look. */
import { randomUUID } from 'node:crypto'

type Json = Record<string, unknown>

/** How an interaction ends, where not well. */
const ENDS: Record<string, string> = {
  'failed-safety': 'failed',
  'failed-number': 'failed',
  'failed-internal': 'failed',
  'failed-billed': 'failed',
  'failed-silent': 'failed',
  incomplete: 'incomplete',
  'budget-exceeded': 'budget_exceeded',
  'requires-action': 'requires_action',
  'requires-continuation': 'requires_continuation',
  'vendor-cancelled': 'cancelled',
  'unknown-status': 'pondering',
}

const INTERACTION_WORDS = [...Object.keys(ENDS), 'words-only', 'no-output', 'no-video', 'inline', 'foreign-link', 'file-processing', 'file-failed', 'file-gone', 'file-forbidden', 'forgotten', 'ends-on-cancel', 'cancel-billed', 'odd-look'] as string[]

const ERRORS: Record<string, Json[]> = {
  'failed-safety': [{ code: 'PROHIBITED_CONTENT', message: 'The output was blocked (vendor text)' }],
  'failed-number': [{ code: 8, message: 'no capacity (vendor text)' }],
  'failed-internal': [{ code: 'INTERNAL', message: 'internal (vendor text)' }],
  'failed-billed': [{ code: 'strange', message: 'strange (vendor text)' }],
}

/** It fails with any code of the vendor's: `failed-code-UNAVAILABLE`, and having billed it with `failed-billed-code-UNAVAILABLE`. */
const FAILED_BY_CODE = /^failed-(billed-)?code-(.+)$/
export const isInteractionWord = (word: string): boolean => INTERACTION_WORDS.includes(word) || FAILED_BY_CODE.test(word)

/** Tokens of one second of 720p. */
const TOKENS_PER_SECOND = 5783

export interface Interaction {
  id: string
  body: Json
  prompt: string
  words: ReadonlySet<string>
  /** How often it was looked at: it is queued at the first look, running at the second, and ends with the third. */
  looks: number
  isCancelled: boolean
  /** Where it stays, whatever the looks. */
  heldAt: 'queued' | 'in_progress' | undefined
  fileId: string
  fileLooks: number
}

export function createInteraction(body: Json, prompt: string, words: ReadonlySet<string>, heldAt: Interaction['heldAt']): Interaction {
  return { id: `v1_${randomUUID().replaceAll('-', '')}`, body, prompt, words, looks: 0, isCancelled: false, heldAt, fileId: randomUUID().slice(0, 12), fileLooks: 0 }
}

export function statusOf(interaction: Interaction): string {
  if (interaction.isCancelled) return 'cancelled'
  if (interaction.heldAt !== undefined) return interaction.heldAt
  if (interaction.looks <= 1) return 'queued'
  if (interaction.looks === 2) return 'in_progress'
  if ([...interaction.words].some((word) => FAILED_BY_CODE.test(word))) return 'failed'
  const end = [...interaction.words].find((word) => word in ENDS)
  return end === undefined ? 'completed' : ENDS[end]!
}

export const secondsOf = ({ body }: Interaction): number => Number.parseInt(String((body.response_format as Json).duration), 10)

/** @param film the bytes that go inline. */
export function describeInteraction(interaction: Interaction, origin: string, film: Buffer): Json {
  const { id, body, words, fileId } = interaction
  const status = statusOf(interaction)
  const code = [...words].map((word) => FAILED_BY_CODE.exec(word)?.[2]).find((one) => one !== undefined)
  const errors = code === undefined ? Object.entries(ERRORS).find(([word]) => words.has(word))?.[1] : [{ code: /^\d+$/.test(code) ? Number(code) : code, message: 'vendor text' }]
  return {
    id,
    model: body.model,
    status,
    created: '2026-11-22T10:00:00Z',
    updated: '2026-11-22T10:00:30Z',
    object: 'interaction',
    role: 'model',
    ...(status === 'failed' && errors && { errors }),
    ...(status === 'completed' && { steps: toSteps(interaction, `${origin}/v1beta/files/${fileId}:download?alt=media`, film) }),
    ...toUsage(interaction, status),
  }
}

function toSteps({ body, words }: Interaction, link: string, film: Buffer): Json[] {
  // What was sent comes first, with its pictures.
  const echo = { type: 'user_input', content: [...(body.input as Json[]), { type: 'video', uri: 'https://generativelanguage.googleapis.com/v1beta/files/input' }] }
  if (words.has('no-output')) return [echo]
  const uri = words.has('foreign-link') ? 'https://storage.example.com/film.mp4?signature=s' : link
  const video = { type: 'video', mime_type: 'video/mp4', ...(words.has('inline') ? { data: film.toString('base64') } : { uri }) }
  const isMissing = words.has('words-only') || words.has('no-video')
  return [echo, { type: 'thought', signature: 'abc' }, { type: 'model_output', content: [{ type: 'text', text: 'Here it is.' }, ...(isMissing ? [] : [video])] }]
}

function toUsage(interaction: Interaction, status: string): Json {
  const { words } = interaction
  const isMade = status === 'completed' && !words.has('words-only') && !words.has('no-output')
  if (words.has('no-output') || words.has('failed-silent') || ['queued', 'in_progress'].includes(status)) return {}
  const tokens = isMade || words.has('failed-billed') || [...words].some((word) => word.startsWith('failed-billed-code-')) || words.has('cancel-billed') ? secondsOf(interaction) * TOKENS_PER_SECOND : 0
  const text = words.has('words-only') ? 20 : 0
  return { usage: { total_input_tokens: 300, total_output_tokens: tokens + text, total_tokens: 300 + tokens + text, ...(tokens > 0 && { output_tokens_by_modality: [{ modality: 'video', tokens }] }) } }
}
