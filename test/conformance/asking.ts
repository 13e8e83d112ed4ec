/** How the suite asks a provider, and what must hold for whatever comes back. */
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { fileTypeFromBuffer } from 'file-type'
import { ProviderError, type Charged, type ErrorCode } from '../../src/errors.ts'
import type { Mark, MediaModel, Operation, OperationState, Output, Provider, Started, VendorModel } from '../../src/generation/provider.ts'
import type { Job } from './harness.ts'

type OfTasks = Pick<MediaModel<never>, 'check' | 'cancel' | 'find'>

/** One of a provider's models, with the request that it is asked. */
export interface Asked extends Required<OfTasks> {
  has: (method: keyof OfTasks) => boolean
  mark: () => Mark
  start: (call?: { signal?: AbortSignal; mark?: Mark }) => Promise<Started>
}

export const free = (): AbortSignal => new AbortController().signal

export function ask(provider: Provider, job: Job, model: VendorModel = job.model): Asked {
  if ('image' in job) {
    assert.ok(provider.image, 'it makes no pictures')
    return askModel(provider.image(model), job.image)
  }
  assert.ok(provider.video, 'it makes no videos')
  return askModel(provider.video(model), job.video)
}

function askModel<Request>(model: MediaModel<Request>, request: Request): Asked {
  const mark = () => plain(model.mark?.(request) ?? {})
  return {
    has: (method) => model[method] !== undefined,
    mark,
    start: async (call = {}) => await model.start(request, { signal: call.signal ?? free(), mark: call.mark ?? mark() }),
    check: async (...given) => (assert.ok(model.check, 'it gives operations and cannot look at them'), await model.check(...given)),
    cancel: async (...given) => (assert.ok(model.cancel, 'it has no cancel'), await model.cancel(...given)),
    find: async (...given) => (assert.ok(model.find, 'it has no find'), await model.find(...given)),
  }
}

/** As another process reads it from the database. */
export function plain<Value extends Operation>(value: Value): Value {
  const read = JSON.parse(JSON.stringify(value)) as Value
  assert.deepEqual(read, value, 'it is not plain JSON')
  return read
}

export async function startTask(asked: Asked, call?: Parameters<Asked['start']>[0]): Promise<Operation> {
  const started = await asked.start(call)
  assert.ok('operation' in started, 'it gave no operation')
  return plain(started.operation)
}

const MAX_LOOKS = 10
const IS_OPEN: ReadonlySet<string> = new Set(['queued', 'running'])

/** Looks until the task has ended, or is where it was wanted. */
export async function look(asked: Asked, operation: Operation, wanted?: OperationState['status']): Promise<OperationState> {
  const seen: string[] = []
  for (let looks = 0; looks < MAX_LOOKS; looks++) {
    const state = await asked.check(operation, { signal: free() })
    assert.ok(!(state.status === 'queued' && seen.includes('running')), 'it went back to its queue')
    if (state.status === 'running' && state.progress !== undefined) assert.ok(state.progress >= 0 && state.progress <= 1, `progress is ${state.progress}`)
    if (state.status === wanted || !IS_OPEN.has(state.status)) return state
    seen.push(state.status)
  }
  return assert.fail(`it is still ${seen.at(-1)}`)
}

/** The files of what was started, from whoever goes on with it. */
export async function outputsOf(asked: Asked, started: Started): Promise<Output[]> {
  return 'outputs' in started ? started.outputs : await finish(asked, plain(started.operation))
}

export async function finish(asked: Asked, operation: Operation): Promise<Output[]> {
  const state = await look(asked, operation)
  assert.equal(state.status, 'succeeded', inspect(state))
  return (state as Extract<OperationState, { status: 'succeeded' }>).outputs
}

/** Every file can be had with what the provider says, and is what was asked for. */
export async function checkFiles(provider: Provider, outputs: Output[], kind: 'image' | 'video'): Promise<void> {
  assert.ok(outputs.length > 0, 'there are no files')
  for (const output of outputs) {
    const bytes = output.type === 'bytes' ? output.bytes : await download(provider, output.url)
    const type = await fileTypeFromBuffer(bytes)
    assert.equal(type?.mime.split('/')[0], kind, `a file is ${type?.mime}`)
  }
}

async function download(provider: Provider, url: string): Promise<Uint8Array> {
  assert.equal(new URL(url).origin, provider.trustedOrigin, 'a file is where nobody may fetch it')
  const response = await fetch(url, { headers: provider.downloadHeaders?.(url) ?? {} })
  assert.equal(response.status, 200, `a file is answered with ${response.status}`)
  return new Uint8Array(await response.arrayBuffer())
}

export interface Expected {
  code: ErrorCode | readonly ErrorCode[]
  charged: Charged
  isRetryable?: boolean
}

/** What an error must be to be acted on, whatever it is about. */
export function checkError(error: unknown, secrets: readonly string[], provider: Provider): asserts error is ProviderError {
  assert.ok(error instanceof ProviderError, inspect(error))
  assert.equal(error.provider, provider.id)
  checkNoSecret(error, secrets)
  if (error.charged !== 'no') assert.equal(error.isRetryable, false, `${error.code} (${error.statusCode ?? 'no status'}): what may be paid must not be tried again`)
}

export function checkTold(error: ProviderError, { code, charged, isRetryable }: Expected): void {
  assert.ok([code].flat().includes(error.code), `${error.code} (${error.statusCode ?? 'no status'}) in place of ${[code].flat().join(' or ')}: ${error.message}`)
  assert.equal(error.charged, charged, `charged is ${error.charged} in place of ${charged}`)
  if (isRetryable !== undefined) assert.equal(error.isRetryable, isRetryable, `isRetryable is ${error.isRetryable}`)
}

export function checkNoSecret(value: unknown, secrets: readonly string[]): void {
  const text = inspect(value, { depth: Infinity, maxStringLength: Infinity, maxArrayLength: Infinity }) + (JSON.stringify(value) ?? '')
  for (const secret of secrets) assert.ok(!text.includes(secret), `the key stands in ${text.slice(0, 300)}`)
}
