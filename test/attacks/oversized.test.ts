/** Too much of everything, and names that would change every object. Refused at once, and forgotten. */
import assert from 'node:assert/strict'
import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib'
import { after, before, describe, test } from 'node:test'
import { assertTold, bearer, dryRun, JSON_TYPE, startStage, type Stage } from '../support/attacks.ts'
import type { Wire } from '../support/wire.ts'

let stage: Stage
before(async () => {
  stage = await startStage({ env: { MAX_USER_DOWNLOADS: '1000', MAX_DOWNLOADS: '1000' } })
})
after(() => stage.close())

type Header = readonly [string, string]
const BAD = 'invalid_request'
const BIG = 'payload_too_large'
const MEGABYTE = 1024 * 1024
/** Not a dry run: whatever is let in costs, and is seen. */
const post = (body: string | Uint8Array, headers: Header[] = [], target = '/api/images/generate'): Wire => ({ method: 'POST', target, headers: [bearer(stage.attacker.token), JSON_TYPE, ...headers], body })
const dry = (headers: Header[] = [], query = '') => dryRun(stage.attacker.token, { headers: [bearer(stage.attacker.token), JSON_TYPE, ...headers], target: `/api/images/generate?dryRun=true${query}` })
const get = (target: string, headers: Header[] = []): Wire => ({ target, headers: [bearer(stage.attacker.token), ...headers] })
const cat = (more: string) => `{"prompt":"A cat",${more}}`
const options = (value: string) => cat(`"providerOptions":{"modelark":{"a":${value}}}`)
const lists = (depth: number, inner = '') => '['.repeat(depth) + inner + ']'.repeat(depth)
const objects = (depth: number) => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth)
const IDEMPOTENT: Header[] = [['Idempotency-Key', 'too-much']]
const many = (count: number, item: (index: number) => string, between = ',') => Array.from({ length: count }, (_, index) => item(index)).join(between)
const brotli = (bytes: Buffer) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })
const encoded = (as: string, bytes: Uint8Array) => post(bytes, [['Content-Encoding', as]])

type Row = [name: string, make: () => Wire, status: number | number[], code?: string]

const BODIES: Row[] = [
  ['a hundred thousand lists', () => post(lists(100_000)), 400, BAD],
  ['a hundred thousand lists that do not end', () => post('['.repeat(100_000)), 400, BAD],
  ['a hundred thousand lists for an option', () => post(options(lists(100_000))), 400, BAD],
  ['a hundred thousand lists, with an Idempotency-Key', () => post(options(lists(100_000)), IDEMPOTENT), 400, BAD],
  ['fifty thousand objects', () => post(options(objects(40_000))), 400, BAD],
  ['fifty thousand objects, with an Idempotency-Key', () => post(options(objects(40_000)), IDEMPOTENT), 400, BAD],
  ['fifty thousand objects for a prompt', () => post(`{"prompt":${objects(40_000)}}`), 400, BAD],
  ['fifty thousand objects for a provider', () => post(cat(`"providerOptions":${objects(40_000)}`), IDEMPOTENT), 400, BAD],
  ['a list of a hundred thousand', () => post(`{"prompt":[${many(100_000, () => '1')}]}`), 400, BAD],
  ['a list of a hundred thousand for an option', () => post(options(`[${many(100_000, () => '1')}]`), IDEMPOTENT), 400, BAD],
  ['twenty thousand fields', () => post(cat(many(20_000, (index) => `"f${index}":1`))), 400, BAD],
  ['twenty thousand options', () => post(cat(`"providerOptions":{"modelark":{${many(12_000, (index) => `"f${index}":1`)}}}`), IDEMPOTENT), 400, BAD],
  ['twenty thousand providers', () => post(cat(`"providerOptions":{${many(12_000, (index) => `"p${index}":{}`)}}`), IDEMPOTENT), 400, BAD],
  ['a field with a name of two hundred thousand signs', () => post(cat(`"${'n'.repeat(200_000)}":1`)), 400, BAD],
  ['an option with such a name', () => post(cat(`"providerOptions":{"modelark":{"${'n'.repeat(200_000)}":1}}`)), 400, BAD],
  ['a prompt of two hundred thousand signs', () => post(`{"prompt":"${'a'.repeat(200_000)}"}`), 400, BAD],
  ['a prompt of fifty thousand blanks', () => post(`{"prompt":"${' '.repeat(50_000)}x${' '.repeat(50_000)}x"}`), 400, BAD],
  ['a model of two hundred thousand signs', () => post(cat(`"model":"${'m'.repeat(200_000)}"`)), 400, BAD],
  ['a size of a hundred thousand digits', () => post(cat(`"size":"${'1'.repeat(100_000)}x1"`)), 400, BAD],
  ['a number beyond all numbers', () => post(cat('"n":1e999')), 400, BAD],
  ['a number below all numbers', () => post(cat('"seed":-1e999')), 400, BAD],
  ['a number of a hundred thousand digits', () => post(cat(`"seed":${'9'.repeat(100_000)}`)), 400, BAD],
  ['a number with a hundred thousand noughts behind the point', () => post(cat(`"n":0.${'0'.repeat(100_000)}1`)), 400, BAD],
  ['minus nothing', () => post(cat('"n":-0')), 400, BAD],
  ['NaN', () => post(cat('"n":NaN')), 400, BAD],
  ['a thousand pictures', () => post(cat('"n":1000')), 400, BAD],
  ['an expression that takes for ever', () => post(cat(`"size":"${'1'.repeat(40)}x${'1'.repeat(40)}!"`)), 400, BAD],
  ['three hundred kilobytes', () => post(cat(`"negativePrompt":"${'a'.repeat(300_000)}"`)), 413, BIG],
  ['three hundred kilobytes, in pieces', () => post(`${(300_000).toString(16)}\r\n${'a'.repeat(300_000)}\r\n0\r\n\r\n`, [['Transfer-Encoding', 'chunked']]), 413, BIG],
  ['a length of a terabyte', () => post('', [['Content-Length', '1099511627776']]), 413, BIG],
  ['a form of a megabyte for a token', () => ({ method: 'POST', target: '/oauth/token', headers: [['Content-Type', 'application/x-www-form-urlencoded']], body: `a=${'b'.repeat(MEGABYTE)}` }), [413, 0]],
  ['a form of a thousand fields for a token', () => ({ method: 'POST', target: '/oauth/token', headers: [['Content-Type', 'application/x-www-form-urlencoded']], body: many(1500, (index) => `a${index}=1`, '&') }), [401, 413]],
  ['a form of deep brackets for a token', () => ({ method: 'POST', target: '/oauth/token', headers: [['Content-Type', 'application/x-www-form-urlencoded']], body: `a${'[a]'.repeat(2000)}=1` }), 401, 'invalid_client'],
  ['a callback of a megabyte', () => ({ method: 'POST', target: `/api/callbacks/${stage.victim.videoId}/0/${'A'.repeat(32)}`, headers: [JSON_TYPE], body: `{"id":"${'a'.repeat(MEGABYTE)}"}` }), [413, 0]],
  ['a callback of a hundred thousand lists', () => ({ method: 'POST', target: `/api/callbacks/${stage.victim.videoId}/0/${'A'.repeat(32)}`, headers: [JSON_TYPE], body: lists(30_000) }), 404, 'not_found'],
  ['a key of a name of a hundred thousand signs', () => post(`{"name":"${'n'.repeat(100_000)}"}`, [], '/api/keys'), 400, BAD],
  ['a key of ten thousand scopes', () => post(`{"name":"n","scopes":[${many(10_000, () => '"images:read"')}]}`, [], '/api/keys'), 400, BAD],
  ['a key for a thousand million days', () => post('{"name":"n","expiresInDays":1e9}', [], '/api/keys'), 400, BAD],
  ['an overlap of all minutes', () => post('{"overlapMinutes":1e308}', [], `/api/keys/${stage.key.id}/rotate`), 400, BAD],
]

const COMPRESSED: Row[] = [
  ['gzip of fifty megabytes', () => encoded('gzip', gzipSync(Buffer.alloc(50 * MEGABYTE, ' '))), 413, BIG],
  ['deflate of fifty megabytes', () => encoded('deflate', deflateSync(Buffer.alloc(50 * MEGABYTE, ' '))), 413, BIG],
  ['Brotli of two hundred megabytes', () => encoded('br', brotli(Buffer.alloc(200 * MEGABYTE, ' '))), 413, BIG],
  ['gzip in gzip', () => encoded('gzip', gzipSync(gzipSync(Buffer.alloc(50 * MEGABYTE)))), 400, BAD],
  ['gzip, gzip', () => encoded('gzip, gzip', gzipSync(gzipSync('{}'))), 415],
  ['a thousand encodings', () => encoded(many(1000, () => 'gzip', ', '), gzipSync('{}')), 415],
  ['members of gzip without end', () => encoded('gzip', Buffer.concat(Array.from({ length: 5000 }, () => gzipSync('{')))), 400, BAD],
  ['gzip that is none', () => encoded('gzip', Buffer.from('no gzip at all')), 400, BAD],
  ['deflate that is none', () => encoded('deflate', Buffer.from('no deflate at all')), 400, BAD],
  ['Brotli that is none', () => encoded('br', Buffer.from('no Brotli at all')), 400, BAD],
  ['Brotli of all ones', () => encoded('br', Buffer.alloc(100, 0xff)), 400, BAD],
  ['Brotli of all noughts', () => encoded('br', Buffer.alloc(100)), 400, BAD],
  ['Brotli that was cut', () => encoded('br', brotli(Buffer.alloc(MEGABYTE, 'ab')).subarray(0, 9)), 400, BAD],
  ['gzip that was cut', () => encoded('gzip', gzipSync('{"prompt":"A cat"}').subarray(0, 20)), 400, BAD],
  ['gzip with a wrong sum', () => encoded('gzip', Buffer.concat([gzipSync('{"prompt":"A cat"}').subarray(0, -8), Buffer.alloc(8, 1)])), 400, BAD],
  ['an encoding that nobody has', () => encoded('zstd', Buffer.from('28b52ffd', 'hex')), 415],
  ['a dictionary that nobody has', () => encoded('dcb', Buffer.from('ff444342', 'hex')), 415],
  ['Brotli that is none, as a callback', () => ({ method: 'POST', target: `/api/callbacks/${stage.victim.videoId}/0/${'A'.repeat(32)}`, headers: [JSON_TYPE, ['Content-Encoding', 'br']], body: 'no Brotli' }), 400, BAD],
  ['Brotli that is none, for a token', () => ({ method: 'POST', target: '/oauth/token', headers: [['Content-Type', 'application/x-www-form-urlencoded'], ['Content-Encoding', 'br']], body: Buffer.alloc(100, 0xff) }), 400, BAD],
]

const LINES: Row[] = [
  ['an address of a hundred thousand signs', () => get(`/api/${'a'.repeat(100_000)}`), 431, BIG],
  ['an address of a million slashes', () => get('/'.repeat(1_000_000)), 431, BIG],
  ['an address of fifteen thousand signs', () => get(`/api/generations/${'a'.repeat(14_000)}`), 404, 'not_found'],
  ['an address of fifteen thousand dots', () => get(`/api/generations/${'../'.repeat(4500)}`), 404, 'not_found'],
  ['an address of five thousand escapes', () => get(`/api/generations/${'%00'.repeat(4500)}`), 404, 'not_found'],
  ['an address of broken escapes', () => get(`/api/generations/${'%'.repeat(14_000)}`), [400, 404]],
  ['a query of a hundred thousand signs', () => get(`/api/generations?cursor=${'a'.repeat(100_000)}`), 431, BIG],
  ['three thousand parameters', () => get(`/api/generations?${many(3000, () => 'a=1', '&')}`), 400, BAD],
  ['a parameter three thousand times', () => get(`/api/generations?${many(1500, () => 'limit=1', '&')}`), 400, BAD],
  ['a parameter of deep brackets', () => get(`/api/generations?limit${'[a]'.repeat(4000)}=1`), 400, BAD],
  ['seven thousand ampersands', () => dry([], '&'.repeat(10_000)), 200],
  ['a header of a megabyte', () => get('/api/usage', [['X-Long', 'a'.repeat(MEGABYTE)]]), 431, BIG],
  ['a name of a megabyte', () => get('/api/usage', [['X'.repeat(MEGABYTE), 'a']]), 431, BIG],
  ['ten thousand headers', () => get('/api/usage', Array.from({ length: 10_000 }, (_, index) => [`X-${index}`, 'a'] as const)), 431, BIG],
  ['two thousand headers before the token', () => ({ target: '/api/usage', headers: [...Array.from({ length: 2100 }, () => ['a', 'b'] as const), bearer(stage.attacker.token)] }), [401, 431]],
  ['two thousand headers before a second token', () => get('/api/usage', [...Array.from({ length: 2100 }, () => ['a', 'b'] as const), bearer(stage.victim.token)]), [200, 401, 431]],
  ['a token of a megabyte', () => ({ target: '/api/usage', headers: [bearer('a'.repeat(MEGABYTE))] }), 431, BIG],
  ['a token of fifteen thousand signs', () => ({ target: '/api/usage', headers: [bearer('a'.repeat(15_000))] }), 401, 'unauthenticated'],
  ['an Authorization of blanks', () => ({ target: '/api/usage', headers: [['Authorization', `Bearer${' '.repeat(15_000)}x y`]] }), 401, 'unauthenticated'],
  ['an Idempotency-Key of fifteen thousand signs', () => post('{"prompt":"A cat"}', [['Idempotency-Key', 'k'.repeat(14_000)]]), 400, BAD],
  ['a wish of three thousand parts', () => dry([['Prefer', many(3000, () => 'wait', ',')]]), 200],
  ['a Cache-Control without end', () => post('{"prompt":"A cat"}', [['Cache-Control', `max-age=${'9'.repeat(14_000)}`]]), 400, BAD],
  ['ranges by the thousand', () => get(`/api/download?url=${stage.attacker.id}/0.png`, [['Range', `bytes=${many(2000, () => '0-0')}`]]), 404, 'not_found'],
  ['a range beyond all numbers', () => get(`/api/download?url=${stage.attacker.id}/0.png`, [['Range', `bytes=${'9'.repeat(400)}-`]]), 404, 'not_found'],
  ['a range of two thousand digits', () => get(`/api/download?url=${stage.attacker.id}/0.png`, [['Range', `bytes=-${'9'.repeat(2000)}`]]), 404, 'not_found'],
  ['a file name of ten thousand signs', () => get(`/api/download?url=${stage.attacker.id}/0.png&filename=${'a.'.repeat(5000)}`), 404, 'not_found'],
  ['a link of nine thousand signs', () => get(`/api/download?url=https://files.example.com/${'a'.repeat(9000)}`), 400, BAD],
  ['cookies by the thousand', () => get('/api/usage', [['Cookie', many(2000, () => 'a=b', '; ')]]), 200],
  ['an Accept of all kinds', () => get('/api/usage', [['Accept', many(1000, () => 'a/b;q=0.1', ',')]]), 200],
  ['marks by the thousand', () => get('/api/models', [['If-None-Match', many(2000, () => 'W/""', ',')]]), 200],
]

const POLLUTERS = ['{"__proto__":{"polluted":1}}', '{"constructor":{"prototype":{"polluted":1}}}', '{"prompt":"A cat","__proto__":{"polluted":1}}', '{"prompt":"A cat","constructor":{"prototype":{"polluted":1}}}', '{"prompt":"A cat","\\u005f\\u005fproto__":{"polluted":1}}', '{"prompt":{"__proto__":{"polluted":1}}}', cat('"providerOptions":{"constructor":{"prototype":{"polluted":1}}}'), cat('"providerOptions":{"modelark":{"constructor":{"prototype":{"polluted":1}}}}'), cat('"providerOptions":{"prototype":{"polluted":1}}'), '[{"__proto__":{"polluted":1}}]', cat('"toString":1'), cat('"hasOwnProperty":1'), cat('"__defineGetter__":1'), cat('"model":"__proto__"'), cat('"model":"constructor"'), cat('"model":"toString"'), cat('"model":{"toString":"a"}'), cat('"size":{"__proto__":[]}')]
const QUERIES = ['__proto__[polluted]=1', '__proto__.polluted=1', '__proto__=1', 'constructor[prototype][polluted]=1', 'constructor=1', 'limit[__proto__]=1', 'toString=1', 'hasOwnProperty=1', 'limit=__proto__', 'kind=constructor', 'status=toString', 'cursor=__proto__']

const LISTS = { 'a body of': BODIES, 'a compressed body of': COMPRESSED, 'lines of': LINES }
for (const [what, rows] of Object.entries(LISTS)) {
  describe(what, { concurrency: 4 }, () => {
    for (const [name, make, status, code] of rows) test(name, async () => assertTold(await stage.send(make()), status, code))
  })
}

describe('names of every object', { concurrency: 4 }, () => {
  for (const body of POLLUTERS) {
    for (const [what, headers] of [['', []], [', with an Idempotency-Key', IDEMPOTENT]] as const) test(`in the body ${body}${what}`, async () => assertTold(await stage.send(post(body, [...headers])), 400, BAD))
    test(`in a key’s body ${body}`, async () => assertTold(await stage.send(post(body.replace('prompt', 'name'), [], '/api/keys')), 400, BAD))
  }
  for (const query of QUERIES) test(`in the query ${query}`, async () => assertTold(await stage.send(get(`/api/generations?${query}`)), 400, BAD))
  test('in options that are passed over', async () => assertTold(await stage.send({ ...dry(), body: '{"prompt":"A cat","providerOptions":{"modelark":{}}}' }), 200))
})

/** Where one of them took a fifth of a second, all of them would take longer than anybody waits for an answer. */
const AT_ONCE = 100
const atOnce = (make: () => Wire) => Promise.all(Array.from({ length: AT_ONCE }, () => stage.send(make())))

test(`seven thousand parameters, ${AT_ONCE} times at once, hold nobody up`, async () => {
  for (const target of ['/api/images/generate?dryRun=true', '/api/generations?']) {
    const answers = await atOnce(() => ({ method: target.includes('dry') ? 'POST' : 'GET', target: `${target}${'&a'.repeat(7000)}`, headers: [bearer(stage.attacker.token), JSON_TYPE], body: '{"prompt":"A cat"}' }))
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [target.includes('dry') ? 200 : 400])
  }
})

test(`fourteen thousand blanks in a mark, ${AT_ONCE} times at once, hold nobody up`, async () => {
  for (const target of ['/.well-known/jwks.json', '/api/models']) {
    const answers = await atOnce(() => get(target, [['If-None-Match', `a${' '.repeat(14_000)}b`]]))
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
  }
})

test('nobody came to harm, and no object is another one', async () => {
  for (const one of [{}, [], () => undefined, 1, 'a']) assert.equal((one as { polluted?: unknown }).polluted, undefined)
  await stage.assertUnharmed()
})

test(`fourteen thousand dots for a file’s name, ${AT_ONCE} times at once, hold nobody up`, async () => {
  const made = JSON.parse((await stage.send(post('{"prompt":"A cat"}'))).text) as { images: { storagePath: string }[] }
  const answers = await atOnce(() => ({ ...get(`/api/download?url=${made.images[0]!.storagePath}&filename=x${'.'.repeat(14_000)}x`), method: 'HEAD' }))
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
})
