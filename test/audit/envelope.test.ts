import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import { createEnvelope, UnknownKeyError } from '../../src/audit/envelope.ts'
import { masterKeys } from '../../src/config-keys.ts'

const key = (id: string) => ({ id, key: randomBytes(32) })

describe('encrypted payloads', () => {
  const [first, second] = [key('first'), key('second')]
  const [id, other] = [randomUUID(), randomUUID()]
  const plaintext = Buffer.from('{"body":{"prompt":"A lighthouse"}}')

  test('open with their key and row alone', () => {
    const envelope = createEnvelope([first])
    const [sealed, again] = [envelope.seal(id, plaintext), envelope.seal(other, plaintext)]
    assert.deepEqual(envelope.open(id, sealed), plaintext)
    assert.notDeepEqual(sealed.payload.subarray(12), again.payload.subarray(12))
    assert.throws(() => envelope.open(other, sealed), 'another row')
    assert.throws(() => envelope.open(other, { ...again, payload: sealed.payload }), 'the payload of another row')
    assert.throws(() => envelope.open(id, { ...sealed, dataKey: again.dataKey }), 'the data key of another row')
    assert.throws(() => createEnvelope([{ id: 'first', key: second.key }]).open(id, sealed), 'another key of the same name')
    assert.throws(() => createEnvelope([second]).open(id, sealed), (error) => error instanceof UnknownKeyError && error.keyId === 'first')
    assert.throws(() => createEnvelope([first, { ...first, id: 'alias' }]).open(id, { ...sealed, keyId: 'alias' }), 'the same key by another name')
  })

  test('are refused when a byte is changed, or they are cut', () => {
    const envelope = createEnvelope([first])
    const sealed = envelope.seal(id, plaintext)
    for (const field of ['payload', 'dataKey'] as const) {
      for (const at of [0, 15, sealed[field].length - 1]) {
        const changed = Buffer.from(sealed[field])
        changed[at]! ^= 1
        assert.throws(() => envelope.open(id, { ...sealed, [field]: changed }), `${field} ${at}`)
      }
      for (const length of [0, 12, 28, sealed[field].length - 1]) assert.throws(() => envelope.open(id, { ...sealed, [field]: sealed[field].subarray(0, length) }), `${field} cut to ${length}`)
    }
  })

  test('are wrapped anew without being touched', () => {
    const sealed = createEnvelope([first]).seal(id, plaintext)
    const both = createEnvelope([second, first])
    const rewrapped = { ...sealed, ...both.rewrap(id, sealed) }
    assert.deepEqual([rewrapped.keyId, rewrapped.payload], ['second', sealed.payload])
    assert.deepEqual(createEnvelope([second]).open(id, rewrapped), plaintext)
    assert.throws(() => createEnvelope([first]).open(id, rewrapped), UnknownKeyError)
    assert.throws(() => both.rewrap(other, sealed), 'another row')
  })
})

describe('STORAGE_MASTER_KEY', () => {
  const [one, two] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')]

  test('is one key or several, named or not', () => {
    assert.deepEqual(masterKeys.parse(`new:${one}, old:${two}`)!.map(({ id, key: bytes }) => [id, bytes.toString('base64')]), [['new', one], ['old', two]])
    const [bare] = masterKeys.parse(one)!
    assert.match(bare!.id, /^[0-9a-f]{8}$/)
    assert.equal(masterKeys.parse(`${two},${one}`)![1]!.id, bare!.id, 'the same key has the same name')
    assert.equal(masterKeys.parse(' '), undefined)
  })

  for (const [what, value] of [['too short', randomBytes(16).toString('base64')], ['no base64', 'correct horse battery staple'], ['a name too long', `${'a'.repeat(33)}:${one}`], ['an empty part', `${one},`], ['two of one name', `a:${one},a:${two}`]] as const) {
    test(`is refused with ${what}, and not repeated`, () => {
      const { error } = masterKeys.safeParse(value)
      assert.ok(error)
      assert.ok(!error.message.includes(value.slice(-20)))
    })
  }
})
