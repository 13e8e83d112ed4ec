/** Every vendor through the whole service: its key alone switches it on, and what it makes is stored. */
import assert from 'node:assert/strict'
import { mkdtemp, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { startBflSimulator, type BflSimulator } from '../simulator/black-forest-labs.ts'
import { startFalSimulator, type FalSimulator } from '../simulator/fal.ts'
import { startGatewaySimulator, type GatewaySimulator } from '../simulator/gateway.ts'
import { startGoogleSimulator, type GoogleSimulator } from '../simulator/google.ts'
import { startOpenAISimulator, type OpenAISimulator } from '../simulator/openai.ts'
import { startReplicateSimulator, type ReplicateSimulator } from '../simulator/replicate.ts'
import { startRunwaySimulator, type RunwaySimulator } from '../simulator/runway.ts'
import { startStabilitySimulator, type StabilitySimulator } from '../simulator/stability.ts'
import { startTestService, toForm, type TestService } from '../support/service.ts'
import { signUp, sql, storedFiles, type TestUser } from '../support/supabase.ts'

interface Answer {
  model: string
  code?: string
  images?: { bucketUrl: string; width: number; height: number }[]
  video_url?: string
  duration?: number
  attempts: { model: string }[]
  generationId: string
}

describe('the vendors', () => {
  let vendors: { openai: OpenAISimulator; google: GoogleSimulator; runway: RunwaySimulator; stability: StabilitySimulator; fal: FalSimulator; replicate: ReplicateSimulator; gateway: GatewaySimulator; bfl: BflSimulator }
  let service: TestService
  let user: TestUser
  let picture: Buffer
  before(async () => {
    const [openai, google, runway, stability, fal, replicate, gateway, bfl] = await Promise.all([startOpenAISimulator(), startGoogleSimulator(), startRunwaySimulator(), startStabilitySimulator(), startFalSimulator(), startReplicateSimulator(), startGatewaySimulator(), startBflSimulator()])
    vendors = { openai, google, runway, stability, fal, replicate, gateway, bfl }
    const file = path.join(await mkdtemp('/var/tmp/darkroom-vendors-'), 'models.json')
    await writeFile(file, JSON.stringify([{ id: 'seedream-4-0-250828', fallbacks: ['gpt-image-2', 'gemini-3.1-flash-image', 'stable-image-core'] }]))
    service = await startTestService({
      env: {
        MODELS_FILE: file,
        USER_CONCURRENCY: '100',
        OPENAI_API_KEY: openai.apiKey,
        OPENAI_BASE_URL: openai.baseURL,
        GEMINI_API_KEY: google.apiKey,
        GEMINI_BASE_URL: google.baseURL,
        RUNWAYML_API_SECRET: runway.apiKey,
        RUNWAYML_BASE_URL: runway.baseURL,
        STABILITY_API_KEY: stability.apiKey,
        STABILITY_BASE_URL: stability.baseURL,
        FAL_KEY: fal.apiKey,
        FAL_BASE_URL: fal.baseURL,
        REPLICATE_API_TOKEN: replicate.apiKey,
        REPLICATE_BASE_URL: replicate.baseURL,
        GATEWAY_API_KEY: gateway.apiKey,
        GATEWAY_BASE_URL: gateway.baseURL,
        BFL_API_KEY: bfl.apiKey,
        BFL_BASE_URL: bfl.baseURL,
      },
    })
    user = await signUp()
    picture = await sharp({ create: { width: 1280, height: 720, channels: 3, background: 'teal' } }).jpeg().toBuffer()
  })
  after(async () => {
    await service.close()
    await Promise.all(Object.values(vendors).map((vendor) => vendor.close()))
  })

  for (const [model, size] of [
    ['gpt-image-2', '1024x1024'],
    ['gemini-3.1-flash-image', '1024x1024'],
    ['stable-image-core', '1024x1024'],
    ['gen4_image', '1024x1024'],
    ['fal-ai/flux/schnell', '1024x768'],
    ['black-forest-labs/flux-schnell', '1024x1024'],
    ['gateway/gpt-image-2', '1024x1024'],
  ] as const) {
    test(`${model} makes a picture of ${size}`, async () => {
      const response = await service.generate(user, { prompt: `A cat by ${model}`, model, size })
      const answer = (await response.json()) as Answer
      assert.equal(response.status, 200, JSON.stringify(answer))
      const [image] = answer.images!
      assert.equal(answer.model, model)
      // The simulated Replicate makes tiny ones; what is smaller than asked is left as it is.
      if (!model.startsWith('black-forest-labs/')) assert.equal(`${image!.width}x${image!.height}`, size)
      assert.equal((await fetch(image!.bucketUrl)).status, 200)
    })
  }

  for (const [model, fields, isGiven] of [
    ['runway-gen-2', { aspectRatio: '16:9' }, false],
    ['runway-gen-2', { aspectRatio: '1:1' }, true],
    ['gen4_turbo', {}, true],
    ['stable-video', { duration: '4' }, true],
    ['bytedance/seedance-1-pro', {}, false],
    ['gemini-omni-1.2-flash', {}, true],
    ['sora-2', { duration: '8' }, false],
    ['wan-2.1', {}, false],
    ['flux-3-video', {}, false],
    ['flux-3-video', { resolution: '1080p', generateAudio: 'true' }, true],
  ] as const) {
    test(`${model} makes a video of ${isGiven ? 'a picture' : 'text'}`, async () => {
      const response = await service.generateVideo(user, { prompt: `A bay by ${model}`, model, ...fields, ...(isGiven && { image: picture }) })
      const answer = (await response.json()) as Answer
      assert.equal(response.status, 200, JSON.stringify(answer))
      assert.ok(answer.duration! > 0)
      assert.equal((await fetch(answer.video_url!)).headers.get('content-type'), 'video/mp4')
    })
  }

  for (const [model, fields, isGiven, expected] of [
    ['veo3.1', { duration: '5' }, false, /duration must be one of 4, 6, 8 seconds for veo3.1/],
    ['veo3.1', {}, false, 4],
    ['sora-2', { duration: '10' }, false, /duration must be one of 4, 8, 12 seconds/],
    ['sora-2', {}, false, 4],
    ['gateway/google/veo-3.1', {}, false, 8],
    ['gen4.5', { aspectRatio: '1:1' }, false, /aspectRatio must be one of 16:9, 9:16 for gen4.5 without a picture/],
    ['gen4.5', { aspectRatio: '1:1' }, true, 5],
    ['runway-gen-2', { aspectRatio: '1:1' }, false, /aspectRatio must be one of 16:9, 9:16 for gen4.5 without a picture/],
  ] as const) {
    test(`${model} with ${JSON.stringify(fields)} and ${isGiven ? 'a' : 'no'} picture is ${typeof expected === 'number' ? `a film of ${expected} s` : 'refused'} before anything is asked`, async () => {
      const form = toForm({ prompt: 'A bay', model, fallback: 'false', ...fields, ...(isGiven && { image: picture }) })
      const response = await service.request('/api/videos/generate?dryRun=true', { method: 'POST', user, body: form })
      const answer = (await response.json()) as { error: string; parameters: { duration: number } }
      if (typeof expected === 'number') assert.deepEqual([response.status, answer.parameters?.duration], [200, expected], JSON.stringify(answer))
      else assert.deepEqual([response.status, expected.test(answer.error)], [400, true], JSON.stringify(answer))
    })
  }

  test('stable-video without a picture says what is missing', async () => {
    const response = await service.generateVideo(user, { prompt: 'A bay', model: 'stable-video' })
    assert.equal(response.status, 400)
    assert.match(((await response.json()) as { error: string }).error, /image is missing/)
  })

  test('a hundred requests through a chain of vendors that fail in different ways all succeed, and nothing is paid for nothing', async () => {
    const people = await Promise.all(Array.from({ length: 5 }, signUp))
    const before = { modelark: service.simulator.billed(), openai: vendors.openai.created(), google: vendors.google.created(), stability: vendors.stability.created() }
    service.simulator.behave(...Array.from({ length: 100 }, () => 'quota' as const))
    vendors.openai.behave(...Array.from({ length: 100 }, (_, index) => (index % 2 === 0 ? ('auth' as const) : ('quota' as const))))
    vendors.google.behave(...Array.from({ length: 100 }, () => 'not-found'))
    const requests = Array.from({ length: 100 }, (_, index) => index)
    const answers: Answer[] = []
    // Ten at a time.
    await Promise.all(Array.from({ length: 10 }, async () => {
      for (let index = requests.shift(); index !== undefined; index = requests.shift()) {
        const response = await service.generate(people[index % 5]!, { prompt: `Chained ${index}.`, size: '1024x1024' })
        const answer = (await response.json()) as Answer
        assert.equal(response.status, 200, JSON.stringify(answer))
        answers.push(answer)
      }
    }))
    assert.deepEqual([...new Set(answers.map(({ model }) => model))], ['stable-image-core'])
    assert.ok(answers.every(({ attempts }) => attempts.length === 3))
    const paid = { modelark: service.simulator.billed(), openai: vendors.openai.created(), google: vendors.google.created(), stability: vendors.stability.created() }
    assert.deepEqual(paid, { ...before, stability: before.stability + 100 })
    for (const person of people) assert.equal((await storedFiles(person.id)).length, 40)
    assert.deepEqual(await sql(`select from public.generations where user_id = any($1) and status <> 'succeeded'`, [people.map(({ id }) => id)]), [])
  })

  test('no key stands in any row or log', async () => {
    const keys = Object.values(vendors).map(({ apiKey }) => apiKey)
    const rows = JSON.stringify(await sql('select generations.*, submissions.*, plan from public.generations join darkroom.submissions on generation_id = id join darkroom.requests using (generation_id)'))
    const log = JSON.stringify(service.log)
    for (const key of keys) assert.ok(!rows.includes(key) && !log.includes(key), key)
  })
})
