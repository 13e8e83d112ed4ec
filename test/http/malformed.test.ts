import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, type TestUser } from '../support/supabase.ts'

interface Malformed {
  name: string
  body?: string | Buffer
  headers?: Record<string, string>
  status?: number
  method?: string
  path?: string
}

const json = (value: unknown): string => JSON.stringify(value)
const prompt = 'A cat'

const REQUESTS: Malformed[] = [
  { name: 'no body', headers: {} },
  { name: 'an empty body', body: '' },
  { name: 'an empty object', body: '{}' },
  { name: 'an array', body: '[]' },
  { name: 'null', body: 'null' },
  { name: 'a number', body: '5' },
  { name: 'a string', body: '"a cat"' },
  { name: 'broken JSON', body: '{"prompt": "A cat"' },
  { name: 'trailing junk', body: '{"prompt":"A cat"} x' },
  { name: 'single quotes', body: "{'prompt':'A cat'}" },
  { name: 'binary', body: Buffer.from([0, 1, 2, 255, 254]) },
  { name: 'a raw NUL byte', body: '{"prompt":"A\u0000cat"}' },
  { name: '__proto__', body: '{"prompt":"A cat","__proto__":{"isAdmin":true}}' },
  { name: 'prompt missing', body: json({ model: 'seedream-4-0-250828' }) },
  { name: 'prompt null', body: json({ prompt: null }) },
  { name: 'prompt a number', body: json({ prompt: 5 }) },
  { name: 'prompt an array', body: json({ prompt: ['A cat'] }) },
  { name: 'prompt an object', body: json({ prompt: { text: 'A cat' } }) },
  { name: 'prompt empty', body: json({ prompt: '' }) },
  { name: 'prompt blank', body: json({ prompt: ' \n\t ' }) },
  { name: 'prompt with an escaped NUL', body: json({ prompt: 'A \0 cat' }) },
  { name: 'prompt with half a surrogate pair', body: '{"prompt":"A \\ud800 cat"}' },
  { name: 'prompt longer than the model takes', body: json({ prompt: 'a'.repeat(4001) }) },
  { name: 'a body over the limit', body: json({ prompt: 'a'.repeat(300_000) }), status: 413 },
  { name: 'a compressed body that grows over the limit', body: gzipSync(json({ prompt: 'a'.repeat(3_000_000) })), headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' }, status: 413 },
  { name: 'a compressed body that is broken', body: Buffer.concat([gzipSync(json({ prompt })).subarray(0, 15), Buffer.from('junk')]), headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' } },
  { name: 'an unknown compression', body: json({ prompt }), headers: { 'content-type': 'application/json', 'content-encoding': 'zip' }, status: 415 },
  { name: 'plain text', body: json({ prompt }), headers: { 'content-type': 'text/plain' }, status: 415 },
  { name: 'a form', body: 'prompt=A+cat', headers: { 'content-type': 'application/x-www-form-urlencoded' }, status: 415 },
  { name: 'multipart', body: '--x--', headers: { 'content-type': 'multipart/form-data; boundary=x' }, status: 415 },
  { name: 'XML', body: '<prompt/>', headers: { 'content-type': 'application/xml' }, status: 415 },
  { name: 'another JSON type', body: json({ prompt }), headers: { 'content-type': 'application/merge-patch+json' }, status: 415 },
  { name: 'a model that nobody knows', body: json({ prompt, model: 'dall-e-9' }) },
  { name: 'a model that is a number', body: json({ prompt, model: 4 }) },
  { name: 'an empty model', body: json({ prompt, model: '' }) },
  { name: 'a model named like a method', body: json({ prompt, model: 'constructor' }) },
  { name: 'a size without a cross', body: json({ prompt, size: '1024' }) },
  { name: 'a size with a multiplication sign', body: json({ prompt, size: '1024×1024' }) },
  { name: 'a size as numbers', body: json({ prompt, size: { width: 1024, height: 1024 } }) },
  { name: 'a negative size', body: json({ prompt, size: '-512x512' }) },
  { name: 'a size of zero', body: json({ prompt, size: '0x0' }) },
  { name: 'a tiny size', body: json({ prompt, size: '16x16' }) },
  { name: 'a huge size', body: json({ prompt, size: '99999x99999' }) },
  { name: 'a size that the model does not make', body: json({ prompt, size: '123x456' }) },
  { name: 'userId that is no uuid', body: json({ prompt, userId: '1; drop table prompts' }) },
  { name: 'n of zero', body: json({ prompt, n: 0 }) },
  { name: 'n of a thousand', body: json({ prompt, n: 1000 }) },
  { name: 'n of one and a half', body: json({ prompt, n: 1.5 }) },
  { name: 'n as text', body: json({ prompt, n: '2' }) },
  { name: 'a negative seed', body: json({ prompt, seed: -1 }) },
  { name: 'a seed beyond the range', body: json({ prompt, seed: 2 ** 53 }) },
  { name: 'a field that does not exist', body: json({ prompt, quality: 'hd' }) },
  { name: 'providerOptions as text', body: json({ prompt, providerOptions: 'fast' }) },
  { name: 'providerOptions of an unknown provider', body: json({ prompt, providerOptions: { acme: { x: 1 } } }) },
  { name: 'an unknown provider option', body: json({ prompt, providerOptions: { modelark: { watermark: true } } }) },
  { name: 'a provider option of a wrong type', body: json({ prompt, providerOptions: { modelark: { guidanceScale: 'high' } } }) },
  { name: 'a hundred thousand brackets', body: `{"prompt":"A cat","providerOptions":{"modelark":{"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}}}` },
  { name: 'GET where POST belongs', method: 'GET', status: 405 },
  { name: 'a made-up verb', method: 'PURGE', status: 405 },
  { name: 'a path that does not exist', path: '/api/images/generate/more', body: '{}', status: 404 },
  { name: 'broken percent encoding in the path', path: '/api/images/%E0%A4%A', body: '{}', status: 404 },
]

describe('malformed requests', () => {
  let service: TestService
  let user: TestUser
  before(async () => {
    service = await startTestService()
    user = await signUp()
  })
  after(() => service.close())

  for (const { name, body, headers = { 'content-type': 'application/json' }, status, method = 'POST', path = '/api/images/generate' } of REQUESTS) {
    test(name, async () => {
      const response = await service.request(path, { method, user, headers, ...(method !== 'GET' && body !== undefined && { body: typeof body === 'string' ? body : new Uint8Array(body) }) })
      const answer = (await response.json()) as { error: unknown; code: string; requestId: string; details?: { path: string; message: string }[] }
      if (status === undefined) assert.ok([400, 415].includes(response.status), `${response.status} ${JSON.stringify(answer)}`)
      else assert.equal(response.status, status)
      assert.equal(typeof answer.error, 'string')
      assert.ok((answer.error as string).length > 10)
      assert.equal(answer.requestId, response.headers.get('x-request-id'))
      assert.match(answer.code, /^[a-z_]+$/)
      for (const detail of answer.details ?? []) assert.ok(detail.message.length > 0)
    })
  }

  test('none of them cost anything, left a row, or ended the service', async () => {
    assert.equal(service.simulator.requests.length, 0)
    assert.equal((await sql('select from public.prompts where user_id = $1', [user.id])).length, 0)
    assert.equal((await service.request('/health/live')).status, 200)
    assert.deepEqual(service.log.filter(({ level }) => level === 'error'), [])
  })
})
