/**
 * Video models of the AI SDK's packages, those that start and look apart (`doStart` and `doStatus`), as ours. Nothing of
 * the SDK that polls, downloads or repeats is used.
 */
import { AISDKError, APICallError, EmptyResponseBodyError, InvalidResponseDataError, JSONParseError, TypeValidationError, type Experimental_VideoModelV4 as VideoModelV4, type Experimental_VideoModelV4CallOptions as CallOptions, type Experimental_VideoModelV4OperationStatusResult as StatusResult, type Experimental_VideoModelV4VideoData as VideoData, type JSONObject, type SharedV4ProviderMetadata as Metadata, type SharedV4Warning } from '@ai-sdk/provider'
import type { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { Operation, OperationState, Output, VideoModel, VideoRequest, Warning } from '../generation/provider.ts'
import { toLookError, toLost, toStartError } from './ai-sdk-errors.ts'
import { openWire, type WireOptions } from './ai-sdk-wire.ts'
import { checkTimeLeft } from './call-failures.ts'

/** What the package makes of a look that gave no video. */
export type Told = { status: 'pending' } | { status: 'error'; error: string }

export interface VideoModelOptions extends WireOptions {
  /**
   * What the specification has no words for, in the package's.
   * @throws {ProviderError} for what the model cannot make.
   */
  toCallOptions: (request: VideoRequest, warnings: Warning[]) => Partial<CallOptions>
  /** What is kept of the package's operation, as plain JSON, and what must hold for it before its addresses are called. */
  operationSchema: z.ZodType<Operation>
  /** The vendor's own id of the request, for its support. */
  requestIdOf: (operation: Operation) => string
  /**
   * @param body of the vendor's answer: the package tells of a failure in a sentence, and no unknown state at all.
   * @throws {ProviderError} `operation_lost`.
   */
  toState: (told: Told, body: unknown) => OperationState
  /** What the vendor says that it charged, in millionths of a US dollar. */
  costMicrosOf: (metadata: Metadata) => number | undefined
}

/** @param createModel the package's model with this fetch; made anew for each call. It must have `doStart` and `doStatus`. */
export function fromVideoModel(provider: string, createModel: (fetch: typeof globalThis.fetch) => VideoModelV4, options: VideoModelOptions): VideoModel {
  const { operationSchema, requestIdOf } = options
  return {
    async start(request, { signal }) {
      checkTimeLeft(provider, signal)
      const warnings: Warning[] = []
      const call = { ...toCall(request), ...options.toCallOptions(request, warnings), abortSignal: signal }
      const wire = openWire(options)
      try {
        const started = await createModel(wire.fetch).doStart!(call)
        const operation = operationSchema.parse(started.operation)
        return { operation, warnings: [...warnings, ...started.warnings.map(toWarning)], providerRequestId: requestIdOf(operation) }
      } catch (error) {
        throw toStartError(provider, error, wire)
      }
    },

    async check(stored, { signal }) {
      const operation = operationSchema.safeParse(stored)
      if (!operation.success) throw toLost(provider)
      const wire = openWire(options)
      let told: StatusResult
      try {
        told = await createModel(wire.fetch).doStatus!({ operation: operation.data as JSONObject, abortSignal: signal })
      } catch (error) {
        if (!isAboutWork(error, wire.answer?.status)) throw toLookError(provider, wire)
        return options.toState({ status: 'error', error: error.message }, wire.answer?.body)
      }
      if (told.status !== 'completed') return options.toState(told, wire.answer?.body)
      const outputs = told.videos.flatMap(toOutputs)
      const costMicros = options.costMicrosOf(told.providerMetadata ?? {})
      return outputs.length > 0 ? { status: 'succeeded', outputs, ...(costMicros !== undefined && { costMicros }) } : withoutFile(provider)
    },
  }
}

const toCall = ({ prompt, aspectRatio, duration, seed, firstFrame, generateAudio }: VideoRequest): CallOptions => ({
  prompt,
  n: 1,
  aspectRatio: aspectRatio as CallOptions['aspectRatio'],
  resolution: undefined,
  duration,
  fps: undefined,
  seed,
  image: firstFrame && { type: 'file', mediaType: firstFrame.mediaType, data: firstFrame.bytes },
  frameImages: undefined,
  inputReferences: undefined,
  generateAudio,
  providerOptions: {},
})

const UNREADABLE = [APICallError, EmptyResponseBodyError, InvalidResponseDataError, JSONParseError, TypeValidationError]

/** A package throws an error of its own where an answer can be read and has no video. Any other is about the call. */
const isAboutWork = (error: unknown, status = 0): error is Error => status >= 200 && status < 300 && AISDKError.isInstance(error) && !UNREADABLE.some((kind) => kind.isInstance(error))

const withoutFile = (provider: string): OperationState => ({ status: 'failed', error: new ProviderError('output_invalid', 'The provider finished without a file that this service knows how to take.', { provider, charged: 'yes' }) })

function toOutputs(video: VideoData): Output[] {
  switch (video.type) {
    case 'url': return [{ type: 'url', url: video.url }]
    case 'base64': return [{ type: 'bytes', bytes: Buffer.from(video.data, 'base64') }]
    case 'binary': return [{ type: 'bytes', bytes: video.data }]
    // Delivered to a store that nobody here named.
    case 'uploaded': return []
  }
}

function toWarning(warning: SharedV4Warning): Warning {
  switch (warning.type) {
    case 'unsupported': return { type: 'unsupported', setting: warning.feature, message: warning.details ?? `${warning.feature} is not supported: it was left out.` }
    case 'compatibility': return { type: 'adjusted', setting: warning.feature, message: warning.details ?? `${warning.feature} was adjusted to what is supported.` }
    default: return warning
  }
}
