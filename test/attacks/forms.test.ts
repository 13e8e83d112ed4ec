/** Forms that are no forms, or want to be more: their boundaries, headers, names, numbers. All of it without a cent, as a dry run. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { assertTold, bearer, startStage, type Stage } from '../support/attacks.ts'
import type { Wire } from '../support/wire.ts'

let stage: Stage
let picture: Buffer
before(async () => {
  stage = await startStage({ env: { MAX_UPLOAD_BYTES: '200000' } })
  picture = await sharp({ create: { width: 256, height: 256, channels: 3, background: '#3060a0' } }).jpeg().toBuffer()
})
after(() => stage.close())

type Piece = string | Buffer
const bytesOf = (...pieces: Piece[]) => Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)))
const part = (disposition: string, content: Piece = 'A cat', headers = '') => bytesOf(`--x\r\nContent-Disposition: ${disposition}\r\n${headers}\r\n`, content, '\r\n')
const field = (name: string, value: Piece = 'A cat') => part(`form-data; name="${name}"`, value)
const file = (name = 'image', filename = 'a.jpg', content: Piece = picture, headers = 'Content-Type: image/jpeg\r\n') => part(`form-data; name="${name}"; filename="${filename}"`, content, headers)
const END = '--x--\r\n'
/** An edit that would be let in. */
const usual = () => [field('prompt'), field('model', 'seedream-4-0-250828')]
const send = (body: Piece | Piece[], type = 'multipart/form-data; boundary=x', headers: Wire['headers'] = [], route = '/api/images/edit?dryRun=true'): Wire => ({ method: 'POST', target: route, headers: [bearer(stage.attacker.token), ['Content-Type', type], ...headers], body: bytesOf(...[body].flat()) })
const whole = (...more: Piece[]) => send([...usual(), file(), ...more, END])
const BAD = 'invalid_request'

type Row = [name: string, make: () => Wire, status: number | number[], code?: string]

const BOUNDARIES: Row[] = [
  ['no boundary', () => send([...usual(), file(), END], 'multipart/form-data'), 400, BAD],
  ['an empty boundary', () => send([...usual(), file(), END], 'multipart/form-data; boundary='), 400, BAD],
  ['an empty boundary in quotes', () => send([...usual(), file(), END], 'multipart/form-data; boundary=""'), 400, BAD],
  ['another boundary', () => send([...usual(), file(), END], 'multipart/form-data; boundary=y'), 400, BAD],
  ['two boundaries', () => send([...usual(), file(), END], 'multipart/form-data; boundary=y; boundary=x'), 400, BAD],
  ['a boundary of five thousand signs', () => send(END, `multipart/form-data; boundary=${'x'.repeat(5000)}`), 400, BAD],
  ['a boundary of expressions', () => send(END, 'multipart/form-data; boundary="(((((((((((a+)+)+)+$"'), 400, BAD],
  ['a boundary of __proto__', () => send('--__proto__--\r\n', 'multipart/form-data; boundary=__proto__'), 400, BAD],
  ['the end alone', () => send(END), 400, BAD],
  ['no end', () => send([...usual(), file()]), 400, BAD],
  ['no end of a file', () => send([...usual(), file().subarray(0, -2)]), 400, BAD],
  ['the end in the middle of a file', () => send([...usual(), file('image', 'a.jpg', bytesOf(picture.subarray(0, 100), '\r\n--x--\r\n', picture.subarray(100)))]), 400, BAD],
  ['nothing', () => send(''), 400, BAD],
  ['a thousand boundaries', () => send('--x\r\n'.repeat(1000) + END), 400, BAD],
  ['line feeds alone', () => send(bytesOf(...usual(), file(), END).toString('latin1').replaceAll('\r\n', '\n')), 400, BAD],
  ['a form in another kind of multipart', () => send([...usual(), file(), END], 'multipart/mixed; boundary=x'), 415, 'unsupported_media_type'],
  ['two content types in one', () => send([...usual(), file(), END], 'application/json, multipart/form-data; boundary=x'), 415, 'unsupported_media_type'],
  ['a form in a form', () => send([...usual(), part('form-data; name="image"', `--y\r\nContent-Disposition: file; filename="a.jpg"\r\n\r\n${'x'.repeat(200)}\r\n--y--`, 'Content-Type: multipart/mixed; boundary=y\r\n'), END]), 400, BAD],
  ['forms in forms in forms', () => send([...usual(), part('form-data; name="image"; filename="a"', `${'--y\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n'.repeat(500)}`, 'Content-Type: multipart/mixed; boundary=y\r\n'), END]), 415],
  ['a compressed form', () => send([...usual(), file(), END], undefined, [['Content-Encoding', 'gzip']]), [200, 400, 415]],
  ['words before and after the form', () => send(['preamble\r\n', ...usual(), file(), END, 'epilogue'.repeat(1000)]), [200, 400]],
  ['a form behind a form', () => send([...usual(), file(), END, ...usual(), file('evil'), END]), [200, 400]],
]

const HEADERS: Row[] = [
  ['a part without headers', () => send([...usual(), '--x\r\n\r\nA cat\r\n', END]), 400, BAD],
  ['a part without a name', () => whole(part('form-data')), 400, BAD],
  ['a part with an empty name', () => whole(field('')), 400, BAD],
  ['a part that is no form-data, which is passed over', () => whole(part('attachment; name="userId"', stage.victim.id)), 200],
  ['a part of a hundred thousand bytes of headers', () => whole(part('form-data; name="a"', 'b', `X-Long: ${'a'.repeat(100_000)}\r\n`)), 400, BAD],
  ['a part of a thousand headers', () => whole(part('form-data; name="a"', 'b', 'X-A: b\r\n'.repeat(1000))), 400, BAD],
  ['a header that goes on', () => whole(part('form-data;\r\n name="userId"', 'x')), 400, BAD],
  ['a header with a NUL', () => whole(part('form-data; name="a\0b"')), 400, BAD],
  ['a header without a colon', () => whole(part('form-data; name="a"', 'b', 'nonsense\r\n')), 400, BAD],
  ['a length of its own', () => whole(part('form-data; name="a"', 'b', 'Content-Length: 999999\r\n')), 400, BAD],
  ['base64', () => send([...usual(), file('image', 'a.jpg', picture.toString('base64'), 'Content-Transfer-Encoding: base64\r\n'), END]), 415, 'unsupported_media_type'],
  ['a name of ten thousand signs', () => whole(field('n'.repeat(10_000))), 400, BAD],
  ['a name twice in one part', () => whole(part('form-data; name="a"; name="userId"', stage.victim.id)), 400, BAD],
  ['a name in two ways', () => whole(part("form-data; name=\"a\"; name*=utf-8''userId", stage.victim.id)), 400, BAD],
  ['a file name without end, which is passed over', () => whole(part('form-data; name="userId"; filename="a', stage.victim.id)), 200],
  ['a name with an escaped end, which is passed over', () => whole(field('userId\\', stage.victim.id)), 200],
  ['a charset that nobody has', () => whole(part('form-data; name="a"', 'b', 'Content-Type: text/plain; charset=nonsense\r\n')), 400, BAD],
]

const NUMBERS: Row[] = [
  ['a hundred fields', () => whole(...Array.from({ length: 100 }, (_, index) => field(`a${index}`))), 400, BAD],
  ['ten thousand fields', () => whole(...Array.from({ length: 5000 }, () => field('a'))), 400, BAD],
  ['a field of a hundred thousand signs', () => whole(field('negativePrompt', 'a'.repeat(100_000))), 400, BAD],
  ['seventeen files', () => send([...usual(), ...Array.from({ length: 17 }, () => file('image', 'a.jpg', picture)), END]), 400, BAD],
  ['a thousand empty files', () => send([...usual(), ...Array.from({ length: 1000 }, () => file('image', 'a.jpg', '')), END]), 400, BAD],
  ['two masks', () => whole(file('mask'), file('mask')), 400, BAD],
  ['a file that is too large', () => whole(file('image', 'a.jpg', Buffer.alloc(300_000))), 413, 'payload_too_large'],
  ['files that are too large together', () => send([...usual(), ...Array.from({ length: 15 }, () => file('image', 'a.jpg', Buffer.alloc(190_000))), END]), [413, 0]],
]

const NAMES: Row[] = [
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf', 'length', '__defineGetter__', '__proto__[polluted]', '__proto__.polluted', 'constructor[prototype][polluted]', 'a[__proto__][polluted]', 'a[constructor][prototype][polluted]', 'prompt[__proto__][polluted]', '[__proto__]', 'a[]', 'prompt[]', 'prompt[toString]', 'prompt[length]', 'a[b][c][d]', `a${'[b]'.repeat(32)}`, `a${'[]'.repeat(45)}`, 'a[', 'a]', '[', '[]', 'a[b', 'a[9999999999]', 'a[-1]', 'a\\[b\\]', '../prompt', 'prompt ', 'Prompt', '$where', 'image[0]', 'files', 'file', 'body', 'user', 'userId.id'].map(
    (name): Row => [`a field of the name ${name.slice(0, 50)}`, () => whole(field(name, 'polluted')), 400, BAD],
  ),
  ...['__proto__', 'constructor', 'toString', 'image[0]', 'image[]', 'image[__proto__]', 'image.0', 'Image', 'prompt', 'userId', '__proto__[image]', 'images', ''].map((name): Row => [`a file of the name ${name}`, () => whole(file(name)), 400, BAD]),
  ['a field and a file of one name', () => whole(field('image', 'https://evil.com')), 400, BAD],
  ['a field twice', () => whole(field('prompt', 'A dog')), 400, BAD],
  ['options of the name __proto__', () => whole(field('providerOptions[__proto__][polluted]', 'polluted')), 200],
  ['options of __proto__', () => whole(field('providerOptions', '{"__proto__":{"polluted":true},"modelark":{"__proto__":{"polluted":true}}}')), [200, 400]],
  ['options of ten thousand lists', () => whole(field('providerOptions', `{"modelark":{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}}`)), 400, BAD],
  ['options of ten thousand lists, with an Idempotency-Key', () => send([...usual(), file(), field('providerOptions', `{"modelark":{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}}`), END], undefined, [['Idempotency-Key', 'deep']], '/api/images/edit'), 400, BAD],
]

/** Of a file's name nothing is used: they are let in. */
const FILE_NAMES = ['../../../../etc/passwd', '..\\..\\windows\\system32', '/etc/passwd', 'C:\\a.jpg', 'a.jpg\0.php', 'a.jpg%00.php', 'a.php', '.htaccess', 'con', 'a;b=c.jpg', 'a\\".jpg', "a'; drop table prompts;--.jpg", '$(id).jpg', '`id`.jpg', '|id', 'a%0d%0aSet-Cookie: a=b', '<script>alert(1)</script>.jpg', '\xe2\x80\xaegpj.exe', '\xff\xfe', '=1+1', '{{7*7}}', '%s%n', 'a'.repeat(4000), '__proto__', ' ', '.', '..', '~root']

for (const [what, rows] of Object.entries({ 'a boundary:': BOUNDARIES, 'a part’s headers:': HEADERS, 'how much:': NUMBERS, 'a name:': NAMES })) {
  describe(what, { concurrency: 8 }, () => {
    for (const [name, make, status, code] of rows) test(name, async () => assertTold(await stage.send(make()), status, code))
  })
}

describe('the name of a file does nothing:', { concurrency: 8 }, () => {
  for (const name of FILE_NAMES) {
    test(JSON.stringify(name).slice(0, 60), async () => {
      const answer = await stage.send(send([...usual(), file('image', name), END]))
      assert.ok(answer.status === 200 || (answer.status === 400 && answer.code === BAD), answer.text)
      assert.equal(name.length > 3 && JSON.stringify(answer).includes(name), false)
    })
  }
})

test('a form that would be let in is, however often one was refused', async () => {
  for (let count = 0; count < 20; count++) assertTold(await stage.send(whole()), 200)
})

test('nobody came to harm, and no object is another one', async () => {
  assert.equal(({} as { polluted?: unknown }).polluted, undefined)
  assert.equal(([] as { polluted?: unknown }).polluted, undefined)
  await stage.assertUnharmed()
})
