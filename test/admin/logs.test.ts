import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { makeMasterKey, runAdmin, writeLogRows } from '../support/audit.ts'
import { signUp, sql, type TestUser } from '../support/supabase.ts'

const [oldKey, newKey] = [makeMasterKey('old'), makeMasterKey('new')]

describe('npm run admin -- logs', () => {
  let user: TestUser
  before(async () => {
    user = await signUp()
    await writeLogRows(user, 3, newKey)
    await writeLogRows(user, 1, oldKey)
    await sql(`insert into darkroom.request_logs (id, created_at, level, event, user_id) values (gen_random_uuid(), now(), 'security', 'aside', $1), (gen_random_uuid(), now() - interval '3 days', 'info', null, $1)`, [user.id])
  })
  const logs = (...args: string[]) => runAdmin(['logs', '--user', user.id, ...args], { STORAGE_MASTER_KEY: newKey.setting })

  test('prints rows of a user, of a time, of a level, so many', async () => {
    const [day, week, security, two, future] = await Promise.all([logs(), logs('--since', '7d'), logs('--level', 'security'), logs('--limit', '2'), logs('--since', '2100-01-01')])
    assert.deepEqual([day, week, security, two, future].map(({ code, lines }) => [code, lines.length]), [[0, 5], [0, 6], [0, 1], [0, 2], [0, 0]])
    const times = week.lines.map(({ created_at: at }) => String(at))
    assert.deepEqual(times, times.toSorted())
    assert.deepEqual(security.lines.map(({ event, user_id: id }) => [event, id]), [['aside', user.id]])
    assert.ok(!day.output.includes('A cat') && day.lines.every((row) => !('payload' in row) && !('data_key' in row)))
    assert.equal(day.lines.filter(({ keyId }) => keyId === 'new').length, 3)
  })

  test('prints what was sent, where a key opens it', async () => {
    const { lines } = await logs('--decrypt')
    assert.deepEqual(lines.flatMap(({ payload }) => (payload ? [payload] : [])), [0, 1, 2].map((index) => ({ body: { prompt: `A cat, take ${index}` } })))
    assert.deepEqual(lines.flatMap(({ payloadError }) => (payloadError ? [payloadError] : [])), ['There is no master key old.'])
  })

  test('refuses what it cannot understand', async () => {
    const runs = await Promise.all([logs('--since', 'yesterday'), logs('--level', 'loud'), logs('--limit', '0'), runAdmin(['logs', '--user', 'me']), runAdmin(['logs', '--decrypt'])])
    assert.deepEqual(runs.map(({ code }) => code), [2, 2, 2, 2, 2])
    for (const [index, word] of ['--since', '--level', '--limit', 'no user id', 'STORAGE_MASTER_KEY'].entries()) assert.ok(runs[index]!.errors.includes(word))
  })
})
