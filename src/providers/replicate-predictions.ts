/** Replicate's predictions: created, looked at, cancelled and found again. Wire format as of April 2026. */
import { randomInt } from 'node:crypto'
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { FoundOperations, Mark, Operation, OperationState, Output, Warning } from '../generation/provider.ts'
import { requestIdOf, toLookError, toRunError, toStartError } from './replicate-errors.ts'
import type { VendorAnswer, VendorCall } from './vendor-call.ts'

const PROVIDER = 'replicate'

/**
 * A prediction that is not done by then is cancelled by the vendor itself. The seconds are drawn at random: the vendor
 * echoes the moment in its list, which so tells one prediction from another even where a user's own seed does not.
 */
const CANCEL_AFTER_SECONDS = { min: 10_800, max: 97_200 }
/** The largest seed that every model takes, and one more. */
const SEEDS = 2_147_483_648
/** What the vendor may round away between a prediction's creation and its deadline. */
const DEADLINE_TOLERANCE_MS = 2000
/** The vendor's clock and ours may differ by so much. */
const CLOCK_SKEW_MS = 120_000
/** Of a hundred predictions each. */
const MAX_LIST_PAGES = 20

export interface Creation {
  input: Record<string, unknown>
  warnings: Warning[]
  callbackUrl?: string | undefined
  mark: Mark
}

export type Predictions = ReturnType<typeof createPredictions>

/** @param root the base address without a slash at its end. */
export function createPredictions(call: VendorCall, root: string) {
  const addressOf = (operation: Operation): string => {
    const parsed = operationSchema.safeParse(operation)
    if (!parsed.success) throw new ProviderError('operation_lost', 'The provider does not know this work any more.', { provider: PROVIDER, charged: 'unknown' })
    return `${root}/predictions/${parsed.data.id}`
  }
  const look = async (operation: Operation, signal: AbortSignal): Promise<Prediction> => {
    const answer = await call('GET', addressOf(operation), { signal })
    if (answer.status !== 200) throw toLookError(answer)
    return parseAnswer(predictionSchema, answer)
  }

  return {
    /** The paid call. @param model a model, one of its versions, or a deployment. */
    async create(model: string, { input, warnings, callbackUrl, mark }: Creation, signal: AbortSignal) {
      const { path, version } = toEndpoint(model)
      const { cancelAfterSeconds } = mark
      const answer = await call('POST', `${root}${path}`, {
        // Only https is called back. One that would be refused is not worth a refused generation.
        body: { ...(version !== undefined && { version }), input, ...(callbackUrl?.startsWith('https://') && { webhook: callbackUrl, webhook_events_filter: ['completed'] }) },
        signal,
        isPaid: true,
        ...(typeof cancelAfterSeconds === 'number' && { headers: { 'cancel-after': `${cancelAfterSeconds}s` } }),
      })
      if (answer.status < 200 || answer.status > 299) throw toStartError(answer)
      const parsed = operationSchema.safeParse(answer.body)
      const providerRequestId = requestIdOf(answer.headers)
      // The vendor said yes in a way that cannot be read: something may be under way.
      if (!parsed.success) throw new ProviderError('submission_unknown', 'The provider answered in a form that this service does not understand. What was asked for may have been made and paid, so it was not asked for again.', { provider: PROVIDER, charged: 'unknown', statusCode: answer.status, providerRequestId })
      return { operation: { id: parsed.data.id }, warnings, providerRequestId: providerRequestId ?? parsed.data.id }
    },

    check: async (operation: Operation, signal: AbortSignal): Promise<OperationState> => toState(await look(operation, signal)),

    /** A run that has begun is billed even when it is cancelled, and may still end well: it is left alone. */
    async cancel(operation: Operation, signal: AbortSignal): Promise<boolean> {
      const seen = await look(operation, signal)
      if (seen.status !== 'starting') return isCancelledUnbilled(seen)
      const answer = await call('POST', `${addressOf(operation)}/cancel`, { signal })
      if (answer.status !== 200) throw toLookError(answer)
      // It may have begun in the meantime.
      return isCancelledUnbilled(parseAnswer(predictionSchema, answer))
    },

    async find(model: string, mark: Mark, { signal, since }: { signal: AbortSignal; since: Date }): Promise<FoundOperations> {
      const verdicts = new Map<string, Verdict>()
      let query: string | undefined = `?created_after=${encodeURIComponent(new Date(since.getTime() - CLOCK_SKEW_MS).toISOString())}`
      for (let page = 0; page < MAX_LIST_PAGES && query !== undefined; page++) {
        const answer = await call('GET', `${root}/predictions${query}`, { signal })
        if (answer.status !== 200) throw toLookError(answer, false)
        const { next, results } = parseAnswer(listSchema, answer)
        for (const prediction of results) verdicts.set(prediction.id, judge(prediction, model, mark))
        // Nothing but the place in the list is taken from the vendor's link: the key goes to the configured address.
        query = next ? URL.parse(next, root)?.search : undefined
      }
      if (query !== undefined) throw new ProviderError('provider_failed', 'The provider lists more work than this service looks through.', { provider: PROVIDER, charged: 'no' })
      return { operations: [...verdicts].filter(([, verdict]) => verdict === 'ours').map(([id]) => ({ id })), isUndecided: [...verdicts.values()].includes('undecided') }
    },

    parseCallback(body: unknown): Operation | undefined {
      const parsed = operationSchema.safeParse(body)
      return parsed.success ? { id: parsed.data.id } : undefined
    },
  }
}

/** @param seed the caller's; @param knowsSeed whether the model takes one, so that one of ours may tell its work apart. */
export function drawMark(seed: number | undefined, knowsSeed: boolean): Mark {
  return {
    cancelAfterSeconds: randomInt(CANCEL_AFTER_SECONDS.min, CANCEL_AFTER_SECONDS.max),
    ...(seed !== undefined && { seed }),
    ...(seed === undefined && knowsSeed && { seed: randomInt(SEEDS), isSeedDrawn: true }),
  }
}

const MODEL = /^[\w.-]+\/[\w.-]+$/
const VERSION = /^([\w.-]+\/[\w.-]+:)?[0-9a-f]{64}$/
const DEPLOYMENT = /^deployments\/([\w.-]+\/[\w.-]+)$/
const UPWARD = /(^|\/)\.\.?(\/|$)/

function toEndpoint(model: string): { path: string; version?: string } {
  const deployment = DEPLOYMENT.exec(model)?.[1]
  if (UPWARD.test(model)) throw noSuchModel()
  if (deployment !== undefined) return { path: `/deployments/${deployment}/predictions` }
  if (VERSION.test(model)) return { path: '/predictions', version: model }
  if (MODEL.test(model)) return { path: `/models/${model}/predictions` }
  throw noSuchModel()
}

const noSuchModel = () => new ProviderError('model_unavailable', 'The provider has no model of this name.', { provider: PROVIDER, charged: 'no' })

type Verdict = 'ours' | 'other' | 'undecided'

/** Nothing that is told may contradict the mark, and one thing that only we know must be told. */
function judge({ model: itsModel, status, input, deadline, created_at: createdAt }: Prediction, model: string, mark: Mark): Verdict {
  const seed = input?.seed
  const name = model.replace(/:.*$/, '')
  const isModelOther = MODEL.test(name) && itsModel !== undefined && itsModel !== name
  if (isModelOther || (typeof seed === 'number' && typeof mark.seed === 'number' && seed !== mark.seed)) return 'other'
  if (deadline && createdAt && typeof mark.cancelAfterSeconds === 'number') {
    const difference = Date.parse(deadline) - Date.parse(createdAt) - mark.cancelAfterSeconds * 1000
    return Math.abs(difference) <= DEADLINE_TOLERANCE_MS ? 'ours' : 'other'
  }
  if (mark.isSeedDrawn === true && seed === mark.seed) return 'ours'
  // What is not told of an ended one will not be told any more.
  return status === 'starting' || status === 'processing' ? 'undecided' : 'other'
}

function toState(prediction: Prediction): OperationState {
  switch (prediction.status) {
    case 'starting': return { status: 'queued' }
    case 'processing': return { status: 'running' }
    case 'succeeded': return toResult(prediction)
    case 'failed': return { status: 'failed', error: toRunError(prediction.error ?? undefined) }
    // With one l. Of those that reached their deadline, the vendor charges for the ones that had begun.
    case 'canceled': return isPastDeadline(prediction) ? { status: 'failed', error: expired('yes') } : { status: 'cancelled' }
    case 'aborted': return isPastDeadline(prediction) !== false ? { status: 'failed', error: expired('no') } : { status: 'cancelled' }
    default: return { status: 'unknown', vendorStatus: prediction.status.slice(0, 100) }
  }
}

const expired = (charged: 'yes' | 'no') => new ProviderError('operation_expired', 'The provider did not get this done in time. Try again.', { provider: PROVIDER, charged })

const isCancelledUnbilled = ({ status, started_at: startedAt }: Prediction): boolean => (status === 'canceled' || status === 'aborted') && !startedAt

/** Undefined where it is not told. */
function isPastDeadline({ deadline, completed_at: completedAt }: Prediction): boolean | undefined {
  return deadline && completedAt ? Date.parse(completedAt) >= Date.parse(deadline) - DEADLINE_TOLERANCE_MS : undefined
}

function toResult({ output, data_removed: isRemoved }: Prediction): OperationState {
  const outputs = toOutputs(output)
  if (outputs.length > 0) return { status: 'succeeded', outputs }
  const error = isRemoved
    ? new ProviderError('output_expired', 'The provider has deleted the result, as it does after an hour.', { provider: PROVIDER, charged: 'yes' })
    : new ProviderError('output_invalid', 'The provider finished without a file that this service knows how to take.', { provider: PROVIDER, charged: 'yes' })
  return { status: 'failed', error }
}

/** Each model has its own form: one address, several, or several under names. Texts are no files. */
function toOutputs(output: unknown): Output[] {
  if (typeof output === 'string') return toOutput(output)
  if (typeof output !== 'object' || output === null) return []
  return Object.values(output).flatMap((value: unknown) => (typeof value === 'string' ? toOutput(value) : []))
}

function toOutput(text: string): Output[] {
  const data = /^data:[^,]*;base64,/.exec(text)
  if (data) return [{ type: 'bytes', bytes: Buffer.from(text.slice(data[0].length), 'base64') }]
  return /^https?:\/\//.test(text) ? [{ type: 'url', url: text }] : []
}

/** An answer that cannot be read says nothing: the next look may. */
function parseAnswer<T>(schema: z.ZodType<T>, answer: VendorAnswer): T {
  const parsed = schema.safeParse(answer.body)
  if (parsed.success) return parsed.data
  throw new ProviderError('provider_failed', 'The provider answered in a form that this service does not understand.', { provider: PROVIDER, charged: 'no', isRetryable: true, statusCode: answer.status, providerRequestId: requestIdOf(answer.headers) })
}

/** It becomes part of an address: a callback's word could lead anywhere. */
const idSchema = z.string().regex(/^[\w-]{1,100}$/)

const operationSchema = z.object({ id: idSchema })

/** Read tolerantly: fields are added weekly. */
const predictionSchema = z.object({
  id: idSchema,
  status: z.string(),
  model: z.string().optional().catch(undefined),
  input: z.record(z.string(), z.unknown()).nullish().catch(undefined),
  output: z.unknown().optional(),
  error: z.string().nullish().catch(undefined),
  data_removed: z.boolean().nullish().catch(undefined),
  created_at: z.string().nullish().catch(undefined),
  started_at: z.string().nullish().catch(undefined),
  completed_at: z.string().nullish().catch(undefined),
  deadline: z.string().nullish().catch(undefined),
})

type Prediction = z.infer<typeof predictionSchema>

const listSchema = z.object({ next: z.string().nullish(), results: z.array(predictionSchema) })
