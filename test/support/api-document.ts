/** Holds real answers against the API's own document. */
import assert from 'node:assert/strict'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

type Json = Record<string, unknown>

export interface DocumentedAnswer {
  description: string
  headers?: Record<string, Json>
  content?: Record<string, { schema?: Json; example?: unknown; examples?: Record<string, { value: unknown }> }>
}

export interface DocumentedOperation {
  operationId: string
  tags: string[]
  security?: Json[]
  parameters?: (Json & { $ref?: string })[]
  requestBody?: { content: NonNullable<DocumentedAnswer['content']> }
  responses: Record<string, DocumentedAnswer>
}

export interface ApiDocument {
  openapi: string
  servers: { url: string }[]
  paths: Record<string, Record<string, DocumentedOperation>>
  components: Record<'schemas' | 'parameters' | 'headers', Record<string, Json>>
}

export interface AnswerChecker {
  /** @throws {AssertionError} where the document does not know the answer's status, type, headers or body. @returns its body. */
  check(operation: string, response: Response): Promise<unknown>
  /** @throws {AssertionError} where a value is none of the schema. */
  checkValue(schema: Json, value: unknown, what: string): void
  /** The statuses that were seen of each operation, `GET /health` for one. */
  seen: Map<string, Set<number>>
}

export const operationsOf = ({ paths }: ApiDocument): [name: string, operation: DocumentedOperation][] =>
  Object.entries(paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]): [string, DocumentedOperation] => [`${method.toUpperCase()} ${path}`, operation]))

export function createAnswerChecker(document: ApiDocument): AnswerChecker {
  // A document lets its readers meet fields that it does not tell of; here each one is a mistake.
  const components = { ...document.components, schemas: close(document.components.schemas) as Json }
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  addFormats.default(ajv)
  const compiled = new Map<string, ValidateFunction>()
  const operations = new Map(operationsOf(document))
  const seen: AnswerChecker['seen'] = new Map()

  function checkValue(schema: Json, value: unknown, what: string): void {
    const key = JSON.stringify(schema)
    const validate = compiled.get(key) ?? ajv.compile({ ...schema, components })
    compiled.set(key, validate)
    assert.ok(validate(value), `${what}: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(value, null, 2)?.slice(0, 2000)}`)
  }

  return {
    seen,
    checkValue,
    async check(name, response) {
      const what = `${name} ${response.status}`
      const answer = operations.get(name)?.responses[response.status]
      assert.ok(answer, `${what} is not in the document: ${await response.clone().text()}`)
      seen.set(name, (seen.get(name) ?? new Set()).add(response.status))
      const text = await response.text()
      if (!answer.content) {
        assert.equal(text, '', `${what} has a body`)
        return undefined
      }
      const type = response.headers.get('content-type')!.split(';')[0]!
      const content = answer.content[type]
      assert.ok(content, `${what}: ${type} is not in the document`)
      const body: unknown = type === 'application/json' ? JSON.parse(text) : text
      if (content.schema) checkValue(content.schema, body, what)
      return body
    },
  }
}

function close(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(close)
  if (typeof schema !== 'object' || schema === null) return schema
  const closed = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, close(value)]))
  return closed.type === 'object' && 'properties' in closed && !('additionalProperties' in closed) ? { ...closed, additionalProperties: false } : closed
}
