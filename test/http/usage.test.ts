/** What users may use: refused at its very edge, given back once, told in their own rows. */
import assert from 'node:assert/strict'
import { mkdtemp, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, type TestUser } from '../support/supabase.ts'

interface UsageAnswer {
  storage: { bytes: number; reservedBytes: number; quotaBytes: number }
  spending: { month: string; costMicros: number; reservedMicros: number; budgetMicros: number | null }
  generations: { open: number; maxOpen: number }
}

interface LedgerRow {
  entry: string
  bytes: number
  cost_micros: number
  generation_id: string
}

const GIB = 1024 ** 3
/** seedream-4-0 at 1024x1024: four bytes a pixel and a little. */
const PICTURE_BYTES = 1024 * 1024 * 4 + 65_536
const PICTURE_MICROS = 30_000
const MODEL = 'seedream-4-0-250828'

describe('what users may use', () => {
  let service: TestService
  before(async () => {
    const file = path.join(await mkdtemp('/var/tmp/darkroom-usage-'), 'models.json')
    await writeFile(file, JSON.stringify([{ id: 'unpriced', kind: 'image', provider: 'modelark', vendorId: MODEL, family: 'seedream-4', maxPromptCharacters: 1000, sizes: { known: ['1024x1024'] } }]))
    service = await startTestService({ env: { MODELS_FILE: file, MAX_OPEN_GENERATIONS: '250', USER_CONCURRENCY: '50', PROVIDER_TIMEOUT_SECONDS: '60' } })
  })
  after(() => service.close())

  const usageOf = async (user: TestUser): Promise<UsageAnswer> => (await (await service.request('/api/usage', { user })).json()) as UsageAnswer
  const ledgerOf = async (user: TestUser): Promise<LedgerRow[]> => {
    const { data, error } = await user.client.from('usage_ledger').select('entry, bytes, cost_micros, generation_id').order('id')
    assert.equal(error, null)
    return data as LedgerRow[]
  }
  const ask = (user: TestUser, prompt: string, headers: Record<string, string> = { prefer: 'respond-async' }, body: object = {}) => service.generate(user, { prompt, model: MODEL, ...body }, headers)
  const limit = (user: TestUser, column: 'quota_bytes' | 'budget_micros', value: number) => sql(`insert into darkroom.accounts (user_id, ${column}) values ($1, $2) on conflict (user_id) do update set ${column} = $2`, [user.id, value])
  const noneOpen = (user: TestUser) => eventually(async () => (await usageOf(user)).generations.open === 0, 'all have ended', 60_000)
  const failureOf = async (response: Response) => ((await response.json()) as { code: string }).code

  test('begins with nothing, and the service’s own limits', async () => {
    const { storage, spending, generations } = await usageOf(await signUp())
    assert.deepEqual(storage, { bytes: 0, reservedBytes: 0, quotaBytes: GIB })
    assert.deepEqual(spending, { month: new Date().toISOString().slice(0, 7), costMicros: 0, reservedMicros: 0, budgetMicros: null })
    assert.deepEqual(generations, { open: 0, maxOpen: 250 })
  })

  test('needs a token', async () => {
    assert.equal((await service.request('/api/usage')).status, 401)
  })

  test('is set aside while a picture is made, charged and counted once it is stored, and freed once with its rows', async () => {
    const [user, stranger] = [await signUp(), await signUp()]
    assert.equal((await ask(user, 'A cat', {})).status, 200)
    const [image] = await sql<{ file_size: string; prompt_id: string; generation_id: string }>('select file_size, prompt_id, generation_id from public.images where user_id = $1', [user.id])
    const bytes = Number(image!.file_size)
    const { storage, spending } = await usageOf(user)
    assert.deepEqual([storage.bytes, storage.reservedBytes, spending.costMicros, spending.reservedMicros], [bytes, 0, PICTURE_MICROS, 0])
    const generation = { generation_id: image!.generation_id }
    const entries = [
      { entry: 'reserve', bytes: PICTURE_BYTES, cost_micros: PICTURE_MICROS, ...generation },
      { entry: 'store', bytes, cost_micros: 0, ...generation },
      { entry: 'release', bytes: -PICTURE_BYTES, cost_micros: -PICTURE_MICROS, ...generation },
      { entry: 'charge', bytes: 0, cost_micros: PICTURE_MICROS, ...generation },
    ]
    assert.deepEqual(await ledgerOf(user), entries)
    assert.deepEqual(await ledgerOf(stranger), [])

    for (let time = 0; time < 2; time++) assert.equal((await user.client.from('prompts').delete().eq('id', image!.prompt_id)).error, null)
    assert.deepEqual((await ledgerOf(user)).slice(4), [{ entry: 'free', bytes: -bytes, cost_micros: 0, ...generation }])
    const afterwards = await usageOf(user)
    assert.deepEqual([afterwards.storage.bytes, afterwards.spending.costMicros], [0, PICTURE_MICROS])
  })

  test('is written by nobody but the service', async () => {
    const user = await signUp()
    assert.equal((await ask(user, 'A cat', {})).status, 200)
    const entry = { user_id: user.id, entry: 'release', generation_id: crypto.randomUUID(), bytes: -1, cost_micros: 0 }
    assert.notEqual((await user.client.from('usage_ledger').insert(entry)).error, null)
    await user.client.from('usage_ledger').update({ bytes: 0 }).eq('user_id', user.id)
    await user.client.from('usage_ledger').delete().eq('user_id', user.id)
    assert.equal((await ledgerOf(user)).length, 4)
  })

  for (const { name, column, one, code } of [
    { name: 'bytes', column: 'quota_bytes', one: PICTURE_BYTES, code: 'quota_reached' },
    { name: 'money', column: 'budget_micros', one: PICTURE_MICROS, code: 'budget_reached' },
  ] as const) {
    test(`two hundred requests at once never exceed the last of the ${name}`, async () => {
      const user = await signUp()
      await limit(user, column, 7 * one + one - 1)
      const release = service.simulator.hold()
      const answers = await Promise.all(Array.from({ length: 200 }, (_, index) => ask(user, `At the edge of ${name} ${index}.`)))
      const codes = await Promise.all(answers.map(async (answer) => (answer.status === 202 ? 'accepted' : await failureOf(answer))))
      const { storage, spending, generations } = await usageOf(user)
      assert.deepEqual([codes.filter((one) => one === 'accepted').length, codes.filter((one) => one === code).length], [7, 193])
      assert.deepEqual([storage.reservedBytes, spending.reservedMicros, generations.open], [7 * PICTURE_BYTES, 7 * PICTURE_MICROS, 7])
      assert.equal((await sql('select from public.prompts where user_id = $1', [user.id])).length, 7, 'what is refused leaves nothing')
      release()
      await noneOpen(user)
      const ended = await usageOf(user)
      assert.deepEqual([ended.storage.reservedBytes, ended.spending.reservedMicros, ended.spending.costMicros], [0, 0, 7 * PICTURE_MICROS])
      assert.equal((await sql<{ sum: string }>('select sum(file_size) from public.images where user_id = $1', [user.id]))[0]!.sum, String(ended.storage.bytes))
      if (column === 'budget_micros') {
        const refused = await ask(user, 'One more.')
        assert.deepEqual([refused.status, await failureOf(refused)], [429, 'budget_reached'])
        const seconds = Number(refused.headers.get('retry-after'))
        assert.ok(seconds > 0 && seconds <= 31 * 86_400)
        // What was spent in another month does not count.
        await sql(`update darkroom.spending set month = month - interval '1 month' where user_id = $1`, [user.id])
        assert.equal((await ask(user, 'In a new month.', {})).status, 200)
      }
    })
  }

  test('is given back when nothing came of it', async () => {
    const user = await signUp()
    service.simulator.behave('moderation')
    assert.equal((await ask(user, 'A refused cat', {})).status, 422)
    const { storage, spending } = await usageOf(user)
    assert.deepEqual([storage.reservedBytes, spending.reservedMicros, spending.costMicros], [0, 0, 0])
    assert.deepEqual((await ledgerOf(user)).map(({ entry }) => entry), ['reserve', 'release'])
  })

  test('is given back and charged once, whatever is run twice', async () => {
    const user = await signUp()
    assert.equal((await ask(user, 'A cat', {})).status, 200)
    const before = [await usageOf(user), await ledgerOf(user)]
    await sql('select darkroom.settle(generation) from public.generations generation where user_id = $1', [user.id])
    assert.deepEqual([await usageOf(user), await ledgerOf(user)], before)
    await assert.rejects(sql(`insert into public.usage_ledger (user_id, entry, generation_id, bytes) select user_id, 'release', generation_id, -1 from public.usage_ledger where user_id = $1 and entry = 'release'`, [user.id]), /usage_ledger_release_key/)
    await assert.rejects(sql(`insert into public.usage_ledger (user_id, entry, generation_id, index, cost_micros) select user_id, 'charge', generation_id, index, 1 from public.usage_ledger where user_id = $1 and entry = 'charge'`, [user.id]), /usage_ledger_charge_key/)
  })

  test('is not set aside twice for one idempotency key, nor for a dry run', async () => {
    const user = await signUp()
    for (let time = 0; time < 3; time++) assert.equal((await ask(user, 'A cat', { 'idempotency-key': 'the-same' })).status, 200)
    const dry = await service.request('/api/images/generate?dryRun=true', { method: 'POST', user, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ prompt: 'A dry cat', model: MODEL }) })
    assert.equal(dry.status, 200)
    assert.deepEqual((await ledgerOf(user)).map(({ entry }) => entry), ['reserve', 'store', 'release', 'charge'])
  })

  test('with a budget, what nobody knows the price of is refused', async () => {
    const user = await signUp()
    assert.equal((await ask(user, 'Unpriced.', {}, { model: 'unpriced' })).status, 200)
    await limit(user, 'budget_micros', 1_000_000_000)
    const refused = await ask(user, 'Unpriced.', {}, { model: 'unpriced' })
    const body = (await refused.json()) as { code: string; details: { path: string }[] }
    assert.deepEqual([refused.status, body.code, body.details[0]!.path], [429, 'budget_reached', 'model'])
  })

  test('a video that is deleted on its way is charged, since its provider goes on', async () => {
    const user = await signUp()
    const release = service.simulator.videos.hold('running')
    const answer = await service.generateVideo(user, { prompt: 'A deleted film', model: 'seedance-1-0-pro-fast-251015', duration: '2' }, { prefer: 'respond-async' })
    assert.equal(answer.status, 202)
    await eventually(async () => service.simulator.videos.createsOf('A deleted film') === 1, 'it is under way')
    await eventually(async () => (await sql(`select from darkroom.submissions join public.generations on id = generation_id where user_id = $1 and state = 'started'`, [user.id])).length === 1, 'its operation is written down')
    const { spending } = await usageOf(user)
    assert.ok(spending.reservedMicros > 0)
    assert.equal((await user.client.from('prompts').delete().eq('user_id', user.id)).error, null)
    const afterwards = await usageOf(user)
    assert.deepEqual([afterwards.spending.reservedMicros, afterwards.storage.reservedBytes, afterwards.spending.costMicros], [0, 0, spending.reservedMicros])
    release()
  })

  test('an account can be deleted with all of it, whatever is under way', async () => {
    const user = await signUp()
    assert.equal((await ask(user, 'A cat', {})).status, 200)
    const release = service.simulator.hold()
    assert.equal((await ask(user, 'A cat under way')).status, 202)
    await sql('delete from auth.users where id = $1', [user.id])
    for (const table of ['public.usage_ledger', 'darkroom.accounts', 'darkroom.spending', 'public.images']) assert.deepEqual(await sql(`select from ${table} where user_id = $1`, [user.id]), [], table)
    release()
  })
})

describe('open generations', () => {
  let service: TestService
  before(async () => {
    service = await startTestService({ env: { MAX_OPEN_GENERATIONS: '3' } })
  })
  after(() => service.close())

  test('are so many and no more, and a place that is free is told', async () => {
    const user = await signUp()
    const release = service.simulator.hold()
    const answers = await Promise.all(Array.from({ length: 40 }, (_, index) => service.generate(user, { prompt: `Open ${index}.`, model: MODEL }, { prefer: 'respond-async' })))
    assert.equal(answers.filter(({ status }) => status === 202).length, 3)
    const refused = answers.filter(({ status }) => status !== 202)
    assert.ok(refused.every(({ status, headers }) => status === 429 && headers.get('retry-after') === '30'))
    assert.deepEqual([...new Set(await Promise.all(refused.map(async (one) => ((await one.json()) as { code: string }).code)))], ['too_many_open'])
    assert.equal((await service.generate(await signUp(), { prompt: 'Somebody else’s.', model: MODEL }, { prefer: 'respond-async' })).status, 202)
    release()
    await eventually(async () => (await sql(`select from public.generations where user_id = $1 and status = 'succeeded'`, [user.id])).length === 3, 'they end')
    assert.equal((await service.generate(user, { prompt: 'Another.', model: MODEL }, { prefer: 'respond-async' })).status, 202)
  })
})
