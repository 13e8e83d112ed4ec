/** The queue of the audit log before a real database, which may be away, slow, or choosy. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { createAudit, type Audit, type AuditOptions } from '../../src/audit/audit.ts'
import type { AuditStore } from '../../src/audit/audit-row.ts'
import { createEnvelope } from '../../src/audit/envelope.ts'
import { createLogger } from '../../src/log.ts'
import { createDatabase, type Database } from '../../src/supabase/database.ts'
import { createRequestLogs } from '../../src/supabase/request-logs.ts'
import { logRows, makeMasterKey, payloadOf } from '../support/audit.ts'
import { startLine, type Line } from '../support/outage.ts'
import { eventually, type LogLine } from '../support/service.ts'
import { signUp, sql, supabase } from '../support/supabase.ts'

const key = makeMasterKey('test')

describe('the audit log', () => {
  let line: Line
  let database: Database
  const log: LogLine[] = []
  const logger = createLogger({ level: 'debug', destination: { write: (text: string) => void log.push(JSON.parse(text) as LogLine) } })
  before(async () => {
    line = await startLine(supabase.databaseUrl)
    database = createDatabase({ url: supabase.databaseUrl.replace(/:\d+\/postgres$/, `:${line.port}/postgres`), poolSize: 2, logger })
  })
  after(async () => {
    line.restore()
    await database.close()
    await line.close()
  })

  const create = (options: Partial<AuditOptions> = {}): Audit =>
    createAudit({ store: createRequestLogs(database), logger, masterKeys: [key], maxPayloadBytes: 16_384, queue: 1000, queueBytes: 1_000_000, securityPerMinute: 1000, flushMs: 10, ...options })
  const requestIds = async (prefix: string): Promise<unknown[]> => (await logRows('request_id like $1', `${prefix}%`)).map(({ request_id: id }) => id)
  const payload = (text: string) => () => Buffer.from(text)

  test('writes whatever waits when it stops, and takes nothing later', async () => {
    const audit = create({ flushMs: 60_000 })
    for (let index = 0; index < 250; index++) audit.record(() => ({ requestId: `stop-${index}`, status: 200 }))
    assert.deepEqual(audit.stats(), { written: 0, dropped: 0, payloadsDropped: 0, security: {}, omitted: 0, queued: 250 })
    await audit.stop()
    assert.deepEqual(audit.stats(), { written: 250, dropped: 0, payloadsDropped: 0, security: {}, omitted: 0, queued: 0 })
    assert.equal((await requestIds('stop-')).length, 250)
    audit.record(() => ({ requestId: 'stop-late' }))
    assert.equal(audit.stats().dropped, 1)
  })

  test('a call that cannot be described costs its row and nothing else', async () => {
    const audit = create()
    audit.record(() => {
      throw new Error('unforeseen')
    })
    assert.deepEqual([audit.stats().dropped, audit.stats().queued], [1, 0])
    await audit.stop()
  })

  test('keeps rows while the database is away, drops what is too much, tells so once, and goes on', async () => {
    const audit = create({ queue: 20 })
    const from = log.length
    line.cut()
    for (let index = 0; index < 50; index++) audit.record(() => ({ requestId: `away-${index}`, status: 200 }))
    audit.security('aside', { reason: 'still has room' })
    assert.deepEqual([audit.stats().queued, audit.stats().dropped], [19, 32])
    await eventually(async () => log.slice(from).some(({ msg }) => msg === 'the audit log cannot be written and is tried again'), 'it was tried')
    assert.equal(audit.stats().written, 0)
    line.restore()
    await eventually(async () => audit.stats().queued === 0, 'it is written')
    assert.deepEqual([audit.stats().written, audit.stats().dropped], [19, 32])
    assert.deepEqual(await requestIds('away-'), Array.from({ length: 18 }, (_, index) => `away-${index}`))
    audit.record(() => ({ requestId: 'away-after', status: 200 }))
    await audit.stop()
    assert.equal((await requestIds('away-')).length, 19)
    const told = log.slice(from).filter(({ msg }) => msg === 'rows of the audit log were dropped')
    assert.deepEqual(told.map(({ dropped }) => dropped), [1, 32], 'at the first, and at the end')
  })

  test('stops in time though the database is away', async () => {
    const audit = create()
    line.cut()
    for (let index = 0; index < 5; index++) audit.record(() => ({ requestId: `gone-${index}`, status: 200 }))
    await audit.stop(200)
    line.restore()
    assert.deepEqual([audit.stats().dropped, audit.stats().queued], [5, 0])
  })

  test('an answer that is lost on its way is not written twice', async () => {
    const audit = create({ store: loseFirstAnswer(createRequestLogs(database)) })
    const user = await signUp()
    for (let index = 0; index < 3; index++) audit.record(() => ({ requestId: `twice-${index}`, userId: user.id, payload: payload('{}') }))
    await eventually(async () => audit.stats().queued === 0, 'it is written')
    assert.deepEqual(await requestIds('twice-'), ['twice-0', 'twice-1', 'twice-2'])
    assert.deepEqual([audit.stats().written, audit.stats().dropped], [3, 0])
    await audit.stop()
  })

  test('payloads that are too large together are left out, and their rows are not', async () => {
    const audit = create({ queueBytes: 25, flushMs: 60_000 })
    const user = await signUp()
    for (let index = 0; index < 4; index++) audit.record(() => ({ requestId: `large-${index}`, userId: user.id, payload: payload('"0123456789"') }))
    assert.equal(audit.stats().payloadsDropped, 2)
    await audit.stop()
    const rows = await logRows(`request_id like 'large-%'`)
    const kept = await Promise.all(rows.map(({ id }) => payloadOf(id)))
    assert.deepEqual(kept.map((found) => found !== undefined), [true, true, false, false])
    const [row, sealed] = [rows[0]!, kept[0]!]
    assert.equal(createEnvelope([key]).open(row.id, { keyId: sealed.key_id, dataKey: sealed.data_key, payload: sealed.payload }).toString(), '"0123456789"')
  })

  test('one row that the database does not take costs no other, however it is made', async () => {
    const audit = create({ flushMs: 60_000 })
    const strange = ['\0', '\ud800', '☃'.repeat(100)]
    for (let index = 0; index < 9; index++) {
      audit.record(() => ({ requestId: `odd-${index}`, status: index === 4 ? 99_999_999_999 : 200, ip: ['::ffff:10.0.0.1', 'fe80::1%eth0', 'nonsense', ''][index % 4], route: strange[index % 3], reason: strange[index % 3] }))
    }
    await audit.stop()
    const rows = await logRows(`request_id like 'odd-%'`)
    assert.equal(rows.length, 8)
    const ipOf = (id: string) => rows.find(({ request_id: of }) => of === id)!.ip
    assert.deepEqual(['odd-0', 'odd-1', 'odd-2', 'odd-3'].map(ipOf), ['10.0.0.1', 'fe80::1', null, null])
    assert.deepEqual([audit.stats().written, audit.stats().dropped], [8, 1])
  })

  test('of an account that is gone, or goes, nothing is kept that was sent', async () => {
    const user = await signUp()
    const audit = create({ flushMs: 60_000 })
    audit.record(() => ({ requestId: `account-0`, userId: user.id, payload: payload('{}') }))
    audit.record(() => ({ requestId: `account-1`, userId: randomUUID(), payload: payload('{}') }))
    audit.record(() => ({ requestId: `account-2`, payload: payload('{}') }))
    await audit.stop()
    const rows = await logRows(`request_id like 'account-%'`)
    const kept = async () => await Promise.all(rows.map(async ({ id }) => (await payloadOf(id)) !== undefined))
    assert.deepEqual(await kept(), [true, false, false])
    await sql('delete from auth.users where id = $1', [user.id])
    assert.deepEqual(await kept(), [false, false, false])
    assert.equal((await logRows('user_id = $1', user.id)).length, 1, 'that there was a call stays known')
  })

  test('a call from before its user was erased gets no row', async () => {
    const [now, earlier, other] = [randomUUID(), randomUUID(), randomUUID()]
    const audit = create({ flushMs: 60_000 })
    for (const [requestId, userId] of Object.entries({ now, earlier, other })) audit.record(() => ({ requestId: `erased-${requestId}`, userId }))
    await sql(`insert into darkroom.erasures (user_id, erased_at) values ($1, clock_timestamp()), ($2, clock_timestamp() - interval '1 minute')`, [now, earlier])
    await audit.stop()
    assert.deepEqual(await requestIds('erased-'), ['erased-earlier', 'erased-other'])
  })

  test('a flood of security events is counted, each kind by itself', async () => {
    const audit = create({ securityPerMinute: 5 })
    const suffix = randomUUID()
    const [flood, rare] = [`flood ${suffix}`, `rare ${suffix}`]
    for (let index = 0; index < 100; index++) audit.security(flood, { ip: '10.0.0.1', reason: 'no' })
    audit.security(rare)
    assert.deepEqual([audit.stats().security, audit.stats().omitted, audit.stats().queued], [{ [flood]: 100, [rare]: 1 }, 95, 6])
    await audit.stop()
    const rows = await logRows('event = any($1)', [flood, rare])
    const told = (event: string) => rows.filter((row) => row.event === event).map(({ omitted, level }) => [omitted, level])
    assert.deepEqual(told(flood), [...Array.from({ length: 5 }, () => [null, 'security']), [95, 'security']])
    assert.deepEqual(told(rare), [[null, 'security']])
  })

  test('so is a flood of refusals, of strangers together and of each user alone; answers are not', async () => {
    const audit = create({ securityPerMinute: 2 })
    const [userId, other] = [randomUUID(), randomUUID()]
    for (let index = 0; index < 5; index++) {
      audit.record(() => ({ requestId: `stranger-${index}`, status: 404, errorCode: 'not_found' }))
      audit.record(() => ({ requestId: `guest-${index}`, status: 200 }))
      audit.record(() => ({ requestId: `known-${index}`, status: 404, errorCode: 'not_found', userId }))
      audit.record(() => ({ requestId: `served-${index}`, status: 200, userId }))
    }
    audit.record(() => ({ requestId: 'other-0', status: 404, errorCode: 'not_found', userId: other }))
    await audit.stop()
    assert.deepEqual((await Promise.all(['stranger-', 'guest-', 'known-', 'served-', 'other-'].map(requestIds))).map(({ length }) => length), [2, 5, 2, 5, 1])
    assert.equal(audit.stats().omitted, 6)
    assert.deepEqual((await logRows('user_id = $1 and omitted is not null', userId)).map(({ omitted, status }) => [omitted, status]), [[3, 404]])
  })

  test('every minute begins anew, and tells what the last one left out', async () => {
    const audit = create({ securityPerMinute: 1, minuteMs: 50 })
    const event = `minute ${randomUUID()}`
    for (let index = 0; index < 3; index++) audit.security(event)
    await eventually(async () => (await logRows('event = $1 and omitted = 2', event)).length === 1, 'the count is written')
    audit.security(event)
    await audit.stop()
    assert.deepEqual((await logRows('event = $1', event)).map(({ omitted }) => omitted), [null, 2, null])
  })

  test('secrets in what others say of a call are removed', async () => {
    const audit = create({ flushMs: 60_000 })
    const event = `secret ${randomUUID()}`
    audit.security(event, { requestId: 'sb_secret_N7UND0UgjKTVK-Uodkm0Hg', reason: 'signed with sk-abcdefghijklmnop1234' })
    await audit.stop()
    assert.deepEqual((await logRows('event = $1', event)).map(({ request_id: id, reason }) => [id, reason]), [['[removed]', 'signed with [removed]']])
  })
})

function loseFirstAnswer(store: AuditStore): AuditStore {
  let isFirst = true
  return {
    async insert(rows) {
      const written = await store.insert(rows)
      if (!isFirst) return written
      isFirst = false
      throw new Error('the answer was lost')
    },
  }
}
