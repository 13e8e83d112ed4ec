import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { createEnvelope } from '../../src/audit/envelope.ts'
import { createSealer } from '../../src/keys/sealing.ts'
import { makeMasterKey, payloadOf, runAdmin, startAdmin, writeLogRows } from '../support/audit.ts'
import { startKillingProxy } from '../support/killing-proxy.ts'
import { signUp, sql, supabase, type TestUser } from '../support/supabase.ts'

const [oldKey, newKey] = [makeMasterKey('old'), makeMasterKey('new')]

const keysOf = async (user: TestUser): Promise<Record<string, number>> => Object.fromEntries((await sql<{ key_id: string; count: number }>('select key_id, count(*)::integer as count from darkroom.request_payloads where user_id = $1 group by 1 order by 1', [user.id])).map(({ key_id: id, count }) => [id, count]))
/** What other tests encrypted under keys of their own. */
const forgetPayloads = () => sql('delete from darkroom.request_payloads; delete from darkroom.api_keys; delete from darkroom.signing_keys')

describe('npm run admin -- rekey', () => {
  let user: TestUser
  before(async () => {
    user = await signUp()
  })

  test('wraps every key anew, leaves payloads alone, and finds nothing left the second time', async () => {
    await forgetPayloads()
    const [id] = (await writeLogRows(user, 20, oldKey)) as [string]
    const before = (await payloadOf(id))!
    const run = await runAdmin(['rekey'], { STORAGE_MASTER_KEY: `${newKey.setting},${oldKey.setting}` })
    assert.deepEqual([run.code, run.lines], [0, [{ keyId: 'new', rewrapped: 20, broken: 0, unknownKeys: {}, resealed: 0, unreadable: 0 }]], run.errors)
    const row = (await payloadOf(id))!
    assert.ok(row.payload.equals(before.payload) && !row.data_key.equals(before.data_key))
    assert.equal(createEnvelope([newKey]).open(id, { keyId: row.key_id, dataKey: row.data_key, payload: row.payload }).toString(), '{"body":{"prompt":"A cat, take 0"}}')
    assert.deepEqual((await runAdmin(['rekey'], { STORAGE_MASTER_KEY: newKey.setting })).lines, [{ keyId: 'new', rewrapped: 0, broken: 0, unknownKeys: {}, resealed: 0, unreadable: 0 }])
  })

  test('that is killed goes on from there, and both keys are read meanwhile', async () => {
    await forgetPayloads()
    const ids = await writeLogRows(user, 700, oldKey)
    const proxy = await startKillingProxy(supabase.databaseUrl)
    const through = supabase.databaseUrl.replace(/:\d+\/postgres$/, `:${proxy.port}/postgres`)
    const keys = { STORAGE_MASTER_KEY: `${newKey.setting},${oldKey.setting}` }
    const { child, done } = startAdmin(['rekey'], { ...keys, DATABASE_URL: through })
    await proxy.arm('update darkroom.request_payloads', 'after', () => child.kill('SIGKILL'))
    await done
    await proxy.quiet()
    await proxy.close()
    assert.deepEqual(await keysOf(user), { new: 500, old: 200 })
    const read = await runAdmin(['logs', '--user', user.id, '--decrypt'], keys)
    assert.equal(read.lines.filter(({ id, payload }) => ids.includes(String(id)) && payload !== undefined).length, 700)
    const again = await runAdmin(['rekey'], keys)
    assert.deepEqual(again.lines, [{ keyId: 'new', rewrapped: 200, broken: 0, unknownKeys: {}, resealed: 0, unreadable: 0 }])
    assert.deepEqual(await keysOf(user), { new: 700 })
  })

  test('tells of rows that no key opens, and does the others', async () => {
    await forgetPayloads()
    await writeLogRows(user, 3, makeMasterKey('lost'))
    const [broken] = await writeLogRows(user, 2, oldKey)
    await sql('update darkroom.request_payloads set data_key = $2 where log_id = $1', [broken, Buffer.alloc(60)])
    const run = await runAdmin(['rekey'], { STORAGE_MASTER_KEY: `${newKey.setting},${oldKey.setting}` })
    assert.deepEqual([run.code, run.lines], [1, [{ keyId: 'new', rewrapped: 1, broken: 1, unknownKeys: { lost: 3 }, resealed: 0, unreadable: 0 }]])
    assert.match(run.errors, /4 rows could not be opened/)
    assert.equal((await runAdmin(['rekey'])).code, 2, 'without any key')
    await forgetPayloads()
  })

  test('seals what signs by the newest key too, and tells of what no key opens', async () => {
    await forgetPayloads()
    const insert = (id: string, sealed: Buffer) => sql(`insert into darkroom.api_keys (id, user_id, name, hash, signing_key, scopes) values ($1, $2, 'A server', $3, $4, '{images:read}')`, [id, user.id, Buffer.alloc(32), sealed])
    const secret = Buffer.alloc(32, 7)
    const [open, sealed, lost] = ['a', 'b', 'c'].map((letter) => letter.repeat(16)) as [string, string, string]
    await insert(open, createSealer([]).seal(secret, `api_keys/${open}`))
    await insert(sealed, createSealer([oldKey.key]).seal(secret, `api_keys/${sealed}`))
    await insert(lost, createSealer([makeMasterKey('lost').key]).seal(secret, `api_keys/${lost}`))
    const run = await runAdmin(['rekey'], { STORAGE_MASTER_KEY: `${newKey.setting},${oldKey.setting}` })
    assert.deepEqual([run.code, run.lines[0]?.resealed, run.lines[0]?.unreadable], [1, 2, 1], run.errors)
    const sealer = createSealer([newKey.key])
    for (const id of [open, sealed]) {
      const [row] = await sql<{ signing_key: Buffer }>('select signing_key from darkroom.api_keys where id = $1', [id])
      assert.ok(sealer.open(row!.signing_key, `api_keys/${id}`).equals(secret))
    }
    await forgetPayloads()
  })
})
