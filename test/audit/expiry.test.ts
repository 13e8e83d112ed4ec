/** How long the audit log is kept. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import { eventually, startTestService } from '../support/service.ts'
import { signUp, sql } from '../support/supabase.ts'

describe('old rows of the audit log', () => {
  test('are deleted by a scheduled job, payloads too, however many they are', async () => {
    const service = await startTestService({ env: { AUDIT_RETENTION_DAYS: '7' } })
    const user = await signUp()
    try {
      await sql(
        `insert into darkroom.request_logs (id, created_at, level, user_id, request_id)
         select gen_random_uuid(), now() - make_interval(days => case when number <= 2500 then 8 else 6 end), 'info', $1, 'old-' || number from generate_series(1, 2600) as number`,
        [user.id],
      )
      await sql(`insert into darkroom.request_payloads (log_id, user_id, key_id, data_key, payload) select id, user_id, 'k', '\\x00', '\\x00' from darkroom.request_logs where user_id = $1 and request_id in ('old-1', 'old-2600')`, [user.id])
      const erased = randomUUID()
      await sql(`insert into darkroom.erasures (user_id, erased_at) values ($1, now() - interval '8 days')`, [erased])
      assert.equal((await sql(`select from pgboss.schedule where name = 'log-expiry'`)).length, 1)
      await sql(`insert into pgboss.job (name, data, singleton_key) values ('log-expiry', '{}', 'now')`)
      const count = async () => (await sql<{ count: number }>('select count(*)::integer as count from darkroom.request_logs where user_id = $1', [user.id]))[0]!.count
      await eventually(async () => (await count()) === 100, 'they are deleted')
      assert.equal((await sql('select from darkroom.request_payloads where user_id = $1', [user.id])).length, 1)
      assert.equal((await sql('select from darkroom.erasures where user_id = $1', [erased])).length, 1, 'an older backup must not bring them back')
    } finally {
      await service.close()
    }
  })
})
