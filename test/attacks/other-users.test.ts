/** Somebody else's ids on every route that there is: the list is the app's own, so that no new route is forgotten. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createApp, type AppServices } from '../../src/app.ts'
import { createRateLimits } from '../../src/rate-limits.ts'
import { assertTold, bearer, IDEMPOTENCY_KEY, JSON_TYPE, PICTURE, startStage, type Stage } from '../support/attacks.ts'
import { toForm } from '../support/service.ts'
import { sql } from '../support/supabase.ts'
import type { Wire } from '../support/wire.ts'

let stage: Stage
before(async () => {
  stage = await startStage({ env: { MEDIA_ACCESS: 'private' } })
})
after(() => stage.close())

/** Nothing is asked of it but which routes it has. */
function routesOfApp(): string[] {
  const nothing = { corsOrigins: [], trustProxy: undefined, health: { checks: {} }, rateLimits: createRateLimits({ windowSeconds: 1, limits: { ip: 0, user: 0, images: 0, videos: 0, model: 0 }, redis: undefined }), download: {}, maxJsonBytes: 1, maxUploadBytes: 1, maxUploads: 1 }
  const app = createApp({ ...nothing, logger: { error: () => undefined } } as unknown as AppServices)
  const routers = app.middleware.flatMap((one) => (one as { router?: { stack: { methods: string[]; path: string }[] } }).router ?? [])
  const routes = routers.flatMap(({ stack }) => stack.flatMap(({ methods, path }) => methods.filter((method) => method !== 'HEAD').map((method) => `${method} ${path.replace(/(?<=.)\/$/, '')}`)))
  return [...new Set(routes)]
}

type Row = [name: string, make: () => Wire | Promise<Wire>, status: number, code?: string]

const { stringify } = JSON
const as = (headers: Wire['headers'] = []) => [bearer(stage.attacker.token), ...headers]
const get = (target: string, headers: Wire['headers'] = []): Wire => ({ target, headers: as(headers) })
const post = (target: string, body?: unknown, headers: Wire['headers'] = []): Wire => ({ method: 'POST', target, headers: as([...(body === undefined ? [] : [JSON_TYPE]), ...headers]), ...(body !== undefined && { body: typeof body === 'string' ? body : stringify(body) }) })
async function form(target: string, fields: Record<string, string>, more: [string, string][] = []): Promise<Wire> {
  const data = toForm(fields)
  for (const [name, value] of more) data.append(name, value)
  const encoded = new Response(data)
  return { method: 'POST', target, headers: as([['Content-Type', encoded.headers.get('content-type')!]]), body: new Uint8Array(await encoded.arrayBuffer()) }
}
const victim = () => stage.victim
const upper = (text: string) => text.toUpperCase()
const escaped = (text: string) => Array.from(text, (sign) => `%${sign.charCodeAt(0).toString(16)}`).join('')
const download = (link: string, more = '') => get(`/api/download?url=${encodeURIComponent(link)}${more}`)
const callback = (address: string, body: unknown = { id: 'cgt-1', status: 'succeeded' }): Wire => ({ method: 'POST', target: `/api/callbacks/${address}`, headers: [JSON_TYPE], body: typeof body === 'string' ? body : stringify(body) })
const cursorOf = (id: string, micros = '999999999999999999') => Buffer.from(`${micros}.${id}`).toString('base64url')

const cat = (changes: object) => ({ prompt: 'A cat', ...changes })
const DRY = '?dryRun=true'
const formRows = (path: string, fields: Record<string, string>): Row[] => [
  ['as userId', () => form(path + DRY, { ...fields, userId: victim().id }), 403, 'forbidden'],
  ['as userId in capitals', () => form(path + DRY, { ...fields, userId: upper(victim().id) }), 403, 'forbidden'],
  ['as a second userId', () => form(path + DRY, { ...fields, userId: stage.attacker.id }, [['userId', victim().id]]), 400, 'invalid_request'],
  ['as userId[]', () => form(path + DRY, { ...fields, 'userId[]': victim().id }), 400, 'invalid_request'],
  ['as userId[id]', () => form(path + DRY, { ...fields, 'userId[id]': victim().id }), 400, 'invalid_request'],
  ['as user_id', () => form(path + DRY, { ...fields, user_id: victim().id }), 400, 'invalid_request'],
]

const ATTACKS: Record<string, Row[]> = {
  'GET /health': [['in the query', () => get(`/health?userId=${victim().id}`), 200]],
  'GET /health/live': [['in the query', () => get(`/health/live?userId=${victim().id}`), 200]],
  'GET /.well-known/jwks.json': [['in the query', () => get(`/.well-known/jwks.json?client_id=${victim().key.id}`), 200]],
  // The same for everybody.
  'GET /openapi.json': [],
  'GET /docs': [],
  'GET /docs/:file': [['as a file', () => get(`/docs/${victim().storagePath}`), 404, 'not_found']],
  'GET /metrics': [['with a user’s token', () => get(`/metrics?userId=${victim().id}`), 404, 'not_found']],
  'GET /api/csrf': [['in the query', () => get(`/api/csrf?userId=${victim().id}`), 404, 'not_found']],
  'GET /api/models': [['in the query', () => get(`/api/models?userId=${victim().id}`), 200]],
  'GET /api/images/models': [['in the query', () => get(`/api/images/models?userId=${victim().id}`), 200]],
  'GET /api/videos/models': [['in the query', () => get(`/api/videos/models?userId=${victim().id}`), 200]],
  'GET /api/usage': [
    ['in the query', () => get(`/api/usage?userId=${victim().id}&user_id=${victim().id}`), 200],
    ['in headers', () => get('/api/usage', [['X-User-Id', victim().id], ['X-Forwarded-User', victim().id]]), 200],
  ],
  'POST /api/images/test': [['as userId', () => post('/api/images/test', cat({ userId: victim().id })), 400, 'invalid_request']],
  'POST /api/images/generate': [
    ['as userId', () => post(`/api/images/generate${DRY}`, cat({ userId: victim().id })), 403, 'forbidden'],
    ['as userId, for money', () => post('/api/images/generate', cat({ userId: victim().id })), 403, 'forbidden'],
    ['as userId in capitals', () => post(`/api/images/generate${DRY}`, cat({ userId: upper(victim().id) })), 403, 'forbidden'],
    ['as a second userId', () => post(`/api/images/generate${DRY}`, `{"prompt":"A cat","userId":"${stage.attacker.id}","userId":"${victim().id}"}`), 403, 'forbidden'],
    ['as userId in braces', () => post('/api/images/generate', cat({ userId: `{${victim().id}}` })), 400, 'invalid_request'],
    ['as userId of a URN', () => post('/api/images/generate', cat({ userId: `urn:uuid:${victim().id}` })), 400, 'invalid_request'],
    ['as userId without hyphens', () => post('/api/images/generate', cat({ userId: victim().id.replaceAll('-', '') })), 400, 'invalid_request'],
    ['as userId in a list', () => post('/api/images/generate', cat({ userId: [victim().id] })), 400, 'invalid_request'],
    ['as userId in an object', () => post('/api/images/generate', cat({ userId: { id: victim().id } })), 400, 'invalid_request'],
    ['as user_id', () => post('/api/images/generate', cat({ user_id: victim().id })), 400, 'invalid_request'],
    ['as promptId', () => post('/api/images/generate', cat({ promptId: victim().promptId })), 400, 'invalid_request'],
    ['as generationId', () => post('/api/images/generate', cat({ generationId: victim().generationId })), 400, 'invalid_request'],
    ['as user in __proto__', () => post('/api/images/generate', `{"prompt":"A cat","__proto__":{"userId":"${victim().id}"}}`), 400, 'invalid_request'],
    ['as a link to a file', () => post('/api/images/generate', cat({ image: victim().bucketUrl })), 400, 'invalid_request'],
    ['as a provider’s option', () => post('/api/images/generate', cat({ providerOptions: { modelark: { user: victim().id } } })), 400, 'invalid_request'],
    ['in the query', () => post(`/api/images/generate${DRY}&userId=${victim().id}`, cat({})), 200],
  ],
  'POST /api/images/edit': [...formRows('/api/images/edit', { prompt: 'A cat' }), ['as a link for the picture', () => form('/api/images/edit', { prompt: 'A cat', image: victim().bucketUrl }), 400, 'invalid_request']],
  'POST /api/images/remove-background': formRows('/api/images/remove-background', {}),
  'POST /api/videos/generate': [
    ...formRows('/api/videos/generate', { prompt: 'A cat' }),
    ['as userId in JSON', () => post('/api/videos/generate', cat({ userId: victim().id })), 403, 'forbidden'],
    ['as a link for the first frame', () => post('/api/videos/generate', cat({ image: victim().bucketUrl })), 400, 'invalid_request'],
  ],
  'GET /api/generations': [
    ['as userId', () => get(`/api/generations?userId=${victim().id}`), 400, 'invalid_request'],
    ['as user_id', () => get(`/api/generations?user_id=eq.${victim().id}`), 400, 'invalid_request'],
    ['as a cursor', () => get(`/api/generations?cursor=${cursorOf(victim().generationId)}`), 200],
    ['as a cursor of SQL', () => get(`/api/generations?cursor=${cursorOf(`${victim().generationId}' or '1'='1`)}`), 400, 'invalid_request'],
    ['as a cursor of hyphens', () => get(`/api/generations?cursor=${cursorOf('-'.repeat(36))}`), 400, 'invalid_request'],
    ['as a cursor with a line end', () => get(`/api/generations?cursor=${cursorOf(`${victim().generationId}\n`)}`), 400, 'invalid_request'],
    ['as a cursor with a NUL', () => get(`/api/generations?cursor=${cursorOf(`${victim().generationId}\0`)}`), 400, 'invalid_request'],
    ['as a cursor without a time', () => get(`/api/generations?cursor=${cursorOf(victim().generationId, '')}`), 400, 'invalid_request'],
    ['as a cursor of the end of time', () => get(`/api/generations?cursor=${cursorOf(victim().generationId, '9'.repeat(19))}`), 400, 'invalid_request'],
    ['as two cursors', () => get(`/api/generations?cursor=${cursorOf(victim().generationId)}&cursor=a`), 400, 'invalid_request'],
    ['as a status', () => get(`/api/generations?status=succeeded'%20or%20user_id='${victim().id}`), 400, 'invalid_request'],
    ['with no limit', () => get('/api/generations?limit=999'), 400, 'invalid_request'],
    ['of everything', () => get('/api/generations?limit=100'), 200],
  ],
  'GET /api/generations/:id': [
    ['as it is', () => get(`/api/generations/${victim().generationId}`), 404, 'not_found'],
    ['of the video', () => get(`/api/generations/${victim().videoId}`), 404, 'not_found'],
    ['of the prompt', () => get(`/api/generations/${victim().promptId}`), 404, 'not_found'],
    ['of the picture', () => get(`/api/generations/${victim().imageId}`), 404, 'not_found'],
    ['by HEAD', () => ({ ...get(`/api/generations/${victim().generationId}`), method: 'HEAD' }), 404],
    ['in capitals', () => get(`/api/generations/${upper(victim().generationId)}`), 404, 'not_found'],
    ['escaped', () => get(`/api/generations/${escaped(victim().generationId)}`), 404, 'not_found'],
    ['with a slash', () => get(`/api/generations/${victim().generationId}/`), 404, 'not_found'],
    ['with the owner', () => get(`/api/generations/${victim().generationId}?userId=${victim().id}`), 404, 'not_found'],
    ['with an extension', () => get(`/api/generations/${victim().generationId}.json`), 404, 'not_found'],
    ['with a parameter', () => get(`/api/generations/${victim().generationId};user=${victim().id}`), 404, 'not_found'],
    ['with a NUL', () => get(`/api/generations/${victim().generationId}%00`), 404, 'not_found'],
    ['with a line end', () => get(`/api/generations/${victim().generationId}%0a`), 404, 'not_found'],
    ['of SQL', () => get(`/api/generations/${victim().generationId}'%20or%20'1'='1`), 404, 'not_found'],
    ['of a wildcard', () => get('/api/generations/*'), 404, 'not_found'],
    ['by a way round', () => get(`/api/generations/x/../${victim().generationId}`), 404, 'not_found'],
    ['by an escaped way round', () => get(`/api/generations/x%2f..%2f${victim().generationId}`), 404, 'not_found'],
  ],
  'GET /api/generations/:id/events': [
    ['as it is', () => get(`/api/generations/${victim().generationId}/events`), 404, 'not_found'],
    ['of what goes on', () => get(`/api/generations/${victim().videoId}/events`), 404, 'not_found'],
    ['as Last-Event-ID', () => get('/api/generations/00000000-0000-4000-8000-000000000000/events', [['Last-Event-ID', victim().videoId]]), 404, 'not_found'],
    ['with Last-Event-ID', () => get(`/api/generations/${victim().videoId}/events`, [['Last-Event-ID', '1']]), 404, 'not_found'],
    ['by HEAD', () => ({ ...get(`/api/generations/${victim().videoId}/events`), method: 'HEAD' }), 404],
  ],
  'POST /api/generations/:id/cancel': [
    ['as it is', () => post(`/api/generations/${victim().generationId}/cancel`), 404, 'not_found'],
    ['of what goes on', () => post(`/api/generations/${victim().videoId}/cancel`), 404, 'not_found'],
    ['with a body', () => post(`/api/generations/${victim().videoId}/cancel`, { userId: victim().id, force: true }), 404, 'not_found'],
    ['in capitals', () => post(`/api/generations/${upper(victim().videoId)}/cancel`), 404, 'not_found'],
    ['by GET', () => get(`/api/generations/${victim().videoId}/cancel`), 405, 'method_not_allowed'],
    ['by DELETE', () => ({ ...get(`/api/generations/${victim().videoId}`), method: 'DELETE' }), 405, 'method_not_allowed'],
  ],
  'GET /api/download': [
    ['as a path', () => download(victim().storagePath), 403, 'forbidden'],
    ['as a link', () => download(victim().bucketUrl), 403, 'forbidden'],
    ['as a public link', () => download(victim().bucketUrl.replace('/sign/', '/public/')), 403, 'forbidden'],
    ['as a link for those who are signed in', () => download(victim().bucketUrl.replace('/sign/', '/authenticated/')), 403, 'forbidden'],
    ['as a link without its kind', () => download(victim().bucketUrl.replace('/sign/', '/')), 403, 'forbidden'],
    ['as a link with a second token', () => download(`${victim().bucketUrl}&token=x`), 403, 'forbidden'],
    ['as a link with an own path behind', () => download(`${victim().bucketUrl}#/${stage.attacker.id}/0.png`), 403, 'forbidden'],
    ['as a way out of the own folder', () => download(`${stage.attacker.id}/../${victim().storagePath}`), 403, 'forbidden'],
    ['as an escaped way out', () => download(`${stage.attacker.id}/%2e%2e/${victim().storagePath}`), 403, 'forbidden'],
    ['as a doubly escaped way out', () => download(`${stage.attacker.id}/%252e%252e/${victim().storagePath}`), 403, 'forbidden'],
    ['as a way out with backslashes', () => download(`${stage.attacker.id}\\..\\${victim().storagePath}`), 403, 'forbidden'],
    ['as a link with a way out', () => download(victim().bucketUrl.replace(victim().id, `${stage.attacker.id}/../${victim().id}`)), 403, 'forbidden'],
    ['as a path with a slash in front', () => download(`/${victim().storagePath}`), 403, 'forbidden'],
    ['as a path with two slashes', () => download(victim().storagePath.replace('/', '//')), 403, 'forbidden'],
    ['as a path in capitals', () => download(upper(victim().storagePath)), 403, 'forbidden'],
    ['as a path with the bucket', () => download(`media/${victim().storagePath}`), 403, 'forbidden'],
    ['as the whole folder', () => download(`${victim().id}/`), 403, 'forbidden'],
    ['as another object of the storage', () => download(`${new URL(victim().bucketUrl).origin}/storage/v1/object/list/media?prefix=${victim().id}`), 403, 'forbidden'],
    ['as a row', () => download(`${new URL(victim().bucketUrl).origin}/rest/v1/prompts?user_id=eq.${victim().id}`), 403, 'forbidden'],
    ['as two urls', () => get(`/api/download?url=${stage.attacker.id}/0.png&url=${victim().storagePath}`), 400, 'invalid_request'],
    ['as userId', () => download(victim().storagePath, `&userId=${victim().id}`), 400, 'invalid_request'],
    ['by HEAD', () => ({ ...download(victim().storagePath), method: 'HEAD' }), 403],
    ['in parts', () => get(`/api/download?url=${victim().storagePath}`, [['Range', 'bytes=0-10']]), 403, 'forbidden'],
  ],
  'POST /api/callbacks/:generationId/:index/:token': [
    ['with a made-up token', () => callback(`${victim().videoId}/0/${'A'.repeat(32)}`), 404, 'not_found'],
    ['with the beginning of the token', () => callback(`${victim().videoId}/0/${victim().callbackToken.slice(0, -1)}`), 404, 'not_found'],
    ['with the token turned', () => callback(`${victim().videoId}/0/${Array.from(victim().callbackToken).toReversed().join('')}`), 404, 'not_found'],
    ['with no token', () => callback(`${victim().videoId}/0/`), 404, 'not_found'],
    ['with the word undefined', () => callback(`${victim().generationId}/0/undefined`), 404, 'not_found'],
    ['of a picture, which has none', () => callback(`${victim().generationId}/0/${'A'.repeat(32)}`), 404, 'not_found'],
    ['with another index', () => callback(`${victim().videoId}/1/${'A'.repeat(32)}`), 404, 'not_found'],
    ['with the index __proto__', () => callback(`${victim().videoId}/__proto__/${'A'.repeat(32)}`), 404, 'not_found'],
    ['with a negative index', () => callback(`${victim().videoId}/-1/${'A'.repeat(32)}`), 404, 'not_found'],
    ['with an index of SQL', () => callback(`${victim().videoId}/0'%20or%201=1/${'A'.repeat(32)}`), 404, 'not_found'],
    ['with a body of __proto__', () => callback(`${victim().videoId}/0/${'A'.repeat(32)}`, '{"__proto__":{"id":"cgt-1"}}'), 400, 'invalid_request'],
    ['by GET', () => get(`/api/callbacks/${victim().videoId}/0/${'A'.repeat(32)}`), 405, 'method_not_allowed'],
  ],
  'GET /api/keys': [['as userId', () => get(`/api/keys?userId=${victim().id}`), 200]],
  'POST /api/keys': [
    ['as userId', () => post('/api/keys', { name: 'a', userId: victim().id }), 400, 'invalid_request'],
    ['as user_id', () => post('/api/keys', { name: 'a', user_id: victim().id }), 400, 'invalid_request'],
    ['as id', () => post('/api/keys', { name: 'a', id: victim().key.id }), 400, 'invalid_request'],
    ['with more scopes than there are', () => post('/api/keys', { name: 'a', scopes: ['admin'] }), 400, 'invalid_request'],
  ],
  'DELETE /api/keys/:id': [
    ['as it is', () => ({ ...get(`/api/keys/${victim().key.id}`), method: 'DELETE' }), 404, 'not_found'],
    ['escaped', () => ({ ...get(`/api/keys/${escaped(victim().key.id)}`), method: 'DELETE' }), 404, 'not_found'],
    ['as a wildcard', () => ({ ...get('/api/keys/%25'), method: 'DELETE' }), 404, 'not_found'],
    ['as the whole key', () => ({ ...get(`/api/keys/drk_${victim().key.id}`), method: 'DELETE' }), 404, 'not_found'],
    ['by another method’s name', () => post(`/api/keys/${victim().key.id}`, {}, [['X-HTTP-Method-Override', 'DELETE']]), 405, 'method_not_allowed'],
  ],
  'POST /api/keys/:id/rotate': [
    ['as it is', () => post(`/api/keys/${victim().key.id}/rotate`, { overlapMinutes: 0 }), 404, 'not_found'],
    ['with userId', () => post(`/api/keys/${victim().key.id}/rotate`, { overlapMinutes: 0, userId: victim().id }), 400, 'invalid_request'],
    ['by a way round', () => post(`/api/keys/${stage.key.id}%2f..%2f${victim().key.id}/rotate`, { overlapMinutes: 0 }), 404, 'not_found'],
  ],
  'POST /oauth/token': [['as client_id', () => ({ method: 'POST', target: '/oauth/token', headers: [['Content-Type', 'application/x-www-form-urlencoded']], body: `grant_type=client_credentials&client_id=${victim().key.id}&client_secret=${stage.key.key}` }), 401, 'invalid_client']],
}

test('every route of the app is on the list', () => {
  const routes = routesOfApp()
  assert.ok(routes.length > 20)
  assert.deepEqual(Object.keys(ATTACKS).toSorted(), routes.toSorted())
})

for (const [route, rows] of Object.entries(ATTACKS)) {
  describe(`${route}: the victim’s id`, { concurrency: 8 }, () => {
    for (const [name, make, status, code] of rows) test(name, async () => assertTold(await stage.send(await make()), status, code))
  })
}

const OPEN = ['GET /health', 'GET /health/live', 'GET /.well-known/jwks.json', 'GET /openapi.json', 'GET /docs', 'GET /docs/:file', 'GET /metrics']
describe('without a token', () => {
  for (const route of routesOfApp().filter((one) => !OPEN.includes(one) && !/oauth|callbacks/.test(one))) {
    test(`${route} is closed`, async () => {
      const [method, path] = route.split(' ') as [string, string]
      const target = path.replace('/api/keys/:id', `/api/keys/${victim().key.id}`).replace(':id', victim().videoId)
      assertTold(await stage.send({ method, target, headers: [JSON_TYPE], ...(method === 'POST' && { body: '{}' }) }), 401, 'unauthenticated')
    })
  }
})

test('nobody came to harm', () => stage.assertUnharmed())

test('the victim’s Idempotency-Key, seed and prompt are the attacker’s own for the attacker', async () => {
  const answer = await stage.send(post('/api/images/generate', PICTURE, [['Idempotency-Key', IDEMPOTENCY_KEY]]))
  assertTold(answer, 200)
  const made = JSON.parse(answer.text) as { cached: boolean; images: { storagePath: string }[] }
  assert.deepEqual([made.cached, made.images[0]!.storagePath.split('/')[0], answer.headers['idempotency-replayed']], [false, stage.attacker.id, undefined])
  assert.equal((await sql('select from public.prompts where user_id = $1', [victim().id])).length, 2)
})
