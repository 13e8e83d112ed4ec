/** OAuth 2.0 for API keys: the client credentials grant of RFC 6749, and the public keys of the tokens (RFC 7517). */
import { bodyParser } from '@koa/bodyparser'
import Router from '@koa/router'
import type { JWK } from 'jose'
import type { Context, Middleware } from 'koa'
import { AppError } from '../errors.ts'
import { KEY_SET_MAX_AGE_SECONDS, type AccessTokens } from '../keys/access-tokens.ts'
import type { KnownKey } from '../keys/api-key.ts'
import type { KeyAccess } from '../keys/identify.ts'
import { isScope, type Scope } from '../keys/scopes.ts'
import { answerTagged, toETag } from './etag.ts'
import { toAppError } from './request-context.ts'
import { onlyHeader } from './single-header.ts'

export interface OAuthRoutesOptions {
  keyAccess: KeyAccess
  accessTokens: AccessTokens
  signingKeys: { publicKeys(): Promise<JWK[]> }
}

/** RFC 6749, 5.2, and for what is our own fault the words that its 4.1.2.1 has. */
type OAuthErrorCode = 'invalid_request' | 'invalid_client' | 'unauthorized_client' | 'unsupported_grant_type' | 'invalid_scope' | 'temporarily_unavailable' | 'server_error'

class OAuthError extends Error {
  readonly code: OAuthErrorCode
  constructor(code: OAuthErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

const MAX_FORM_BYTES = 8192

export function oauthRoutes({ keyAccess, accessTokens, signingKeys }: OAuthRoutesOptions): Router {
  const router = new Router({ sensitive: true })

  router.post('/oauth/token', answerOAuthErrors, bodyParser({ enableTypes: ['form'], formLimit: MAX_FORM_BYTES }), async (ctx) => {
    const form = readForm(ctx)
    const known = await authenticateClient(ctx, form, keyAccess)
    if (known.signedOnly) throw new OAuthError('unauthorized_client', 'This API key only signs requests: it must not be sent itself. It has been seen now, so rotate it.')
    if (form.grant_type === undefined) throw new OAuthError('invalid_request', 'grant_type is missing.')
    if (form.grant_type !== 'client_credentials') throw new OAuthError('unsupported_grant_type', 'grant_type must be client_credentials.')
    const scopes = narrow(known, form.scope)
    const { token, expiresInSeconds } = await accessTokens.issue(known, scopes)
    ctx.state.user = { id: known.userId, keyId: known.id, method: 'oauth' }
    ctx.body = { access_token: token, token_type: 'Bearer', expires_in: expiresInSeconds, scope: scopes.join(' ') }
  })

  router.get('/.well-known/jwks.json', async (ctx) => {
    const body = JSON.stringify({ keys: await signingKeys.publicKeys() })
    answerTagged(ctx, { body, etag: toETag(body), type: 'application/json', cacheControl: `public, max-age=${KEY_SET_MAX_AGE_SECONDS}` })
  })

  return router
}

/** Errors here have the RFC's form, with our request id beside it. */
const answerOAuthErrors: Middleware = async (ctx, next) => {
  ctx.set('Cache-Control', 'no-store')
  ctx.set('Pragma', 'no-cache')
  try {
    await next()
  } catch (error) {
    const failure = error instanceof OAuthError ? undefined : toAppError(error)
    if (failure) ctx.state.failure = failure
    const { code, message } = error instanceof OAuthError ? error : toOAuthError(failure!)
    ctx.status = failure && code !== 'invalid_client' ? failure.status : code === 'invalid_client' ? 401 : 400
    if (ctx.status === 401) ctx.set('WWW-Authenticate', 'Basic realm="darkroom"')
    if (failure?.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(failure.retryAfterSeconds))
    ctx.body = { error: code, error_description: message.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, "'"), requestId: ctx.state.requestId as string }
  }
}

function toOAuthError({ status, message }: AppError): { code: OAuthErrorCode; message: string } {
  if (status === 401) return { code: 'invalid_client', message }
  if (status < 500) return { code: 'invalid_request', message: status === 413 ? message : 'The form could not be read.' }
  return { code: status === 503 ? 'temporarily_unavailable' : 'server_error', message }
}

type Form = Partial<Record<'grant_type' | 'scope' | 'client_id' | 'client_secret', string>>

/** Parameters that came twice are an error, ones without a value count as absent, unknown ones are passed over (RFC 6749, 3.2). */
function readForm(ctx: Context): Form {
  if (!ctx.is('application/x-www-form-urlencoded')) throw new OAuthError('invalid_request', 'Send the parameters as a form: application/x-www-form-urlencoded.')
  const form = new Map<string, string>()
  for (const [name, value] of new URLSearchParams(ctx.request.rawBody)) {
    if (form.has(name)) throw new OAuthError('invalid_request', 'A parameter was sent twice.')
    form.set(name, value)
  }
  return Object.fromEntries([...form].filter(([, value]) => value !== ''))
}

async function authenticateClient(ctx: Context, form: Form, { byClient }: OAuthRoutesOptions['keyAccess']): Promise<KnownKey> {
  const authorization = onlyHeader(ctx.req, 'authorization')
  if (authorization === '') {
    if (form.client_id === undefined || form.client_secret === undefined) throw new OAuthError('invalid_client', 'Name the client: the id of an API key, and the key as its secret.')
    return await byClient(form.client_id, form.client_secret)
  }
  if (form.client_secret !== undefined) throw new OAuthError('invalid_request', 'Send the client secret in one way only.')
  const [id, secret] = parseBasic(authorization)
  if (form.client_id !== undefined && form.client_id !== id) throw new OAuthError('invalid_request', 'client_id is not that of the Authorization header.')
  return await byClient(id, secret)
}

/** Both halves are form-encoded before they are joined (RFC 6749, 2.3.1). */
function parseBasic(authorization: string): [id: string, secret: string] {
  const encoded = /^Basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(authorization)?.[1]
  const halves = encoded === undefined ? undefined : /^([^:]+):(.+)$/.exec(Buffer.from(encoded, 'base64').toString('latin1'))
  try {
    if (halves) return [decode(halves[1]!), decode(halves[2]!)]
  } catch {
    // No form encoding.
  }
  throw new OAuthError('invalid_client', 'Only Basic authentication is understood here.')
}

const decode = (text: string): string => decodeURIComponent(text.replaceAll('+', ' '))

/** The scopes that are asked for, all of the key's where none are. */
function narrow({ scopes }: KnownKey, wanted: string | undefined): Scope[] {
  if (wanted === undefined) return scopes
  const asked = [...new Set(wanted.split(' '))]
  const granted = asked.filter(isScope).filter((scope) => scopes.includes(scope))
  if (granted.length !== asked.length) throw new OAuthError('invalid_scope', `This API key has only: ${scopes.join(' ')}.`)
  return granted
}
