/** Requests that two servers might read in two ways: this one refuses them, or reads them in the one way that the standard has. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { bearer, JSON_TYPE, startStage, type Stage } from '../support/attacks.ts'
import type { Wire } from '../support/wire.ts'

let stage: Stage
before(async () => {
  stage = await startStage()
})
after(() => stage.close())

const BODY = '{"prompt":"A cat"}'
const DRY = '/api/images/generate?dryRun=true'
/** The beginning of an honest request, to be spoilt. */
const start = (target = DRY, method = 'POST') => `${method} ${target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${stage.attacker.token}\r\nContent-Type: application/json\r\n`
/** What is to slip through behind it, and ends the connection where it is read as a request. */
const smuggled = () => `GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`
const withHeaders = (...lines: string[]) => `${start()}${lines.map((line) => `${line}\r\n`).join('')}\r\n`
const CL = `Content-Length: ${BODY.length}`
const TE = 'Transfer-Encoding: chunked'
const CHUNKED = `${chunk(BODY)}0\r\n\r\n`

type Row = [name: string, bytes: () => string, statuses: number[]]

/** Anything that tells the length of a body twice or badly ends the connection. */
const LENGTHS: Row[] = [
  ['length and chunks', () => withHeaders(CL, TE) + CHUNKED + smuggled(), [400]],
  ['chunks and length', () => withHeaders(TE, 'Content-Length: 4') + CHUNKED + smuggled(), [400]],
  ['a length of nothing and chunks', () => withHeaders('Content-Length: 0', TE) + CHUNKED + smuggled(), [400]],
  ['two lengths', () => withHeaders(CL, 'Content-Length: 3') + BODY + smuggled(), [400]],
  ['two equal lengths', () => withHeaders(CL, CL) + BODY + smuggled(), [400]],
  ['two lengths in one', () => withHeaders(`${CL}, 3`) + BODY + smuggled(), [400]],
  ['a negative length', () => withHeaders('Content-Length: -1') + BODY + smuggled(), [400]],
  ['a length with a plus', () => withHeaders(`Content-Length: +${BODY.length}`) + BODY + smuggled(), [400]],
  ['a length in hexadecimal', () => withHeaders('Content-Length: 0x12') + BODY + smuggled(), [400]],
  ['a length with a space inside', () => withHeaders('Content-Length: 1 8') + BODY + smuggled(), [400]],
  ['a length with a point', () => withHeaders('Content-Length: 18.0') + BODY + smuggled(), [400]],
  ['a length beyond all numbers', () => withHeaders(`Content-Length: ${'9'.repeat(30)}`) + BODY, [400]],
  ['a length of 2^64 and some', () => withHeaders('Content-Length: 18446744073709551634') + BODY, [400]],
  ['an empty length', () => withHeaders('Content-Length:') + BODY + smuggled(), [400]],
  ['a space before the colon of a length', () => withHeaders(`Content-Length : ${BODY.length}`) + BODY + smuggled(), [400]],
  ['a length in a line that goes on', () => withHeaders('X-A: b', ` ${CL}`) + smuggled(), [400]],
  ['chunks twice', () => withHeaders(TE, TE) + CHUNKED + smuggled(), [400]],
  ['chunks, then identity', () => withHeaders(TE, 'Transfer-Encoding: identity') + CHUNKED + smuggled(), [400]],
  ['chunks and identity in one', () => withHeaders('Transfer-Encoding: chunked, identity') + CHUNKED + smuggled(), [400]],
  ['an encoding that nobody has', () => withHeaders('Transfer-Encoding: cow') + CHUNKED + smuggled(), [400]],
  ['chunks with a tab', () => withHeaders('Transfer-Encoding:\tchunked', CL) + CHUNKED + smuggled(), [400]],
  ['chunks with a vertical tab', () => withHeaders('Transfer-Encoding: \x0bchunked') + CHUNKED + smuggled(), [400]],
  ['chunks in quotes', () => withHeaders('Transfer-Encoding: "chunked"', CL) + CHUNKED + smuggled(), [400]],
  ['chunks with a letter more', () => withHeaders('Transfer-Encoding: xchunked', CL) + CHUNKED + smuggled(), [400]],
  ['chunks before a space and colon', () => withHeaders('Transfer-Encoding : chunked', CL) + CHUNKED + smuggled(), [400]],
  ['chunks in a line that goes on', () => withHeaders('X-A: b', ' Transfer-Encoding: chunked', CL) + CHUNKED + smuggled(), [400]],
  ['a chunk of no number', () => `${withHeaders(TE)}zz\r\n${BODY}\r\n0\r\n\r\n${smuggled()}`, [400]],
  ['a chunk of a negative number', () => `${withHeaders(TE)}-1\r\n${BODY}\r\n0\r\n\r\n${smuggled()}`, [400]],
  ['a chunk that is longer than it says', () => `${withHeaders(TE)}2\r\n${BODY}\r\n0\r\n\r\n${smuggled()}`, [400]],
  ['a chunk beyond all numbers', () => `${withHeaders(TE)}${'f'.repeat(17)}\r\n${BODY}`, [400]],
  ['a chunk with 0x', () => `${withHeaders(TE)}0x12\r\n${BODY}\r\n0\r\n\r\n${smuggled()}`, [400]],
  ['a chunk with line feeds alone', () => `${withHeaders(TE)}12\n${BODY}\n0\n\n${smuggled()}`, [400]],
  ['a chunk’s extension with a line feed', () => `${withHeaders(TE)}12;a\nb\r\n${BODY}\r\n0\r\n\r\n${smuggled()}`, [400]],
  ['extensions of a chunk without end', () => `${withHeaders(TE)}12;${'a'.repeat(40_000)}`, [400]],
  ['a trailer of a length', () => `${withHeaders(TE)}${chunk(BODY)}0\r\nContent-Length: 500\r\n\r\n${smuggled()}`, [400]],
]

/** What is no header, or hides one. */
const HEADERS: Row[] = [
  ['a line that goes on', () => `${start()}X-A: b\r\n c\r\n${CL}\r\n\r\n${BODY}${smuggled()}`, [400]],
  ['a first header that goes on', () => `GET /health/live HTTP/1.1\r\n Host: localhost\r\n\r\n`, [400]],
  ['line feeds alone', () => `GET /health/live HTTP/1.1\nHost: localhost\nConnection: close\n\n`, [400]],
  ['a carriage return alone', () => `GET /health/live HTTP/1.1\r\nHost: localhost\rX-A: b\r\n\r\n`, [400]],
  ['a NUL in a value', () => `GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-A: a\0b\r\n\r\n`, [400]],
  ['a NUL in a name', () => `GET /health/live HTTP/1.1\r\nHost: localhost\r\nX\0A: b\r\n\r\n`, [400]],
  ['a NUL in the token', () => `GET /api/usage HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${stage.attacker.token}\0\r\n\r\n`, [400]],
  ['a space in a name', () => `GET /health/live HTTP/1.1\r\nHost: localhost\r\nX A: b\r\n\r\n`, [400]],
  ['no name', () => `GET /health/live HTTP/1.1\r\nHost: localhost\r\n: b\r\n\r\n`, [400]],
  ['no colon', () => `GET /health/live HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n`, [400]],
  ['a control in a value', () => `GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-A: a\x01b\r\n\r\n`, [400]],
  ['a delete sign in a value', () => `GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-A: a\x7fb\r\n\r\n`, [400]],
  ['a carriage return in X-Request-Id', () => `GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: abcdefgh\rSet-Cookie: a=b\r\n\r\n`, [400]],
  ['HTTP/3.0', () => 'GET /health/live HTTP/3.0\r\nHost: localhost\r\n\r\n', [400]],
  ['HTTP/2’s own beginning', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [400]],
  ['TLS’ own beginning', () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', [400]],
  ['SSH’s own beginning', () => 'SSH-2.0-OpenSSH_9.6\r\n', [400]],
  ['a tab in the first line', () => 'GET\t/health/live\tHTTP/1.1\r\nHost: localhost\r\n\r\n', [400]],
  ['a space in the target', () => 'GET /health/live x HTTP/1.1\r\nHost: localhost\r\n\r\n', [400]],
  ['a NUL in the target', () => 'GET /health/live\0 HTTP/1.1\r\nHost: localhost\r\n\r\n', [400]],
  ['a method that nobody has', () => 'HACK /api/keys HTTP/1.1\r\nHost: localhost\r\n\r\n', [400]],
  ['a method in small letters', () => 'get /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n', [400]],
  ['a response for a request', () => 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', [400]],
  ['a tunnel', () => 'CONNECT 127.0.0.1:5432 HTTP/1.1\r\nHost: 127.0.0.1:5432\r\n\r\n', []],
]

/** Those that are read in one way alone: what follows is the next request, or none. */
const READ_ON: Row[] = [
  ['a length with leading zeros', () => withHeaders(`Content-Length: 000${BODY.length}`) + BODY + smuggled(), [200, 200]],
  ['chunks in capitals', () => withHeaders('TRANSFER-ENCODING: CHUNKED') + CHUNKED + smuggled(), [200, 200]],
  ['identity, then chunks', () => withHeaders('Transfer-Encoding: identity, chunked') + CHUNKED + smuggled(), [200, 200]],
  ['a chunk that holds a request', () => `${withHeaders(TE)}${chunk(BODY + smuggled())}0\r\n\r\n${smuggled()}`, [400, 200]],
  ['two spaces in the first line', () => `GET  /api/usage HTTP/1.1\r\nHost: localhost\r\n\r\n${smuggled()}`, [401, 200]],
  ['HTTP/0.9, which has no headers', () => 'GET /api/usage\r\n\r\n', [401]],
  ['chunks with extensions', () => `${withHeaders(TE)}12;a="b;c"\r\n${BODY}\r\n0;last\r\n\r\n${smuggled()}`, [200, 200]],
  ['a trailer of a token', () => `${withHeaders(TE)}${chunk(BODY)}0\r\nAuthorization: Bearer junk\r\n\r\n${smuggled()}`, [200, 200]],
  ['a GET with a body', () => `GET /health/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${smuggled().length}\r\n\r\n${smuggled()}${smuggled()}`, [200, 200]],
  ['a DELETE with a body', () => `DELETE /api/keys/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello${smuggled()}`, [401, 200]],
  ['an upgrade to a web socket', () => `GET /api/usage HTTP/1.1\r\nHost: localhost\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n${smuggled()}`, [401]],
  ['an upgrade to h2c', () => `GET /api/usage HTTP/1.1\r\nHost: localhost\r\nConnection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n${smuggled()}`, [401]],
  ['a header that Connection names', () => `GET /api/usage HTTP/1.1\r\nHost: localhost\r\nConnection: Authorization\r\nAuthorization: Bearer junk\r\n\r\n${smuggled()}`, [401, 200]],
  ['a hundred requests at once', () => 'GET /api/usage HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(100) + smuggled(), [...Array<number>(100).fill(401), 200]],
]

for (const [what, rows] of Object.entries({ 'the length of a body:': LENGTHS, 'what is no HTTP:': HEADERS, 'read in one way:': READ_ON })) {
  describe(what, { concurrency: 8 }, () => {
    for (const [name, bytes, statuses] of rows) {
      test(name, async () => {
        const answers = await stage.sendBytes(bytes())
        assert.deepEqual(answers.map(({ status }) => status), statuses, answers.map(({ text }) => text.slice(0, 300)).join('\n'))
        for (const { status, headers, code, text } of answers) {
          if (status < 400) continue
          assert.ok(code !== undefined && text.includes(headers['x-request-id']!), text)
        }
      })
    }
  })
}

const ask = (target: string, headers: Wire['headers'] = [], method = 'GET') => stage.send({ method, target, headers: [bearer(stage.attacker.token), ...headers] })

/** Other spellings of closed addresses, without a token. 401 or 404, never what lies behind. */
const SPELLINGS = [
  '//api/usage', '/api//usage', '/./api/usage', '/x/../api/usage', '/api/./usage', '/api/usage/..', '/api/%2e/usage', '/%2e%2e/api/usage', '/api%2fusage', '/api/usage%2f', '/api/usage%00', '/api/usage%20', '/api/usage;a=b', '/api;a=b/usage', '/API/usage', '/api/USAGE', '/%61pi/usage', '/api/us%61ge', '/api\\usage', '\\api\\usage',
  '/api/usage/', '/api/usage//', '/api/usage?', '/api/usage#', '/api/usage#/health', '/api/usage.json', '/api/usage~', '/health/../api/usage', '/health/%2e%2e/api/usage', '/health;/api/usage', '/api/ｕsage', '/api/usage\u00a0', '*', 'http://localhost/api/usage', 'http://evil.com/api/usage', 'HTTP://EVIL.COM/api/usage', 'ftp://evil.com/api/usage', 'http:///api/usage',
  'http://localhost:99999/api/usage', 'http://user:password@localhost/api/usage', 'api/usage', '?/api/usage', '/.well-known/../api/usage', '/oauth/../api/usage', '/api/images/..%2fusage', '/api/%c0%ae%c0%ae/usage', '/api/%uff0e/usage', '/api/%252e%252e/usage', '/api/usage%',
]
describe('another spelling of an address does not pass by the guard', { concurrency: 8 }, () => {
  for (const target of SPELLINGS) {
    test(JSON.stringify(target), async () => {
      const { status } = await stage.send({ target })
      assert.ok([400, 401, 404].includes(status), String(status))
    })
  }
})

describe('headers that other servers obey do nothing here', { concurrency: 8 }, () => {
  for (const name of ['X-Original-URL', 'X-Rewrite-URL', 'X-Forwarded-Prefix', 'X-Original-URI', 'X-Forwarded-Path', 'X-Accel-Redirect', 'X-Sendfile']) {
    test(name, async () => {
      assert.equal((await stage.send({ target: '/api/usage', headers: [[name, '/health/live']] })).status, 401)
      assert.equal((await stage.send({ target: '/health/live', headers: [[name, `/api/generations/${stage.victim.generationId}`]] })).text, '{"status":"ok"}')
    })
  }
  for (const name of ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', '_method']) {
    test(name, async () => assert.equal((await ask(`/api/keys/${stage.key.id}`, [[name, 'DELETE']], 'POST')).status, 405))
  }
  test('_method in the query', async () => assert.equal((await ask(`/api/keys/${stage.key.id}?_method=DELETE`, [], 'POST')).status, 405))
  test('a body’s method', async () => assert.equal((await stage.send({ method: 'POST', target: `/api/keys/${stage.key.id}`, headers: [bearer(stage.attacker.token), JSON_TYPE], body: '{"_method":"DELETE"}' })).status, 405))

  test('a host that is another, or none, or twice, is told nowhere', async () => {
    for (const headers of [[['Host', 'evil.com']], [['Host', 'evil.com:80@localhost']], [['Host', 'localhost'], ['X-Forwarded-Host', 'evil.com'], ['Forwarded', 'host=evil.com'], ['X-Forwarded-Proto', 'javascript']], [['Host', 'a<script>evil.com']], [['Host', '']]] as const) {
      for (const target of ['/api/images/generate', '/api/nothing/evil', '/api/usage/']) {
        const answer = await ask(target, headers)
        assert.equal(JSON.stringify(answer).includes('evil.com'), false)
        assert.equal(answer.headers.location, undefined)
      }
    }
  })

  test('what comes back of a caller’s header cannot be more than a word', async () => {
    for (const value of ['abcdefgh%0d%0aSet-Cookie:%20a=b', 'abcdefgh\tSet-Cookie', 'abcdefgh; a=b', '<script>alert(1)</script>', 'a'.repeat(4000), 'abcdefgh\u00ff']) {
      const { headers } = await ask('/api/usage', [['X-Request-Id', value], ['Origin', `https://app.example.com${value}`]])
      assert.match(headers['x-request-id']!, /^req_[\w-]{16}$/)
      assert.deepEqual([headers['set-cookie'], headers['access-control-allow-origin']], [undefined, undefined])
    }
  })

  test('an Idempotency-Key of other signs is none', async () => {
    for (const key of ['a b', 'a\tb', 'ä', `${'k'.repeat(256)}`]) {
      const answer = await stage.send({ method: 'POST', target: '/api/images/generate', headers: [bearer(stage.attacker.token), JSON_TYPE, ['Idempotency-Key', key]], body: BODY })
      assert.deepEqual([answer.status, answer.code], [400, 'invalid_request'])
    }
  })
})

test('nobody came to harm', () => stage.assertUnharmed())
