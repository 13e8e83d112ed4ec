import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { createSandbox } from '../../src/local/sandbox.ts'
import { startStabilitySimulator, type StabilitySimulator } from '../simulator/stability.ts'
import { startTestService, toForm, type TestService } from '../support/service.ts'
import { signUp, sql, type TestUser } from '../support/supabase.ts'

interface Answer {
  images: { bucketUrl: string; width: number; height: number; mimeType: string }[]
  model: string
  warnings: { setting?: string }[]
  generationId: string
  code?: string
  error?: string
  details?: { path: string }[]
}

const solid = (width: number, height: number, alpha = 1) => sharp({ create: { width, height, channels: 4, background: { r: 30, g: 120, b: 200, alpha } } })

describe('changing pictures', () => {
  let service: TestService
  let stability: StabilitySimulator
  let user: TestUser
  let photograph: Buffer
  let mask: Buffer
  before(async () => {
    stability = await startStabilitySimulator()
    service = await startTestService({ extras: createSandbox(), env: { STABILITY_API_KEY: stability.apiKey, STABILITY_BASE_URL: stability.baseURL } })
    user = await signUp()
    photograph = await solid(900, 600).removeAlpha().withExif({ IFD0: { Make: 'SECRETCAMERA' } }).jpeg().toBuffer()
    mask = await solid(900, 600, 0).png().toBuffer()
  })
  after(async () => {
    await service.close()
    await stability.close()
  })

  async function post(route: 'edit' | 'remove-background', fields: Record<string, string | Uint8Array>, more: Uint8Array[] = [], headers: Record<string, string> = {}) {
    const form = toForm(fields)
    for (const bytes of more) form.append('image', new Blob([Uint8Array.from(bytes)]), 'more')
    const response = await service.request(`/api/images/${route}`, { method: 'POST', user, body: form, headers })
    return { response, answer: (await response.json()) as Answer }
  }

  test('an edit goes to the vendor as a clean picture and an instruction', async () => {
    const { response, answer } = await post('edit', { prompt: 'Make it night', model: 'seedream-4-0-250828', image: photograph }, [photograph])
    assert.equal(response.status, 200, JSON.stringify(answer))
    const { body } = service.simulator.requests.at(-1)!
    assert.equal(body.prompt, 'Make it night')
    const [first, second, ...others] = (body.image as string[]).map((url) => Buffer.from(url.split(',')[1]!, 'base64'))
    assert.deepEqual([others.length, first!.equals(second!)], [0, true])
    const { width, height, exif } = await sharp(first).metadata()
    assert.deepEqual({ width, height, exif }, { width: 900, height: 600, exif: undefined })
    const { data } = await user.client.from('prompts').select('prompt, type, images(width, height)').eq('prompt', 'Make it night')
    assert.equal(data!.length, 1)
    assert.deepEqual(await sql('select from darkroom.inputs'), [])
  })

  test('the sandbox edits with a mask and keeps the size, or makes the size that is asked for', async () => {
    const { response, answer } = await post('edit', { prompt: 'HELLO', model: 'sandbox-image', image: photograph, mask })
    assert.equal(response.status, 200, JSON.stringify(answer))
    assert.deepEqual([answer.images[0]!.width, answer.images[0]!.height], [900, 600])
    const sized = await post('edit', { prompt: 'HELLO', model: 'sandbox-image', image: photograph, size: '300x300' })
    assert.deepEqual([sized.answer.images[0]!.width, sized.answer.images[0]!.height], [300, 300], JSON.stringify(sized.answer))
  })

  for (const model of ['sandbox-image', 'stable-image-remove-background']) {
    test(`${model} takes the background away`, async () => {
      const { response, answer } = await post('remove-background', { model, image: photograph })
      assert.equal(response.status, 200, JSON.stringify(answer))
      assert.equal(answer.model, model)
      const bytes = Buffer.from(await (await fetch(answer.images[0]!.bucketUrl)).arrayBuffer())
      assert.equal((await sharp(bytes).metadata()).hasAlpha, true)
    })
  }

  test('the default model is one that does such work and has a key', async () => {
    const { answer } = await post('remove-background', { image: photograph })
    assert.equal(answer.model, 'stable-image-remove-background')
  })

  const refused: [what: string, route: 'edit' | 'remove-background', fields: () => Record<string, string | Uint8Array>, status: number, path: string][] = [
    ['no picture', 'edit', () => ({ prompt: 'A' }), 400, 'image'],
    ['no prompt', 'edit', () => ({ image: photograph }), 400, 'prompt'],
    ['a mask of another size', 'edit', () => ({ prompt: 'A', model: 'sandbox-image', image: photograph, mask: Buffer.from(SMALL_MASK, 'base64') }), 400, 'mask'],
    ['a mask without transparency', 'edit', () => ({ prompt: 'A', model: 'sandbox-image', image: photograph, mask: photograph }), 400, 'mask'],
    ['a mask for a model that knows none', 'edit', () => ({ prompt: 'A', model: 'seedream-4-0-250828', image: photograph, mask }), 400, 'mask'],
    ['a model that makes pictures from text alone', 'edit', () => ({ prompt: 'A', model: 'stable-image-core', image: photograph }), 400, 'model'],
    ['a model that edits for one that cuts out', 'remove-background', () => ({ model: 'seedream-4-0-250828', image: photograph }), 400, 'model'],
    ['a prompt where there is none', 'remove-background', () => ({ prompt: 'A', image: photograph }), 400, 'prompt'],
    ['a program as a picture', 'edit', () => ({ prompt: 'A', image: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="90" height="90"/>') }), 415, 'image'],
  ]
  for (const [what, route, fields, status, path] of refused) {
    test(`${what} is refused before anything is paid`, async () => {
      const creates = [service.simulator.requests.length, stability.created()]
      const { response, answer } = await post(route, fields())
      assert.deepEqual([response.status, answer.details?.[0]?.path], [status, path], JSON.stringify(answer))
      assert.deepEqual([service.simulator.requests.length, stability.created()], creates)
    })
  }

  test('too many pictures are refused, by the form or by the model', async () => {
    assert.equal((await post('edit', { prompt: 'A', model: 'sandbox-image', image: photograph }, [photograph, photograph, photograph, photograph])).response.status, 400)
    assert.equal((await post('edit', { prompt: 'A', image: photograph }, Array.from({ length: 16 }, () => photograph))).response.status, 400)
  })

  test('the same key and files are the same picture; another mask is another request', async () => {
    const key = { 'idempotency-key': 'edit-1' }
    const first = await post('edit', { prompt: 'Once', model: 'sandbox-image', image: photograph }, [], key)
    const again = await post('edit', { prompt: 'Once', model: 'sandbox-image', image: photograph }, [], key)
    assert.equal(first.answer.generationId, again.answer.generationId)
    assert.equal((await post('edit', { prompt: 'Once', model: 'sandbox-image', image: photograph, mask }, [], key)).response.status, 422)
  })

  test('dryRun tells what would run', async () => {
    const response = await service.request('/api/images/edit?dryRun=true', { method: 'POST', user, body: toForm({ prompt: 'A', model: 'seedream-4-0-250828', image: photograph }) })
    const answer = (await response.json()) as { dryRun: boolean; model: string; estimatedCostMicros: number }
    assert.deepEqual([answer.dryRun, answer.model, answer.estimatedCostMicros], [true, 'seedream-4-0-250828', 30_000])
  })
})

/** 64 by 64, transparent. */
const SMALL_MASK = 'iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAYAAACqaXHeAAAACXBIWXMAAAPoAAAD6AG1e1JrAAAAJ0lEQVR4nO3BAQ0AAADCoPdPbQ43oAAAAAAAAAAAAAAAAAAAAIDODUBAAAENBzWNAAAAAElFTkSuQmCC'
