/** Videos through a gateway, in the shapes that gateways keep: OpenAI's `/videos`, new-api's, and OpenRouter's. */
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { Operation, OperationState, Output, VendorModel, VideoModel, VideoRequest, Warning } from '../generation/provider.ts'
import { toUnreadable, type GatewayCall, type GatewayClient } from './gateway-client.ts'
import { toTaskError } from './gateway-errors.ts'
import { toCostMicros, toDataUrl, type GatewayOptions } from './gateway-options.ts'
import type { FormPart } from './multipart.ts'

type Body = Pick<GatewayCall, 'json' | 'form'>

interface Shape {
  path: string
  toBody(model: string, request: VideoRequest, warn: Warn): Body
  /** Where the finished film is; the first that can be had. */
  toLinks(task: Task, client: GatewayClient, id: string): (string | null | undefined)[]
}

/** By the catalog entry's family. */
const SHAPES = {
  'openai-videos': {
    path: '/videos',
    toBody: toOpenAIBody,
    toLinks: ({ url }, client, id) => [url, client.addressOf(`/videos/${id}/content`)],
  },
  'new-api-videos': {
    path: '/video/generations',
    toBody: toNewApiBody,
    toLinks: ({ url }) => [url],
  },
  'openrouter-videos': {
    path: '/videos',
    toBody: toOpenRouterBody,
    // Signed links need no key. The others do, and it is given to the gateway's own addresses alone.
    toLinks: ({ urls, unsigned_urls: unsigned }, client, id) => [urls?.[0], unsigned?.find((url) => client.downloadHeaders(client.resolve(url) ?? '') !== undefined), client.addressOf(`/videos/${id}/content?index=0`)],
  },
} satisfies Record<string, Shape>

type ShapeName = keyof typeof SHAPES
type Warn = (warning: Omit<Warning, 'message'>, message: string) => void

/** The lengths that Sora's imitators take, in seconds. */
const SORA_SECONDS = [4, 8, 12]

/** Each gateway's word for a state, as its documents have it. */
const STATES: Readonly<Record<string, 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled' | 'expired'>> = {
  queued: 'queued',
  pending: 'queued',
  in_progress: 'running',
  processing: 'running',
  completed: 'succeeded',
  succeeded: 'succeeded',
  failed: 'failed',
  cancelled: 'cancelled',
  expired: 'expired',
}

export function createGatewayVideos(client: GatewayClient, model: VendorModel): VideoModel {
  const shapeName = model.family !== undefined && model.family in SHAPES ? (model.family as ShapeName) : 'openai-videos'

  return {
    async start(request, { signal }) {
      const warnings: Warning[] = []
      const shape: Shape = SHAPES[shapeName]
      const body = shape.toBody(model.vendorId, request, (warning, message) => void warnings.push({ ...warning, message }))
      const { fps } = request.providerOptions as GatewayOptions
      if (fps !== undefined && shapeName !== 'new-api-videos') warnings.push({ type: 'unsupported', setting: `providerOptions.${client.provider}.fps`, message: 'The provider takes no fps: it was left out.' })
      const { data, providerRequestId } = await client.call({ path: shape.path, ...body, purpose: 'create-task', signal })
      const parsed = startedSchema.safeParse(data)
      // The gateway said yes in a way that cannot be read: a task may be under way.
      if (!parsed.success) throw toUnreadable(client.provider, 'create-task', providerRequestId, parsed.error)
      return { operation: { shape: shapeName, id: parsed.data }, warnings, ...(providerRequestId !== undefined && { providerRequestId }) }
    },

    async check(operation, { signal }) {
      const { shape: name, id } = readOperation(client, operation)
      const shape: Shape = SHAPES[name]
      const { data } = await client.call({ path: `${shape.path}/${id}`, purpose: 'look', signal }).catch((error: unknown) => orForgotten(client, error))
      const parsed = taskSchema.safeParse(data)
      if (!parsed.success) throw toUnreadable(client.provider, 'look', undefined, parsed.error)
      return toState(client, parsed.data, shape, id)
    },
  }
}

function toOpenAIBody(model: string, { prompt, duration, aspectRatio, resolution, seed, generateAudio, firstFrame }: VideoRequest, warn: Warn): Body {
  const seconds = model.includes('sora') ? (SORA_SECONDS.find((length) => length >= duration) ?? SORA_SECONDS.at(-1)!) : duration
  if (seconds !== duration) warn({ type: 'adjusted', setting: 'duration' }, `${model} makes videos of ${SORA_SECONDS.join(', ')} seconds: ${seconds} were asked for.`)
  if (generateAudio !== undefined) warn({ type: 'unsupported', setting: 'generateAudio' }, 'Whether there is sound is for the model to decide.')
  const { width, height } = toPixels(aspectRatio, resolution)
  const fields = { model, prompt, seconds: String(seconds), size: `${width}x${height}`, ...(seed !== undefined && { seed }) }
  if (!firstFrame) return { json: fields }
  return { form: [...Object.entries(fields), ['input_reference', firstFrame] satisfies FormPart] }
}

function toNewApiBody(model: string, request: VideoRequest, warn: Warn): Body {
  const { fps } = request.providerOptions as GatewayOptions
  if (request.generateAudio !== undefined) warn({ type: 'unsupported', setting: 'generateAudio' }, 'Whether there is sound is for the model to decide.')
  return {
    json: {
      model,
      prompt: request.prompt,
      duration: request.duration,
      ...toPixels(request.aspectRatio, request.resolution),
      ...(request.firstFrame && { image: toDataUrl(request.firstFrame) }),
      ...(request.seed !== undefined && { seed: request.seed }),
      ...(fps !== undefined && { fps }),
    },
  }
}

function toOpenRouterBody(model: string, request: VideoRequest): Body {
  const frame = request.firstFrame && { type: 'image_url', image_url: { url: toDataUrl(request.firstFrame) }, frame_type: 'first_frame' }
  return {
    json: {
      model,
      prompt: request.prompt,
      duration: request.duration,
      resolution: request.resolution,
      aspect_ratio: request.aspectRatio,
      ...(request.generateAudio !== undefined && { generate_audio: request.generateAudio }),
      ...(request.seed !== undefined && { seed: request.seed }),
      ...(frame && { frame_images: [frame] }),
    },
  }
}

/** The shorter side is what a resolution is called by; encoders want even ones. */
function toPixels(aspectRatio: string, resolution: string): { width: number; height: number } {
  const [across, down] = aspectRatio.split(':').map(Number) as [number, number]
  const short = /^\d+p$/.test(resolution) ? Number.parseInt(resolution, 10) : (NAMED_RESOLUTIONS[resolution.toLowerCase()] ?? 720)
  const long = Math.round((short * Math.max(across, down)) / Math.min(across, down) / 2) * 2
  return across >= down ? { width: long, height: short } : { width: short, height: long }
}

const NAMED_RESOLUTIONS: Readonly<Record<string, number>> = { '2k': 1440, '4k': 2160 }

function readOperation(client: GatewayClient, operation: Operation): { shape: ShapeName; id: string } {
  const parsed = operationSchema.safeParse(operation)
  if (!parsed.success) throw lost(client)
  return { shape: parsed.data.shape, id: encodeURIComponent(parsed.data.id) }
}

const lost = ({ provider }: GatewayClient, cause?: unknown) => new ProviderError('operation_lost', 'The provider does not know this video any more.', { provider, charged: 'unknown', statusCode: 404, cause })

function orForgotten(client: GatewayClient, error: unknown): never {
  const isForgotten = error instanceof ProviderError && (error.code === 'operation_lost' || error.statusCode === 404 || error.statusCode === 410)
  throw isForgotten ? lost(client, error) : error
}

function toState(client: GatewayClient, task: Task, shape: Shape, id: string): OperationState {
  const costMicros = toCostMicros(task.usage)
  const charged = costMicros === undefined ? 'unknown' : costMicros > 0 ? 'yes' : 'no'
  const state = Object.hasOwn(STATES, task.status) ? STATES[task.status]! : undefined
  switch (state) {
    case 'queued':
    case 'cancelled':
      return { status: state }
    case 'running':
      return { status: 'running', ...(typeof task.progress === 'number' && { progress: Math.min(1, Math.max(0, task.progress / 100)) }) }
    case 'succeeded': {
      const url = shape.toLinks(task, client, id).flatMap((link) => (link ? (client.resolve(link) ?? []) : []))[0]
      const outputs: Output[] = url === undefined ? [] : [{ type: 'url', url }]
      return { status: 'succeeded', outputs, ...(costMicros !== undefined && { costMicros }) }
    }
    case 'failed':
      return { status: 'failed', error: toTaskError(client.provider, { error: task.error }, charged) }
    case 'expired':
      return { status: 'failed', error: new ProviderError('operation_expired', 'The provider did not get to this video in time. Try again.', { provider: client.provider, charged }) }
    default:
      return { status: 'unknown', vendorStatus: task.status.slice(0, 100) }
  }
}

/** It becomes part of an address: dots alone would lead out of its folder. */
const idSchema = z.string().regex(/^(?!\.+$)[\w.:-]{1,200}$/)

/** new-api gives its id twice; its own comes first, since the other may be the vendor's behind it. */
const startedSchema = z.object({ task_id: idSchema.nullish(), id: idSchema.nullish() }).transform(({ task_id: taskId, id }) => taskId ?? id).pipe(idSchema)

const operationSchema = z.object({ shape: z.enum(Object.keys(SHAPES) as [ShapeName, ...ShapeName[]]), id: idSchema })

const links = z.array(z.string()).nullish().catch(undefined)

/** Read tolerantly: each gateway leaves out something else. */
const taskSchema = z.object({
  status: z.string(),
  progress: z.unknown().optional(),
  url: z.string().nullish().catch(undefined),
  urls: links,
  unsigned_urls: links,
  usage: z.unknown().optional(),
  error: z.unknown().optional(),
})

type Task = z.infer<typeof taskSchema>
