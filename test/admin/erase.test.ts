import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { makeKey } from '../support/api-keys.ts'
import { logRowOf, logRows, makeMasterKey, runAdmin } from '../support/audit.ts'
import { startLine } from '../support/outage.ts'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { deletionsAreDue, signUp, sql, storedFiles, supabase, type TestUser } from '../support/supabase.ts'

const key = makeMasterKey('first')

const ALL = ['darkroom.accounts', 'darkroom.api_keys', 'darkroom.idempotency_keys', 'darkroom.request_logs', 'darkroom.request_payloads', 'darkroom.spending', 'public.generations', 'public.images', 'public.prompts', 'public.usage_ledger', 'public.videos']

describe('npm run admin -- erase', () => {
  let service: TestService
  before(async () => {
    service = await startTestService({ env: { STORAGE_MASTER_KEY: key.setting, PROVIDER_TIMEOUT_SECONDS: '60' } })
  })
  after(() => service.close())

  /** Pictures, a video, a key of idempotency, calls that were refused. */
  async function live(user: TestUser): Promise<void> {
    const id = `erase-${user.id}`
    await makeKey(service.url, user)
    for (const prompt of ['A cat', 'A dog']) assert.equal((await service.generate(user, { prompt, n: 1 }, { 'idempotency-key': prompt.replace(' ', '-') })).status, 200)
    assert.equal((await service.generateVideo(user, { prompt: 'A bird' })).status, 200)
    assert.equal((await service.generate(user, { prompt: '' }, { 'x-request-id': id })).status, 400)
    await logRowOf(id)
  }

  /** In how many rows a user still stands, in whatever table, of ours or the queue's. */
  async function traces(user: TestUser): Promise<string[]> {
    const tables = await sql<{ name: string }>(`select format('%I.%I', table_schema, table_name) as name from information_schema.tables where table_schema in ('public', 'darkroom', 'pgboss') and table_type = 'BASE TABLE' and table_name not in ('erasures')`)
    const found: string[] = []
    for (const { name } of tables) if ((await sql(`select from ${name} as row where row::text like $1 limit 1`, [`%${user.id}%`])).length > 0) found.push(name)
    return found.toSorted()
  }

  test('removes rows, files and audit log of one user, tells what, and leaves others alone', async () => {
    const [gone, stays] = [await signUp(), await signUp()]
    await live(gone)
    await live(stays)
    const files = await storedFiles(stays.id)
    assert.deepEqual(await traces(gone), ALL)
    const run = await runAdmin(['erase', gone.id.toUpperCase()])
    assert.equal(run.code, 0, run.errors)
    const [told] = run.lines as [{ user: string; rows: Record<string, number>; files: object }]
    assert.deepEqual({ ...told }, { user: gone.id, rows: { prompts: 3, generations: 3, images: 2, videos: 1, usage_ledger: 12, accounts: 1, api_keys: 1, idempotency_keys: 2, request_logs: 5, request_payloads: 5, spending: 1 }, files: { found: 5, left: 0, lookedAtAgain: 0 } })
    assert.deepEqual(await traces(gone), [])
    assert.deepEqual(await storedFiles(gone.id), [])
    assert.deepEqual(await traces(stays), ALL)
    assert.deepEqual(await storedFiles(stays.id), files)
    assert.equal(files.length, 5)
    const again = await runAdmin(['erase', gone.id])
    assert.deepEqual([again.code, again.lines[0]?.rows, /no rows/.test(again.errors)], [0, {}, true])
  })

  test('of a user whose pictures are just being made leaves nothing once they are done', async () => {
    const user = await signUp()
    const asked = service.simulator.requests.length
    const release = service.simulator.hold()
    const answer = service.generate(user, { prompt: 'Too late' }, { 'x-request-id': `late-${user.id}` })
    await eventually(async () => service.simulator.requests.length > asked, 'the provider was asked')
    const run = await runAdmin(['erase', user.id])
    assert.deepEqual([run.code, (run.lines[0]!.files as { lookedAtAgain: number }).lookedAtAgain], [0, 1], run.errors)
    release()
    assert.equal((await answer).ok, false)
    // The call that waited is described only now; a later one shows that its turn has come.
    const later = `later-${randomUUID()}`
    await service.request('/api/models', { headers: { 'x-request-id': later } })
    await logRowOf(later)
    assert.deepEqual(await logRows('user_id = $1', user.id), [])
    await eventually(async () => (await storedFiles(user.id)).length === 0, 'no file is left')
    assert.deepEqual(await traces(user), ['darkroom.file_deletions'], 'but for the folder that is looked at again')
  })

  test('tells of files that storage does not give up, and they go once it does', async () => {
    const user = await signUp()
    await service.close()
    const line = await startLine(supabase.url)
    service = await startTestService({ env: { STORAGE_MASTER_KEY: key.setting, SUPABASE_URL: `http://127.0.0.1:${line.port}` } })
    await service.generate(user, { prompt: 'A cat' })
    line.cut()
    const run = await runAdmin(['erase', user.id], { SUPABASE_URL: `http://127.0.0.1:${line.port}` })
    assert.deepEqual([run.code, run.lines[0]?.files], [1, { found: 2, left: 2, lookedAtAgain: 0 }], run.errors)
    assert.match(run.errors, /2 files could not be removed yet/)
    line.restore()
    await eventually(async () => {
      await deletionsAreDue()
      return (await runAdmin(['erase', user.id], { SUPABASE_URL: `http://127.0.0.1:${line.port}` })).code === 0
    }, 'they are removed')
    assert.deepEqual(await storedFiles(user.id), [])
    await service.close()
    await line.close()
    service = await startTestService()
  })
})
