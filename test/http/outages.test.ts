import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startLine, type Line } from '../support/outage.ts'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, storedFiles, supabase } from '../support/supabase.ts'

interface Failure {
  code: string
  error: string
  generationId: string
}

const statusOf = async (generationId: string): Promise<string | undefined> => (await sql<{ status: string }>('select status from public.generations where id = $1', [generationId]))[0]?.status
const succeeded = (generationId: string) => eventually(async () => (await statusOf(generationId)) === 'succeeded', 'the generation succeeds', 30_000)
const imagesOf = (generationId: string) => sql<{ bucket_url: string }>('select bucket_url from public.images where generation_id = $1', [generationId])

describe('a database that is down', () => {
  let line: Line
  let service: TestService
  before(async () => {
    line = await startLine(supabase.databaseUrl)
    service = await startTestService({ env: { DATABASE_URL: supabase.databaseUrl.replace(/:\d+\/postgres$/, `:${line.port}/postgres`), DATABASE_PATIENCE_SECONDS: '1' } })
  })
  after(async () => {
    line.restore()
    await service.close()
    await line.close()
  })

  test('when a request arrives, refuses it before anything is paid, and recovers by itself', async () => {
    const user = await signUp()
    line.cut()
    const response = await service.generate(user, { prompt: 'A cat' })
    assert.deepEqual([response.status, ((await response.json()) as Failure).code], [503, 'database_unavailable'])
    assert.ok(Number(response.headers.get('retry-after')) > 0)
    assert.equal(service.simulator.requests.length, 0)
    assert.equal((await service.request('/health/live')).status, 200)
    const health = await service.request('/health')
    assert.deepEqual([health.status, ((await health.json()) as { services: { database: { status: string } } }).services.database.status], [503, 'down'])
    line.restore()
    await eventually(async () => (await service.generate(user, { prompt: 'A cat' })).status === 200, 'the service recovers')
  })

  for (const responseFormat of ['url', 'b64_json']) {
    test(`while the provider works, loses no picture (${responseFormat})`, async () => {
      const user = await signUp()
      const creates = service.simulator.requests.length
      const release = service.simulator.hold()
      const request = service.generate(user, { prompt: 'A cat', providerOptions: { modelark: { responseFormat } } })
      await eventually(async () => service.simulator.requests.length > creates, 'the provider was asked')
      line.cut()
      release()
      const response = await request
      const { code, generationId } = (await response.json()) as Failure
      assert.deepEqual([response.status, code], [503, 'database_unavailable'])
      line.restore()
      await succeeded(generationId)
      assert.equal(service.simulator.requests.length - creates, 1)
      const [image] = await imagesOf(generationId)
      assert.equal((await fetch(image!.bucket_url)).status, 200)
    })
  }
})

describe('a database that refuses what nobody foresaw', () => {
  let service: TestService
  before(async () => {
    service = await startTestService({ env: { STORE_RETRY_SECONDS: '2' } })
  })
  after(() => service.close())

  async function refuse(table: string, condition: string): Promise<() => Promise<void>> {
    await sql(`create or replace function public.refuse() returns trigger language plpgsql as $$ begin if ${condition} then raise exception 'refused'; end if; return new; end $$`)
    await sql(`create trigger refuse before insert or update on ${table} for each row execute function public.refuse()`)
    return async () => {
      await sql(`drop trigger refuse on ${table}`)
      await sql('drop function public.refuse')
    }
  }

  test('leaves no file without its row, tells so, and stores the paid picture once it can', async () => {
    const user = await signUp()
    const creates = service.simulator.requests.length
    const allow = await refuse('public.images', `new.user_id = '${user.id}'`)
    const response = await service.generate(user, { prompt: 'A cat' })
    const { code, error, generationId } = (await response.json()) as Failure
    assert.deepEqual([response.status, code], [500, 'internal_error'])
    assert.match(error, /made and paid/)
    assert.doesNotMatch(error, /refused|exception|P0001/)
    assert.equal((await storedFiles(user.id)).length, 0)
    await allow()
    await succeeded(generationId)
    assert.equal((await storedFiles(user.id)).length, 2)
    assert.equal(service.simulator.requests.length - creates, 1)
  })

  test('does not make a paid answer after a refused one look refused', async () => {
    const creates = service.simulator.requests.length
    const allow = await refuse('darkroom.submissions', `new.state = 'accepted'`)
    service.simulator.behave('rate-limit', 'ok')
    const request = service.generate(await signUp(), { prompt: 'A cat' })
    await eventually(async () => service.log.some(({ msg }) => msg === 'the outcome of a paid call cannot be written yet'), 'the write is refused')
    await allow()
    assert.equal((await request).status, 200)
    assert.equal(service.simulator.requests.length - creates, 2)
  })

  test('an answer that comes after its generation was given up is stored all the same', async () => {
    const user = await signUp()
    const creates = service.simulator.requests.length
    const release = service.simulator.hold()
    const request = service.generate(user, { prompt: 'Two cats', n: 2 })
    await eventually(async () => service.simulator.requests.length === creates + 2, 'the provider was asked')
    const [row] = await sql<{ id: string }>('select id from public.generations where user_id = $1', [user.id])
    // What a second worker does when the first one's heartbeat was lost.
    await sql(`update darkroom.submissions set state = 'unknown', error = '{"code":"submission_unknown","message":"Lost."}' where generation_id = $1`, [row!.id])
    assert.deepEqual(await sql(`select darkroom.fail_generation($1, '{"code":"submission_unknown","message":"Lost."}') as ended`, [row!.id]), [{ ended: true }])
    assert.equal((await request).status, 502)
    release()
    await succeeded(row!.id)
    assert.equal((await imagesOf(row!.id)).length, 2)
    assert.equal(service.simulator.requests.length - creates, 2)
  })

  test('a generation cannot be failed while a paid output waits to be stored', async () => {
    const user = await signUp()
    service.simulator.behave('file-hang-once')
    const request = service.generate(user, { prompt: 'A cat' })
    const { id } = await eventually(async () => (await sql<{ id: string }>(`select id from public.generations where user_id = $1 and status = 'storing'`, [user.id]))[0], 'it is being stored')
    assert.deepEqual(await sql(`select darkroom.fail_generation($1, '{}') as ended`, [id]), [{ ended: false }])
    assert.equal((await request).status, 200)
  })
})

describe('a storage that is down', () => {
  let line: Line
  let service: TestService
  before(async () => {
    line = await startLine(supabase.url)
    service = await startTestService({ env: { SUPABASE_URL: `http://127.0.0.1:${line.port}` } })
  })
  after(async () => {
    line.restore()
    await service.close()
    await line.close()
  })

  async function generateDuringOutage(responseFormat: string): Promise<Failure> {
    line.cut()
    const response = await service.generate(await signUp(), { prompt: 'A cat', providerOptions: { modelark: { responseFormat } } })
    const failure = (await response.json()) as Failure
    assert.deepEqual([response.status, failure.code], [503, 'storage_unavailable'], JSON.stringify(failure))
    assert.match(failure.error, /made and paid; storing it is tried again until \d{4}-/)
    assert.equal(await statusOf(failure.generationId), 'storing')
    return failure
  }

  for (const responseFormat of ['url', 'b64_json']) {
    test(`tells so, and the picture is stored when it is back (${responseFormat})`, async () => {
      const creates = service.simulator.requests.length
      const { generationId } = await generateDuringOutage(responseFormat)
      line.restore()
      await succeeded(generationId)
      assert.equal(service.simulator.requests.length - creates, 1)
      assert.equal((await imagesOf(generationId)).length, 1)
      const kept = await sql('select from darkroom.submissions where generation_id = $1 and output_bytes is not null', [generationId])
      assert.equal(kept.length, 0, 'the bytes that were kept are let go')
    })
  }

  test('every picture of a request is kept, base64 or not', async () => {
    line.cut()
    const response = await service.generate(await signUp(), { prompt: 'Three cats', n: 3, providerOptions: { modelark: { responseFormat: 'b64_json' } } })
    const { generationId } = (await response.json()) as Failure
    line.restore()
    await succeeded(generationId)
    assert.equal((await imagesOf(generationId)).length, 3)
  })

  test('a later process stores what an earlier one could not, base64 included', async () => {
    const { generationId } = await generateDuringOutage('b64_json')
    await service.close()
    line.restore()
    service = await startTestService({ env: { SUPABASE_URL: `http://127.0.0.1:${line.port}` } })
    // The job waits in the queue; a test service begins with an empty one, so the sweep must find the row.
    await sql(`alter table public.generations disable trigger announce`)
    await sql(`update public.generations set updated_at = now() - interval '5 minutes' where id = $1`, [generationId])
    await sql(`alter table public.generations enable trigger announce`)
    await sql(`insert into pgboss.job (name, data, singleton_key) values ('sweep', '{}', 'now')`)
    await succeeded(generationId)
    assert.equal(service.simulator.requests.length, 0)
  })
})
