/** The routes about a user's account: usage, files, API keys, and tokens for those. */
import { MEDIA_KINDS } from '../../media/media-kinds.ts'
import { downloadSchema } from '../downloads.ts'
import { BODY, BY_KEY, SIGNED_IN } from './failures.ts'
import { answer, header, json, notModified, parameter, PUBLIC, toQuery, toResponses, type Operation, type Paths } from './parts.ts'
import { ref, type JsonSchema } from './schemas.ts'

const KEPT = { 'Cache-Control': header('CacheControl') }
/** Keys are made and ended by nobody but the user. */
const IN_PERSON = [{ supabase: [] }, { cookie: [] }]

const apiKey = {
  id: '7Hq2ZtB9dKx4LmPa',
  name: 'The shop’s server',
  prefix: 'drk_7Hq2ZtB9dKx4LmPa',
  state: 'active',
  scopes: ['images:generate', 'images:read'],
  signedOnly: false,
  createdAt: '2026-11-22T10:00:00.000Z',
  expiresAt: null,
  lastUsedAt: null,
  revokedAt: null,
  replacedBy: null,
  overlapUntil: null,
}
const newKey = answer('NewApiKey', { description: 'The key, told this once.', headers: KEPT, example: { ...apiKey, key: 'drk_7Hq2ZtB9dKx4LmPa_…' } })

const keyId = { name: 'id', in: 'path', required: true, description: 'The key’s id.', schema: { type: 'string', pattern: '^[0-9A-Za-z]{16}$' } }

const BINARY = { schema: { type: 'string', format: 'binary' } }
const FILE = Object.fromEntries(MEDIA_KINDS.map(({ mediaType }) => [mediaType, BINARY]))
const file = (description: string, more: Record<string, JsonSchema> = {}): JsonSchema => ({
  description,
  headers: { 'X-Request-Id': header('RequestId'), ...KEPT, 'Content-Disposition': { description: 'An attachment, and what to save it as.', schema: { type: 'string' } }, ...more },
  content: FILE,
})

const download: Operation = {
  operationId: 'download',
  summary: 'Save a file',
  description: 'For a save button: browsers open links to other origins rather than save them. Streamed, at most as long as one file may be here.',
  tags: ['Account'],
  parameters: [
    ...toQuery(downloadSchema),
    { name: 'Range', in: 'header', description: 'A part of the file, where its server gives parts.', schema: { type: 'string' } },
    { name: 'If-Range', in: 'header', description: 'The `ETag` of what you have of it.', schema: { type: 'string' } },
    parameter('RequestId'),
  ],
  responses: toResponses({ 200: file('The file.'), 206: file('The part.', { 'Content-Range': { description: 'Which part.', schema: { type: 'string' } } }) }, [
    ...SIGNED_IN, ...BY_KEY, 'invalid_request', 'forbidden', 'not_found', 'unsupported_media_type', 'range_not_satisfiable', 'output_invalid', 'output_too_large', 'output_expired', 'output_unavailable', 'storage_unavailable',
  ]),
}

const oauthFailure = (description: string): JsonSchema => answer('OAuthFailure', { description, example: { error: 'invalid_client', error_description: 'This is not a valid API key.', requestId: 'req_Zk3fW0c1pQ7xH2aB' } })

const token: Operation = {
  operationId: 'issueToken',
  summary: 'An access token of fifteen minutes for an API key',
  description: 'OAuth 2.0, client credentials (RFC 6749, 4.4). The client is the key: its id, and the key itself as the secret, by Basic authentication or in the form.',
  tags: ['Account'],
  security: PUBLIC,
  parameters: [parameter('RequestId')],
  requestBody: { required: true, content: { 'application/x-www-form-urlencoded': { schema: ref('TokenForm') } } },
  responses: {
    ...toResponses({ 200: answer('AccessToken', { description: 'The token.', headers: KEPT, example: { access_token: 'eyJhbGciOiJFUzI1NiJ9.e30.c2ln', token_type: 'Bearer', expires_in: 900, scope: 'images:generate images:read' } }) }, ['rate_limited']),
    400: oauthFailure('Something in the form is wrong.'),
    401: oauthFailure('There is no such key.'),
    413: oauthFailure('The form is too large.'),
    500: answer(['OAuthFailure', 'Error'], { description: 'A fault of this service’s own.' }),
    503: answer(['OAuthFailure', 'Error'], { description: 'The keys cannot be looked up now.' }),
  },
}

export const accountPaths: Paths = {
  '/api/usage': {
    get: {
      operationId: 'getUsage',
      summary: 'What you have used of storage, budget and open generations',
      description: 'Why, is in the table `usage_ledger`, which you may read.',
      tags: ['Account'],
      parameters: [parameter('RequestId')],
      responses: toResponses(
        {
          200: answer('Usage', {
            description: 'Your usage.',
            example: {
              storage: { bytes: 412_345, reservedBytes: 0, quotaBytes: 1_073_741_824 },
              spending: { month: '2026-11', costMicros: 30_000, reservedMicros: 0, budgetMicros: null },
              generations: { open: 0, maxOpen: 100 },
            },
          }),
        },
        [...SIGNED_IN, ...BY_KEY],
      ),
    },
  },
  '/api/download': { get: download },
  '/api/csrf': {
    get: {
      operationId: 'getCsrfToken',
      summary: 'What to send along with a session in cookies',
      description: 'Where the service takes sessions in cookies (`COOKIE_AUTH`), each request but GET and HEAD needs this as `X-CSRF-Token`.',
      tags: ['Account'],
      security: IN_PERSON,
      parameters: [parameter('RequestId')],
      responses: toResponses({ 200: answer('CsrfToken', { description: 'The token.', headers: KEPT, example: { csrfToken: '1763848800.4pL0…', expiresAt: '2026-11-22T22:00:00.000Z' } }) }, [...SIGNED_IN, ...BY_KEY, 'not_found']),
    },
  },
  '/api/keys': {
    get: {
      operationId: 'listKeys',
      summary: 'Your API keys',
      tags: ['Account'],
      security: IN_PERSON,
      parameters: [parameter('RequestId')],
      responses: toResponses({ 200: answer('ApiKeys', { description: 'The keys, ended ones too.', headers: KEPT, example: { keys: [apiKey] } }) }, [...SIGNED_IN, ...BY_KEY]),
    },
    post: {
      operationId: 'createKey',
      summary: 'Make an API key',
      tags: ['Account'],
      security: IN_PERSON,
      parameters: [parameter('RequestId')],
      requestBody: { required: true, content: json('NewApiKeyRequest', { short: { summary: 'One that may do everything', value: { name: 'The shop’s server' } }, long: { summary: 'One that only signs, for a year', value: { name: 'The shop’s server', scopes: ['images:generate'], expiresInDays: 365, signedOnly: true } } }) },
      responses: toResponses({ 201: newKey }, [...SIGNED_IN, ...BY_KEY, ...BODY, 'conflict']),
    },
  },
  '/api/keys/{id}': {
    delete: {
      operationId: 'revokeKey',
      summary: 'End an API key, at once and for good',
      tags: ['Account'],
      security: IN_PERSON,
      parameters: [keyId, parameter('RequestId')],
      responses: toResponses({ 204: { description: 'It is ended.' } }, [...SIGNED_IN, ...BY_KEY, 'not_found']),
    },
  },
  '/api/keys/{id}/rotate': {
    post: {
      operationId: 'rotateKey',
      summary: 'Make a key like this one, which works on for a while',
      tags: ['Account'],
      security: IN_PERSON,
      parameters: [keyId, parameter('RequestId')],
      requestBody: { required: true, content: json('RotationRequest', { day: { summary: 'A day to bring it to every server', value: { overlapMinutes: 1440 } } }) },
      responses: toResponses({ 201: newKey }, [...SIGNED_IN, ...BY_KEY, ...BODY, 'not_found', 'conflict']),
    },
  },
  '/oauth/token': { post: token },
  '/.well-known/jwks.json': {
    get: {
      operationId: 'getKeySet',
      summary: 'The keys that sign access tokens',
      tags: ['Account'],
      security: PUBLIC,
      parameters: [parameter('IfNoneMatch')],
      responses: toResponses({ 200: answer('KeySet', { description: 'The key set (RFC 7517).', headers: { ETag: header('ETag'), ...KEPT } }), 304: notModified }, ['database_unavailable']),
    },
  },
}
