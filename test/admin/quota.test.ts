import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { runAdmin } from '../support/audit.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { signUp, type TestUser } from '../support/supabase.ts'

const GIB = 2 ** 30

describe('npm run admin -- quota, budget', () => {
  let service: TestService
  let user: TestUser
  before(async () => {
    service = await startTestService()
    user = await signUp()
  })
  after(() => service.close())

  const usage = async () => (await (await service.request('/api/usage', { user })).json()) as { storage: { quotaBytes: number }; spending: { budgetMicros: number | null } }

  for (const [text, bytes] of [['5GiB', 5 * GIB], ['0.5 gib', GIB / 2], ['500MB', 5e8], ['1073741825', GIB + 1], ['0', 0], ['default', GIB]] as const) {
    test(`a quota of ${text}`, async () => {
      const run = await runAdmin(['quota', user.id, text])
      assert.deepEqual([run.code, run.lines[0]?.quotaBytes], [0, bytes], run.errors)
      assert.equal((await usage()).storage.quotaBytes, bytes)
    })
  }

  test('a budget, which does not touch the quota, and its end', async () => {
    await runAdmin(['quota', user.id, '2GiB'])
    assert.deepEqual((await runAdmin(['budget', user.id, '12.50'])).lines[0]?.budgetMicros, 12_500_000)
    const set = await usage()
    assert.deepEqual([set.spending.budgetMicros, set.storage.quotaBytes], [12_500_000, 2 * GIB])
    await runAdmin(['budget', user.id, 'default'])
    assert.equal((await usage()).spending.budgetMicros, null)
  })

  test('what cannot be is told, and changes nothing', async () => {
    const before = await usage()
    for (const [args, code, words] of [
      [['quota', user.id, 'plenty'], 2, /no size/],
      [['quota', user.id, '-1'], 2, /no size|Unknown option/],
      [['quota', user.id, '5PiB'], 2, /no size/],
      [['quota', user.id, '9999999TiB'], 2, /no size/],
      [['quota', 'somebody', '5GiB'], 2, /no user id/],
      [['quota', user.id], 2, /needs <user> <size>/],
      [['budget', user.id, '1e3'], 2, /no amount/],
      [['quota', randomUUID(), '5GiB'], 1, /There is no user/],
    ] as const) {
      const run = await runAdmin([...args])
      assert.equal(run.code, code, `${args.join(' ')}: ${run.errors}`)
      assert.match(run.errors, words)
    }
    assert.deepEqual(await usage(), before)
  })
})
