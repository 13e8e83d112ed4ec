/** What every kind of request goes through on its way to a plan: text, model, provider, options. */
import { z } from 'zod'
import { AppError, type ErrorDetail } from '../errors.ts'
import type { Catalog, Model } from './catalog.ts'
import type { TokenPrice } from './price.ts'
import type { Provider, Task, Warning } from './provider.ts'

export type Kind = Model['kind']

/** The models that stand in where a provider is off: the sandbox's, in local mode. */
export type StandIns = Partial<Record<Kind, string>>

export interface PlanContext {
  catalog: Catalog
  /** The providers that are on. */
  providers: ReadonlyMap<string, Provider>
  standIns: StandIns
  /** Whether a vendor said a while ago that it has no such model, or not for such work: `generate` where none is named. */
  isGone(provider: string, vendorId: string, task?: Task): boolean
}

/**
 * What every plan has. A plan is a request that was checked against the model that will run it: plain JSON, stored, so that
 * any process resumes it.
 */
export interface CommonPlan {
  requestedModel: string
  model: string
  provider: string
  vendorId: string
  family?: string | undefined
  prompt: string
  /** How many paid calls it takes, one for each output. */
  n: number
  seed?: number | undefined
  providerOptions: Record<string, unknown>
  warnings: Warning[]
  estimatedCostMicros: number | null
  /** What the vendor's usage is settled by, where it bills tokens. */
  tokenPrice?: TokenPrice | undefined
  /** The plans of the models that are asked in this order when this one surely did not take the work. */
  fallbacks: this[]
}

/** Text that Postgres and JSON can hold: no NUL, no half of a surrogate pair. */
export const storableText = z
  .string()
  .refine((text) => !text.includes('\0'), 'must not contain NUL characters')
  .refine((text) => text.isWellFormed(), 'must be valid Unicode')

export const promptSchema = storableText.trim().min(1, 'must not be empty')
export const modelIdSchema = storableText.min(1).max(200)
/** What every vendor's own range of seeds contains. */
export const MAX_SEED = 2_147_483_647
/** No vendor's option is deeper. What is must not reach whoever walks through it: a parser lets a hundred thousand levels through. */
const MAX_OPTION_DEPTH = 16

export const providerOptionsSchema = z
  .record(z.string().max(50), z.record(z.string().max(50), z.unknown()))
  .refine((options) => isAtMostSoDeep(options, MAX_OPTION_DEPTH), 'must not be nested so deeply')
  .describe('Settings of one vendor alone, by the id of its provider. What the chosen provider does not know is refused; those of other providers are passed over.')

const isAtMostSoDeep = (value: unknown, levels: number): boolean => typeof value !== 'object' || value === null || (levels > 0 && Object.values(value).every((item) => isAtMostSoDeep(item, levels - 1)))

/** What fields mean that several requests have: told by the API's own document. */
export const MEANING = {
  userId: 'Your own id, or nothing: another user’s is refused.',
  seed: 'The same seed makes much the same thing again, where the model knows seeds.',
  negativePrompt: 'What is to be left out, where the model can be told.',
  fallback: 'Whether another model of the chain may do the work when this one surely took nothing.',
}

/** @throws {AppError} `invalid_request` when the catalog has no such model of the kind. */
export function findModel<K extends Kind>(id: string | undefined, kind: K, catalog: Catalog): Extract<Model, { kind: K }> {
  const model = id === undefined ? catalog.list().find((entry) => entry.kind === kind) : (catalog.find(id) ?? catalog.findOpen(id, kind))
  if (model?.kind === kind) return model as Extract<Model, { kind: K }>
  throw new AppError('invalid_request', `There is no ${kind} model ${id === undefined ? 'yet' : JSON.stringify(id)}. GET /api/${kind}s/models lists those that can be used.`, {
    details: [{ path: 'model', message: 'must be a model of the catalog' }],
  })
}

/** A model that was found fit to be asked, with its provider and what its caller should know. */
export interface Chosen<M extends Model> {
  model: M
  provider: Provider
  warnings: Warning[]
}

/**
 * The plan of the model asked for, and behind it those of the other models of its chain that can do the same. Where the
 * first has no key here, is gone, or makes videos of pictures alone and there is none, the next one that can is the plan.
 * @param planFor makes the plan of one model. @throws {AppError} where that cannot do what is asked.
 * @throws {AppError} what the first model's plan throws, when no other may take its place.
 */
export function planChain<M extends Model, P extends CommonPlan>(requested: M, context: PlanContext, isWanted: boolean, planFor: (chosen: Chosen<M>) => P): P {
  const others = isWanted ? chainOf(requested, context).flatMap((model) => planOther(model, requested, context, planFor)) : []
  try {
    const first = planFor(chooseModel(requested, context))
    return { ...first, fallbacks: others.filter(({ model }) => model !== first.model) }
  } catch (error) {
    const [next, ...rest] = others
    if (!next || !mayBeReplaced(error)) throw error
    return { ...next, fallbacks: rest }
  }
}

/** The models after the first, each once: its fallbacks, and what its vendor names as its successor. */
export function chainOf<M extends Model>(requested: M, { catalog }: Pick<PlanContext, 'catalog'>): M[] {
  const { model: first } = catalog.resolve(requested)
  const ids = new Set([...requested.fallbacks, ...first.fallbacks, ...(first.successor === undefined ? [] : [first.successor])])
  ids.delete(first.id)
  return [...ids].map((id) => catalog.find(id) as M)
}

function planOther<M extends Model, P extends CommonPlan>(model: M, requested: M, context: PlanContext, planFor: (chosen: Chosen<M>) => P): P[] {
  try {
    // The sandbox stands in for a first choice, never for a second one.
    const plan = planFor(chooseModel(model, { ...context, standIns: {} }))
    return [{ ...plan, warnings: [...plan.warnings, { type: 'other', setting: 'model', message: `${requested.id} could not take the work; ${plan.model} was used instead.` }] }]
  } catch (error) {
    if (error instanceof AppError) return []
    throw error
  }
}

/** A missing key, a missing model and a missing picture are no fault of what was asked for; anything else is for the caller to mend. */
const mayBeReplaced = (error: unknown): boolean => error instanceof AppError && (error.code === 'not_configured' || error.code === 'model_unavailable' || error.details?.some(({ path, message }) => path === 'image' && message.startsWith('is missing')) === true)

/**
 * The model that answers today: a retired one's successor, the sandbox's for a provider that is off in local mode.
 * @throws {AppError} `not_configured` when there is none, `model_unavailable` while its vendor does not have it.
 */
export function chooseModel<M extends Model>(requested: M, { catalog, providers, standIns, isGone }: PlanContext): Chosen<M> {
  const { model, warnings } = catalog.resolve(requested)
  const provider = providers.get(model.provider)
  if (provider && isGone(model.provider, vendorIdOf(model))) throw new AppError('model_unavailable', `${model.id} cannot be used now: its provider, ${model.provider}, does not offer it to this service. Choose another model.`)
  // A successor is of the same kind: the catalog refuses any other.
  if (provider) return { model: model as M, provider, warnings }
  const standIn = standIns[requested.kind]
  const sandbox = standIn === undefined ? undefined : catalog.find(standIn)
  const sandboxProvider = sandbox && providers.get(sandbox.provider)
  if (!sandboxProvider) throw new AppError('not_configured', `${model.id} cannot be used: this service has no key for its provider, ${model.provider}.`)
  warnings.push({ type: 'other', setting: 'model', message: `There is no key for ${model.provider}: the sandbox made this in place of ${model.id}.` })
  return { model: sandbox as M, provider: sandboxProvider, warnings }
}

/** What a plan says of its request and its model, whatever is to be made. */
export function toCommonPlan({ model, provider, warnings }: Chosen<Model>, requested: Model, input: { prompt: string; seed?: number | undefined; providerOptions?: Record<string, Record<string, unknown>> | undefined }, context: PlanContext) {
  const seed = supported(model, 'seed', input.seed, warnings)
  return {
    requestedModel: requested.id,
    model: model.id,
    provider: provider.id,
    vendorId: vendorIdOf(model),
    ...(model.family !== undefined && { family: model.family }),
    prompt: input.prompt,
    ...(seed !== undefined && { seed }),
    providerOptions: checkProviderOptions(input.providerOptions ?? {}, provider, context),
    warnings,
    fallbacks: [],
  }
}

/** What the vendor calls a model. */
export const vendorIdOf = ({ id, vendorId }: Model): string => vendorId ?? id

/** The value, or nothing and a warning where the model does not know the setting. */
export function supported<T>(model: Model, setting: 'seed' | 'negativePrompt', value: T | undefined, warnings: Warning[]): T | undefined {
  if (value === undefined || model.supports[setting]) return value
  warnings.push({ type: 'unsupported', setting, message: `${model.id} takes no ${setting === 'seed' ? 'seed' : 'negative prompt'}: it was left out.` })
  return undefined
}

/** Options for other providers are passed over, since a stand-in or a successor may run; those of nobody are a mistake. */
function checkProviderOptions(options: Record<string, Record<string, unknown>>, provider: Provider, context: PlanContext): Record<string, unknown> {
  const known = new Set([...context.providers.keys(), ...context.catalog.list().map((model) => model.provider)])
  const unknown = Object.keys(options).filter((id) => !known.has(id))
  const parsed = provider.optionsSchema.safeParse(options[provider.id] ?? {})
  const details = [
    ...unknown.map((id) => ({ path: `providerOptions.${id}`, message: `must be the id of a provider: ${[...known].join(', ')}` })),
    ...(parsed.error?.issues ?? []).map((issue) => ({ path: ['providerOptions', provider.id, ...issue.path].join('.'), message: issue.message })),
  ]
  refuseIfAny(details)
  return parsed.data!
}

/** @throws {AppError} `invalid_request` with the details, if there are any. */
export function refuseIfAny(details: ErrorDetail[]): void {
  if (details.length > 0) throw new AppError('invalid_request', details.map(({ path, message }) => `${path} ${message}`).join('; '), { details })
}

/** @throws {AppError} `forbidden` for another user's id. */
export function checkOwner(input: { userId?: string | undefined }, userId: string): void {
  if (input.userId !== undefined && input.userId.toLowerCase() !== userId.toLowerCase()) throw new AppError('forbidden', 'userId must be your own id, or be left out.')
}
