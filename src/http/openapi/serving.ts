/** The routes about the service itself: health, metrics, documents, and where providers call back. */
import * as examples from './examples.ts'
import { answer, header, notModified, parameter, PUBLIC, toResponses, type Paths } from './parts.ts'

const KEPT = { 'Cache-Control': header('CacheControl') }
const TAGGED = { ETag: header('ETag'), ...KEPT }
const health = (description: string, status: 'ok' | 'down') => answer('Health', { description, headers: KEPT, example: { ...examples.health, status } })
const DOCUMENT = { tags: ['Service'], security: PUBLIC }

export const servingPaths: Paths = {
  '/health': {
    get: {
      operationId: 'getHealth',
      summary: 'What the service needs, and what is known of the providers',
      description: 'Checked at most every five seconds, without a bill.',
      ...DOCUMENT,
      responses: { ...toResponses({ 200: health('All of it answers.', 'ok') }, []), 503: health('Something does not answer.', 'down') },
    },
  },
  '/health/live': { get: { operationId: 'getLive', summary: 'Whether the process answers', ...DOCUMENT, responses: toResponses({ 200: answer('Live', { description: 'It does.', headers: KEPT, example: { status: 'ok' } }) }, []) } },
  '/metrics': {
    get: {
      operationId: 'getMetrics',
      summary: 'What this process has counted, for Prometheus',
      description: 'Asks for the operator’s `METRICS_TOKEN`; without one configured there is nothing here.',
      tags: ['Service'],
      security: [{ metricsToken: [] }],
      responses: toResponses({ 200: { description: 'The text form of Prometheus.', headers: KEPT, content: { 'text/plain': { schema: { type: 'string' }, example: examples.metrics } } } }, ['unauthenticated', 'not_found']),
    },
  },
  '/openapi.json': {
    get: {
      operationId: 'getOpenApi',
      summary: 'This document',
      ...DOCUMENT,
      parameters: [parameter('IfNoneMatch')],
      responses: toResponses({ 200: { description: 'OpenAPI 3.1.', headers: TAGGED, content: { 'application/json': { schema: { type: 'object' } } } }, 304: notModified }, []),
    },
  },
  '/docs': {
    get: {
      operationId: 'getDocs',
      summary: 'This document, to be read by people',
      ...DOCUMENT,
      parameters: [parameter('IfNoneMatch')],
      responses: toResponses({ 200: { description: 'A page.', headers: TAGGED, content: { 'text/html': { schema: { type: 'string' } } } }, 304: notModified }, []),
    },
  },
  '/docs/{file}': {
    get: {
      operationId: 'getDocsFile',
      summary: 'What that page is made of',
      ...DOCUMENT,
      parameters: [{ name: 'file', in: 'path', required: true, schema: { type: 'string' } }, parameter('IfNoneMatch')],
      responses: toResponses({ 200: { description: 'A script, a style sheet or an icon.', headers: TAGGED, content: { 'text/javascript': {}, 'text/css': {}, 'image/png': {} } }, 304: notModified }, ['not_found']),
    },
  },
  '/api/callbacks/{generationId}/{index}/{token}': {
    post: {
      operationId: 'callBack',
      summary: 'Where providers tell that something has changed',
      description: 'For providers alone, at an address that only they were given. What comes is never believed: it only hurries the next look.',
      tags: ['Providers'],
      security: PUBLIC,
      parameters: [
        { name: 'generationId', in: 'path', required: true, schema: { type: 'string', format: 'uuid' } },
        { name: 'index', in: 'path', required: true, description: 'Which output of the generation.', schema: { type: 'string', pattern: '^\\d{1,2}$' } },
        { name: 'token', in: 'path', required: true, schema: { type: 'string', pattern: '^[\\w-]{20,100}$' } },
      ],
      requestBody: { description: 'The provider’s own JSON, whatever its media type says; 64 KiB at most.', content: { 'application/json': { schema: { type: 'object' } } } },
      responses: toResponses({ 204: { description: 'It was heard.' } }, ['invalid_request', 'not_found', 'payload_too_large', 'unsupported_media_type', 'database_unavailable']),
    },
  },
}
