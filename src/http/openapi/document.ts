/** The API's own description, as OpenAPI 3.1. */
import { SCOPES } from '../../keys/scopes.ts'
import { accountPaths } from './account.ts'
import { CODES } from './failures.ts'
import { generatingPaths } from './generating.ts'
import { keepingPaths } from './keeping.ts'
import { headers, parameters, type Paths } from './parts.ts'
import { toSchemas, type JsonSchema } from './schemas.ts'
import { servingPaths } from './serving.ts'

export interface DocumentOptions {
  version: string
  /** Where users reach this service; the address that the document came from where absent. */
  publicUrl: string | undefined
}

const DESCRIPTION = `The media-generation backend for Supabase apps. It checks the Supabase access token, asks a provider for pictures or a video, stores them in
Supabase Storage, and writes the rows that the app reads.

**Waiting.** A request waits for its result. \`Prefer: respond-async\` or \`Prefer: wait=10\` answers 202 with a \`Location\` instead. An \`Idempotency-Key\` makes a repeated request the same one.

**Limits.** \`RateLimit\` and \`RateLimit-Policy\` tell what is left of each limit on requests; 429 comes with \`Retry-After\`.

**The same again.** A seeded request that was answered before is answered again with new rows on the same files, for nothing; without a seed \`Cache-Control: max-age=3600\` asks for that, and \`no-cache\` forbids it.

**Errors.** Every failure, also that of an unknown path, is JSON: \`{ "error": "a sentence", "code": "a_stable_word", "requestId": "req_…" }\`, and where fields are wrong \`"details": [{ "path", "message" }]\`.
Each operation lists its codes; the schema \`Error\` lists them all.`

const TAGS = [
  { name: 'Images', description: 'Pictures, from text or from other pictures.' },
  { name: 'Videos', description: 'Videos, from text or from a first frame.' },
  { name: 'Generations', description: 'What was asked for, and how far it is.' },
  { name: 'Models', description: 'What can be asked for.' },
  { name: 'Account', description: 'What you have used, your files, and the keys of your servers.' },
  { name: 'Service', description: 'The service itself.' },
  { name: 'Providers', description: 'For providers, not for users.' },
]

export const paths: Paths = { ...generatingPaths, ...keepingPaths, ...accountPaths, ...servingPaths }

export function createDocument({ version, publicUrl }: DocumentOptions) {
  return {
    openapi: '3.1.1',
    info: { title: 'Darkroom', version, description: DESCRIPTION, license: { name: 'MIT', identifier: 'MIT' } },
    servers: [{ url: publicUrl ?? '/' }],
    security: [{ supabase: [] }, { cookie: [] }, { apiKey: [] }, { signature: [] }, { oauth: [] }],
    tags: TAGS,
    paths,
    components: {
      schemas: withCodes(toSchemas()),
      parameters,
      headers,
      securitySchemes: {
        supabase: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'The Supabase access token of a signed-in user.' },
        cookie: { type: 'apiKey', in: 'cookie', name: 'sb-<project>-auth-token', description: 'The session as `@supabase/ssr` keeps it, where the operator allows it, from the frontend’s own pages; with `X-CSRF-Token` from `GET /api/csrf`.' },
        apiKey: { type: 'http', scheme: 'bearer', description: 'An API key (`drk_…`) of a server, which acts for the user who made it, within its scopes.' },
        signature: { type: 'apiKey', in: 'header', name: 'Authorization', description: 'A request signed with an API key: `Darkroom-HMAC-SHA256 KeyId=…, Signature=…`, beside `X-Darkroom-Timestamp` and `X-Darkroom-Nonce`.' },
        oauth: { type: 'oauth2', description: 'An access token for an API key.', flows: { clientCredentials: { tokenUrl: '/oauth/token', scopes: Object.fromEntries(SCOPES.map((scope) => [scope, `May ${scope.split(':').toReversed().join(' ')}.`])) } } },
        metricsToken: { type: 'http', scheme: 'bearer', description: 'The operator’s `METRICS_TOKEN`.' },
      },
    },
  }
}

/** The list of all codes stands where they are declared. */
const withCodes = (schemas: Record<string, JsonSchema>): Record<string, JsonSchema> => ({ ...schemas, Error: { ...schemas.Error, description: CODES } })
