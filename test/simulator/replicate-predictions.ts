/** A simulated prediction and how it is told, after the schema of a prediction in the API's description. */
import type { SimulatedModel } from './replicate-models.ts'
import { RUN_ERRORS } from './replicate-words.ts'

export type PredictionState = 'starting' | 'processing'

export interface PredictionRecord {
  id: string
  model: SimulatedModel
  input: Record<string, unknown>
  words: Set<string>
  createdAt: number
  cancelAfterSeconds: number | undefined
  /** Set by a cancel. */
  end: { status: 'canceled'; hasBegun: boolean } | undefined
}

/** What its deadline loses on the way, in milliseconds. */
const ROUNDING_MS = 700

export function toJson(record: PredictionRecord, origin: string, held: PredictionState | undefined) {
  const { id, model, input, words, createdAt, cancelAfterSeconds } = record
  const status = record.end?.status ?? held ?? endOf(words)
  const isOver = status !== 'starting' && status !== 'processing'
  const isRemoved = words.has('removed')
  const deadline = createdAt + (cancelAfterSeconds ?? 0) * 1000 + ROUNDING_MS
  const completed = words.has('deadline-running') || words.has('deadline-waiting') ? deadline : createdAt + 900
  const hasBegun = record.end ? record.end.hasBegun : status !== 'starting' && status !== 'aborted'
  return {
    id,
    model: model.name,
    version: model.version ?? 'hidden',
    input: isRemoved || words.has('untold-input') ? {} : input,
    logs: '',
    output: status === 'succeeded' && !isRemoved ? outputOf(record, origin) : null,
    data_removed: isRemoved,
    error: status === 'failed' ? errorOf(words) : null,
    status,
    source: 'api',
    created_at: new Date(createdAt).toISOString(),
    ...(hasBegun && { started_at: new Date(createdAt + 100).toISOString() }),
    ...(isOver && { completed_at: new Date(completed).toISOString(), metrics: { predict_time: 0.8, total_time: 0.9 } }),
    ...(cancelAfterSeconds !== undefined && !words.has('untold-deadline') && { deadline: new Date(deadline).toISOString() }),
    // Their own addresses, which may be anybody's.
    urls: { get: `https://elsewhere.example/${id}`, cancel: `https://elsewhere.example/${id}/cancel`, web: `https://replicate.com/p/${id}` },
  }
}

function endOf(words: Set<string>): string {
  if (Object.keys(RUN_ERRORS).some((word) => words.has(word)) || words.has('run-silent')) return 'failed'
  if (words.has('canceled') || words.has('deadline-running')) return 'canceled'
  if (words.has('aborted') || words.has('deadline-waiting')) return 'aborted'
  return words.has('unknown-state') ? 'hibernating' : 'succeeded'
}

function errorOf(words: Set<string>): string | null {
  return Object.entries(RUN_ERRORS).find(([word]) => words.has(word))?.[1] ?? null
}

function outputOf({ id, model, words }: PredictionRecord, origin: string): unknown {
  const url = `${origin}/delivery/${id}.${model.gives === 'film' ? 'mp4' : 'webp'}`
  if (words.has('no-output')) return null
  if (words.has('text-output')) return ['A', ' fox']
  if (words.has('data-url')) return 'data:image/png;base64,aGVsbG8='
  if (words.has('object-output')) return { image: url, seed: 7, label: 'fox' }
  return model.gives === 'many' ? [url] : url
}
