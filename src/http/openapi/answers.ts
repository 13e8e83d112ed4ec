/** What the service answers, as schemas: the API's document tells them, and tests hold real answers against that. */
import { z } from 'zod'
import { errorCodes, type ErrorCode } from '../../errors.ts'
import { imagePriceSchema, videoPriceSchema } from '../../generation/price.ts'
import { GENERATION_STATUSES } from '../../generation/records.ts'
import { SCOPES } from '../../keys/scopes.ts'

const code = z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]])
const time = z.iso.datetime()
const url = z.string().meta({ format: 'uri' })
const micros = z.number().min(0)
const costs = {
  estimatedCostMicros: micros.nullable().describe('In millionths of a US dollar; null where nobody knows beforehand.'),
  costMicros: micros.nullable().describe('What it cost, in millionths of a US dollar; null while that is not settled.'),
}

const detail = z.object({ path: z.string().describe('The field, `""` for the body itself.'), message: z.string() })

const failure = {
  error: z.string().describe('A sentence for a person.'),
  code: code.describe('A stable word for a program.'),
  requestId: z.string().describe('The same as in `X-Request-Id`.'),
  details: z.array(detail).optional().describe('What is wrong with which field.'),
  generationId: z.guid().optional().describe('The generation that the error is about.'),
}

export const errorAnswer = z.object(failure)

/** What is told in the body because the status was sent before. */
export const lateAnswer = z
  .object({ ...failure, status: z.int().min(202).max(599).describe('The status that this answer would have had.') })
  .describe('An outcome that came after the answer had begun with status 200 and white space.')

export const warning = z.object({
  type: z.enum(['unsupported', 'adjusted', 'deprecated', 'partial', 'other']),
  setting: z.string().optional().describe('The field of the request that it is about.'),
  message: z.string(),
})

const recordedError = z.object({ code, message: z.string() })

export const attempt = z
  .object({ model: z.string(), provider: z.string(), error: recordedError, at: time })
  .describe('A model that was asked before, took nothing, and why.')

/** What every generation tells besides its files. */
const outcome = {
  model: z.string().describe('The model that did the work, which need not be the one asked for.'),
  warnings: z.array(warning),
  ...costs,
  attempts: z.array(attempt),
  cached: z.boolean().describe('Whether it stands on the files of an earlier generation, and cost nothing.'),
}

const file = {
  id: z.guid(),
  url: url.describe('The provider’s own link, which dies; ours where it sent bytes.'),
  bucketUrl: url.describe('The stored file; signed for a while where the bucket is private.'),
  storagePath: z.string(),
  width: z.int().min(1).describe('Pixels.'),
  height: z.int().min(1).describe('Pixels.'),
  mimeType: z.string(),
  fileSize: z.int().min(1).describe('Bytes.'),
}

export const image = z.object({
  ...file,
  size: z.string().describe('Such as `1024x1024`.'),
  thumbnailUrl: url.describe('WebP, at most 512 pixels on its longer side.'),
  placeholder: z.string().describe('A thumbhash in base64.'),
})

const seconds = z.number().min(0).describe('Seconds, as measured in the file.')

export const video = z.object({ ...file, duration: seconds, aspectRatio: z.string() })

export const imagesAnswer = z.object({ promptId: z.guid(), images: z.array(image).min(1), generationId: z.guid(), ...outcome })

const { bucketUrl: videoUrl, ...restOfFile } = file

export const videoAnswer = z.object({ video_url: videoUrl, duration: seconds, aspectRatio: z.string(), ...restOfFile, promptId: z.guid(), generationId: z.guid(), ...outcome })

export const generationAnswer = z.object({
  id: z.guid(),
  promptId: z.guid(),
  kind: z.string().describe('`image` or `video`; there may be more.'),
  provider: z.string(),
  status: z.enum(GENERATION_STATUSES),
  progress: z.number().min(0).max(1).nullable().describe('Null where the provider tells none.'),
  error: recordedError.nullable().describe('Why it failed, or why a finished output is not stored yet.'),
  createdAt: time,
  startedAt: time.nullable(),
  finishedAt: time.nullable(),
  images: z.array(image),
  videos: z.array(video),
  ...outcome,
})

export const pageAnswer = z.object({ generations: z.array(generationAnswer), nextCursor: z.string().nullable().describe('For the next page; null on the last.') })

export const dryRunAnswer = z.object({
  dryRun: z.literal(true),
  requestedModel: z.string(),
  model: z.string(),
  provider: z.string(),
  parameters: z.record(z.string(), z.unknown()).describe('What the vendor would be asked for.'),
  warnings: z.array(warning),
  estimatedCostMicros: costs.estimatedCostMicros,
  fallbacks: z.array(z.object({ model: z.string(), provider: z.string(), estimatedCostMicros: costs.estimatedCostMicros })).describe('The models that would be asked next, in order.'),
})

export const connectionAnswer = z.union([z.object({ success: z.literal(true), data: z.unknown().describe('What the provider answered.') }), z.object({ success: z.literal(false), error: z.string() })])

export const modelIdsAnswer = z.object({ models: z.array(z.string()) })

const imageCapabilities = z.object({
  tasks: z.array(z.enum(['generate', 'edit', 'remove-background'])),
  sizes: z.array(z.string()).describe('Sizes that the vendor documents; others within the limits work too.'),
  sizeLimits: z.object({ minSide: z.int(), maxSide: z.int(), maxPixels: z.int(), minRatio: z.number(), maxRatio: z.number() }).partial().describe('Sides and totals in pixels, ratios as width divided by height.'),
  maxImages: z.int(),
  maxInputImages: z.int(),
  mask: z.boolean(),
  maxPromptCharacters: z.int(),
  seed: z.boolean(),
  negativePrompt: z.boolean(),
})

const videoCapabilities = z.object({
  durations: z.object({ min: z.int(), max: z.int(), only: z.array(z.int()).optional().describe('Where it makes certain lengths and no others.') }).describe('Seconds.'),
  aspectRatios: z.array(z.string()),
  aspectRatiosFromText: z.array(z.string()).optional().describe('Where it makes fewer without a first frame.'),
  resolutions: z.array(z.string()),
  defaultResolution: z.string(),
  firstFrame: z.enum(['optional', 'required', 'none']),
  maxPromptCharacters: z.int(),
  seed: z.boolean(),
  negativePrompt: z.boolean(),
  audio: z.boolean(),
})

export const model = z.object({
  id: z.string().describe('One with a star stands for every id of that form.'),
  kind: z.enum(['image', 'video']),
  provider: z.string(),
  state: z.enum(['current', 'retiring', 'retired']),
  retiresOn: z.iso.date().optional(),
  successor: z.string().optional().describe('The model that does the work of a retired one.'),
  fallbacks: z.array(z.string()).optional().describe('Who is asked, in this order, when this one surely took nothing.'),
  usable: z.boolean(),
  reason: z.string().optional().describe('Why it is not usable.'),
  capabilities: z.union([imageCapabilities, videoCapabilities]),
  price: z.union([imagePriceSchema, videoPriceSchema]).nullable().describe('In millionths of a US dollar.'),
})

export const modelsAnswer = z.object({ models: z.array(model) })

const serviceHealth = z.object({ status: z.enum(['ok', 'down', 'unknown']), latencyMs: z.number().optional() })

export const healthAnswer = z.object({
  status: z.enum(['ok', 'down']),
  version: z.string(),
  uptimeSeconds: z.int(),
  services: z.record(z.string(), serviceHealth).describe('The database, the storage and the sign-in.'),
  providers: z.record(z.string(), serviceHealth.extend({ lastAnswerAt: time.optional(), leftAlone: z.array(z.string()).optional().describe('Models that fail again and again, and are left alone for a moment.'), gone: z.array(z.string()).optional().describe('Models that it said it does not have.') })),
})

export const liveAnswer = z.object({ status: z.literal('ok') })

const keyTimes = { createdAt: time, expiresAt: time.nullable(), lastUsedAt: time.nullable().describe('To within a few minutes.'), revokedAt: time.nullable() }

export const apiKey = z.object({
  id: z.string().describe('Also the client id of OAuth.'),
  name: z.string(),
  prefix: z.string().describe('How the key begins.'),
  state: z.enum(['active', 'replaced', 'expired', 'revoked']).describe('`replaced` works until `overlapUntil`; `expired` and `revoked` work no more.'),
  scopes: z.array(z.enum(SCOPES)),
  signedOnly: z.boolean(),
  ...keyTimes,
  replacedBy: z.string().nullable().describe('The id of the key that came after it.'),
  overlapUntil: time.nullable(),
})

export const newApiKey = apiKey.extend({ key: z.string().describe('The key itself, told this once.') })

export const apiKeysAnswer = z.object({ keys: z.array(apiKey) })

const bytes = z.int().min(0)

export const usageAnswer = z.object({
  storage: z.object({ bytes: bytes.describe('Of your files.'), reservedBytes: bytes.describe('Set aside for generations under way.'), quotaBytes: bytes }),
  spending: z.object({
    month: z.string().describe('Of the calendar (UTC), such as `2026-11`.'),
    costMicros: micros.describe('In millionths of a US dollar.'),
    reservedMicros: micros.describe('Set aside for generations under way.'),
    budgetMicros: micros.nullable().describe('Null where there is none.'),
  }),
  generations: z.object({ open: z.int().min(0), maxOpen: z.int().min(0) }),
})

export const csrfAnswer = z.object({ csrfToken: z.string().describe('For `X-CSRF-Token`.'), expiresAt: time })

export const tokenAnswer = z.object({ access_token: z.string(), token_type: z.literal('Bearer'), expires_in: z.int().describe('Seconds.'), scope: z.string() })

export const oauthFailure = z
  .object({
    error: z.enum(['invalid_request', 'invalid_client', 'unauthorized_client', 'unsupported_grant_type', 'invalid_scope', 'temporarily_unavailable', 'server_error']),
    error_description: z.string(),
    requestId: failure.requestId,
  })
  .describe('A failure as OAuth 2.0 has it (RFC 6749, 5.2).')

export const keySetAnswer = z.object({ keys: z.array(z.object({ kty: z.literal('EC'), crv: z.literal('P-256'), x: z.string(), y: z.string(), kid: z.string(), use: z.literal('sig'), alg: z.literal('ES256') })) })
