/** The API's document: valid, complete, and true of real answers. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import type Router from '@koa/router'
import sharp from 'sharp'
import { createApp, type AppServices } from '../../src/app.ts'
import { errorCodes } from '../../src/errors.ts'
import { createSandbox } from '../../src/local/sandbox.ts'
import { createAnswerChecker, operationsOf, type AnswerChecker, type ApiDocument, type DocumentedOperation } from '../support/api-document.ts'
import { eventually, startTestService, toForm, type TestService } from '../support/service.ts'
import { signUp, sql, type TestUser } from '../support/supabase.ts'

const METRICS_TOKEN = 'sixteen-characters-or-more'
const PUBLIC_URL = 'https://api.example.com'
const NOBODYS = '00000000-0000-4000-8000-000000000000'

describe('the API document', () => {
  let service: TestService
  let document: ApiDocument
  let checker: AnswerChecker
  let user: TestUser
  let photograph: Buffer
  before(async () => {
    service = await startTestService({
      extras: createSandbox(),
      env: { PUBLIC_URL, METRICS_TOKEN, HEARTBEAT_AFTER_SECONDS: '1', HEARTBEAT_SECONDS: '1', PROVIDER_TIMEOUT_SECONDS: '60', SYNC_WAIT_SECONDS: '3', MAX_EVENT_STREAMS: '1', MAX_JSON_BYTES: '2000', COOKIE_AUTH: 'true' },
    })
    document = (await (await service.request('/openapi.json')).json()) as ApiDocument
    checker = createAnswerChecker(document)
    user = await signUp()
    photograph = await sharp({ create: { width: 900, height: 600, channels: 3, background: '#1e78c8' } }).jpeg().toBuffer()
  })
  after(() => service.close())

  /** Asks for the operation, and holds the answer against the document. */
  async function ask<Body>(operation: string, { path, status, ...init }: RequestInit & { path?: string; status: number; user?: TestUser }): Promise<{ body: Body; headers: Headers }> {
    const [method, template] = operation.split(' ') as [string, string]
    const response = await service.request(path ?? template, { method, ...init })
    const body = (await checker.check(operation, response)) as Body
    assert.equal(response.status, status, `${operation}: ${JSON.stringify(body)}`)
    return { body, headers: response.headers }
  }
  const json = (body: unknown, headers: Record<string, string> = {}) => ({ user, body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } })
  const form = (fields: Record<string, string | Uint8Array>, headers: Record<string, string> = {}) => ({ user, body: toForm(fields), headers })

  test('is valid OpenAPI 3.1', async () => {
    assert.match(document.openapi, /^3\.1\./)
    const result = await new Validator().validate({ ...structuredClone(document) })
    assert.deepEqual(result, { valid: true })
    for (const reference of new Set(JSON.stringify(document).match(/(?<="\$ref":")[^"]+/g))) {
      const target = reference.split('/').slice(1).reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], document)
      assert.notEqual(target, undefined, reference)
    }
    const ids = operationsOf(document).map(([, { operationId }]) => operationId)
    assert.equal(new Set(ids).size, ids.length)
  })

  test('declares the parameters of its paths', () => {
    for (const [name, { parameters = [] }] of operationsOf(document)) {
      const resolved = parameters.map((parameter) => (parameter.$ref ? document.components.parameters[parameter.$ref.split('/').at(-1)!]! : parameter))
      const inPath = resolved.filter((parameter) => parameter.in === 'path').map((parameter) => parameter.name as string)
      assert.deepEqual(inPath.toSorted(), [...name.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter!).toSorted(), name)
    }
  })

  test('has every route of the service, and no other', () => {
    // Routers ask nothing of their services before a request comes.
    const app = createApp({ health: { version: '0', checks: {}, providers: () => ({}) }, corsOrigins: 'any', download: {} } as unknown as AppServices)
    const routers = app.middleware.flatMap((middleware) => ('router' in middleware ? [middleware.router as Router] : []))
    const layers = new Set(routers.flatMap(({ stack }) => stack))
    const routes = [...layers].flatMap(({ methods, path }) => methods.filter((method) => method !== 'HEAD').map((method) => `${method} ${String(path).replace(/(.)\/$/, '$1').replaceAll(/:(\w+)/g, '{$1}')}`))
    assert.deepEqual(operationsOf(document).map(([name]) => name).toSorted(), [...new Set(routes)].toSorted())
  })

  test('gives examples that are true to its schemas', () => {
    let count = 0
    const checkAll = (what: string, { schema, example, examples = {} }: { schema?: Record<string, unknown>; example?: unknown; examples?: Record<string, { value: unknown }> }) => {
      for (const value of [example, ...Object.values(examples).map((one) => one.value)]) {
        if (value === undefined || !schema) continue
        checker.checkValue(schema, value, what)
        count++
      }
    }
    for (const [name, { responses, requestBody }] of operationsOf(document)) {
      // A file cannot be an example: forms give only their other fields.
      for (const [type, content] of Object.entries(requestBody?.content ?? {})) if (type === 'application/json') checkAll(`${name} request`, content)
      for (const [status, { content = {} }] of Object.entries(responses)) for (const one of Object.values(content)) checkAll(`${name} ${status}`, one)
    }
    assert.ok(count > 100, String(count))
  })

  test('checks requests as the service does', () => {
    const { ImageRequest, VideoForm } = document.components.schemas as Record<string, { properties: Record<string, unknown>; required: string[]; additionalProperties: boolean }>
    const withoutDescription = (schema: unknown) => ({ ...(schema as object), description: undefined })
    assert.deepEqual([ImageRequest!.required, ImageRequest!.additionalProperties], [['prompt'], false])
    assert.deepEqual(withoutDescription(ImageRequest!.properties.n), { type: 'integer', minimum: 1, maximum: 16, default: 1, description: undefined })
    // What a form sends as text is told as what it stands for.
    assert.deepEqual(withoutDescription(VideoForm!.properties.duration), { type: 'integer', minimum: 2, maximum: 10, description: undefined })
    assert.deepEqual(withoutDescription(VideoForm!.properties.fallback), { type: 'boolean', default: true, description: undefined })
    assert.deepEqual(withoutDescription(VideoForm!.properties.image), { type: 'string', format: 'binary', description: undefined })
    assert.deepEqual(VideoForm!.required, ['prompt'])
  })

  test('knows every error code, and tells where the service is', () => {
    const { Error: schema } = document.components.schemas as Record<string, { description: string; properties: { code: { enum: string[] } } }>
    assert.deepEqual(schema!.properties.code.enum, Object.keys(errorCodes))
    for (const [code, status] of Object.entries(errorCodes)) assert.ok(schema!.description.includes(`| \`${code}\` | ${status} |`), code)
    assert.deepEqual(document.servers, [{ url: PUBLIC_URL }])
  })

  test('is true of the routes that make pictures', async () => {
    const generate = 'POST /api/images/generate'
    await ask(generate, { status: 200, ...json({ prompt: 'A cat', n: 2 }) })
    await ask(generate, { status: 200, path: '/api/images/generate?dryRun=true', ...json({ prompt: 'A cat', size: '512x512' }) })
    const { headers } = await ask(generate, { status: 202, ...json({ prompt: 'A cat' }, { prefer: 'respond-async', 'idempotency-key': 'cat-1' }) })
    for (const name of ['Location', 'Preference-Applied']) assert.ok(headers.has(name) && operation(generate).responses['202']!.headers![name], name)
    await ask(generate, { status: 422, ...json({ prompt: 'A dog' }, { 'idempotency-key': 'cat-1' }) })
    await ask(generate, { status: 400, ...json({ prompt: '', size: 'huge', colour: 'red' }) })
    await ask(generate, { status: 401, ...json({ prompt: 'A cat' }), user: undefined! })
    await ask(generate, { status: 403, ...json({ prompt: 'A cat', userId: NOBODYS }) })
    await ask(generate, { status: 413, ...json({ prompt: 'cat '.repeat(1000) }) })
    await ask(generate, { status: 415, user, body: 'A cat' })
    for (const [behaviour, status] of [['moderation', 422], ['auth', 503], ['quota', 429], ['drop', 502]] as const) {
      await ask(generate, { status, ...json({ prompt: `A cat: sim:${behaviour}`, model: 'seedream-4-0-250828', fallback: false }) })
    }
  })

  test('is true of answers that begin early', async (t) => {
    for (const outcome of ['made', 'failed', 'still running']) {
      const release = service.simulator.hold()
      t.after(release)
      // The answer's head is there after a second; what follows waits for the release, or for the longest wait.
      const response = await service.generate(user, { prompt: outcome === 'failed' ? 'A slow cat: sim:moderation' : 'A slow cat' })
      if (outcome !== 'still running') release()
      await checker.check('POST /api/images/generate', response)
      release()
    }
  })

  test('is true of the routes that change pictures', async () => {
    const fields = { model: 'sandbox-image', image: photograph }
    await ask('POST /api/images/edit', { status: 200, ...form({ ...fields, prompt: 'Make it night' }) })
    await ask('POST /api/images/edit', { status: 200, path: '/api/images/edit?dryRun=true', ...form({ ...fields, prompt: 'Make it night' }) })
    await ask('POST /api/images/edit', { status: 202, ...form({ ...fields, prompt: 'Make it night' }, { prefer: 'respond-async' }) })
    await ask('POST /api/images/edit', { status: 400, ...form({ prompt: 'Make it night' }) })
    await ask('POST /api/images/edit', { status: 415, ...form({ prompt: 'Make it night', image: Buffer.from('<svg/>') }) })
    await ask('POST /api/images/remove-background', { status: 200, ...form(fields) })
    await ask('POST /api/images/remove-background', { status: 202, ...form(fields, { prefer: 'respond-async' }) })
    await ask('POST /api/images/remove-background', { status: 400, ...form({ ...fields, prompt: 'None' }) })
  })

  test('is true of the route that makes videos', async () => {
    const generate = 'POST /api/videos/generate'
    await ask(generate, { status: 200, ...form({ prompt: 'A bay', image: photograph, duration: '4', fallback: 'false' }) })
    await ask(generate, { status: 200, path: '/api/videos/generate?dryRun=true', ...json({ prompt: 'A bay' }) })
    await ask(generate, { status: 202, ...json({ prompt: 'A bay' }, { prefer: 'respond-async' }) })
    await ask(generate, { status: 400, ...form({ prompt: 'A bay', duration: '11' }) })
    const { body } = await ask<{ status: number }>(generate, { status: 200, ...json({ prompt: 'A bay: sim:task-cancelled' }) })
    assert.equal(body.status, 409, 'which came after the answer had begun')
  })

  test('is true of the routes for generations', async (t) => {
    const { body: made } = await ask<{ generationId: string }>('POST /api/images/generate', { status: 200, ...json({ prompt: 'A cat' }) })
    const id = made.generationId
    await ask('GET /api/generations', { status: 200, user, path: '/api/generations?limit=2' })
    await ask('GET /api/generations', { status: 400, user, path: '/api/generations?limit=0' })
    await ask('GET /api/generations', { status: 401 })
    for (const [suffix, method] of [['', 'GET'], ['/events', 'GET'], ['/cancel', 'POST']] as const) {
      await ask(`${method} /api/generations/{id}${suffix}`, { status: 404, user, path: `/api/generations/${NOBODYS}${suffix}` })
    }
    await ask('GET /api/generations/{id}', { status: 200, user, path: `/api/generations/${id}` })
    await ask('POST /api/generations/{id}/cancel', { status: 409, user, path: `/api/generations/${id}/cancel` })
    const { body: events } = await ask<string>('GET /api/generations/{id}/events', { status: 200, user, path: `/api/generations/${id}/events` })
    for (const [data] of events.matchAll(/(?<=^data: ).+/gm)) checker.checkValue({ $ref: '#/components/schemas/Generation' }, JSON.parse(data), 'an event')
    const release = service.simulator.videos.hold('queued')
    t.after(release)
    const { body: queued } = await ask<{ id: string }>('POST /api/videos/generate', { status: 202, ...json({ prompt: 'A bay' }, { prefer: 'respond-async' }) })
    const gone = new AbortController()
    const open = await service.request(`/api/generations/${queued.id}/events`, { user, signal: gone.signal })
    assert.equal(open.status, 200)
    await ask('GET /api/generations/{id}/events', { status: 429, user, path: `/api/generations/${queued.id}/events` })
    gone.abort()
    await eventually(async () => (await sql(`select from darkroom.submissions where generation_id = $1 and state = 'started'`, [queued.id])).length > 0, 'it is started')
    await ask('POST /api/generations/{id}/cancel', { status: 200, user, path: `/api/generations/${queued.id}/cancel` })
  })

  test('is true of the routes for models, and of the check of the connection', async () => {
    for (const kind of ['images', 'videos']) {
      await ask(`GET /api/${kind}/models`, { status: 200, user })
      await ask(`GET /api/${kind}/models`, { status: 401 })
    }
    await isKept('GET /api/models')
    await ask('GET /api/models', { status: 401 })
    await ask('POST /api/images/test', { status: 200, ...json({ prompt: 'A cat' }) })
    await ask('POST /api/images/test', { status: 400, ...json({}) })
  })

  test('is true of the routes for usage and files', async () => {
    const { body: made } = await ask<{ images: { storagePath: string }[] }>('POST /api/images/generate', { status: 200, ...json({ prompt: 'A cat' }) })
    const path = `/api/download?url=${encodeURIComponent(made.images[0]!.storagePath)}`
    await ask('GET /api/usage', { status: 200, user })
    await ask('GET /api/usage', { status: 401 })
    await ask('GET /api/csrf', { status: 200, user })
    await ask('GET /api/csrf', { status: 401 })
    await ask('GET /api/download', { status: 200, user, path: `${path}&filename=cat` })
    await ask('GET /api/download', { status: 400, user })
    await ask('GET /api/download', { status: 403, user, path: '/api/download?url=https://10.0.0.1/' })
    await ask('GET /api/download', { status: 404, user, path: `/api/download?url=${user.id}/${NOBODYS}/0.png` })
  })

  test('is true of the routes for keys, and of what keys are answered', async () => {
    const { body: made } = await ask<{ id: string; key: string }>('POST /api/keys', { status: 201, ...json({ name: 'A server', scopes: ['images:generate'], expiresInDays: 1 }) })
    await ask('POST /api/keys', { status: 400, ...json({ name: '', scopes: ['everything'] }) })
    await ask('GET /api/keys', { status: 200, user })
    const as = (secret: string) => ({ headers: { authorization: `Bearer ${secret}` } })
    await ask('GET /api/keys', { status: 403, ...as(made.key) })
    await ask('GET /api/usage', { status: 403, ...as(made.key) })
    const { headers } = await service.request('/api/usage', as(made.key))
    assert.match(headers.get('www-authenticate')!, /insufficient_scope/)
    const fields = { grant_type: 'client_credentials', client_id: made.id, client_secret: made.key }
    const tokenFor = (status: number, more: Record<string, string>) => ask<{ access_token: string }>('POST /oauth/token', { status, body: new URLSearchParams({ ...fields, ...more }) })
    const { body: token } = await tokenFor(200, { scope: 'images:generate' })
    await tokenFor(400, { grant_type: 'password' })
    await tokenFor(400, { scope: 'videos:read' })
    await tokenFor(401, { client_secret: `${made.key}x` })
    await tokenFor(413, { more: 'x'.repeat(10_000) })
    await ask('POST /api/images/test', { status: 200, body: '{"prompt":"A cat"}', headers: { 'content-type': 'application/json', authorization: `Bearer ${token.access_token}` } })
    await isKept('GET /.well-known/jwks.json')
    const { body: next } = await ask<{ id: string }>('POST /api/keys/{id}/rotate', { status: 201, path: `/api/keys/${made.id}/rotate`, ...json({ overlapMinutes: 5 }) })
    await ask('POST /api/keys/{id}/rotate', { status: 409, path: `/api/keys/${made.id}/rotate`, ...json({ overlapMinutes: 5 }) })
    await ask('DELETE /api/keys/{id}', { status: 204, user, path: `/api/keys/${next.id}` })
    await ask('DELETE /api/keys/{id}', { status: 404, user, path: '/api/keys/0000000000000000' })
    await ask('GET /api/keys', { status: 200, user })
  })

  test('is true of what limits refuse', async () => {
    const poor = await signUp()
    await sql('insert into darkroom.accounts (user_id, quota_bytes, budget_micros) values ($1, 0, 0)', [poor.id])
    for (const more of [{ prompt: 'A cat' }, { prompt: 'A dog', seed: 7 }]) await ask('POST /api/images/generate', { status: 429, ...json(more), user: poor })
    await sql('update darkroom.accounts set quota_bytes = null where user_id = $1', [poor.id])
    await ask('POST /api/images/generate', { status: 429, ...json({ prompt: 'A cat', model: 'seedream-4-0-250828' }), user: poor })
  })

  test('is true of the routes about the service', async () => {
    await ask('GET /health', { status: 200 })
    await ask('GET /health/live', { status: 200 })
    await ask('GET /metrics', { status: 200, headers: { authorization: `Bearer ${METRICS_TOKEN}` } })
    await ask('GET /metrics', { status: 401 })
    await isKept('GET /openapi.json')
    await isKept('GET /docs')
    for (const name of ['start.js', 'swagger-ui.css', 'favicon-32x32.png']) await isKept('GET /docs/{file}', `/docs/${name}`)
    await ask('GET /docs/{file}', { status: 404, path: '/docs/page.html' })
  })

  test('is true of the route for providers', async () => {
    const { body } = await ask<{ generationId: string }>('POST /api/videos/generate', { status: 200, ...json({ prompt: 'A bay', model: 'dreamina-seedance-2-0-mini-260615' }) })
    const [row] = await sql<{ callback_token: string }>('select callback_token from darkroom.submissions where generation_id = $1', [body.generationId])
    const callBack = 'POST /api/callbacks/{generationId}/{index}/{token}'
    const address = `/api/callbacks/${body.generationId}/0/`
    await ask(callBack, { status: 204, path: address + row!.callback_token, ...json({ id: 'cgt-20261101120000-abcde' }) })
    await ask(callBack, { status: 400, path: address + row!.callback_token, ...json({ id: '../../keys' }) })
    await ask(callBack, { status: 404, path: address + 'x'.repeat(32), ...json({ id: 'cgt-20261101120000-abcde' }) })
  })

  test('was held against every operation: what succeeds, and what its caller does wrong', () => {
    for (const [name, { responses }] of operationsOf(document)) {
      const seen = [...(checker.seen.get(name) ?? [])]
      const isDocumented = (pattern: RegExp) => Object.keys(responses).some((status) => pattern.test(status))
      for (const pattern of [/^20[014]$/, /^202$/, /^304$/, /^4/]) if (isDocumented(pattern)) assert.ok(seen.some((status) => pattern.test(String(status))), `${name} ${pattern}: only ${seen.join(', ')}`)
    }
  })

  /** What a client has already is not sent again. */
  async function isKept(name: string, path?: string): Promise<void> {
    const { headers } = await ask(name, { status: 200, user, ...(path !== undefined && { path }) })
    const etag = headers.get('etag')!
    for (const known of [etag, `"other", ${etag}`, `W/${etag}`]) await ask(name, { status: 304, user, headers: { 'if-none-match': known }, ...(path !== undefined && { path }) })
    await ask(name, { status: 200, user, headers: { 'if-none-match': '"other"' }, ...(path !== undefined && { path }) })
  }

  const operation = (name: string): DocumentedOperation => new Map(operationsOf(document)).get(name)!
})
