/** What the service knows about models: data with a schema, looked up by the id that callers use. */
import { z } from 'zod'
import { createOpenFinder, isOpen } from './open-models.ts'
import { imagePriceSchema, videoPriceSchema } from './price.ts'
import type { Size, Warning } from './provider.ts'

const sizeText = z.string().regex(/^\d{2,5}x\d{2,5}$/, 'must look like 1024x1024')
const date = z.iso.date()

/** What a model's vendor lets one ask for. Sides and totals in pixels, ratios as width divided by height. */
const sizesSchema = z.strictObject({
  minSide: z.int().min(1).optional(),
  maxSide: z.int().min(1).optional(),
  minPixels: z.int().min(1).optional(),
  maxPixels: z.int().min(1).optional(),
  minRatio: z.number().positive().optional(),
  maxRatio: z.number().positive().optional(),
  /** Sizes that the vendor documents; preferred when a smaller one must be made larger. */
  known: z.array(sizeText).min(1),
  /** Whether the vendor makes nothing but the known ones. */
  onlyKnown: z.boolean().default(false),
})

export type SizeRules = z.infer<typeof sizesSchema>

/** What every model has. */
const common = {
  id: z.string().trim().min(1).max(200),
  provider: z.string().min(1),
  /** The id that the vendor is asked for, such as an inference endpoint `ep-…`; the same as `id` where absent. */
  vendorId: z.string().min(1).optional(),
  /** Decides the shape of the vendor's request where its id does not tell. */
  family: z.string().min(1).optional(),
  state: z.enum(['current', 'retiring', 'retired']).default('current'),
  retiresOn: date.optional(),
  successor: z.string().min(1).optional(),
  maxPromptCharacters: z.int().min(1).max(100_000),
  /** Ids of models that are asked in this order when this one surely did not take the work. */
  fallbacks: z.array(z.string().min(1)).default([]),
}

const imageModelSchema = z.strictObject({
  ...common,
  kind: z.literal('image'),
  tasks: z.array(z.enum(['generate', 'edit', 'remove-background'])).min(1).default(['generate']),
  sizes: sizesSchema,
  /** Pictures to work on; sides in pixels, as the vendor takes them. */
  inputs: z.strictObject({ max: z.int().min(1), minSide: z.int().min(1).default(64), maxSide: z.int().min(1).default(2048), mask: z.boolean().default(false) }).optional(),
  maxImages: z.int().min(1).max(16).default(1),
  supports: z.strictObject({ seed: z.boolean().default(false), negativePrompt: z.boolean().default(false) }).prefault({}),
  price: imagePriceSchema.optional(),
})

const aspectRatio = z.string().regex(/^\d{1,2}:\d{1,2}$/, 'must look like 16:9')

const videoModelSchema = z.strictObject({
  ...common,
  kind: z.literal('video'),
  /** In whole seconds, both ends included; `only` where it makes certain lengths and no others. */
  durations: z.strictObject({ min: z.int().min(1), max: z.int().max(3600), only: z.array(z.int().min(1)).min(1).optional() }),
  aspectRatios: z.array(aspectRatio).min(1),
  /** Where it makes fewer without a first frame. */
  aspectRatiosFromText: z.array(aspectRatio).min(1).optional(),
  resolutions: z.array(z.string().min(1)).min(1),
  defaultResolution: z.string().min(1),
  /** The picture that a video begins with; sides in pixels, as the vendor takes them. */
  firstFrame: z.strictObject({ use: z.enum(['optional', 'required', 'none']), minSide: z.int().min(1).default(300), maxSide: z.int().min(1).default(2048) }),
  supports: z.strictObject({ seed: z.boolean().default(false), negativePrompt: z.boolean().default(false), audio: z.boolean().default(false) }).prefault({}),
  price: videoPriceSchema.optional(),
})

export const modelSchema = z
  .discriminatedUnion('kind', [imageModelSchema, videoModelSchema])
  .refine((model) => model.state !== 'retired' || model.successor !== undefined, { path: ['successor'], error: 'a retired model must name its successor' })
  .refine((model) => model.state !== 'retiring' || model.retiresOn !== undefined, { path: ['retiresOn'], error: 'a retiring model must say when' })
  .refine((model) => model.kind !== 'video' || model.resolutions.includes(model.defaultResolution), { path: ['defaultResolution'], error: 'must be one of resolutions' })

export type ImageModelEntry = z.infer<typeof imageModelSchema>
export type VideoModelEntry = z.infer<typeof videoModelSchema>
export type Model = z.infer<typeof modelSchema>
export type ModelInput = z.input<typeof modelSchema>

export interface Catalog {
  /** Every model that is known by its id, the default of each kind first. */
  list(): readonly Model[]
  /** Those that stand for ids that nobody listed, such as `fal-ai/*`. */
  open(): readonly Model[]
  find(id: string): Model | undefined
  /** A model that an open entry of the kind stands for. */
  findOpen(id: string, kind: Model['kind']): Model | undefined
  /** Follows a retired model to the one that does its work today, with a warning for each step. */
  resolve(model: Model): { model: Model; warnings: Warning[] }
}

/**
 * @param overrides entries of the operator's own: a new id adds a model, a known id replaces the fields given, and
 *   `extends` copies another entry first. An id with `*` stands for every id of that form.
 * @throws {CatalogError} naming every problem at once.
 */
export function createCatalog(models: readonly ModelInput[], overrides: unknown = []): Catalog {
  const raw = new Map<string, object>(models.map((model) => [keyOf(model), model]))
  const problems = applyOverrides(raw, overrides)
  const [catalog, patterns] = [new Map<string, Model>(), [] as Model[]]
  for (const [key, entry] of raw) {
    const parsed = modelSchema.safeParse(entry)
    if (!parsed.success) problems.push(...parsed.error.issues.map((issue) => `${key}: ${issue.path.join('.') || 'entry'} ${issue.message}`))
    else if (isOpen(parsed.data)) patterns.push(parsed.data)
    else catalog.set(parsed.data.id, parsed.data)
  }
  const findOpen = createOpenFinder(patterns)
  problems.push(...[...catalog.values()].flatMap((model) => [...successorProblem(model, catalog), ...fallbackProblems(model, catalog)]))
  if (problems.length > 0) throw new CatalogError(problems)
  return {
    list: () => [...catalog.values()],
    open: () => patterns,
    find: (id) => catalog.get(id),
    findOpen,
    resolve(model) {
      const warnings: Warning[] = []
      let at = model
      while (at.state === 'retired') {
        const next = catalog.get(at.successor!)!
        const when = at.retiresOn ? ` on ${at.retiresOn}` : ''
        warnings.push({ type: 'deprecated', setting: 'model', message: `${at.id} was retired by its vendor${when}; ${next.id} was used instead.` })
        at = next
      }
      if (at.state === 'retiring') warnings.push({ type: 'deprecated', setting: 'model', message: `${at.id} will be retired by its vendor on ${at.retiresOn}${at.successor ? `; ${at.successor} replaces it` : ''}.` })
      return { model: at, warnings }
    },
  }
}

/** Problems in the built-in entries or in the operator's file. */
export class CatalogError extends Error {
  readonly problems: string[]
  constructor(problems: string[]) {
    super(`The model catalog has problems:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`)
    this.name = 'CatalogError'
    this.problems = problems
  }
}

/** Open entries may share their id with one of the other kind. */
const keyOf = ({ id, kind }: { id: string; kind?: string | undefined }): string => (isOpen({ id }) ? `${kind} ${id}` : id)

const overrideSchema = z.looseObject({ id: z.string().trim().min(1), kind: z.string().optional(), extends: z.string().optional() })

function applyOverrides(raw: Map<string, object>, overrides: unknown): string[] {
  if (!Array.isArray(overrides)) return ['the file must hold a JSON array of models']
  const problems: string[] = []
  for (const [index, value] of overrides.entries()) {
    const parsed = overrideSchema.safeParse(value)
    if (!parsed.success) {
      problems.push(`entry ${index}: ${parsed.error.issues.map((issue) => `${issue.path.join('.') || 'entry'} ${issue.message}`).join(', ')}`)
      continue
    }
    const { extends: base, ...entry } = parsed.data
    const [key, baseKey] = [keyOf(entry), base === undefined ? undefined : keyOf({ id: base, kind: entry.kind })]
    if (baseKey !== undefined && !raw.has(baseKey)) problems.push(`${entry.id}: extends ${base}, which is not in the catalog`)
    raw.set(key, { ...raw.get(baseKey ?? key), ...entry })
  }
  return problems
}

function successorProblem(model: Model, catalog: Map<string, Model>): string[] {
  const seen = new Set<string>()
  for (let at: Model | undefined = model; at?.successor !== undefined; at = catalog.get(at.successor)) {
    if (seen.has(at.id)) return [`${model.id}: its successors form a circle`]
    seen.add(at.id)
    const next = catalog.get(at.successor)
    if (!next) return [`${at.id}: successor ${at.successor} is not in the catalog`]
    if (next.kind !== at.kind) return [`${at.id}: successor ${next.id} is of another kind`]
  }
  return []
}

function fallbackProblems({ id, kind, fallbacks }: Model, catalog: Map<string, Model>): string[] {
  return fallbacks.flatMap((fallback) => {
    const model = catalog.get(fallback)
    if (!model) return [`${id}: fallback ${fallback} is not in the catalog`]
    return model.kind === kind ? [] : [`${id}: fallback ${fallback} is of another kind`]
  })
}

/** `1024x1024` as numbers. The text must have passed the size pattern. */
export function parseSize(text: string): Size {
  const [width, height] = text.split('x').map(Number)
  return { width: width!, height: height! }
}

export const toSizeText = (size: Size): string => `${size.width}x${size.height}`
