import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, storedFiles, type TestUser } from '../support/supabase.ts'

interface ImageAnswer {
  promptId: string
  generationId: string
  model: string
  warnings: { type: string; setting?: string; message: string }[]
  images: { id: string; url: string; bucketUrl: string; size: string; storagePath: string; width: number; height: number; mimeType: string; fileSize: number; thumbnailUrl: string }[]
}

describe('POST /api/images/generate', () => {
  let service: TestService
  let user: TestUser
  let stranger: TestUser
  before(async () => {
    service = await startTestService()
    ;[user, stranger] = await Promise.all([signUp(), signUp()])
  })
  after(() => service.close())

  async function made(body: unknown): Promise<ImageAnswer> {
    const response = await service.generate(user, body)
    const answer = (await response.json()) as ImageAnswer
    assert.equal(response.status, 200, JSON.stringify(answer))
    return answer
  }

  test('answers as the contract says and stores the picture, its row and its thumbnail', async () => {
    const { promptId, images, generationId, model } = await made({ prompt: '  A tea house  ', model: 'seedream-4-0-250828', size: '1024x1024', userId: user.id })
    assert.match(promptId, /^[0-9a-f-]{36}$/)
    assert.equal(model, 'seedream-4-0-250828')
    const [image] = images
    assert.deepEqual([image!.size, image!.width, image!.height, image!.mimeType], ['1024x1024', 1024, 1024, 'image/jpeg'])
    assert.ok(image!.url.startsWith(new URL(service.simulator.baseURL).origin), 'url is the provider’s own')
    assert.equal(image!.storagePath, `${user.id}/${generationId}/0.jpg`)

    const file = await fetch(image!.bucketUrl)
    const bytes = Buffer.from(await file.arrayBuffer())
    assert.equal(file.headers.get('content-type'), 'image/jpeg')
    const { data: row, error } = await user.client.from('images').select('*').eq('id', image!.id).single()
    assert.equal(error, null)
    assert.equal(row.file_size, bytes.length)
    assert.equal(row.sha256, createHash('sha256').update(bytes).digest('hex'))
    assert.equal(row.url, image!.url)
    assert.equal(row.bucket_url, image!.bucketUrl)
    const { data: prompt } = await user.client.from('prompts').select('*').eq('id', promptId).single()
    assert.deepEqual([prompt.prompt, prompt.model_used, prompt.type, prompt.size, prompt.language, prompt.user_id], ['A tea house', 'seedream-4-0-250828', 'image', '1024x1024', 'en', user.id])
    const { data: generation } = await user.client.from('generations').select('*').eq('id', generationId).single()
    assert.deepEqual([generation.status, generation.progress, generation.error, generation.estimated_cost_micros], ['succeeded', 1, null, 30_000])
    assert.ok(generation.started_at && generation.finished_at)

    const thumbnail = await sharp(Buffer.from(await (await fetch(image!.thumbnailUrl)).arrayBuffer())).metadata()
    assert.deepEqual([thumbnail.format, thumbnail.width, thumbnail.height], ['webp', 512, 512])
  })

  test('shows none of it to another user, nor to somebody who is not signed in', async () => {
    const { promptId, images, generationId } = await made({ prompt: 'A secret garden' })
    for (const [table, id] of [['prompts', promptId], ['images', images[0]!.id], ['generations', generationId]] as const) {
      assert.equal((await stranger.client.from(table).select('*').eq('id', id)).data?.length, 0, table)
    }
    await stranger.client.from('prompts').delete().eq('id', promptId)
    assert.equal((await user.client.from('prompts').select('id').eq('id', promptId)).data?.length, 1)
    for (const table of ['prompts', 'images', 'generations']) {
      assert.notEqual((await user.client.from(table).insert({ user_id: user.id, prompt: 'mine', model_used: 'm', type: 'image' })).error, null, table)
      await user.client.from(table).update({ created_at: '1999-01-01T00:00:00Z' }).eq('user_id', user.id)
      assert.equal((await user.client.from(table).select('id').lt('created_at', '2000-01-01')).data?.length, 0, table)
    }
    assert.deepEqual((await stranger.client.storage.from('media').list(user.id)).data, [])
  })

  test('runs a retired default on its successor and says so', async () => {
    const { model, warnings, promptId } = await made({ prompt: 'A cat' })
    assert.equal(model, 'seedream-4-0-250828')
    assert.ok(warnings.some(({ type, message }) => type === 'deprecated' && message.includes('seedream-3-0-t2i-250415') && message.includes('2026-05-13')))
    const [row] = await sql<{ model_used: string }>('select model_used from public.prompts where id = $1', [promptId])
    assert.equal(row!.model_used, 'seedream-4-0-250828')
  })

  test('makes a size that the successor cannot at the nearest larger one and scales it down', async () => {
    const { images, warnings } = await made({ prompt: 'A small cat', model: 'seedream-3-0-t2i-250415', size: '512x512' })
    assert.equal(service.simulator.requests.at(-1)!.body.size, '1024x1024')
    assert.ok(warnings.some(({ setting }) => setting === 'size'))
    const picture = await sharp(Buffer.from(await (await fetch(images[0]!.bucketUrl)).arrayBuffer())).metadata()
    assert.deepEqual([picture.width, picture.height, images[0]!.size], [512, 512, '512x512'])
  })

  test('makes n pictures with n requests, in order', async () => {
    const before = service.simulator.requests.length
    const { images } = await made({ prompt: 'Three cats', n: 3 })
    assert.equal(service.simulator.requests.length - before, 3)
    assert.deepEqual(images.map(({ storagePath }) => storagePath.split('/').at(-1)), ['0.jpg', '1.jpg', '2.jpg'])
  })

  test('keeps the pictures that were made when others of the same request failed', async () => {
    service.simulator.behave('ok', 'moderation')
    const { images, warnings } = await made({ prompt: 'Two cats', n: 2 })
    assert.equal(images.length, 1)
    assert.ok(warnings.some(({ type }) => type === 'partial'))
  })

  test('takes base64 answers down the same road', async () => {
    const { images } = await made({ prompt: 'A cat in base64', providerOptions: { modelark: { responseFormat: 'b64_json' } } })
    assert.equal((await fetch(images[0]!.bucketUrl)).status, 200)
    assert.equal(images[0]!.url, images[0]!.bucketUrl)
  })

  test('leaves out what the model cannot honour, with a warning', async () => {
    const { warnings } = await made({ prompt: 'A cat', seed: 7, negativePrompt: 'dogs' })
    assert.deepEqual(warnings.filter(({ type }) => type === 'unsupported').map(({ setting }) => setting!).toSorted((a, b) => a.localeCompare(b)), ['negativePrompt', 'seed'])
    assert.equal('seed' in service.simulator.requests.at(-1)!.body, false)
  })

  test('a hundred prompts, sixteen at once: a hundred rows, each with its own file', async () => {
    const owner = await signUp()
    const prompts = Array.from({ length: 100 }, (_, index) => `Cat number ${index} ${'in a hat '.repeat(index % 5)}`.trim())
    const left = [...prompts]
    const before = service.simulator.billed()
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        for (let prompt = left.pop(); prompt !== undefined; prompt = left.pop()) assert.equal((await service.generate(owner, { prompt, size: left.length % 3 === 0 ? '512x512' : '1024x1024' })).status, 200)
      }),
    )
    assert.equal(service.simulator.billed() - before, 100)
    const { data } = await owner.client.from('images').select('sha256, file_size, bucket_url, prompts(prompt)')
    const rows = data as unknown as { sha256: string; file_size: number; bucket_url: string; prompts: { prompt: string } }[]
    assert.deepEqual(new Set(rows.map((row) => row.prompts.prompt)), new Set(prompts))
    for (const row of rows) {
      const bytes = Buffer.from(await (await fetch(row.bucket_url)).arrayBuffer())
      assert.deepEqual([bytes.length, createHash('sha256').update(bytes).digest('hex')], [row.file_size, row.sha256])
    }
    assert.equal((await stranger.client.from('images').select('id').eq('user_id', owner.id)).data?.length, 0)
    assert.equal((await storedFiles(owner.id)).length, 200)
  })

  test('refuses to work in another user’s name', async () => {
    const response = await service.generate(user, { prompt: 'A cat', userId: stranger.id })
    assert.equal(response.status, 403)
    assert.equal(((await response.json()) as { code: string }).code, 'forbidden')
  })

  test('lists what a model can do when a size is asked that it cannot make', async () => {
    const response = await service.generate(user, { prompt: 'A cat', model: 'seedream-4-0-250828', size: '8192x8192' })
    const { details } = (await response.json()) as { details: { path: string; message: string }[] }
    assert.equal(response.status, 400)
    assert.equal(details[0]!.path, 'size')
    assert.match(details[0]!.message, /1024x1024/)
  })

  test('removes the files of a prompt that its user deletes', async () => {
    const owner = await signUp()
    const response = await service.generate(owner, { prompt: 'Soon gone' })
    const { promptId } = (await response.json()) as ImageAnswer
    assert.equal((await storedFiles(owner.id)).length, 2)
    const { error } = await owner.client.from('prompts').delete().eq('id', promptId)
    assert.equal(error, null)
    await eventually(async () => (await storedFiles(owner.id)).length === 0, 'the files are removed')
    assert.equal((await sql('select from public.generations where user_id = $1', [owner.id])).length, 0)
  })

  test('goes on when the client hangs up: the picture is found in the rows', async () => {
    const owner = await signUp()
    const release = service.simulator.hold()
    const gone = new AbortController()
    const arrived = service.simulator.requests.length
    const request = service.request('/api/images/generate', { method: 'POST', user: owner, signal: gone.signal, headers: { 'content-type': 'application/json' }, body: '{"prompt":"Patience"}' })
    await eventually(async () => service.simulator.requests.length > arrived, 'the provider was asked')
    gone.abort()
    await assert.rejects(request)
    release()
    await eventually(async () => ((await owner.client.from('images').select('id')).data?.length ?? 0) === 1, 'the picture is in the rows')
  })

  test('stores nothing when a generation is deleted on its way', async () => {
    const owner = await signUp()
    const before = service.simulator.requests.length
    const release = service.simulator.hold()
    const request = service.generate(owner, { prompt: 'Changed my mind' })
    await eventually(async () => service.simulator.requests.length > before, 'the provider was asked')
    await owner.client.from('prompts').delete().eq('user_id', owner.id)
    assert.equal((await request).status, 404)
    release()
    await eventually(async () => service.log.some(({ msg }) => msg === 'a generation was deleted while it was made'), 'the job ends')
    await eventually(async () => (await sql('select from darkroom.file_deletions where not_before <= now()')).length === 0 && (await storedFiles(owner.id)).length === 0, 'no file is left')
  })
})

describe('the other image routes', () => {
  let service: TestService
  let user: TestUser
  before(async () => {
    service = await startTestService()
    user = await signUp()
  })
  after(() => service.close())

  test('GET /api/images/models gives the ids that can be used, the default first', async () => {
    const { models } = (await (await service.request('/api/images/models', { user })).json()) as { models: string[] }
    assert.equal(models[0], 'seedream-3-0-t2i-250415')
    assert.ok(models.includes('seedream-4-5-251128'))
  })

  test('GET /api/models tells state, successor, capabilities and price', async () => {
    const { models } = (await (await service.request('/api/models', { user })).json()) as { models: Record<string, unknown>[] }
    const retired = models.find(({ id }) => id === 'seedream-3-0-t2i-250415')!
    assert.deepEqual([retired.state, retired.successor, retired.usable], ['retired', 'seedream-4-0-250828', true])
    const current = models.find(({ id }) => id === 'seedream-4-5-251128')!
    assert.deepEqual([current.state, current.price], ['current', { per: 'image', usdMicros: 40_000 }])
  })

  test('POST /api/images/test tells what the provider answered and stores nothing', async () => {
    const post = () => service.request('/api/images/test', { method: 'POST', user, headers: { 'content-type': 'application/json' }, body: '{"prompt":"hello"}' })
    const answer = (await (await post()).json()) as { success: boolean; data: { data: { id: string }[] } }
    assert.equal(answer.success, true)
    assert.equal(answer.data.data[0]!.id, 'seedream-4-0-250828')
    assert.equal(service.simulator.billed(), 0)
    assert.equal((await sql('select from public.prompts where user_id = $1', [user.id])).length, 0)
  })

  test('POST /api/images/test tells in the frontend’s words that the key is wrong', async () => {
    const other = await startTestService({ env: { ARK_API_KEY: 'wrong' } })
    try {
      const response = await other.request('/api/images/test', { method: 'POST', user, headers: { 'content-type': 'application/json' }, body: '{"prompt":"hello"}' })
      assert.equal(response.status, 200)
      // The second service has a simulator of its own, which knows another key.
      assert.deepEqual(await response.json(), { success: false, error: 'API Error: Authentication failed (Status: 401)' })
    } finally {
      await other.close()
    }
  })
})

describe('a private bucket', () => {
  test('answers signed URLs that work, and the plain one does not stand in the row', async () => {
    const service = await startTestService({ env: { MEDIA_ACCESS: 'private' } })
    const user = await signUp()
    try {
      await eventually(async () => (await sql(`select from storage.buckets where id = 'media' and not public`)).length === 1, 'the bucket is private')
      const response = await service.generate(user, { prompt: 'Mine alone' })
      const { images } = (await response.json()) as ImageAnswer
      assert.match(images[0]!.bucketUrl, /\/object\/sign\/media\/.*token=/)
      assert.equal((await fetch(images[0]!.bucketUrl)).status, 200)
      assert.notEqual((await fetch(images[0]!.bucketUrl.replace('/sign/', '/public/'))).status, 200)
      const { data } = await user.client.from('images').select('bucket_url').single()
      assert.equal(data!.bucket_url, null)
    } finally {
      await service.close()
      await sql(`update storage.buckets set public = true where id = 'media'`)
    }
  })
})
