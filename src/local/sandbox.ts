/** A provider that makes real files without a key. It exists in local mode only. */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import sharp from 'sharp'
import { z } from 'zod'
import { ProviderError } from '../errors.ts'
import type { ModelInput } from '../generation/catalog.ts'
import type { Provider } from '../generation/provider.ts'
import type { Extras } from '../services.ts'
import { paint } from './paint.ts'

const SANDBOX_IMAGE = 'sandbox-image'

const optionsSchema = z.strictObject({
  /** What a frontend wants to see happen. */
  outcome: z.enum(['succeed', 'refuse', 'fail', 'rate-limit']).optional(),
  /** How long it takes, in seconds. */
  delaySeconds: z.number().min(0).max(120).optional(),
})

type SandboxOptions = z.infer<typeof optionsSchema>

const models: ModelInput[] = [
  {
    id: SANDBOX_IMAGE,
    kind: 'image',
    provider: 'sandbox',
    sizes: { minSide: 64, maxSide: 4096, known: ['1024x1024', '512x512', '1536x1024', '1024x1536'] },
    maxPromptCharacters: 4000,
    maxImages: 4,
    supports: { seed: true, negativePrompt: false },
    priceMicrosPerImage: 0,
  },
]

const OUTCOMES = {
  refuse: new ProviderError('content_refused', 'The sandbox refused the prompt, as it was asked to.', { provider: 'sandbox', charged: 'no', statusCode: 400 }),
  fail: new ProviderError('provider_failed', 'The sandbox failed, as it was asked to.', { provider: 'sandbox', charged: 'no', statusCode: 500 }),
  'rate-limit': new ProviderError('provider_rate_limited', 'The sandbox is busy, as it was asked to be.', { provider: 'sandbox', charged: 'no', statusCode: 429 }),
}

export function createSandbox(): Extras {
  const provider: Provider = {
    id: 'sandbox',
    optionsSchema,
    image: () => ({
      async start({ prompt, size, seed, providerOptions }, { signal }) {
        const { outcome = 'succeed', delaySeconds } = providerOptions as SandboxOptions
        if (delaySeconds !== undefined) await sleep(delaySeconds * 1000, undefined, { signal })
        if (outcome !== 'succeed') throw OUTCOMES[outcome]
        const pixels = await paint(prompt, { size, seed: seed ?? seedOf(prompt) })
        const bytes = await sharp(pixels, { raw: { ...size, channels: 3 } }).jpeg({ quality: 88 }).toBuffer()
        return { outputs: [{ type: 'bytes', bytes }], warnings: [] }
      },
    }),
    probe: async () => ({ provider: 'sandbox', models: models.map(({ id }) => id) }),
  }
  return { providers: [provider], models, standIn: SANDBOX_IMAGE }
}

const seedOf = (prompt: string): number => createHash('sha256').update(prompt).digest().readUInt32BE(0)
