/** Answers that are given again: nothing is paid for them, and their files stay as long as anything shows them. */
import assert from 'node:assert/strict'
import { mkdtemp, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { deletionsAreDue, signUp, sql, storedFiles, type TestUser } from '../support/supabase.ts'

interface Answer {
  promptId: string
  generationId: string
  cached: boolean
  costMicros: number
  images: { id: string; bucketUrl: string; storagePath: string }[]
  video_url: string
}

/** Takes a seed. */
const SEEDED = { model: 'our-seedream-3', seed: 7 }
const MAX_AGE = { 'cache-control': 'max-age=600' }

describe('answers that are given again', () => {
  let service: TestService
  before(async () => {
    const file = path.join(await mkdtemp('/var/tmp/darkroom-cache-'), 'models.json')
    await writeFile(file, JSON.stringify([{ id: 'our-seedream-3', extends: 'seedream-3-0-t2i-250415', vendorId: 'ep3-20261101-abcde', state: 'current', fallbacks: ['seedream-4-0-250828'] }]))
    service = await startTestService({ env: { MODELS_FILE: file } })
  })
  after(() => service.close())

  const ask = async (user: TestUser, body: object, headers: Record<string, string> = {}): Promise<Answer> => {
    const response = await service.generate(user, body, headers)
    const answer = (await response.json()) as Answer
    assert.equal(response.status, 200, JSON.stringify(answer))
    return answer
  }
  /** @returns how many pictures were paid meanwhile. */
  const paidFor = async (work: () => Promise<unknown>): Promise<number> => {
    const before = service.simulator.billed()
    await work()
    return service.simulator.billed() - before
  }
  const remove = async (user: TestUser, promptId: string) => assert.equal((await user.client.from('prompts').delete().eq('id', promptId)).error, null)

  test('a seeded request is answered again with new rows on the same file, for nothing', async () => {
    const user = await signUp()
    const first = await ask(user, { prompt: 'A cat', ...SEEDED })
    let second!: Answer
    assert.equal(await paidFor(async () => (second = await ask(user, { prompt: 'A cat', ...SEEDED }))), 0)
    assert.deepEqual([first.cached, second.cached, second.costMicros], [false, true, 0])
    assert.notEqual(second.generationId, first.generationId)
    assert.notEqual(second.images[0]!.id, first.images[0]!.id)
    assert.equal(second.images[0]!.storagePath, first.images[0]!.storagePath)
    const { data } = await user.client.from('prompts').select('id, prompt, images(url, bucket_url), generations(cached, status)').order('created_at')
    assert.deepEqual((data as unknown as { generations: { cached: boolean; status: string } }[]).map(({ generations }) => generations), [{ cached: false, status: 'succeeded' }, { cached: true, status: 'succeeded' }])
    const usage = (await (await service.request('/api/usage', { user })).json()) as { storage: { bytes: number }; spending: { costMicros: number } }
    const [row] = await sql<{ file_size: string }>('select file_size from public.images where id = $1', [first.images[0]!.id])
    assert.deepEqual([usage.storage.bytes, usage.spending.costMicros], [Number(row!.file_size), 30_000])
  })

  for (const [name, change, headers] of [
    ['another prompt', { prompt: 'A dog' }, {}],
    ['another seed', { seed: 8 }, {}],
    ['another size', { size: '512x512' }, {}],
    ['another model', { model: 'seedream-4-0-250828' }, {}],
    ['other options', { providerOptions: { modelark: { guidanceScale: 3 } } }, {}],
    ['more of them', { n: 2 }, {}],
    ['no-cache', {}, { 'cache-control': 'no-cache' }],
    ['no-store', {}, { 'cache-control': 'no-store' }],
    ['max-age=0', {}, { 'cache-control': 'max-age=0' }],
  ] as const) {
    test(`is made anew for ${name}`, async () => {
      const user = await signUp()
      await ask(user, { prompt: 'A cat', ...SEEDED })
      assert.ok((await paidFor(() => ask(user, { prompt: 'A cat', ...SEEDED, ...change }, headers))) > 0)
    })
  }

  test('is made anew for another user, and for an answer that is too old', async () => {
    const [user, other] = [await signUp(), await signUp()]
    const { generationId } = await ask(user, { prompt: 'A cat', ...SEEDED })
    assert.equal(await paidFor(() => ask(other, { prompt: 'A cat', ...SEEDED })), 1)
    await sql(`update public.generations set finished_at = now() - interval '5 minutes' where id = $1`, [generationId])
    assert.equal(await paidFor(() => ask(user, { prompt: 'A cat', ...SEEDED }, { 'cache-control': 'max-age=301' })), 0)
    assert.equal(await paidFor(() => ask(user, { prompt: 'A cat', ...SEEDED }, { 'cache-control': 'max-age=299' })), 1)
  })

  test('without a seed only who asks for it is given the same again', async () => {
    const user = await signUp()
    const body = { prompt: 'An unseeded cat', model: 'seedream-4-0-250828' }
    await ask(user, body)
    assert.equal(await paidFor(() => ask(user, body)), 1)
    assert.equal(await paidFor(() => ask(user, body, MAX_AGE)), 0)
  })

  test('an age that is no number is refused', async () => {
    const response = await service.generate(await signUp(), { prompt: 'A cat', ...SEEDED }, { 'cache-control': 'max-age=long' })
    assert.equal(response.status, 400)
  })

  test('one that is under way serves all that ask for it', async () => {
    const user = await signUp()
    const release = service.simulator.hold()
    let answers: Promise<Answer[]> | undefined
    const paid = paidFor(async () => {
      answers = Promise.all(Array.from({ length: 20 }, () => ask(user, { prompt: 'A crowd', ...SEEDED })))
      await eventually(async () => (await sql('select from public.generations where user_id = $1', [user.id])).length > 0, 'it is under way')
      release()
      await answers
    })
    assert.equal(await paid, 1)
    const ids = new Set((await answers!).map(({ images }) => images[0]!.storagePath))
    assert.equal(ids.size, 1)
  })

  test('a failure is never given again, nor what another model made instead', async () => {
    const user = await signUp()
    service.simulator.behave('moderation')
    assert.equal((await service.generate(user, { prompt: 'A refused cat', ...SEEDED })).status, 422)
    assert.equal(await paidFor(() => ask(user, { prompt: 'A refused cat', ...SEEDED })), 1)
    service.simulator.behave('quota')
    const instead = (await ask(user, { prompt: 'A cat by another', ...SEEDED })) as Answer & { model: string }
    assert.equal(instead.model, 'seedream-4-0-250828')
    assert.equal(await paidFor(() => ask(user, { prompt: 'A cat by another', ...SEEDED })), 1)
  })

  test('a file stays until the last of its rows is deleted, and goes then, counted once', async () => {
    const user = await signUp()
    const answers = [await ask(user, { prompt: 'A cat', ...SEEDED }), await ask(user, { prompt: 'A cat', ...SEEDED }), await ask(user, { prompt: 'A cat', ...SEEDED })]
    const files = await storedFiles(user.id)
    assert.equal(files.length, 2)
    for (const { promptId } of answers.slice(0, 2)) await remove(user, promptId)
    await deletionsAreDue()
    assert.equal((await fetch(answers[2]!.images[0]!.bucketUrl)).status, 200)
    // The last one still serves whoever asks for the same: it is the earlier answer's file, not its rows.
    await remove(user, answers[2]!.promptId)
    await deletionsAreDue()
    await eventually(async () => (await storedFiles(user.id)).length === 0, 'the files are gone')
    assert.deepEqual(await sql(`select entry, count(*)::integer from public.usage_ledger where user_id = $1 and entry in ('store', 'free') group by entry order by entry`, [user.id]), [{ entry: 'free', count: 1 }, { entry: 'store', count: 1 }])
    assert.equal(((await (await service.request('/api/usage', { user })).json()) as { storage: { bytes: number } }).storage.bytes, 0)
  })

  test('of rows that are deleted at once, the last takes the file along', async () => {
    const user = await signUp()
    const answers = []
    for (let time = 0; time < 6; time++) answers.push(await ask(user, { prompt: 'A cat', ...SEEDED }))
    await Promise.all(answers.map(({ promptId }) => remove(user, promptId)))
    await deletionsAreDue()
    await eventually(async () => (await storedFiles(user.id)).length === 0, 'the files are gone')
    assert.equal(((await (await service.request('/api/usage', { user })).json()) as { storage: { bytes: number } }).storage.bytes, 0)
  })

  test('what is deleted while it is asked for is either given with its file or made anew', async () => {
    const user = await signUp()
    for (let round = 0; round < 5; round++) {
      const first = await ask(user, { prompt: `A vanishing cat ${round}`, ...SEEDED })
      const [second] = await Promise.all([ask(user, { prompt: `A vanishing cat ${round}`, ...SEEDED }), remove(user, first.promptId)])
      await deletionsAreDue()
      await eventually(async () => (await sql('select from darkroom.file_deletions where starts_with(path, $1)', [user.id])).length === 0, 'deletions are done')
      assert.equal((await fetch(second.images[0]!.bucketUrl)).status, 200, `round ${round}`)
    }
  })

  test('an edit and a film are known by their pictures too', async () => {
    const user = await signUp()
    const picture = (background: string) => sharp({ create: { width: 640, height: 360, channels: 3, background } }).png().toBuffer()
    const edit = async (background: string) => {
      const form = new FormData()
      form.set('prompt', 'Add a hat.')
      form.set('model', 'seedream-4-0-250828')
      form.set('image', new Blob([Uint8Array.from(await picture(background))]))
      const response = await service.request('/api/images/edit', { method: 'POST', user, headers: MAX_AGE, body: form })
      assert.equal(response.status, 200)
      return (await response.json()) as Answer
    }
    assert.deepEqual([(await edit('teal')).cached, (await edit('teal')).cached, (await edit('red')).cached], [false, true, false])
    const film = async (background: string) => (await (await service.generateVideo(user, { prompt: 'A bay', model: 'seedance-1-0-pro-fast-251015', duration: '2', seed: '5', image: await picture(background) })).json()) as Answer
    const films = [await film('teal'), await film('teal'), await film('red')]
    assert.deepEqual(films.map(({ cached }) => cached), [false, true, false])
    assert.equal(films[0]!.video_url, films[1]!.video_url)
  })

  test('an idempotency key stands for the answer that was given again', async () => {
    const user = await signUp()
    await ask(user, { prompt: 'A cat', ...SEEDED })
    const key = { 'idempotency-key': 'again' }
    const [one, two] = [await ask(user, { prompt: 'A cat', ...SEEDED }, key), await ask(user, { prompt: 'A cat', ...SEEDED }, key)]
    assert.deepEqual([one.cached, two.generationId], [true, one.generationId])
  })
})
