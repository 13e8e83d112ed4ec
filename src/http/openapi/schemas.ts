/** The named schemas of the API's document, made from the very ones that check requests. */
import { z } from 'zod'
import { editRequestSchema, removeBackgroundRequestSchema } from '../../generation/edit-request.ts'
import { imageRequestSchema } from '../../generation/image-request.ts'
import { videoRequestSchema } from '../../generation/video-request.ts'
import { newKeySchema, rotationSchema } from '../api-keys.ts'
import { MAX_EDIT_IMAGES, testRequestSchema } from '../images.ts'
import * as answers from './answers.ts'

const picture = z.file().describe('JPEG, PNG or WebP, decided by its bytes.')

/** As RFC 6749 has it; the route reads it by the RFC's own rules, which are no schema. */
const tokenFormSchema = z.object({
  grant_type: z.literal('client_credentials'),
  client_id: z.string().optional().describe('The id of an API key, unless it comes by Basic authentication.'),
  client_secret: z.string().optional().describe('The key itself, likewise.'),
  scope: z.string().optional().describe('Scopes of the key, separated by blanks; all of them where absent.'),
})

const named = {
  ImageRequest: imageRequestSchema,
  EditForm: withFiles(editRequestSchema, {
    image: z.array(picture).min(1).max(MAX_EDIT_IMAGES).describe('The pictures to work on, the main one first.'),
    mask: z.file().optional().describe('A PNG of the first picture’s size, transparent where that may be changed.'),
  }),
  RemoveBackgroundForm: withFiles(removeBackgroundRequestSchema, { image: picture }),
  VideoRequest: videoRequestSchema.omit({ image: true }),
  VideoForm: withFiles(videoRequestSchema, { image: picture.optional().describe('The picture that the video begins with: JPEG, PNG or WebP.') }),
  ConnectionTestRequest: testRequestSchema,
  Images: answers.imagesAnswer,
  Video: answers.videoAnswer,
  DryRun: answers.dryRunAnswer,
  Generation: answers.generationAnswer,
  GenerationPage: answers.pageAnswer,
  StoredImage: answers.image,
  StoredVideo: answers.video,
  Warning: answers.warning,
  Attempt: answers.attempt,
  ModelIds: answers.modelIdsAnswer,
  Models: answers.modelsAnswer,
  Model: answers.model,
  Usage: answers.usageAnswer,
  CsrfToken: answers.csrfAnswer,
  NewApiKeyRequest: newKeySchema,
  RotationRequest: rotationSchema,
  ApiKey: answers.apiKey,
  NewApiKey: answers.newApiKey,
  ApiKeys: answers.apiKeysAnswer,
  TokenForm: tokenFormSchema,
  AccessToken: answers.tokenAnswer,
  OAuthFailure: answers.oauthFailure,
  KeySet: answers.keySetAnswer,
  ConnectionTest: answers.connectionAnswer,
  Health: answers.healthAnswer,
  Live: answers.liveAnswer,
  LateOutcome: answers.lateAnswer,
  Error: answers.errorAnswer,
}

/** A form with its prompt and its files in front. */
function withFiles({ shape }: z.ZodObject, files: Record<string, z.ZodType>): z.ZodObject {
  return z.strictObject({ ...(shape.prompt && { prompt: shape.prompt }), ...files, ...shape, ...files })
}

export type SchemaName = keyof typeof named

/** A JSON Schema of the 2020-12 draft, which OpenAPI 3.1 uses. */
export type JsonSchema = Record<string, unknown>

const addressOf = (name: string): string => `#/components/schemas/${name}`

export const ref = (name: SchemaName): JsonSchema => ({ $ref: addressOf(name) })

/** What may be sent, rather than what a schema makes of it: defaults may be left out, text may stand for a number. */
const INPUT = { io: 'input', override: ({ jsonSchema }: { jsonSchema: JsonSchema }) => tidy(jsonSchema) } as const

export function toSchemas(): Record<string, JsonSchema> {
  const registry = z.registry<{ id: string }>()
  for (const [name, schema] of Object.entries(named)) registry.add(schema, { id: name })
  const { schemas } = z.toJSONSchema(registry, { ...INPUT, uri: addressOf })
  // They are parts of one document, and no documents of their own.
  return Object.fromEntries(Object.entries(schemas).map(([name, { $schema: _draft, $id: _address, ...schema }]) => [name, schema]))
}

/** The fields of an object, for parameters. */
export function toFields(schema: z.ZodObject): { properties: Record<string, JsonSchema>; required: readonly string[] } {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, INPUT)
  return { properties: properties as Record<string, JsonSchema>, required }
}

/** Takes away what says nothing more. */
function tidy(schema: JsonSchema): void {
  if (schema.format !== undefined) delete schema.pattern
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum
  // Not a word of JSON Schema's: the format tells it.
  if (schema.contentEncoding === 'binary') delete schema.contentEncoding
}
