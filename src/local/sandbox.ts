/** A provider that makes real files without a key. It exists in local mode only. */
import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import sharp from 'sharp'
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { ModelInput } from '../generation/catalog.ts'
import type { Provider, VideoModel } from '../generation/provider.ts'
import type { Extras } from '../services.ts'
import { film } from './film.ts'
import { paint } from './paint.ts'
import { cutOut, writeOn } from './retouch.ts'

export const SANDBOX_IMAGE = 'sandbox-image'
export const SANDBOX_VIDEO = 'sandbox-video'

const optionsSchema = z.strictObject({
  /** What a frontend wants to see happen. */
  outcome: z.enum(['succeed', 'refuse', 'fail', 'rate-limit', 'expire']).optional(),
  /** How long it takes, in seconds. */
  delaySeconds: z.number().min(0).max(600).optional(),
})

type SandboxOptions = z.infer<typeof optionsSchema>

const sandboxImageModel = {
  id: SANDBOX_IMAGE,
  kind: 'image' as const,
  provider: 'sandbox',
  tasks: ['generate' as const, 'edit' as const, 'remove-background' as const],
  inputs: { max: 4, maxSide: 4096, mask: true },
  sizes: { minSide: 64, maxSide: 4096, known: ['1024x1024', '512x512', '1536x1024', '1024x1536'] },
  maxPromptCharacters: 4000,
  maxImages: 4,
  supports: { seed: true, negativePrompt: false },
  price: { per: 'image' as const, usdMicros: 0 },
}

/** The catalog's entry for the films. */
export const sandboxVideoModel = {
  id: SANDBOX_VIDEO,
  kind: 'video' as const,
  provider: 'sandbox',
  durations: { min: 1, max: 30 },
  aspectRatios: ['16:9', '9:16', '1:1', '4:3', '3:4', '21:9'],
  resolutions: ['480p', '720p', '1080p'],
  defaultResolution: '480p',
  firstFrame: { use: 'optional' as const, minSide: 64, maxSide: 4096 },
  maxPromptCharacters: 4000,
  supports: { seed: true, negativePrompt: false, audio: false },
  price: { per: 'video' as const, usdMicros: 0 },
}

const models: ModelInput[] = [sandboxImageModel, sandboxVideoModel]

const OUTCOMES = {
  refuse: new ProviderError('content_refused', 'The sandbox refused the prompt, as it was asked to.', { provider: 'sandbox', charged: 'no', statusCode: 400 }),
  fail: new ProviderError('provider_failed', 'The sandbox failed, as it was asked to.', { provider: 'sandbox', charged: 'no', statusCode: 500 }),
  'rate-limit': new ProviderError('provider_rate_limited', 'The sandbox is busy, as it was asked to be.', { provider: 'sandbox', charged: 'no', statusCode: 429 }),
  expire: new ProviderError('operation_expired', 'The sandbox did not finish in time, as it was asked to.', { provider: 'sandbox', charged: 'no' }),
}

/** @param options.now the clock that films go by, in milliseconds since 1970. */
export function createSandbox({ now = Date.now }: { now?: () => number } = {}): Extras {
  const provider: Provider = {
    id: 'sandbox',
    optionsSchema,
    image: () => ({
      async start({ task, prompt, size, images, seed, providerOptions }, { signal }) {
        const { outcome = 'succeed', delaySeconds } = providerOptions as SandboxOptions
        if (delaySeconds !== undefined) await sleep(delaySeconds * 1000, undefined, { signal })
        if (outcome !== 'succeed') throw OUTCOMES[outcome]
        if (task !== 'generate') return { outputs: [{ type: 'bytes', bytes: await (task === 'edit' ? writeOn(images[0]!.bytes, prompt) : cutOut(images[0]!.bytes)) }], warnings: [] }
        const pixels = await paint(prompt, { size, seed: seed ?? seedOf(prompt) })
        const bytes = await sharp(pixels, { raw: { ...size, channels: 3 } }).jpeg({ quality: 88 }).toBuffer()
        return { outputs: [{ type: 'bytes', bytes }], warnings: [] }
      },
    }),
    video: () => createFilmModel(now),
    probe: async () => ({ provider: 'sandbox', models: models.map(({ id }) => id) }),
  }
  return { providers: [provider], models, standIns: { image: SANDBOX_IMAGE, video: SANDBOX_VIDEO } }
}

const DEFAULT_FILM_SECONDS = 4
/** The part of its time that a film seems to wait in a queue. */
const QUEUED_SHARE = 0.15

/** A film's whole life stands in its operation, so that any process goes on with it, also after a restart. */
const operationSchema = z.object({
  id: z.string(),
  /** Milliseconds since 1970. */
  startedAt: z.number(),
  /** How long it seems to take. */
  seconds: z.number(),
  outcome: z.enum(['succeed', 'refuse', 'fail', 'expire']),
  prompt: z.string(),
  seed: z.number(),
  duration: z.number(),
  aspectRatio: z.string(),
  resolution: z.string(),
  /** A small JPEG in base64. */
  firstFrame: z.string().optional(),
})

type FilmOperation = z.infer<typeof operationSchema>

function createFilmModel(now: () => number): VideoModel {
  return {
    async start({ prompt, duration, aspectRatio, resolution, seed = seedOf(prompt), generateAudio, firstFrame, providerOptions }) {
      const { outcome = 'succeed', delaySeconds: seconds = DEFAULT_FILM_SECONDS } = providerOptions as SandboxOptions
      if (outcome === 'rate-limit') throw OUTCOMES[outcome]
      const { durations, aspectRatios, resolutions } = sandboxVideoModel
      // A film that cannot be made would fail at every look, and a very long one would keep a core busy for minutes.
      if (!(duration > 0 && duration <= durations.max && aspectRatios.includes(aspectRatio) && resolutions.includes(resolution))) {
        throw new ProviderError('invalid_request', `The sandbox makes no video of ${duration} s at ${aspectRatio} and ${resolution}.`, { provider: 'sandbox', charged: 'no', statusCode: 400 })
      }
      const operation: FilmOperation = { id: randomUUID(), startedAt: now(), seconds, outcome, prompt, seed, duration, aspectRatio, resolution, ...(firstFrame && { firstFrame: await shrink(firstFrame.bytes) }) }
      return { operation, warnings: generateAudio === true ? [{ type: 'unsupported', setting: 'generateAudio', message: 'The sandbox makes silent films.' }] : [] }
    },
    async check(operation, { signal }) {
      const parsed = operationSchema.safeParse(operation)
      if (!parsed.success) throw new ProviderError('operation_lost', 'The sandbox does not know this video.', { provider: 'sandbox', charged: 'no', cause: parsed.error })
      const { startedAt, seconds, outcome } = parsed.data
      const passed = (now() - startedAt) / 1000
      const queued = seconds * QUEUED_SHARE
      if (passed < queued) return { status: 'queued' }
      if (passed < seconds) return { status: 'running', progress: (passed - queued) / (seconds - queued) }
      if (outcome !== 'succeed') return { status: 'failed', error: OUTCOMES[outcome] }
      return { status: 'succeeded', outputs: [{ type: 'bytes', bytes: await render(parsed.data, signal) }] }
    },
    // Nothing runs between two looks: whoever stops looking has stopped it.
    cancel: async () => true,
  }
}

async function render({ prompt, firstFrame, ...options }: FilmOperation, signal: AbortSignal): Promise<Buffer> {
  try {
    return await film(prompt, { ...options, signal, firstFrame: firstFrame === undefined ? undefined : Buffer.from(firstFrame, 'base64') })
  } catch (cause) {
    throw new ProviderError('provider_failed', 'The sandbox could not make the video.', { provider: 'sandbox', charged: 'no', cause })
  }
}

const FIRST_FRAME_SIDE = 320

/** The operation is a column of a row that is read again and again: the picture in it must stay small. */
async function shrink(picture: Uint8Array): Promise<string> {
  try {
    const jpeg = await sharp(picture).autoOrient().resize({ width: FIRST_FRAME_SIDE, height: FIRST_FRAME_SIDE, fit: 'inside', withoutEnlargement: true }).flatten().jpeg().toBuffer()
    return jpeg.toString('base64')
  } catch (cause) {
    throw new ProviderError('provider_failed', 'The sandbox cannot read the first frame.', { provider: 'sandbox', charged: 'no', cause })
  }
}

const seedOf = (prompt: string): number => createHash('sha256').update(prompt).digest().readUInt32BE(0)
