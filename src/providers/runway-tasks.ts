/** Runway's tasks, which pictures and videos have in common: started, looked at, cancelled. */
import RunwayML from '@runwayml/sdk'
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { Operation, OperationState, Started, Warning } from '../generation/provider.ts'
import { toFailure, toRunwayError, unreadable } from './runway-errors.ts'

const PROVIDER = 'runway'
/** Above the caller's own signal, so that it alone decides how long a call may take. */
export const SDK_TIMEOUT_MS = 1_800_000
/** 1 credit is $0.01. */
const MICROS_PER_CREDIT = 10_000

/** @param path of the endpoint that makes what is wanted. The one call that costs money. */
export async function startTask(client: RunwayML, path: string, body: Record<string, unknown>, warnings: Warning[], signal: AbortSignal): Promise<Started> {
  // Uploads may have used up the time: what was never sent is never paid.
  if (signal.aborted) throw new ProviderError('provider_timeout', 'There was no time left to ask the provider.', { provider: PROVIDER, charged: 'no', isRetryable: true })
  try {
    const { data, response } = await client.post<unknown>(path, { body, signal, timeout: SDK_TIMEOUT_MS }).withResponse()
    const parsed = startedSchema.safeParse(data)
    if (!parsed.success) throw unreadable(parsed.error)
    const providerRequestId = response.headers.get('x-request-id')
    return { operation: { id: parsed.data.id }, warnings, ...(providerRequestId !== null && { providerRequestId }) }
  } catch (error) {
    throw toRunwayError(error, 'paid')
  }
}

export async function checkTask(client: RunwayML, operation: Operation, signal: AbortSignal): Promise<OperationState> {
  return toState(await getTask(client, toPath(operation), signal))
}

/**
 * Deletes a task that has not begun. Deleting is also how a finished one is thrown away, and what a running one costs
 * when it is stopped is not documented: such are left to finish.
 */
export async function cancelTask(client: RunwayML, operation: Operation, signal: AbortSignal): Promise<boolean> {
  const path = toPath(operation)
  const { status } = await getTask(client, path, signal)
  if (status !== 'PENDING' && status !== 'THROTTLED') return status === 'CANCELLED'
  try {
    await client.delete(path, { signal, timeout: SDK_TIMEOUT_MS })
    return true
  } catch (error) {
    throw isForgotten(error) ? lost(error) : toRunwayError(error, 'free')
  }
}

async function getTask(client: RunwayML, path: string, signal: AbortSignal): Promise<Task> {
  try {
    const data = await client.get<unknown>(path, { signal, timeout: SDK_TIMEOUT_MS })
    const parsed = taskSchema.safeParse(data)
    // It says nothing: the next look may.
    if (!parsed.success) throw new ProviderError('provider_failed', 'Runway answered in a form that this service does not understand.', { provider: PROVIDER, charged: 'no', isRetryable: true, cause: parsed.error })
    return parsed.data
  } catch (error) {
    throw isForgotten(error) ? lost(error) : toRunwayError(error, 'free')
  }
}

function toState(task: Task): OperationState {
  const credits = task.cost?.credits ?? undefined
  switch (task.status) {
    case 'PENDING':
    // The account's concurrency is used up: the task waits by itself.
    case 'THROTTLED':
      return { status: 'queued' }
    case 'RUNNING':
      return { status: 'running', ...(typeof task.progress === 'number' && { progress: Math.min(1, Math.max(0, task.progress)) }) }
    case 'SUCCEEDED':
      return { status: 'succeeded', outputs: (task.output ?? []).map((url) => ({ type: 'url', url })), ...(credits !== undefined && { costMicros: Math.round(credits * MICROS_PER_CREDIT) }) }
    case 'FAILED':
      return { status: 'failed', error: toFailure(task.failureCode, credits) }
    case 'CANCELLED':
      return { status: 'cancelled' }
    default:
      return { status: 'unknown', vendorStatus: task.status.slice(0, 100) }
  }
}

function toPath(operation: Operation): string {
  // It becomes part of an address.
  const parsed = startedSchema.safeParse(operation)
  if (!parsed.success) throw lost(parsed.error)
  return `/v1/tasks/${encodeURIComponent(parsed.data.id)}`
}

/** The vendor answers in JSON or not at all; a gateway's page with the same status says nothing of the task. */
const isForgotten = (error: unknown): boolean => error instanceof RunwayML.APIError && error.status === 404 && !/html/i.test((error.headers as Headers | undefined)?.get('content-type') ?? '')

const lost = (cause: unknown) => new ProviderError('operation_lost', 'The provider does not know this work any more.', { provider: PROVIDER, charged: 'unknown', statusCode: 404, cause })

/** An id of dots alone would lead to another address. */
const startedSchema = z.object({ id: z.string().regex(/^[\w-][\w.-]{0,199}$/) })

/** Read tolerantly: fields are added weekly. */
const taskSchema = z.object({
  status: z.string(),
  progress: z.number().nullish().catch(undefined),
  output: z.array(z.string().min(1)).nullish(),
  failureCode: z.string().nullish().catch(undefined),
  cost: z.object({ credits: z.number().nullish() }).nullish().catch(undefined),
})

type Task = z.infer<typeof taskSchema>
