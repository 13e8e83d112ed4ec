/** What the doctor says of Redis, and of what stands encrypted in rows. */
import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { Redis } from 'ioredis'
import { createSealer } from '../../src/keys/sealing.ts'
import { findingsOf, shorten, startPatient, tryFault, type Patient } from '../support/doctor.ts'
import { noRedis, startRedis, type TestRedis } from '../support/redis.ts'

describe('what stands encrypted in rows', () => {
  let patient: Patient
  const [user, log] = [randomUUID(), randomUUID()]
  const [known, lost] = [randomBytes(32), randomBytes(32)]
  const env = { STORAGE_MASTER_KEY: `new:${known.toString('base64')}` }
  before(async () => {
    patient = await startPatient()
    await patient.sql('insert into auth.users (id, email) values ($1, $2)', [user, `${user}@example.com`])
  })
  after(() => patient.close())

  const insertKey = (sealed: Buffer) =>
    `insert into darkroom.api_keys (id, user_id, name, hash, signing_key, scopes) values ('${'a'.repeat(16)}', '${user}', 'A server', '\\x${'00'.repeat(32)}', '\\x${sealed.toString('hex')}', '{images:read}')`
  const mend = 'delete from darkroom.api_keys'
  const secret = Buffer.alloc(32, 7)

  test('a key that signs and stands as it is', () => tryFault(patient, { name: '', break: insertKey(createSealer([]).seal(secret, 'x')), env, named: [['sealing.open darkroom.api_keys.signing_key', /1 API keys stand in their rows as they are/]], mend, only: ['sealing'] }))

  test('a key whose master key is lost', () => tryFault(patient, { name: '', break: insertKey(createSealer([lost]).seal(secret, 'x')), env, named: [['sealing.unknown-key darkroom.api_keys.signing_key', /requests signed with them are refused/]], mend, only: ['sealing'] }))

  test('bodies whose master key is lost', () =>
    tryFault(patient, {
      name: '',
      break: `insert into darkroom.request_logs (id, created_at, level, user_id) values ('${log}', now(), 'info', '${user}'); insert into darkroom.request_payloads (log_id, user_id, key_id, data_key, payload) values ('${log}', '${user}', 'older', '\\x00', '\\x00')`,
      env,
      named: [['sealing.unknown-key darkroom.request_payloads', /the master key older/]],
      mend: 'delete from darkroom.request_logs',
      only: ['sealing'],
    }))

  test('nothing is wrong with what the master key opens, whichever of several', async () => {
    for (const key of [known, lost]) {
      await patient.sql(insertKey(createSealer([key]).seal(secret, 'x')))
      const report = await patient.examine({ STORAGE_MASTER_KEY: `new:${known.toString('base64')},old:${lost.toString('base64')}` }, { only: ['sealing'] })
      await patient.sql(mend)
      assert.deepEqual(findingsOf(report), [], shorten(report))
    }
  })
})

describe('Redis', { skip: noRedis }, () => {
  let patient: Patient
  let redis: TestRedis
  before(async () => {
    patient = await startPatient()
    redis = await startRedis()
  })
  after(async () => {
    await redis.close()
    await patient.close()
  })
  const look = async (url = redis.url) => await patient.examine({ REDIS_URL: url }, { only: ['redis'] })

  test('that is well has nothing to be told, and nothing is left in it', async () => {
    const report = await look()
    assert.deepEqual([report.ok, findingsOf(report)], [true, []], shorten(report))
    assert.match(report.checks.at(-1)!.facts.join(), /answers in [\d.]+ ms,version \d+\.\d+\.\d+, noeviction/)
    const client = new Redis(redis.url)
    assert.equal(await client.dbsize(), 0)
    client.disconnect()
  })

  test('that forgets when it is full', async () => {
    const client = new Redis(redis.url)
    await client.config('SET', 'maxmemory', '100mb', 'maxmemory-policy', 'allkeys-lru')
    const report = await look()
    await client.config('SET', 'maxmemory', '0', 'maxmemory-policy', 'noeviction')
    client.disconnect()
    assert.deepEqual(findingsOf(report).map(({ code, level }) => [code, level]), [['redis.evicts', 'warning']])
  })

  test('that only reads', async () => {
    const client = new Redis(redis.url)
    await client.replicaof('127.0.0.1', 1)
    const report = await look()
    await client.replicaof('NO', 'ONE')
    client.disconnect()
    assert.deepEqual(findingsOf(report).map(({ code }) => code), ['redis.read-only'], shorten(report))
  })

  test('that nobody answers for, and one that is no Redis', async () => {
    for (const url of ['redis://127.0.0.1:1', 'redis://:a-password-that-nobody-must-see@127.0.0.1:1', patient.supabase.url.replace('http', 'redis')]) {
      const report = await look(url)
      assert.deepEqual([report.ok, findingsOf(report).map(({ code }) => code)], [false, ['redis.unreachable']], shorten(report))
      assert.ok(!JSON.stringify(report).includes('nobody-must-see'))
    }
  })

  test('that does not answer any more', async () => {
    const melt = redis.freeze()
    const report = await look()
    melt()
    assert.equal(report.ok, false)
    assert.equal(report.checks.at(-1)!.name, 'redis')
  })
})
