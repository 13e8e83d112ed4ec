import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, storedFiles, type TestUser } from '../support/supabase.ts'

interface VideoAnswer {
  video_url: string
  duration: number
  aspectRatio: string
  id: string
  promptId: string
  generationId: string
  model: string
  warnings: { type: string; setting?: string; message: string }[]
}

interface Failure {
  error: string
  code: string
  generationId?: string
  details?: { path: string; message: string }[]
}

/** A photograph as a phone takes it: lying on its side, with the place where it was taken. */
const photograph = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: '#336699' } })
    .withExif({ IFD0: { Make: 'SECRETCAMERA' }, IFD3: { GPSLatitude: '51/1 30/1 0/1' } })
    .withMetadata({ orientation: 6 })
    .jpeg()
    .toBuffer()

describe('POST /api/videos/generate', () => {
  let service: TestService
  let user: TestUser
  before(async () => {
    service = await startTestService()
    user = await signUp()
  })
  after(() => service.close())

  const lastTask = () => [...service.simulator.videos.tasks.values()].at(-1)!

  test('answers a form as the contract says, and stores the video and its rows', async () => {
    const response = await service.generateVideo(user, { prompt: '  A calm bay at dawn ', model: 'seedance-1-0-lite-t2v', duration: '4', aspectRatio: '9:16' })
    const answer = (await response.json()) as VideoAnswer
    assert.equal(response.status, 200, JSON.stringify(answer))
    assert.deepEqual([answer.duration, answer.aspectRatio, answer.model], [4, '9:16', 'seedance-1-0-pro-fast-251015'])
    assert.match(answer.video_url, /\/storage\/v1\/object\/public\/media\/.*\.mp4$/)
    assert.deepEqual(answer.warnings.map(({ type, setting }) => [type, setting]), [['deprecated', 'model']])

    const file = await fetch(answer.video_url)
    const bytes = Buffer.from(await file.arrayBuffer())
    assert.equal(file.headers.get('content-type'), 'video/mp4')
    assert.ok(bytes.equals(await service.simulator.videos.file(lastTask().id)), 'not a byte was changed')
    const { data: rows } = await user.client.from('videos').select('*, prompts(*)').eq('prompt_id', answer.promptId)
    const [row] = rows as [Record<string, unknown> & { prompts: Record<string, unknown> }]
    assert.deepEqual(
      [row.id, row.duration, row.duration_seconds, row.aspect_ratio, row.mime_type, row.file_size, row.sha256],
      [answer.id, 4, 4, '9:16', 'video/mp4', bytes.length, createHash('sha256').update(bytes).digest('hex')],
    )
    assert.match(String(row.url), new RegExp(`/videos/${lastTask().id}.mp4`))
    assert.deepEqual([row.prompts.prompt, row.prompts.type, row.prompts.model_used, row.prompts.size, row.prompts.user_id], ['A calm bay at dawn', 'video', answer.model, null, user.id])
    const { data: generations } = await user.client.from('generations').select('kind, status, progress, requested_model').eq('id', answer.generationId)
    assert.deepEqual(generations, [{ kind: 'video', status: 'succeeded', progress: 1, requested_model: 'seedance-1-0-lite-t2v' }])
    assert.deepEqual(await sql('select from darkroom.inputs where generation_id = $1', [answer.generationId]), [])
  })

  test('becomes image to video when a picture is given, which arrives cut, upright and without its secrets', async () => {
    const response = await service.generateVideo(user, { prompt: 'Waves', duration: '', image: await photograph(900, 1200) })
    const answer = (await response.json()) as VideoAnswer
    assert.equal(response.status, 200, JSON.stringify(answer))
    assert.equal(answer.duration, 5)
    assert.deepEqual(answer.warnings.map(({ setting }) => setting), ['model', 'image'])
    const { picture, body } = lastTask()
    const { width, height, exif, orientation, format } = await sharp(picture!).metadata()
    // Turned, it is 1200 by 900; 16:9 is cut from its middle.
    assert.deepEqual({ width, height, exif, orientation, format }, { width: 1200, height: 675, exif: undefined, orientation: undefined, format: 'jpeg' })
    assert.ok(!picture!.includes('SECRETCAMERA'))
    assert.equal((body.content as { role?: string }[])[1]!.role, 'first_frame')
    assert.deepEqual(await sql('select from darkroom.inputs where generation_id = $1', [answer.generationId]), [])
  })

  test('takes the same fields as JSON', async () => {
    const response = await service.request('/api/videos/generate', { method: 'POST', user, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ prompt: 'A bay', duration: 3, aspectRatio: '1:1', seed: 7 }) })
    const answer = (await response.json()) as VideoAnswer
    assert.deepEqual([response.status, answer.duration, answer.aspectRatio], [200, 3, '1:1'], JSON.stringify(answer))
    assert.equal(lastTask().body.seed, 7)
  })

  test('tells where the file is only to its owner', async () => {
    const stranger = await signUp()
    for (const table of ['prompts', 'videos', 'generations']) assert.deepEqual((await stranger.client.from(table).select('id')).data, [])
  })

  const common = { resolution: '720p', duration: 5, watermark: false }
  const text = [{ type: 'text', text: 'A bay' }]
  const families: [model: string, fields: Record<string, string>, body: Record<string, unknown>, warned: string[]][] = [
    ['seedance-1-0-pro-fast-251015', { seed: '11', providerOptions: '{"modelark":{"cameraFixed":true}}' }, { ...common, ratio: '16:9', seed: 11, camera_fixed: true }, []],
    ['seedance-1-0-pro-250528', { seed: '12', resolution: '1080p', generateAudio: 'true' }, { ...common, resolution: '1080p', ratio: '16:9', seed: 12 }, ['generateAudio']],
    ['dreamina-seedance-2-0-mini-260615', { seed: '13', generateAudio: 'true' }, { ...common, ratio: '16:9', generate_audio: true }, ['seed']],
    ['dreamina-seedance-2-0-260128', { aspectRatio: '1:1', providerOptions: '{"modelark":{"cameraFixed":true}}' }, { ...common, ratio: '1:1', generate_audio: false }, ['providerOptions.modelark.cameraFixed']],
    ['dreamina-seedance-2-5-260628', {}, { ...common, ratio: '16:9', generate_audio: false }, []],
  ]
  for (const [model, fields, body, warned] of families) {
    test(`${model} is sent the body that its family accepts, and what it does not know is told`, async () => {
      const response = await service.generateVideo(user, { prompt: 'A bay', model, ...fields })
      const answer = (await response.json()) as VideoAnswer
      assert.equal(response.status, 200, JSON.stringify(answer))
      const { execution_expires_after: expiresAfter, seed, ...sent } = lastTask().body
      assert.ok(Number(expiresAfter) >= 10_800 && Number(expiresAfter) < 97_200)
      assert.deepEqual({ ...sent, ...(body.seed !== undefined && { seed }) }, { model, content: text, ...body })
      if (body.seed === undefined) assert.equal(typeof seed, model.includes('seedance-1') ? 'number' : 'undefined')
      assert.deepEqual(answer.warnings.map(({ setting }) => setting), warned)
    })
  }

  test('a retired model of another family runs on its successor, and 2.5 takes a frame in its own ratio', async () => {
    const old = await service.generateVideo(user, { prompt: 'A bay', model: 'seedance-1-5-pro-251215' })
    assert.equal(((await old.json()) as VideoAnswer).model, 'dreamina-seedance-2-0-mini-260615')
    const framed = await service.generateVideo(user, { prompt: 'A bay', model: 'dreamina-seedance-2-5-260628', image: await photograph(1200, 900) })
    assert.equal(framed.status, 200, await framed.clone().text())
    assert.equal(lastTask().body.ratio, 'adaptive')
  })

  test('words of a prompt are never taken for the provider’s settings', async () => {
    const response = await service.generateVideo(user, { prompt: 'A bay --ratio 1:1 --dur 12 and -- dashes' })
    assert.equal(response.status, 200)
    assert.equal(lastTask().parsedSuffix, undefined)
    assert.equal(lastTask().prompt, 'A bay ratio 1:1 dur 12 and -- dashes')
  })

  const refused: [what: string, fields: Record<string, string | Uint8Array>, status: number, code: string, path: string][] = [
    ['no prompt', { duration: '5' }, 400, 'invalid_request', 'prompt'],
    ['a blank prompt', { prompt: '   ' }, 400, 'invalid_request', 'prompt'],
    ['one second', { prompt: 'A', duration: '1' }, 400, 'invalid_request', 'duration'],
    ['eleven seconds', { prompt: 'A', duration: '11' }, 400, 'invalid_request', 'duration'],
    ['half a second', { prompt: 'A', duration: '4.5' }, 400, 'invalid_request', 'duration'],
    ['no number', { prompt: 'A', duration: 'five' }, 400, 'invalid_request', 'duration'],
    ['a number in another notation', { prompt: 'A', duration: '0x5' }, 400, 'invalid_request', 'duration'],
    ['what this model cannot do', { prompt: 'A', model: 'dreamina-seedance-2-0-260128', duration: '3' }, 400, 'invalid_request', 'duration'],
    ['another ratio', { prompt: 'A', aspectRatio: '2:1' }, 400, 'invalid_request', 'aspectRatio'],
    ['a resolution that it does not make', { prompt: 'A', resolution: '4k' }, 400, 'invalid_request', 'resolution'],
    ['an unknown model', { prompt: 'A', model: 'sora-1' }, 400, 'invalid_request', 'model'],
    ['a model of another kind', { prompt: 'A', model: 'seedream-4-0-250828' }, 400, 'invalid_request', 'model'],
    ['an unknown field', { prompt: 'A', fps: '24' }, 400, 'invalid_request', 'fps'],
    ['options that are no JSON', { prompt: 'A', providerOptions: '{' }, 400, 'invalid_request', 'providerOptions'],
    ['another user', { prompt: 'A', userId: '6f0c7d2e-2f6b-4a53-9a4c-0a4f8a1b2c3d' }, 403, 'forbidden', ''],
    ['text as a picture', { prompt: 'A', image: Buffer.from('root:x:0:0') }, 415, 'unsupported_media_type', 'image'],
    ['a program as a picture', { prompt: 'A', image: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="400" height="400"/>') }, 415, 'unsupported_media_type', 'image'],
    ['a file in another field', { prompt: 'A', video: Buffer.from('x') }, 400, 'invalid_request', 'video'],
  ]
  for (const [what, fields, status, code, path] of refused) {
    test(`${what} is refused before anything is paid`, async () => {
      const creates = service.simulator.videos.requests.length
      const response = await service.generateVideo(user, fields)
      const answer = (await response.json()) as Failure
      assert.deepEqual([response.status, answer.code, answer.details?.[0]?.path ?? ''], [status, code, path], JSON.stringify(answer))
      assert.equal(service.simulator.videos.requests.length, creates)
    })
  }

  test('says what a model can do where it cannot do what was asked', async () => {
    const response = await service.generateVideo(user, { prompt: 'A', model: 'dreamina-seedance-2-0-260128', duration: '3' })
    assert.match(((await response.json()) as Failure).error, /from 4 to 10 seconds/)
  })

  test('another body than a form or JSON is a 415, a broken form a 400, and nobody gets in without a token', async () => {
    const post = (type: string, body: string) => service.request('/api/videos/generate', { method: 'POST', user, headers: { 'content-type': type }, body })
    assert.equal((await post('text/plain', 'A bay')).status, 415)
    assert.equal((await post('multipart/form-data', 'A bay')).status, 400)
    assert.equal((await post('multipart/form-data; boundary=x', '--x\r\ncontent-disposition: form-data; name="prompt"\r\n\r\nA ba')).status, 400)
    assert.equal((await service.request('/api/videos/generate', { method: 'POST', body: new FormData() })).status, 401)
  })

  test('lists the models that can be used, the default first', async () => {
    const { models } = (await (await service.request('/api/videos/models', { user })).json()) as { models: string[] }
    assert.equal(models[0], 'seedance-1-0-lite-t2v')
    const all = (await (await service.request('/api/models', { user })).json()) as { models: { id: string; capabilities: Record<string, unknown> }[] }
    assert.deepEqual(all.models.find(({ id }) => id === 'dreamina-seedance-2-0-mini-260615')!.capabilities.durations, { min: 4, max: 15 })
  })

  test('the same key and form are the same video; another picture is another request', async () => {
    const key = { 'idempotency-key': 'film-1' }
    const picture = await photograph(640, 640)
    const creates = service.simulator.videos.created()
    const answers = await Promise.all(Array.from({ length: 8 }, () => service.generateVideo(user, { prompt: 'Once', image: picture }, key)))
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
    const ids = await Promise.all(answers.map(async (answer) => ((await answer.json()) as VideoAnswer).id))
    assert.equal(new Set(ids).size, 1)
    assert.equal(service.simulator.videos.created() - creates, 1)
    assert.equal((await service.generateVideo(user, { prompt: 'Once', image: await photograph(641, 640) }, key)).status, 422)
  })
})

describe('an upload', () => {
  let service: TestService
  let user: TestUser
  before(async () => {
    service = await startTestService({ env: { MAX_UPLOAD_BYTES: '100000', MAX_UPLOADS: '1' } })
    user = await signUp()
  })
  after(() => service.close())

  test('that is too large is refused, whether it says so or not, before all of it has come', async () => {
    const told = await service.generateVideo(user, { prompt: 'A', image: Buffer.alloc(1_000_000) })
    assert.deepEqual([told.status, ((await told.json()) as Failure).code], [413, 'payload_too_large'])
    const head = Buffer.from('--x\r\ncontent-disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n')
    let sent = 0
    // It has no end: only a service that does not wait for that answers.
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 65_536
        controller.enqueue(sent === 65_536 ? head : new Uint8Array(65_536))
      },
    })
    const untold = await service.request('/api/videos/generate', { method: 'POST', user, headers: { 'content-type': 'multipart/form-data; boundary=x' }, body: endless, duplex: 'half' } as RequestInit).then(
      ({ status }) => status,
      () => 'cut',
    )
    assert.ok(untold === 413 || untold === 'cut', String(untold))
    assert.ok(service.log.some(({ msg, code }) => msg === 'request' && code === 'payload_too_large'))
    const slightly = await service.generateVideo(user, { prompt: 'A', image: Buffer.alloc(100_001) })
    assert.equal(slightly.status, 413)
  })

  test('waits for no other: too many at once are told to come again, and forms without files are none', async () => {
    const picture = await photograph(640, 360)
    let finish: () => void = () => undefined
    const slow = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(Buffer.from('--x\r\ncontent-disposition: form-data; name="prompt"\r\n\r\nA bay\r\n--x\r\ncontent-disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'))
        controller.enqueue(picture.subarray(0, 100))
        finish = () => {
          controller.enqueue(picture.subarray(100))
          controller.enqueue(Buffer.from('\r\n--x--\r\n'))
          controller.close()
        }
      },
    })
    const first = service.request('/api/videos/generate', { method: 'POST', user, headers: { 'content-type': 'multipart/form-data; boundary=x' }, body: slow, duplex: 'half' } as RequestInit)
    const second = await eventually(async () => {
      const response = await service.generateVideo(user, { prompt: '', image: picture })
      return response.status === 429 && response
    }, 'the place is taken')
    assert.equal((await service.generateVideo(user, { prompt: '' })).status, 400)
    assert.ok(Number(second.headers.get('retry-after')) > 0)
    finish()
    assert.equal((await first).status, 200)
    assert.deepEqual((await storedFiles(user.id)).length, 1)
  })
})
