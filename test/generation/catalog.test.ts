import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { mkdtemp, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { CatalogError, createCatalog } from '../../src/generation/catalog.ts'
import { fitSize } from '../../src/generation/image-size.ts'
import { models } from '../../src/generation/models.ts'
import { startTestService } from '../support/service.ts'
import { signUp } from '../support/supabase.ts'

describe('the catalog', () => {
  const pictures = createCatalog(models).list().filter((model) => model.kind === 'image')
  const rules = (id: string) => pictures.find((model) => model.id === id)!.sizes

  test('its built-in entries are valid, and each documented size is one that the model makes', () => {
    for (const model of pictures) {
      for (const known of model.sizes.known) {
        const [width, height] = known.split('x').map(Number) as [number, number]
        assert.deepEqual(fitSize(model.sizes, { width, height }), { width, height }, `${model.id} ${known}`)
      }
    }
  })

  for (const [id, wanted, asked] of [
    ['seedream-4-0-250828', '1024x1024', '1024x1024'],
    ['seedream-4-0-250828', '512x512', '1024x1024'],
    ['seedream-4-0-250828', '1536x1024', '1536x1024'],
    ['seedream-4-0-250828', '600x800', '864x1152'],
    ['seedream-4-5-251128', '1024x1024', '2048x2048'],
    ['seedream-4-5-251128', '512x1024', '1360x2720'],
    ['seedream-5-0-260128', '1536x1024', '2496x1664'],
  ] as const) {
    test(`${id} is asked for ${asked} where ${wanted} is wanted`, () => {
      const [width, height] = wanted.split('x').map(Number) as [number, number]
      const fitted = fitSize(rules(id), { width, height })!
      assert.equal(`${fitted.width}x${fitted.height}`, asked)
    })
  }

  test('names every problem of an operator’s file at once', () => {
    const overrides = [
      { id: 'a', extends: 'nothing' },
      { id: 'b', extends: 'seedream-4-0-250828', state: 'retired' },
      { id: 'c', extends: 'seedream-4-0-250828', price: { per: 'image', usdMicros: -1 } },
      { id: 'd', extends: 'seedream-4-0-250828', state: 'retired', successor: 'e' },
      { id: 'e', extends: 'seedream-4-0-250828', state: 'retired', successor: 'd' },
      { id: 'f', extends: 'seedream-4-0-250828', colour: 'red' },
      'text',
    ]
    assert.throws(() => createCatalog(models, overrides), (error: CatalogError) => {
      for (const part of ['a: extends nothing', 'b: successor', 'c: price.usdMicros', 'circle', 'f: entry', 'entry 6']) assert.ok(error.problems.some((problem) => problem.includes(part)), `${part} in ${error.message}`)
      return true
    })
    assert.throws(() => createCatalog(models, { id: 'x' }), /JSON array/)
  })

  test('MODELS_FILE adds an inference endpoint without a release', async () => {
    const file = path.join(await mkdtemp('/var/tmp/darkroom-models-'), 'models.json')
    await writeFile(file, JSON.stringify([{ id: 'our-seedream', extends: 'seedream-4-0-250828', vendorId: 'ep-20261101-abcde' }, { id: 'our-old-seedream', extends: 'seedream-3-0-t2i-250415', vendorId: 'ep3-20261101-abcde', state: 'current' }]))
    const service = await startTestService({ env: { MODELS_FILE: file } })
    const user = await signUp()
    try {
      const answer = (await (await service.generate(user, { prompt: 'A cat', model: 'our-seedream' })).json()) as { model: string }
      assert.equal(answer.model, 'our-seedream')
      assert.equal(service.simulator.requests[0]!.body.model, 'ep-20261101-abcde')
      // An endpoint's id does not tell its family: the entry does, and Seedream 3.0 takes a seed.
      assert.equal((await service.generate(user, { prompt: 'A cat', model: 'our-old-seedream', size: '512x512', seed: 7, providerOptions: { modelark: { guidanceScale: 3 } } })).status, 200)
      assert.deepEqual(service.simulator.requests[1]!.body, { model: 'ep3-20261101-abcde', prompt: 'A cat', size: '512x512', response_format: 'url', watermark: false, seed: 7, guidance_scale: 3 })
    } finally {
      await service.close()
    }
  })
})
