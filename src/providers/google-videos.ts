/** Google's Gemini Omni: videos made in the background through the Interactions API. Wire format as of November 2026. */
import { z } from 'zod'
import { ProviderError, type Charged } from '../errors.ts'
import type { Operation, OperationState, Output, VendorModel, VideoModel, VideoRequest, Warning } from '../generation/provider.ts'
import type { GoogleClient } from './google-client.ts'
import { failureSchema, PROVIDER, toFailureError, toUnreadableError } from './google-errors.ts'
import { findFile } from './google-files.ts'
import type { GoogleOptions } from './google-options.ts'

export function createGeminiOmni(client: GoogleClient, { vendorId }: VendorModel): VideoModel {
  const look = async (operation: Operation, signal: AbortSignal): Promise<Interaction> => {
    const answer = await client.call('GET', `/interactions/${idOf(operation)}`, { kind: 'free', signal }).catch(orForgotten)
    return parse(interactionSchema, answer)
  }
  return {
    async start(request, { signal }) {
      const { body, warnings } = toBody(vendorId, request)
      const started = startedSchema.safeParse(await client.call('POST', '/interactions', { kind: 'video', signal, body }))
      if (!started.success) throw toUnreadableError(started.error, 'video')
      const { id } = started.data
      return { operation: { id }, warnings, providerRequestId: id }
    },

    check: async (operation, { signal }) => await toState(await look(operation, signal), client, signal),

    async cancel(operation, { signal }) {
      const before = await look(operation, signal)
      if (before.status === 'cancelled') return isUnbilled(before)
      // What has ended has a result or a reason, and nothing is left to be saved by stopping it.
      if (before.status !== 'queued' && before.status !== 'in_progress') return false
      await client.call('POST', `/interactions/${idOf(operation)}/cancel`, { kind: 'free', signal }).catch(orTooLate)
      const after = await look(operation, signal)
      return after.status === 'cancelled' && isUnbilled(after)
    },
  }
}

function toBody(model: string, request: VideoRequest): { body: Record<string, unknown>; warnings: Warning[] } {
  const { temperature, pictureUse } = request.providerOptions as GoogleOptions
  const { firstFrame } = request
  const warnings: Warning[] = []
  const unsupported = (setting: string) => void warnings.push({ type: 'unsupported', setting, message: `${model} takes no ${setting}: it was left out.` })
  if (request.seed !== undefined) unsupported('seed')
  // It makes the sound that fits, or none, by the prompt alone.
  if (request.generateAudio !== undefined) unsupported('generateAudio')
  if (temperature !== undefined) unsupported('providerOptions.google.temperature')
  if (pictureUse !== undefined && !firstFrame) warnings.push({ type: 'unsupported', setting: 'providerOptions.google.pictureUse', message: 'There is no picture that pictureUse could be about: it was left out.' })
  const picture = firstFrame && { type: 'image', mime_type: firstFrame.mediaType, data: Buffer.from(firstFrame.bytes.buffer, firstFrame.bytes.byteOffset, firstFrame.bytes.byteLength).toString('base64') }
  const body = {
    model,
    input: [{ type: 'text', text: request.prompt }, ...(picture ? [picture] : [])],
    response_format: {
      type: 'video',
      aspect_ratio: request.aspectRatio,
      resolution: request.resolution,
      duration: `${request.duration}s`,
      // Inline is for clips under 4 MB, and would come again with every look.
      delivery: 'uri',
    },
    generation_config: { video_config: { task: picture ? (pictureUse === 'reference' ? 'reference_to_video' : 'image_to_video') : 'text_to_video' } },
    // Without it the call lasts as long as the work; and only what is stored can be looked at.
    background: true,
    store: true,
  }
  return { body, warnings }
}

async function toState(interaction: Interaction, client: GoogleClient, signal: AbortSignal): Promise<OperationState> {
  const charged = chargedBy(interaction.usage)
  const failed = (code: 'provider_failed' | 'provider_quota_reached', message: string): OperationState => ({ status: 'failed', error: new ProviderError(code, message, { provider: PROVIDER, charged, statusCode: 200, cause: new Error(interaction.status) }) })
  switch (interaction.status) {
    case 'queued':
    case 'cancelled':
      return { status: interaction.status }
    case 'in_progress':
      return { status: 'running' }
    case 'completed':
      return await toResult(interaction, charged, client, signal)
    case 'failed':
      return { status: 'failed', error: toFailureError(interaction.errors, charged) }
    case 'incomplete':
      return failed('provider_failed', 'The provider stopped before the video was done. Try again.')
    case 'budget_exceeded':
      return failed('provider_quota_reached', "The service's budget with the provider is used up. Tell the operator.")
    // It waits for somebody to answer or to go on, and nobody will.
    case 'requires_action':
    case 'requires_continuation':
      return failed('provider_failed', 'The provider stopped to ask something instead of making the video. Try again or change the prompt.')
    default:
      return { status: 'unknown', vendorStatus: interaction.status.slice(0, 100) }
  }
}

async function toResult({ steps, usage }: Interaction, charged: Charged, client: GoogleClient, signal: AbortSignal): Promise<OperationState> {
  const content = steps.filter(({ type }) => type === 'model_output').flatMap((step) => step.content)
  const video = content.find(({ type, uri, data }) => type === 'video' && (uri || data))
  const tokens = videoTokensOf(usage)
  if (!video) {
    const options = { provider: PROVIDER, charged, statusCode: 200, cause: new Error('completed without a video') }
    if (tokens) return { status: 'failed', error: new ProviderError('output_invalid', 'The provider made a video and answered without it. Tell the operator.', options) }
    // That is how it refuses: it says so in words, and calls that completed.
    if (content.some(({ type }) => type === 'text')) return { status: 'failed', error: new ProviderError('content_refused', 'The provider answered with words instead of a video: it may not want to make this. Change the prompt and try again.', options) }
    return { status: 'failed', error: new ProviderError('provider_failed', 'The provider finished without a video. Try again.', options) }
  }
  const output: Output | 'processing' | 'failed' = video.uri ? await findFile(client, video.uri, signal) : { type: 'bytes', bytes: Buffer.from(video.data!, 'base64') }
  // Made, and not yet to be had.
  if (output === 'processing') return { status: 'running' }
  if (output === 'failed') return { status: 'failed', error: new ProviderError('output_unavailable', 'The provider made a video and lost it. Tell the operator.', { provider: PROVIDER, charged, statusCode: 200 }) }
  return { status: 'succeeded', outputs: [output], ...(tokens && { usage: { outputTokens: tokens } }) }
}

const videoTokensOf = (usage: Interaction['usage']): number | undefined => usage?.output_tokens_by_modality?.find(({ modality }) => modality?.toLowerCase() === 'video')?.tokens ?? undefined

/** Only output is dear: what was read of the prompt is thousandths of a cent, and is not told of a failure. */
function chargedBy(usage: Interaction['usage']): Charged {
  if (typeof usage?.total_output_tokens !== 'number') return 'unknown'
  return usage.total_output_tokens > 0 ? 'yes' : 'no'
}

/** What is billed is told as usage: a cancelled one that tells none, or none of output, made nothing. */
const isUnbilled = ({ usage }: Interaction): boolean => chargedBy(usage) !== 'yes'

function idOf(operation: Operation): string {
  // It becomes part of an address.
  const parsed = startedSchema.safeParse(operation)
  if (!parsed.success) throw lost()
  return encodeURIComponent(parsed.data.id)
}

const lost = (cause?: unknown) => new ProviderError('operation_lost', 'The provider does not know this video any more.', { provider: PROVIDER, charged: 'unknown', statusCode: 404, cause })

function orForgotten(error: unknown): never {
  throw error instanceof ProviderError && error.statusCode === 404 ? lost(error) : error
}

/** It ended in between: which 4xx says so is not documented, and the look after it tells. */
function orTooLate(error: unknown): void {
  if (!(error instanceof ProviderError && [400, 404, 409].includes(error.statusCode ?? 0))) throw error
}

function parse<T>(schema: z.ZodType<T>, data: unknown): T {
  const parsed = schema.safeParse(data)
  if (parsed.success) return parsed.data
  throw toUnreadableError(parsed.error, 'free')
}

const startedSchema = z.object({ id: z.string().regex(/^[\w.=~-]{1,500}$/) })

/** Read tolerantly: fields are added weekly. Steps of other kinds echo what was sent. */
const interactionSchema = z.object({
  status: z.string(),
  steps: z
    .array(
      z.object({
        type: z.string(),
        content: z
          .array(z.object({ type: z.string().nullish(), uri: z.string().nullish(), data: z.string().nullish() }))
          .nullish()
          .catch([])
          .transform((content) => content ?? []),
      }),
    )
    .nullish()
    .transform((steps) => steps ?? []),
  errors: z.array(failureSchema).nullish().catch([]).transform((errors) => errors ?? []),
  usage: z
    .object({
      total_output_tokens: z.number().nullish(),
      output_tokens_by_modality: z.array(z.object({ modality: z.string().nullish(), tokens: z.number().nullish() })).nullish(),
    })
    .nullish(),
})

type Interaction = z.infer<typeof interactionSchema>
