/** From what a caller wrote to a plan that can be run: every refusal happens here, before anything is paid. */
import { z } from 'zod'
import { AppError } from '../errors.ts'
import { parseSize, toSizeText, type Catalog, type Model } from './catalog.ts'
import { checkSize, fitSize } from './image-size.ts'
import type { Provider, Size, Warning } from './provider.ts'

export const DEFAULT_IMAGE_SIZE = '1024x1024'
const MAX_SEED = 2_147_483_647

/** Text that Postgres and JSON can hold: no NUL, no half of a surrogate pair. */
const storableText = z
  .string()
  .refine((text) => !text.includes('\0'), 'must not contain NUL characters')
  .refine((text) => text.isWellFormed(), 'must be valid Unicode')

export const imageRequestSchema = z.strictObject({
  prompt: storableText.transform((text) => text.trim()).pipe(z.string().min(1, 'must not be empty')),
  model: storableText.pipe(z.string().min(1).max(200)).optional(),
  size: z.string().regex(/^[1-9]\d{1,4}x[1-9]\d{1,4}$/, 'must look like 1024x1024').default(DEFAULT_IMAGE_SIZE),
  userId: z.guid('must be a uuid').optional(),
  n: z.int().min(1).max(16).default(1),
  seed: z.int().min(0).max(MAX_SEED).optional(),
  negativePrompt: storableText.pipe(z.string().max(4000)).optional(),
  providerOptions: z.record(z.string().max(50), z.record(z.string().max(50), z.unknown())).optional(),
})

export type ImageRequestInput = z.infer<typeof imageRequestSchema>

/** A request that was checked against the model that will run it. Plain JSON: it is stored, and any process resumes it. */
export interface ImagePlan {
  kind: 'image'
  requestedModel: string
  model: string
  provider: string
  vendorId: string
  family?: string | undefined
  prompt: string
  /** What the caller gets. */
  size: Size
  /** What the vendor is asked for: `size`, or something larger that it is cut from. */
  requestSize: Size
  n: number
  seed?: number | undefined
  negativePrompt?: string | undefined
  providerOptions: Record<string, unknown>
  warnings: Warning[]
  estimatedCostMicros: number | null
}

export interface PlanContext {
  catalog: Catalog
  /** The providers that are on. */
  providers: ReadonlyMap<string, Provider>
  /** The model that may stand in where a provider is off: the sandbox, in local mode. */
  standIn?: string | undefined
}

/** @throws {AppError} `invalid_request` with details, or `not_configured` when the model's provider has no key. */
export function planImage(input: ImageRequestInput, context: PlanContext): ImagePlan {
  const requested = findModel(input.model, context.catalog)
  checkAgainst(requested, input)
  const { model, provider, warnings } = chooseModel(requested, context)
  const size = parseSize(input.size)
  checkSize(requested, size)
  const requestSize = fitSize(model.sizes, size)
  if (!requestSize) checkSize(model, size)
  if (!requestSize || input.prompt.length > model.maxPromptCharacters) {
    throw new AppError('invalid_request', `${model.id}, which does the work of ${requested.id}, cannot make this request.`, { details: [{ path: 'model', message: 'choose another model' }] })
  }
  if (toSizeText(requestSize) !== input.size) {
    warnings.push({ type: 'adjusted', setting: 'size', message: `${model.id} does not make ${input.size}: it was made at ${toSizeText(requestSize)} and scaled down.` })
  }
  const seed = supported(model, 'seed', input.seed, warnings)
  const negativePrompt = supported(model, 'negativePrompt', input.negativePrompt, warnings)
  return {
    kind: 'image',
    requestedModel: requested.id,
    model: model.id,
    provider: provider.id,
    vendorId: model.vendorId ?? model.id,
    ...(model.family !== undefined && { family: model.family }),
    prompt: input.prompt,
    size,
    requestSize,
    n: input.n,
    ...(seed !== undefined && { seed }),
    ...(negativePrompt !== undefined && { negativePrompt }),
    providerOptions: checkProviderOptions(input.providerOptions ?? {}, provider, context),
    warnings,
    estimatedCostMicros: model.priceMicrosPerImage === undefined ? null : model.priceMicrosPerImage * input.n,
  }
}

function findModel(id: string | undefined, catalog: Catalog): Model {
  const model = id === undefined ? catalog.list().find((entry) => entry.kind === 'image') : catalog.find(id)
  if (model?.kind === 'image') return model
  throw new AppError('invalid_request', `There is no image model ${id === undefined ? 'yet' : JSON.stringify(id)}. GET /api/images/models lists those that can be used.`, {
    details: [{ path: 'model', message: 'must be a model of the catalog' }],
  })
}

function checkAgainst(model: Model, input: ImageRequestInput): void {
  const details = []
  if (input.prompt.length > model.maxPromptCharacters) details.push({ path: 'prompt', message: `must be at most ${model.maxPromptCharacters} characters for ${model.id}` })
  if (input.n > model.maxImages) details.push({ path: 'n', message: `must be at most ${model.maxImages} for ${model.id}` })
  if (details.length > 0) throw new AppError('invalid_request', details.map(({ path, message }) => `${path} ${message}`).join('; '), { details })
}

/** The model that answers today: a retired one's successor, the sandbox for a provider that is off in local mode. */
function chooseModel(requested: Model, { catalog, providers, standIn }: PlanContext): { model: Model; provider: Provider; warnings: Warning[] } {
  const { model, warnings } = catalog.resolve(requested)
  const provider = providers.get(model.provider)
  if (provider) return { model, provider, warnings }
  const sandbox = standIn === undefined ? undefined : catalog.find(standIn)
  const sandboxProvider = sandbox && providers.get(sandbox.provider)
  if (!sandboxProvider) throw new AppError('not_configured', `${model.id} cannot be used: this service has no key for its provider, ${model.provider}.`)
  warnings.push({ type: 'other', setting: 'model', message: `There is no key for ${model.provider}: the sandbox drew this picture in place of ${model.id}.` })
  return { model: sandbox, provider: sandboxProvider, warnings }
}

function supported<T>(model: Model, setting: 'seed' | 'negativePrompt', value: T | undefined, warnings: Warning[]): T | undefined {
  if (value === undefined || model.supports[setting]) return value
  warnings.push({ type: 'unsupported', setting, message: `${model.id} takes no ${setting === 'seed' ? 'seed' : 'negative prompt'}: it was left out.` })
  return undefined
}

/** Options for other known providers are passed over, so that a frontend may send them for whichever model runs. */
function checkProviderOptions(options: Record<string, Record<string, unknown>>, provider: Provider, context: PlanContext): Record<string, unknown> {
  const known = new Set([...context.providers.keys(), ...context.catalog.list().map((model) => model.provider)])
  const unknown = Object.keys(options).filter((id) => !known.has(id))
  const parsed = provider.optionsSchema.safeParse(options[provider.id] ?? {})
  const details = [
    ...unknown.map((id) => ({ path: `providerOptions.${id}`, message: `must be the id of a provider: ${[...known].join(', ')}` })),
    ...(parsed.error?.issues ?? []).map((issue) => ({ path: ['providerOptions', provider.id, ...issue.path].join('.'), message: issue.message })),
  ]
  if (details.length > 0 || !parsed.success) throw new AppError('invalid_request', details.map(({ path, message }) => `${path} ${message}`).join('; '), { details })
  return parsed.data
}
