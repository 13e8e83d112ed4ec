/** What is kept of keys: in rows, in logs, in a process whose database is away. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { runAdmin } from '../support/audit.ts'
import { makeKey, sendRaw, sha256, sign, signingKeyOf } from '../support/api-keys.ts'
import { startLine } from '../support/outage.ts'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, supabase } from '../support/supabase.ts'

const MASTER_KEY = Buffer.alloc(32, 7).toString('base64')

describe('what is kept of API keys', () => {
  let service: TestService
  before(async () => {
    // What stands there unsealed is another test's.
    await sql('truncate darkroom.signing_keys')
    service = await startTestService({ env: { STORAGE_MASTER_KEY: MASTER_KEY } })
  })
  after(async () => {
    await service.close()
    await sql('truncate darkroom.signing_keys')
    await sql('delete from darkroom.api_keys')
  })

  const bearer = (key: string, url = service.url) => fetch(`${url}/api/models`, { headers: { authorization: `Bearer ${key}` } })

  test('neither rows nor logs hold a key, a signing key or any part of them', async () => {
    const owner = await signUp()
    const keys = [await makeKey(service.url, owner), await makeKey(service.url, owner, { signedOnly: true })]
    for (const key of keys) {
      await bearer(key.key)
      await bearer(`${key.key}x`)
      await sendRaw(service.url, sign(key, { method: 'GET', target: '/api/models', headers: [] }))
      await fetch(`${service.url}/oauth/token`, { method: 'POST', body: new URLSearchParams({ grant_type: 'client_credentials', client_id: key.id, client_secret: key.key }) })
      await fetch(`${service.url}/api/keys/${key.key}?key=${key.key}`, { headers: { authorization: `Bearer ${key.key}` } })
    }
    const tables = await sql<{ name: string }>(`select quote_ident(schemaname) || '.' || quote_ident(tablename) as name from pg_tables where schemaname in ('darkroom', 'public', 'pgboss')`)
    const dump = (await Promise.all(tables.map(async ({ name }) => await sql(`select to_jsonb(t)::text as row from ${name} t`)))).flat()
    const everything = [JSON.stringify(dump), JSON.stringify(service.log)]
    assert.ok(everything[0]!.includes(sha256(keys[0]!.key)), 'the dump holds the hash')
    for (const { key } of keys) {
      const derived = signingKeyOf(key)
      for (const text of everything) for (const secret of [key, key.slice(21, 64), derived.toString('hex'), derived.toString('base64')]) assert.ok(!text.includes(secret))
    }
    const privateKeys = await sql<{ bytes: Buffer }>('select private_key as bytes from darkroom.signing_keys where private_key is not null')
    assert.ok(privateKeys.length > 0 && privateKeys.every(({ bytes }) => bytes[0] === 1), 'OAuth signs with sealed keys')
  })

  test('a database that is away is a 503, not a 401', async () => {
    const line = await startLine(supabase.databaseUrl)
    const far = await startTestService({ env: { DATABASE_URL: supabase.databaseUrl.replace(/:\d+\//, `:${line.port}/`) } })
    try {
      const key = await makeKey(far.url, await signUp())
      line.cut()
      assert.equal((await bearer(key.key, far.url)).status, 503)
      assert.equal((await sendRaw(far.url, sign(key, { method: 'GET', target: '/api/models', headers: [] }))).status, 503)
      line.restore()
      await eventually(async () => (await bearer(key.key, far.url)).status === 200, 'it is there again')
    } finally {
      await far.close()
      await line.close()
    }
  })

  test('what was written without a master key, or by the one before, is sealed anew when the operator says so', async () => {
    const plain = await startTestService()
    const key = await makeKey(plain.url, await signUp())
    const get = () => sign(key, { method: 'GET', target: '/api/models', headers: [] })
    const sealedBy = async () => (await sql<{ first: number }>('select get_byte(signing_key, 0) as first from darkroom.api_keys where id = $1', [key.id]))[0]!.first
    const next = Buffer.alloc(32, 9).toString('base64')
    const started: TestService[] = [plain]
    try {
      assert.deepEqual([await sealedBy(), (await sendRaw(plain.url, get())).status], [0, 200])
      started.push(await startTestService({ env: { STORAGE_MASTER_KEY: MASTER_KEY } }))
      // Not at its start: other processes do not know the key yet.
      assert.deepEqual([await sealedBy(), (await sendRaw(started[1]!.url, get())).status, (await sendRaw(plain.url, get())).status], [0, 200, 200])
      const rekey = async (keys: string) => {
        const run = await runAdmin(['rekey'], { STORAGE_MASTER_KEY: keys })
        assert.ok(Number(run.lines[0]?.resealed) >= 1, run.errors)
      }
      await rekey(MASTER_KEY)
      assert.deepEqual([await sealedBy(), (await sendRaw(started[1]!.url, get())).status], [1, 200])
      started.push(await startTestService({ env: { STORAGE_MASTER_KEY: `${next},${MASTER_KEY}` } }))
      await rekey(`${next},${MASTER_KEY}`)
      started.push(await startTestService({ env: { STORAGE_MASTER_KEY: next } }))
      assert.equal((await sendRaw(started[3]!.url, get())).status, 200, 'the old master key is needed no more')
      const blind = await eventually(async () => ((answer) => answer.status === 503 && answer)(await sendRaw(plain.url, get())), 'a process without the master key says what it lacks')
      assert.equal(blind.body.code, 'not_configured')
      assert.equal((await bearer(key.key, plain.url)).status, 200, 'bearer keys need none')
      // Nor is OAuth at an end where what signs its tokens cannot be opened: each process signs with what it can open, and all know all.
      const tokenOf = async (url: string) => {
        const response = await fetch(`${url}/oauth/token`, { method: 'POST', body: new URLSearchParams({ grant_type: 'client_credentials', client_id: key.id, client_secret: key.key }) })
        assert.equal(response.status, 200, await response.clone().text())
        return ((await response.json()) as { access_token: string }).access_token
      }
      const keysBefore = (await sql('select from darkroom.signing_keys')).length
      const tokens = await Promise.all([started[3]!.url, plain.url, plain.url, plain.url].map(tokenOf))
      const more = (await sql('select from darkroom.signing_keys')).length - keysBefore
      assert.ok(more >= 1 && more <= 2, 'one for each process that could open none')
      // A process looks for keys that it does not know once a second.
      for (const token of tokens) for (const { url } of [plain, started[3]!]) await eventually(async () => (await bearer(token, url)).status === 200, 'every process takes it')
    } finally {
      for (const one of started) await one.close()
    }
  })
})
