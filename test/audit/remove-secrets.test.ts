import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { toPayload } from '../../src/audit/payload.ts'
import { isSensitiveName, removeFromText } from '../../src/audit/remove-secrets.ts'

const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U'
const keep = (body: unknown, maxBytes = 16_384): Record<string, unknown> => JSON.parse(toPayload(body, [], maxBytes).toString()) as Record<string, unknown>
const text = (body: unknown): string => JSON.stringify(keep(body))

describe('what is kept of a body', () => {
  test('what is no secret stays as it is', () => {
    const body = { prompt: 'A monkey in a tower, 50% "off"', size: '1024x1024', n: 2, seed: 7, providerOptions: { modelark: { watermark: false, maxTokens: 100, keyframes: [1, 2] } }, author: 'me', tags: ['passage', 'authority'], nothing: null }
    assert.deepEqual(keep(body), { body })
  })

  for (const name of ['authorization', 'Authorization', 'X-API-Key', 'apikey', 'api_key', 'accessToken', 'refresh-token', 'PASSWORD', 'passwd', 'client_secret', 'Set-Cookie', 'privateKey', 'awsSecretAccessKeys', 'pin', 'ｐａｓｓｗｏｒｄ', 'pass\u200Bword', 'credentials']) {
    test(`the field ${JSON.stringify(name)} is removed at any depth`, () => {
      assert.ok(isSensitiveName(name))
      const kept = text({ [name]: 'hunter2-1', deep: [{ a: [{ [name]: ['hunter2-2', { b: 'hunter2-3' }] }] }], number: { [name]: 424242 } })
      assert.doesNotMatch(kept, /hunter2|424242/)
      assert.match(kept, /\[removed\]/)
    })
  }

  for (const [kind, secret] of Object.entries({
    'a token': JWT,
    'a token that was cut': JWT.slice(0, 60),
    'a secret key': 'sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz',
    'a vendor’s key': 'sk-proj-abcdefghijklmnop1234',
    'another vendor’s': 'r8_abcdefghijklmnopqrstuvwx0123',
    'fal’s': '01234567-89ab-cdef-0123-456789abcdef:0123456789abcdef0123456789abcdef',
    'a header': 'Bearer abcdef.1234567',
    'a URL’s password': 'postgresql://me:hunter2xyz@db.example.com/x',
    'a signature': 'https://files.example.com/a.png?width=2&X-Amz-Signature=0a1b2c3d4e5f&x=1',
    'a private key': '-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----',
  })) {
    test(`${kind} is removed from the middle of a text, a list, a name`, () => {
      const core = /hunter2xyz|0a1b2c3d4e5f|MIIEvQIBADANBg/.exec(secret)?.[0] ?? secret.slice(-16)
      for (const kept of [text({ prompt: `A cat with (${secret}) in its paw` }), text({ list: ['a', ['b', secret]] }), text({ [secret]: 1 })]) assert.ok(!kept.includes(core), kept)
      assert.match(text({ prompt: `A cat with (${secret}) in its paw` }), /A cat with \(.*in its paw/)
    })
  }

  test('headers as pairs and as named values', () => {
    const kept = text({ headers: [['Authorization', 'hunter2-1'], ['accept', 'text/plain']], more: [{ name: 'X-Api-Key', value: 'hunter2-2' }, { Key: 'Cookie', Value: 'hunter2-3' }, { name: 'accept', value: 'image/png' }] })
    assert.doesNotMatch(kept, /hunter2/)
    assert.match(kept, /text\/plain.*image\/png/)
  })

  test('JSON within a text, as forms carry it, and what only looks like it', () => {
    assert.deepEqual(keep({ providerOptions: '{"fal":{"apiKey":"hunter2","steps":4}}' }), { body: { providerOptions: { fal: { apiKey: '[removed]', steps: 4 } } } })
    for (const odd of ['{"apiKey":"hunter2 correct', 'x = "{\\"password\\": \\"hunter2 horse\\"}"', 'curl -H "authorization: Basic hunter2hunter2"', 'token=hunter2', 'Cookie: a=hunter2; b=hunter2']) assert.doesNotMatch(text({ prompt: odd }), /hunter2/, odd)
  })

  test('pictures in base64 are left out', () => {
    const kept = text({ image: `data:image/png;base64,${'iVBORw0K'.repeat(200)}` })
    assert.equal(kept, '{"body":{"image":"data:image/png;base64,[data]"}}')
  })

  test('a body that is too long is cut, marked, and no secret comes through at the cut', () => {
    for (const body of [{ prompt: 'ä'.repeat(5000) }, { list: Array.from({ length: 100_000 }, (_, index) => index) }, { prompt: '"\\'.repeat(3000) }, { a: 'x'.repeat(200), prompt: `${'y '.repeat(350)} ${JWT}`, key: 'hunter2' }, { prompt: `${'y '.repeat(425)} postgresql://me:${'hunter2'.repeat(30)}@db.example.com` }]) {
      const bytes = toPayload(body, [], 1000)
      assert.ok(bytes.length <= 1000)
      const kept = JSON.parse(bytes.toString()) as { truncated: boolean; beginning: string }
      assert.equal(kept.truncated, true)
      assert.ok(kept.beginning.length > 200, kept.beginning)
      assert.doesNotMatch(kept.beginning, /hunter2|eyJzdW/)
    }
  })

  test('a body that is nested beyond all measure', () => {
    let nested: unknown = 'hunter2'
    for (let depth = 0; depth < 50_000; depth++) nested = [nested]
    assert.deepEqual([keep(nested).truncated, text(nested).includes('hunter2')], [true, false])
    assert.equal(text(JSON.parse('{"__proto__": {"password": "hunter2"}}')).includes('hunter2'), false)
  })

  test('files are told by name, size and hash', () => {
    const note = { field: 'image', name: `cat ${JWT}.png`, size: 7, sha256: 'ab'.repeat(32) }
    assert.deepEqual(JSON.parse(toPayload({ prompt: 'A cat' }, [note], 16_384).toString()), { body: { prompt: 'A cat' }, files: [{ field: 'image', filename: 'cat [removed]', size: 7, sha256: 'ab'.repeat(32) }] })
  })

  test('no text takes long to search', { timeout: 20_000 }, () => {
    for (const unit of ['a', 'eyJ', '?token', 'cookie', '-----BEGIN ', 'Bearer ', 'a://', 'token=', 'A'.repeat(255) + ' ', '0123456-', '\\"', 'sk-']) removeFromText(unit.repeat(Math.ceil(65_536 / unit.length)))
  })
})
