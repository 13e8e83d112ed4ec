/** The routes for what there is already: generations and models. */
import { listSchema } from '../generations.ts'
import * as examples from './examples.ts'
import { BY_KEY, SIGNED_IN } from './failures.ts'
import { answer, header, notModified, parameter, toQuery, toResponses, type Paths } from './parts.ts'

const OWN = [...SIGNED_IN, ...BY_KEY]
const KEPT = { 'Cache-Control': header('CacheControl') }

export const keepingPaths: Paths = {
  '/api/generations': {
    get: {
      operationId: 'listGenerations',
      summary: 'Your generations, the newest first',
      tags: ['Generations'],
      parameters: [...toQuery(listSchema), parameter('RequestId')],
      responses: toResponses({ 200: answer('GenerationPage', { description: 'A page of them.', example: { generations: [examples.succeeded], nextCursor: null } }) }, [...OWN, 'invalid_request']),
    },
  },
  '/api/generations/{id}': {
    get: {
      operationId: 'getGeneration',
      summary: 'One of your generations',
      description: 'Ask again until its `status` is `succeeded`, `failed` or `cancelled`; or follow its events, or its row by Supabase Realtime.',
      tags: ['Generations'],
      parameters: [parameter('GenerationId'), parameter('RequestId')],
      responses: toResponses({ 200: answer('Generation', { description: 'The generation.', headers: KEPT, examples: { running: { summary: 'Under way', value: examples.running }, succeeded: { summary: 'Done', value: examples.succeeded } } }) }, [...OWN, 'not_found']),
    },
  },
  '/api/generations/{id}/events': {
    get: {
      operationId: 'followGeneration',
      summary: 'The progress of one of your generations, as it happens',
      description:
        'Server-Sent Events. Each is named `progress`, `succeeded`, `failed` or `cancelled`, and its `data` is the generation as JSON (`Generation`). The first tells how it stands; the last, which is none of progress, ends the stream. A comment comes now and then, so that no router hangs up. Since the token goes in a header, a browser follows with `fetch` rather than `EventSource`.',
      tags: ['Generations'],
      parameters: [
        parameter('GenerationId'),
        { name: 'Last-Event-ID', in: 'header', description: 'The `id` of the last event that you have: that state is not told again, unless it is the last one.', schema: { type: 'string' } },
        parameter('RequestId'),
      ],
      responses: toResponses(
        {
          200: {
            description: 'The events.',
            headers: { 'X-Request-Id': header('RequestId'), ...KEPT },
            content: { 'text/event-stream': { schema: { type: 'string', description: 'Lines of `id`, `event` and `data`.' }, example: examples.events } },
          },
        },
        [...OWN, 'not_found'],
      ),
    },
  },
  '/api/generations/{id}/cancel': {
    post: {
      operationId: 'cancelGeneration',
      summary: 'Cancel one of your generations',
      description: 'Works while its provider was not asked yet, and where the provider can still stop it without a bill.',
      tags: ['Generations'],
      parameters: [parameter('GenerationId'), parameter('RequestId')],
      responses: toResponses({ 200: answer('Generation', { description: 'It is cancelled.', example: examples.cancelled }) }, [...OWN, 'not_found', 'conflict', 'provider_failed']),
    },
  },
  '/api/models': {
    get: {
      operationId: 'listModels',
      summary: 'Every model, with what it can do, its state and its price',
      tags: ['Models'],
      parameters: [parameter('IfNoneMatch'), parameter('RequestId')],
      responses: toResponses({ 200: answer('Models', { description: 'The models.', headers: { ETag: header('ETag'), ...KEPT }, example: examples.models }), 304: notModified }, OWN),
    },
  },
}
