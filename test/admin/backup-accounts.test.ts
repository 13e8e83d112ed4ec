/** What a backup holds beside the work itself: balances and why, limits, keys, the audit log, files that several rows show. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { backUp } from '../../src/backup/back-up.ts'
import { restore, type RestoreOptions, type RestoreReport } from '../../src/backup/restore.ts'
import { askAs, makeKey, type TestKey } from '../support/api-keys.ts'
import { makeMasterKey, runAdmin } from '../support/audit.ts'
import { allFiles, allRows, emptyProject, listOf, makeWork, project, projectWithWork, type Rows } from '../support/backups.ts'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { sql, storedFiles, type TestUser } from '../support/supabase.ts'

const GIB = 2 ** 30
const masterKey = makeMasterKey('only')
const env = { STORAGE_MASTER_KEY: masterKey.setting }
/** Answers from before are given again. */
const REUSE = { 'cache-control': 'max-age=3600' }

let root: string
before(async () => {
  root = await mkdtemp('/var/tmp/darkroom-accounts-')
})
after(() => rm(root, { recursive: true, force: true }))

let count = 0
const newDirectory = () => path.join(root, String(count++))
const bringBack = (directory: string, more: Partial<RestoreOptions> = {}): Promise<RestoreReport> => restore({ project, directory, skipUnknownUsers: false, ...more })

interface Usage {
  storage: { bytes: number; reservedBytes: number; quotaBytes: number }
  spending: { costMicros: number; budgetMicros: number }
}
const usageOf = async (service: TestService, user: TestUser) => (await (await service.request('/api/usage', { user })).json()) as Usage

/** Accounts whose balances are other than what the ledger adds up to. */
const wrongBalances = () =>
  sql(`
    select account.user_id from darkroom.accounts account left join public.usage_ledger ledger using (user_id) group by account.user_id
    having (used_bytes, reserved_bytes, reserved_micros) is distinct from (coalesce(sum(bytes) filter (where entry in ('store', 'free')), 0),
      coalesce(sum(bytes) filter (where entry in ('reserve', 'release')), 0), coalesce(sum(cost_micros) filter (where entry in ('reserve', 'release')), 0))
    union
    select user_id from darkroom.spending full join (
      select user_id, date_trunc('month', created_at at time zone 'utc')::date as month, sum(cost_micros) as paid from public.usage_ledger where entry = 'charge' and cost_micros > 0 group by 1, 2
    ) as charges using (user_id, month) where micros is distinct from paid`)

/** As on a disk that was lost: the numbers begin anew. */
async function emptyWhole(): Promise<void> {
  await emptyProject()
  await sql('alter sequence public.usage_ledger_id_seq restart')
}

describe('a project with all that there is', () => {
  let user: TestUser
  let key: TestKey
  let directory: string
  let rows: Rows
  let files: Awaited<ReturnType<typeof allFiles>>
  let usage: Awaited<ReturnType<typeof usageOf>>
  before(async () => {
    await emptyProject()
    const service = await startTestService({ env })
    user = await makeWork(service)
    key = await makeKey(service.url, user)
    // One that names the other that took its place.
    assert.equal((await askAs(user, service.url, 'POST', `/api/keys/${(await makeKey(service.url, user)).id}/rotate`, { overlapMinutes: 60 })).status, 201)
    const token = await fetch(`${service.url}/oauth/token`, { method: 'POST', headers: { authorization: `Basic ${btoa(`${key.id}:${key.key}`)}`, 'content-type': 'application/x-www-form-urlencoded' }, body: 'grant_type=client_credentials' })
    assert.equal(token.status, 200)
    for (const args of [['quota', user.id, '5GiB'], ['budget', user.id, '20']]) assert.equal((await runAdmin(args)).code, 0)
    // The same file again, and one that is gone.
    const again = await service.generate(user, { prompt: 'A mill' }, REUSE)
    assert.equal(((await again.json()) as { cached: boolean }).cached, false)
    assert.equal(((await (await service.generate(user, { prompt: 'A mill' }, REUSE)).json()) as { cached: boolean }).cached, true)
    await service.generate(user, { prompt: 'Gone' })
    assert.equal((await user.client.from('prompts').delete().eq('prompt', 'Gone')).error, null)
    await eventually(async () => (await sql('select from darkroom.file_deletions')).length === 0, 'its files are removed')
    usage = await usageOf(service, user)
    await service.close()
    directory = newDirectory()
    await backUp({ project, directory, withFiles: true })
    ;[rows, files] = [await allRows(), await allFiles()]
  })
  beforeEach(emptyWhole)

  test('comes back with balances that agree with the ledger, which goes on behind its last entry', async () => {
    for (const name of ['public.usage_ledger', 'darkroom.accounts', 'darkroom.spending', 'darkroom.api_keys', 'darkroom.signing_keys', 'darkroom.request_logs', 'darkroom.request_payloads']) assert.ok(rows[name]!.length > 0, name)
    await bringBack(directory, { keepKeys: true })
    assert.deepEqual(await allRows(), rows)
    assert.deepEqual(await wrongBalances(), [])
    assert.deepEqual([usage.storage.quotaBytes, usage.spending.budgetMicros, usage.storage.reservedBytes], [5 * GIB, 20_000_000, 0])
    const service = await startTestService({ env })
    assert.deepEqual(await usageOf(service, user), usage)
    const last = Math.max(...rows['public.usage_ledger']!.map(({ id }) => id as number))
    assert.equal((await service.generate(user, { prompt: 'One more' })).status, 200)
    await service.close()
    const added = (await allRows())['public.usage_ledger']!.filter(({ id }) => (id as number) > last)
    assert.deepEqual(added.map(({ entry }) => entry as string).toSorted(), ['charge', 'release', 'reserve', 'store'])
    assert.deepEqual(await wrongBalances(), [])
  })

  test('a second time changes nothing', async () => {
    await bringBack(directory, { keepKeys: true })
    const { rows: told, files: stored } = await bringBack(directory)
    assert.equal(told.revokedKeys, 0)
    for (const { name, inserted, differs, skipped } of told.tables) assert.deepEqual({ name, inserted, differs, skipped }, { name, inserted: 0, differs: 0, skipped: 0 })
    assert.equal(stored.uploaded, 0)
    assert.deepEqual([await allRows(), await allFiles()], [rows, files])
  })

  test('a file that several rows show is kept once, and stays until the last of them is gone', async () => {
    const shown = await sql<{ storage_path: string }>('select storage_path from public.images group by 1 having count(*) > 1')
    assert.deepEqual(shown, [])
    const listed = await listOf(directory)
    assert.equal(new Set(listed.map((entry) => entry.path)).size, listed.length)
    assert.equal(listed.length, Object.keys(files).length)
    await bringBack(directory)
    const [shared] = await sql<{ storage_path: string; file_size: string }>('select storage_path, file_size from public.images group by 1, 2 having count(*) > 1')
    const service = await startTestService({ env })
    const [first, second] = await sql<{ prompt_id: string }>('select prompt_id from public.images where storage_path = $1', [shared!.storage_path])
    await user.client.from('prompts').delete().eq('id', first!.prompt_id)
    assert.equal((await usageOf(service, user)).storage.bytes, usage.storage.bytes)
    await user.client.from('prompts').delete().eq('id', second!.prompt_id)
    assert.equal((await usageOf(service, user)).storage.bytes, usage.storage.bytes - Number(shared!.file_size))
    await eventually(async () => !(await storedFiles(user.id)).includes(shared!.storage_path), 'its file is removed')
    await service.close()
  })

  test('keys that are to be kept work as before, and what the audit log encrypted opens by its master key alone', async () => {
    await bringBack(directory, { keepKeys: true })
    const service = await startTestService({ env })
    const answer = await fetch(`${service.url}/api/generations`, { headers: { authorization: `Bearer ${key.key}` } })
    assert.equal(answer.status, 200)
    await service.close()
    const { lines } = await runAdmin(['logs', '--decrypt', '--user', user.id], env)
    assert.match(JSON.stringify(lines), /"prompt":"A mill"/)
    const names = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile() && entry.name.endsWith('.copy'))
    const text = (await Promise.all(names.map((entry) => readFile(path.join(entry.parentPath, entry.name), 'latin1')))).join('\n')
    const [{ signing } = { signing: Buffer.alloc(0) }] = await sql<{ signing: Buffer }>('select private_key as signing from darkroom.signing_keys')
    assert.ok(text.includes(signing.toString('hex')) && signing[0] === 1, 'it is sealed')
    for (const secret of [key.key, key.key.split('_').at(-1)!, masterKey.key.toString('base64'), masterKey.key.toString('hex')]) assert.ok(!text.includes(secret))
  })

  test('keys that are gone from the project come back revoked, once; those that are there stay as they are', async () => {
    const keys = () => sql<{ id: string; revoked: boolean }>('select id, revoked_at is not null as revoked from darkroom.api_keys order by id')
    await bringBack(directory, { keepKeys: true })
    const all = await keys()
    assert.deepEqual(all.map(({ revoked }) => revoked), [false, false, false])
    // One was revoked and then swept away since, another only revoked.
    const [other, left] = all.filter(({ id }) => id !== key.id)
    await sql('delete from darkroom.api_keys where id = $1', [key.id])
    await sql('update darkroom.api_keys set revoked_at = now() where id = $1', [other!.id])
    const { code, lines, errors } = await runAdmin(['restore', directory])
    assert.equal(code, 0, errors)
    assert.equal(lines[0]!.revokedKeys, 1)
    assert.deepEqual((lines[0]!.rows as Record<string, object>)['darkroom.api_keys'], { inserted: 1, same: 2, differs: 0, skipped: 0 })
    assert.match(errors, /^1 API key came back revoked: /m)
    assert.deepEqual(new Map((await keys()).map(({ id, revoked }) => [id, revoked])), new Map(all.map(({ id }) => [id, id !== left!.id])))
    const service = await startTestService({ env })
    assert.equal((await fetch(`${service.url}/api/generations`, { headers: { authorization: `Bearer ${key.key}` } })).status, 401)
    await service.close()
    const before = await allRows()
    const again = await runAdmin(['restore', directory, '--keep-keys'])
    assert.deepEqual([again.code, again.lines[0]!.revokedKeys, (again.lines[0]!.rows as Record<string, object>)['darkroom.api_keys']], [0, 0, { inserted: 0, same: 3, differs: 0, skipped: 0 }])
    assert.doesNotMatch(again.errors, /API key|differ/)
    assert.deepEqual((await allRows())['darkroom.api_keys'], before['darkroom.api_keys'])
    await emptyWhole()
    assert.equal((await runAdmin(['restore', directory, '--keep-keys'])).code, 0)
    assert.deepEqual(await allRows(), rows)
    await emptyWhole()
    assert.equal((await bringBack(directory)).rows.revokedKeys, 3)
  })

  test('users who were erased since stay so', async () => {
    await bringBack(directory)
    const erased = await runAdmin(['erase', user.id])
    assert.equal(erased.code, 0, erased.errors)
    const { code, lines, errors } = await runAdmin(['restore', directory])
    assert.equal(code, 0, errors)
    assert.deepEqual([lines[0]!.erasedUsers, lines[0]!.files], [1, { uploaded: 0, bytes: 0, there: 0, missing: 0 }])
    const { 'darkroom.erasures': erasures, 'darkroom.signing_keys': _keys, 'darkroom.request_logs': _logs, ...left } = await allRows()
    assert.deepEqual([erasures!.length, Object.values(left).flat()], [1, []])
    assert.deepEqual(await storedFiles(user.id), [])
  })

  test('into a project that counts from one as well, where that is told', async () => {
    const service = await startTestService({ env })
    const other = await makeWork(service)
    const theirs = await usageOf(service, other)
    const ledgerOf = (id: string) => sql('select entry, generation_id, index, path, bytes, cost_micros, created_at from public.usage_ledger where user_id = $1 order by 1, 2, 3, 4', [id])
    const before = await ledgerOf(other.id)
    await assert.rejects(bringBack(directory), { message: /not empty.*--merge/ })
    assert.deepEqual(await sql('select from public.prompts where user_id = $1', [user.id]), [])
    const { rows: told } = await bringBack(directory, { merge: true })
    const ledger = told.tables.find(({ name }) => name === 'public.usage_ledger')!
    assert.deepEqual([ledger.inserted, ledger.differs], [rows['public.usage_ledger']!.length, 0])
    assert.deepEqual([await usageOf(service, other), await usageOf(service, user)], [theirs, usage])
    assert.deepEqual([await ledgerOf(other.id), await wrongBalances()], [before, []])
    await service.close()
    assert.deepEqual((await bringBack(directory, { merge: true })).rows.tables.filter(({ inserted }) => inserted > 0), [])
  })
})

test('keys that no master key seals stay out of a backup; a service makes itself another', async () => {
  const user = await projectWithWork()
  const service = await startTestService()
  const key = await makeKey(service.url, user)
  const token = () => fetch(`${service.url}/oauth/token`, { method: 'POST', headers: { authorization: `Basic ${btoa(`${key.id}:${key.key}`)}`, 'content-type': 'application/x-www-form-urlencoded' }, body: 'grant_type=client_credentials' })
  assert.equal((await token()).status, 200)
  await service.close()
  const directory = newDirectory()
  await backUp({ project, directory, withFiles: false })
  await emptyProject()
  await bringBack(directory, { keepKeys: true })
  assert.deepEqual(await sql('select private_key from darkroom.signing_keys'), [{ private_key: null }])
  const next = await startTestService()
  const answer = await fetch(`${next.url}/oauth/token`, { method: 'POST', headers: { authorization: `Basic ${btoa(`${key.id}:${key.key}`)}`, 'content-type': 'application/x-www-form-urlencoded' }, body: 'grant_type=client_credentials' })
  assert.equal(answer.status, 200)
  const { access_token: bearer } = (await answer.json()) as { access_token: string }
  assert.equal((await fetch(`${next.url}/api/generations`, { headers: { authorization: `Bearer ${bearer}` } })).status, 200)
  await next.close()
})

test('what could not be finished gives back what was set aside for it', async () => {
  const user = await projectWithWork()
  const service = await startTestService()
  const release = service.simulator.videos.hold('running')
  const answer = await service.generateVideo(user, { prompt: 'Never done', duration: '2' }, { prefer: 'respond-async' })
  const { id } = (await answer.json()) as { id: string }
  await eventually(async () => (await sql(`select from darkroom.submissions where generation_id = $1 and state = 'started'`, [id])).length > 0, 'it is under way')
  const directory = newDirectory()
  await backUp({ project, directory, withFiles: false })
  release()
  await service.close()
  const reserved = () => sql<{ reserved: boolean }>('select reserved_bytes > 0 as reserved from darkroom.accounts where user_id = $1', [user.id])
  await emptyWhole()
  const { rows } = await bringBack(directory)
  assert.deepEqual([rows.closed, await reserved(), await wrongBalances()], [{ failed: 1, toBeStored: 0 }, [{ reserved: false }], []])
  assert.deepEqual((await bringBack(directory)).rows.tables.filter(({ inserted, differs }) => inserted + differs > 0), [])
})
