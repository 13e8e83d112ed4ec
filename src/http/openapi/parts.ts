/** What operations are put together from. */
import { z } from 'zod'
import type { ErrorCode } from '../../errors.ts'
import { toFailures } from './failures.ts'
import { ref, toFields, type JsonSchema, type SchemaName } from './schemas.ts'

export interface Operation {
  operationId: string
  summary: string
  description?: string
  tags: string[]
  security?: Record<string, string[]>[]
  parameters?: JsonSchema[]
  requestBody?: JsonSchema
  responses: Record<string, JsonSchema>
}

/** Operations by path, as the document spells it, and method. */
export type Paths = Record<string, Partial<Record<'get' | 'post' | 'delete', Operation>>>

/** For routes that anybody may ask. */
export const PUBLIC: Record<string, string[]>[] = []

export const parameter = (name: keyof typeof parameters): JsonSchema => ({ $ref: `#/components/parameters/${name}` })
export const header = (name: keyof typeof headers): JsonSchema => ({ $ref: `#/components/headers/${name}` })

export const parameters = {
  RequestId: { name: 'X-Request-Id', in: 'header', description: 'An id of your own for the request, which the answer and the log repeat.', schema: { type: 'string', pattern: '^[A-Za-z0-9._-]{8,128}$' } },
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    description: 'Any text that stands for this request. Sent again within 24 hours with the same body, it gives the same generation and never a second bill; with another body it is refused.',
    schema: { type: 'string', pattern: '^[\\x21-\\x7e]{1,255}$' },
  },
  Prefer: {
    name: 'Prefer',
    in: 'header',
    description: '`respond-async`: answer 202 at once. `wait=10`: answer 202 when it is not done after so many seconds. `Preference-Applied` says which was heeded.',
    schema: { type: 'string' },
  },
  DryRun: { name: 'dryRun', in: 'query', description: 'What would run, with its warnings and its price. Nothing is asked, nothing is written.', schema: { type: 'boolean', default: false } },
  CacheControl: { name: 'Cache-Control', in: 'header', description: '`max-age=3600`: an answer to the same request of yours will do when it is no older than so many seconds. `no-cache`: only a new one will, for a seeded request too.', schema: { type: 'string' } },
  GenerationId: { name: 'id', in: 'path', required: true, description: 'The generation’s id.', schema: { type: 'string', format: 'uuid' } },
  IfNoneMatch: { name: 'If-None-Match', in: 'header', description: 'The `ETag` of what you have: 304 when it is still the same.', schema: { type: 'string' } },
} satisfies Record<string, JsonSchema>

export const headers = {
  RequestId: { description: 'The id of the request, also in the log.', schema: { type: 'string' } },
  RetryAfter: { description: 'Seconds after which to try again, where they are known.', schema: { type: 'integer' } },
  Authenticate: { description: 'How to sign in.', schema: { type: 'string' } },
  Location: { description: 'Where the generation is to be looked for.', schema: { type: 'string' }, example: '/api/generations/6f0c7d2e-2f6b-4a53-9a4c-0a4f8a1b2c3d' },
  PreferenceApplied: { description: 'The part of `Prefer` that was heeded.', schema: { type: 'string' } },
  IdempotencyReplayed: { description: '`true` where the `Idempotency-Key` stood for an earlier request.', schema: { type: 'string' } },
  RateLimit: { description: 'What is left of each limit, and in how many seconds it is whole again.', schema: { type: 'string' }, example: '"user";r=299;t=60' },
  RateLimitPolicy: { description: 'Each limit, with its window in seconds.', schema: { type: 'string' }, example: '"user";q=300;w=60' },
  ETag: { description: 'Stands for this very answer.', schema: { type: 'string' } },
  CacheControl: { description: 'How long it may be kept.', schema: { type: 'string' } },
} satisfies Record<string, JsonSchema>

export interface AnswerOptions {
  description: string
  example?: unknown
  /** For an answer that may look in several ways. */
  examples?: Record<string, { summary: string; value: unknown }>
  headers?: Record<string, JsonSchema>
}

/** A JSON answer of one of these schemas. */
export function answer(names: SchemaName | SchemaName[], { description, example, examples, headers: more }: AnswerOptions): JsonSchema {
  const schemas = [names].flat().map(ref)
  const schema = schemas.length === 1 ? schemas[0] : { anyOf: schemas }
  return {
    description,
    headers: { 'X-Request-Id': header('RequestId'), ...more },
    content: { 'application/json': { schema, ...(example !== undefined && { example }), ...(examples && { examples }) } },
  }
}

export const notModified: JsonSchema = { description: 'You have it already.', headers: { ETag: header('ETag') } }

/** The answers of a route: those that succeed, and a failure for each of these codes. */
export const toResponses = (successes: Record<string, JsonSchema>, codes: readonly ErrorCode[]): Record<string, JsonSchema> => ({ ...successes, ...toFailures(codes) })

/** The fields of a schema as parameters of the query. */
export function toQuery(schema: z.ZodObject): JsonSchema[] {
  const { properties, required } = toFields(schema)
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({ name, in: 'query', description, required: required.includes(name), schema: rest }))
}

/**
 * A form.
 * @param files the media types of each field that holds files.
 * @param example values of other fields.
 */
export function form(name: SchemaName, files: Record<string, string>, example: object): JsonSchema {
  const encoding = Object.fromEntries(Object.entries(files).map(([field, contentType]) => [field, { contentType }]))
  return { 'multipart/form-data': { schema: ref(name), example, encoding } }
}

export const json = (name: SchemaName, examples: Record<string, { summary: string; value: unknown }>): JsonSchema => ({ 'application/json': { schema: ref(name), examples } })
