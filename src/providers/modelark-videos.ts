/** ModelArk's Seedance: video tasks through the OpenAI SDK's plain calls. Wire format as of November 2026. */
import { randomInt } from 'node:crypto'
import OpenAI from 'openai'
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { FoundOperations, Mark, Operation, VendorModel, VideoModel, VideoRequest, OperationState, Warning } from '../generation/provider.ts'
import { checkTimeLeft } from './call-failures.ts'
import { toDataUrl } from './data-url.ts'
import type { ModelArkOptions } from './modelark-options.ts'
import { toModelArkError, toTaskError, type CallKind } from './modelark-errors.ts'

const PROVIDER = 'modelark'
const TASKS = '/contents/generations/tasks'
/** Above the caller's own signal, so that it alone decides how long a call may take. */
const SDK_TIMEOUT_MS = 1_800_000

/** Fields that each family of Seedance knows; it refuses a request that has others, whatever their value. */
const FAMILIES = {
  'seedance-1-0': { seed: true, cameraFixed: true },
  'seedance-1-5': { seed: true, cameraFixed: true, audio: true },
  'seedance-2-0': { audio: true },
  // With frames it takes no ratio but the picture's own.
  'seedance-2-5': { audio: true, adaptiveFrames: true },
} satisfies Record<string, Partial<Record<'seed' | 'cameraFixed' | 'audio' | 'adaptiveFrames', true>>>

type SeedanceFamily = keyof typeof FAMILIES

/** The largest seed that a task takes, and one more. */
const SEEDS = 4_294_967_296
/**
 * A task that is not done by then is expired by the vendor itself: its word is better than our guess. The seconds are
 * drawn at random, since the vendor echoes them from the first moment, where a seed is told only at the end.
 */
const EXPIRES_AFTER_SECONDS = { min: 10_800, max: 97_200 }
/** The vendor's clock and ours may differ by so much. */
const CLOCK_SKEW_MS = 120_000
/** No call takes longer than this to arrive. */
const CALL_MS = 600_000
const LIST_PAGE = 200
const MAX_LIST_PAGES = 20

/** An endpoint id (`ep-…`) tells nothing: its catalog entry names the family. */
function toFamily({ vendorId, family }: VendorModel): SeedanceFamily {
  if (family !== undefined && family in FAMILIES) return family as SeedanceFamily
  const version = /seedance-(\d)-(\d)/.exec(vendorId)
  const named = version ? `seedance-${version[1]}-${version[2]}` : ''
  return named in FAMILIES ? (named as SeedanceFamily) : 'seedance-1-0'
}

export function createSeedance(client: OpenAI, model: VendorModel): VideoModel {
  const family = toFamily(model)
  const knows: Partial<Record<'seed' | 'cameraFixed' | 'audio' | 'adaptiveFrames', true>> = FAMILIES[family]
  const guarded = async <T>(call: () => Promise<T>, kind: CallKind = 'free'): Promise<T> => {
    try {
      return await call()
    } catch (error) {
      throw toModelArkError(error, kind)
    }
  }

  return {
    mark: ({ seed }) => ({
      expiresAfter: randomInt(EXPIRES_AFTER_SECONDS.min, EXPIRES_AFTER_SECONDS.max),
      ...(knows.seed && { seed: seed ?? randomInt(SEEDS) }),
    }),

    async start(request, { signal, mark }) {
      checkTimeLeft(PROVIDER, signal)
      const { body, warnings } = toBody(model.vendorId, knows, request, mark)
      return await guarded(async () => {
        const { data, response } = await client.post<unknown>(TASKS, { body, signal, timeout: SDK_TIMEOUT_MS }).withResponse()
        const providerRequestId = response.headers.get('x-request-id') ?? undefined
        const parsed = startedSchema.safeParse(data)
        // The vendor said yes in a way that cannot be read: a task may be under way.
        if (!parsed.success) throw new ProviderError('submission_unknown', 'ModelArk answered in a form that this service does not understand.', { provider: PROVIDER, charged: 'unknown', providerRequestId, cause: parsed.error })
        return { operation: { id: parsed.data.id }, warnings, ...(providerRequestId !== undefined && { providerRequestId }) }
      }, 'task')
    },

    async check(operation, { signal }) {
      return await guarded(async () => {
        const task = await client.get<unknown>(`${TASKS}/${idOf(operation)}`, { signal, timeout: SDK_TIMEOUT_MS }).catch(orForgotten)
        return toState(parseAnswer(taskSchema, task))
      })
    },

    async cancel(operation, { signal }) {
      return await guarded(async () => {
        const path = `${TASKS}/${idOf(operation)}`
        const { status } = parseAnswer(taskSchema, await client.get<unknown>(path, { signal, timeout: SDK_TIMEOUT_MS }).catch(orForgotten))
        // The same call that cancels a queued task deletes a finished one, and with it what was paid for.
        if (status !== 'queued') return status === 'cancelled'
        try {
          await client.delete(path, { signal, timeout: SDK_TIMEOUT_MS })
          return true
        } catch (error) {
          // It began to run in between, and cannot be stopped; which 4xx says so is not documented.
          if (error instanceof OpenAI.APIError && [400, 403, 409].includes(error.status as number)) return false
          return orForgotten(error)
        }
      })
    },

    find: (mark, { signal, since }) => guarded(() => findTasks(client, model.vendorId, mark, since, signal)),

    parseCallback(body) {
      const parsed = startedSchema.safeParse(body)
      return parsed.success ? { id: parsed.data.id } : undefined
    },
  }
}

/** Tasks with our mark, made since the call began. The list has the newest first. */
async function findTasks(client: OpenAI, model: string, mark: Mark, since: Date, signal: AbortSignal): Promise<FoundOperations> {
  const oldest = (since.getTime() - CLOCK_SKEW_MS) / 1000
  // A call ends long before; what was made later is another's.
  const youngest = (since.getTime() + CALL_MS + CLOCK_SKEW_MS) / 1000
  const young: ListedTask[] = []
  for (let page = 1; page <= MAX_LIST_PAGES; page++) {
    const { items } = parseAnswer(listSchema, await client.get<unknown>(TASKS, { query: { page_num: page, page_size: LIST_PAGE }, signal, timeout: SDK_TIMEOUT_MS }))
    young.push(...items.filter(({ created_at: createdAt }) => createdAt >= oldest && createdAt <= youngest))
    if (items.length === LIST_PAGE && items.every(({ created_at: createdAt }) => createdAt >= oldest)) continue
    // A task that came in meanwhile moves others to the next page: one may be seen twice.
    const ids = new Set(young.filter((task) => hasMark(task, mark) && isOfModel(task, model)).map(({ id }) => id))
    return { operations: [...ids].map((id) => ({ id })), isUndecided: young.some((task) => isUndecided(task)) }
  }
  throw new ProviderError('provider_failed', 'ModelArk lists more tasks than this service looks through.', { provider: PROVIDER, charged: 'no' })
}

/** Nothing that is told may contradict the mark, and one thing must be told: a seed of the user's own is not enough. */
function hasMark({ seed, execution_expires_after: expiresAfter }: ListedTask, mark: Mark): boolean {
  const isSeedOther = typeof seed === 'number' && typeof mark.seed === 'number' && seed !== mark.seed
  return typeof mark.expiresAfter === 'number' && expiresAfter === mark.expiresAfter && !isSeedOther
}

/** An endpoint's tasks name the model behind it. */
const isOfModel = (task: ListedTask, model: string): boolean => model.startsWith('ep-') || task.model == null || task.model === model

/** What is not documented to be told before the end may be told then. */
const isUndecided = ({ status, execution_expires_after: expiresAfter }: ListedTask): boolean => typeof expiresAfter !== 'number' && (status === 'queued' || status === 'running')

function toBody(model: string, knows: Partial<Record<'seed' | 'cameraFixed' | 'audio' | 'adaptiveFrames', true>>, request: VideoRequest, mark: Mark): { body: Record<string, unknown>; warnings: Warning[] } {
  const warnings: Warning[] = []
  const { cameraFixed } = request.providerOptions as ModelArkOptions
  const text = withoutOptions(request.prompt)
  if (text !== request.prompt) warnings.push({ type: 'adjusted', setting: 'prompt', message: 'Words that begin with -- would be read as settings by the provider: the dashes were taken out.' })
  if (cameraFixed !== undefined && !knows.cameraFixed) warnings.push({ type: 'unsupported', setting: 'providerOptions.modelark.cameraFixed', message: `${model} takes no cameraFixed: it was left out.` })
  const { firstFrame } = request
  const frames = firstFrame ? [{ type: 'image_url', image_url: { url: toDataUrl(firstFrame) }, role: 'first_frame' }] : []
  const body: Record<string, unknown> = {
    model,
    content: [{ type: 'text', text }, ...frames],
    // The picture was cut to the ratio already.
    ratio: firstFrame && knows.adaptiveFrames ? 'adaptive' : request.aspectRatio,
    resolution: request.resolution,
    duration: request.duration,
    watermark: false,
    execution_expires_after: mark.expiresAfter,
    ...(knows.seed && { seed: request.seed ?? mark.seed }),
    ...(knows.cameraFixed && cameraFixed !== undefined && { camera_fixed: cameraFixed }),
    // Documents and schema disagree about the default, so it is always said.
    ...(knows.audio && { generate_audio: request.generateAudio ?? false }),
    ...(request.callbackUrl !== undefined && { callback_url: request.callbackUrl }),
  }
  return { body, warnings }
}

/** The old way of giving settings, still read from the end of a prompt: `… --ratio 1:1`. */
const withoutOptions = (prompt: string): string => prompt.replace(/(^|\s)-{2,}(?=\S)/g, '$1')

function idOf(operation: Operation): string {
  // It becomes part of an address: a callback's word could lead anywhere.
  const parsed = startedSchema.safeParse(operation)
  if (!parsed.success) throw lost()
  return encodeURIComponent(parsed.data.id)
}

const lost = (cause?: unknown) => new ProviderError('operation_lost', 'The provider does not know this video any more.', { provider: PROVIDER, charged: 'unknown', statusCode: 404, cause })

function orForgotten(error: unknown): never {
  // A proxy or a wrong address answers 404 too: only the vendor's own word says that it has forgotten.
  throw error instanceof OpenAI.APIError && error.status === 404 && typeof error.code === 'string' && /NotFound/.test(error.code) ? lost(error) : error
}

function toState(task: z.infer<typeof taskSchema>): OperationState {
  switch (task.status) {
    case 'queued':
    case 'running':
    case 'cancelled':
      return { status: task.status }
    case 'succeeded':
      return {
        status: 'succeeded',
        outputs: task.content?.video_url ? [{ type: 'url', url: task.content.video_url }] : [],
        ...(task.usage?.completion_tokens != null && { usage: { outputTokens: task.usage.completion_tokens } }),
      }
    case 'failed':
      return { status: 'failed', error: toTaskError(task.error) }
    case 'expired':
      return { status: 'failed', error: new ProviderError('operation_expired', 'The provider did not get to this video in time. Nothing was charged; try again.', { provider: PROVIDER, charged: 'no' }) }
    default:
      return { status: 'unknown', vendorStatus: task.status.slice(0, 100) }
  }
}

/** An answer that cannot be read says nothing: the next look may. */
function parseAnswer<T>(schema: z.ZodType<T>, data: unknown): T {
  const parsed = schema.safeParse(data)
  if (parsed.success) return parsed.data
  throw new ProviderError('provider_failed', 'ModelArk answered in a form that this service does not understand.', { provider: PROVIDER, charged: 'no', isRetryable: true, cause: parsed.error })
}

const startedSchema = z.object({ id: z.string().regex(/^[\w.-]{1,200}$/) })

/** Read tolerantly: fields are added weekly. */
const taskSchema = z.object({
  status: z.string(),
  content: z.object({ video_url: z.string().optional() }).nullish(),
  usage: z.object({ completion_tokens: z.number().nullish() }).nullish().catch(undefined),
  error: z.object({ code: z.string().nullish(), message: z.string().nullish() }).nullish(),
})

const listedSchema = z.object({
  id: z.string(),
  model: z.string().nullish().catch(undefined),
  seed: z.coerce.number().nullish().catch(undefined),
  execution_expires_after: z.coerce.number().nullish().catch(undefined),
  status: z.string().nullish().catch(undefined),
  created_at: z.coerce.number(),
})

/** One odd item must not hide the others. */
const listSchema = z.object({
  items: z
    .array(z.unknown())
    .nullish()
    .transform((items) => (items ?? []).flatMap((item) => listedSchema.safeParse(item).data ?? [])),
})

type ListedTask = z.infer<typeof listSchema>['items'][number]
