import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import { createMemoryNonces } from '../../src/keys/nonces.ts'

const tooMany = (error: unknown) => error instanceof AppError && error.code === 'rate_limited' && error.retryAfterSeconds! > 0

const of = (userId: string, keyId = `key of ${userId}`) => ({ userId, keyId })

test('a nonce is known until its time is over, and not a moment less', async () => {
  let now = 5500
  const nonces = createMemoryNonces({ perUser: 10, total: 10, now: () => now })
  assert.equal(await nonces.remember(of('a'), 'n', 10_000), true)
  for (const at of [5500, 6000, 10_000, 15_499, 15_500]) {
    now = at
    assert.equal(await nonces.remember(of('a'), 'n', 10_000), false, String(at))
  }
  now = 17_000
  assert.equal(await nonces.remember(of('a'), 'n', 10_000), true)
})

test('a full store refuses what is new, knows what is old, and has room again once something has ended', async () => {
  let now = 0
  const nonces = createMemoryNonces({ perUser: 3, total: 5, now: () => now })
  for (const [index, nonce] of ['1', '2', '3'].entries()) assert.equal(await nonces.remember(of('a'), nonce, 1000 * (index + 1)), true)
  await assert.rejects(nonces.remember(of('a'), '4', 1000), tooMany)
  assert.deepEqual([await nonces.remember(of('b'), '1', 9000), await nonces.remember(of('b'), '2', 9000)], [true, true])
  await assert.rejects(nonces.remember(of('b'), '3', 1000), tooMany)
  await assert.rejects(nonces.remember(of('c'), '1', 1000), tooMany)
  assert.equal(await nonces.remember(of('a'), '3', 1000), false)
  now = 2500
  assert.equal(await nonces.remember(of('a'), '4', 1000), true)
  await assert.rejects(nonces.remember(of('c'), '1', 1000), tooMany)
  now = 60_000
  for (const key of ['a', 'b']) assert.equal(await nonces.remember(of(key), '1', 1000), true)
})

test('all keys of one user share their room, so that nobody fills the store for others; each key may have the same nonce', async () => {
  let now = 0
  const nonces = createMemoryNonces({ perUser: 3, total: 100, now: () => now })
  for (const keyId of ['k1', 'k2', 'k3']) assert.equal(await nonces.remember(of('a', keyId), 'n', 1000), true, keyId)
  for (const keyId of ['k1', 'k2', 'k3']) assert.equal(await nonces.remember(of('a', keyId), 'n', 1000), false, keyId)
  for (const keyId of ['k1', 'k4']) await assert.rejects(nonces.remember(of('a', keyId), 'another', 1000), tooMany, keyId)
  assert.equal(await nonces.remember(of('b'), 'n', 1000), true)
  now = 3000
  assert.equal(await nonces.remember(of('a', 'k4'), 'another', 1000), true)
})
