/** Google's pictures through the real client, and what all its calls have in common. The simulator refuses what the real one does. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { ProviderError } from '../../src/errors.ts'
import { createCatalog } from '../../src/generation/catalog.ts'
import { googleModels } from '../../src/generation/models/google.ts'
import type { ImageRequest, Provider, Started } from '../../src/generation/provider.ts'
import { createGoogle, googleSetting } from '../../src/providers/google.ts'
import { createProviders } from '../../src/providers/registry.ts'
import { startGoogleSimulator, type GoogleSimulator } from '../simulator/google.ts'

const FLASH = 'gemini-3.1-flash-image'
const signal = new AbortController().signal

describe('Google', () => {
  let simulator: GoogleSimulator
  let provider: Provider
  before(async () => {
    simulator = await startGoogleSimulator()
    provider = createGoogle(simulator)
  })
  after(() => simulator.close())

  const start = (request: Partial<ImageRequest> = {}, model = FLASH, from = provider): Promise<Started> =>
    from.image!({ vendorId: model }).start({ task: 'generate', prompt: 'A cat', size: { width: 1024, height: 1024 }, images: [], providerOptions: {}, ...request }, { signal, mark: {} })

  const failureOf = async (call: Promise<unknown>): Promise<ProviderError> => {
    const error = await call.then(() => undefined, (reason: unknown) => reason)
    assert.ok(error instanceof ProviderError, 'a ProviderError')
    return error
  }

  const lastRequest = () => simulator.requests.at(-1)!

  test('a picture is asked for with the key in a header and exactly the documented body', async () => {
    const started = await start({ seed: 7, providerOptions: { temperature: 0.5 }, size: { width: 1376, height: 768 } })
    const { call, headers, body } = lastRequest()
    assert.equal(call, `POST /v1beta/models/${FLASH}:generateContent`)
    assert.equal(headers['x-goog-api-key'], simulator.apiKey)
    assert.equal(headers.authorization, undefined)
    assert.equal(headers['content-type'], 'application/json')
    assert.deepEqual(body, {
      contents: [{ role: 'user', parts: [{ text: 'A cat' }] }],
      generationConfig: { responseModalities: ['IMAGE'], imageConfig: { aspectRatio: '16:9', imageSize: '1K' }, seed: 7, temperature: 0.5 },
    })
    assert.deepEqual(started.warnings, [])
    assert.equal(started.providerRequestId, 'resp-123')
    assert.deepEqual(started.usage, { outputTokens: 1120 })
    assert.ok('outputs' in started && started.outputs.length === 1 && started.outputs[0]?.type === 'bytes')
    assert.equal((await sharp(started.outputs[0].bytes).metadata()).format, 'png')
  })

  test('pictures to work on go with the prompt, the main one first', async () => {
    // Bytes may be a window on a larger buffer: only the window is sent.
    const images = [{ bytes: Buffer.from('first'), mediaType: 'image/png' }, { bytes: new Uint8Array(Buffer.from('xsecondx')).subarray(1, 7), mediaType: 'image/jpeg' }]
    const started = await start({ task: 'edit', prompt: 'Put it on a table', images, mask: { bytes: Buffer.from('mask'), mediaType: 'image/png' } })
    assert.deepEqual((lastRequest().body as { contents: unknown }).contents, [
      {
        role: 'user',
        parts: [
          { text: 'Put it on a table' },
          { inlineData: { mimeType: 'image/png', data: Buffer.from('first').toString('base64') } },
          { inlineData: { mimeType: 'image/jpeg', data: Buffer.from('second').toString('base64') } },
        ],
      },
    ])
    assert.deepEqual(started.warnings.map(({ type, setting }) => [type, setting]), [['unsupported', 'mask']])
  })

  test('what it cannot honour is told and left out', async () => {
    const started = await start({ negativePrompt: 'dogs', providerOptions: { pictureUse: 'reference' } })
    assert.deepEqual(started.warnings.map(({ setting }) => setting), ['negativePrompt', 'providerOptions.google.pictureUse'])
  })

  test('each retired model is followed by one that does all that it did', () => {
    const catalog = createCatalog(googleModels)
    const retired = catalog.list().filter(({ state }) => state === 'retired')
    assert.equal(retired.length, 9)
    for (const old of retired) {
      const { model, warnings } = catalog.resolve(old)
      assert.deepEqual([model.state, warnings.length], ['current', 1], old.id)
      if (old.kind === 'image') assert.ok(model.kind === 'image' && old.sizes.known.every((size) => model.sizes.known.includes(size)), old.id)
      else assert.ok(model.kind === 'video' && old.resolutions.every((resolution) => model.resolutions.includes(resolution)) && old.durations.max <= model.durations.max, old.id)
    }
  })

  test('a background is not taken away, and nobody is asked', async () => {
    const before = simulator.requests.length
    const error = await failureOf(start({ task: 'remove-background', prompt: '', images: [{ bytes: Buffer.from('p'), mediaType: 'image/png' }] }))
    assert.deepEqual([error.code, error.charged], ['invalid_request', 'no'])
    assert.equal(simulator.requests.length, before)
  })

  const large = (letter: string) => ({ bytes: Buffer.alloc(8_000_000, letter), mediaType: 'image/jpeg' })

  test('pictures that are too large together are sent ahead, in their order, and only the last call costs', async () => {
    const created = simulator.created()
    const calls = simulator.requests.length
    await start({ task: 'edit', images: [large('a'), large('b')] })
    const [, ...parts] = (lastRequest().body as { contents: [{ parts: { fileData: { mimeType: string; fileUri: string } }[] }] }).contents[0].parts
    assert.deepEqual(parts.map(({ fileData }) => [fileData.mimeType, simulator.uploads.get(fileData.fileUri)?.bytes.equals(large('a').bytes)]), [['image/jpeg', true], ['image/jpeg', false]])
    assert.equal(simulator.uploads.get(parts[1]!.fileData.fileUri)?.bytes.equals(large('b').bytes), true)
    assert.equal(simulator.created(), created + 1)
    for (const { call, headers } of simulator.requests.slice(calls)) {
      assert.equal(headers['x-goog-api-key'], headers['x-goog-upload-command'] === 'upload, finalize' ? undefined : simulator.apiKey, call)
    }
  })

  for (const [word, code] of [['server-error', 'provider_failed'], ['drop', 'provider_failed'], ['rate-limit', 'provider_rate_limited'], ['foreign-link', 'provider_failed']] as const) {
    test(`an upload that fails (${word}) costs nothing, and may be repeated`, async () => {
      const created = simulator.created()
      simulator.behaveAtLook(word, word)
      const error = await failureOf(start({ task: 'edit', images: [large('a'), large('b')] }))
      assert.deepEqual([error.code, error.charged, error.isRetryable], [code, 'no', true])
      assert.equal(simulator.created(), created)
    })
  }

  const models = createCatalog(googleModels).list().filter((model) => model.kind === 'image' && model.state === 'current')
  for (const model of models) {
    test(`${model.id} makes every size of its catalog entry, without a word of warning`, async () => {
      assert.ok(model.kind === 'image')
      const asked = new Set<string>()
      for (const size of model.sizes.known) {
        const [width, height] = size.split('x').map(Number) as [number, number]
        // The simulator refuses ratios and sizes that the model does not have; no picture is drawn for a refusal.
        simulator.behave('safety')
        const error = await failureOf(start({ size: { width, height } }, model.id))
        assert.equal(error.code, 'content_refused', `${size}: ${error.message}`)
        const { aspectRatio, imageSize } = (lastRequest().body as { generationConfig: { imageConfig: Record<string, string> } }).generationConfig.imageConfig
        asked.add(`${aspectRatio} ${imageSize}`)
      }
      assert.equal(asked.size, model.sizes.known.length, 'each size is one of the vendor’s own')
    })
  }

  for (const [model, wanted, asked, isTold] of [
    [FLASH, [300, 300], '1:1 512', false],
    [FLASH, [1280, 720], '16:9 1K', false],
    [FLASH, [1920, 1080], '16:9 2K', false],
    [FLASH, [384, 3072], '1:8 1K', false],
    ['gemini-3-pro-image', [512, 512], '1:1 1K', false],
    ['gemini-3-pro-image', [3840, 2160], '16:9 4K', false],
    ['gemini-3-pro-image', [500, 2000], '9:16 1K', true],
    ['gemini-3.1-flash-lite-image', [2048, 2048], '1:1 1K', true],
    ['gemini-of-tomorrow', [2048, 1000], '21:9 1K', true],
  ] as const) {
    test(`${model} is asked for ${asked} where ${wanted.join('x')} is wanted`, async () => {
      const seen: unknown[] = []
      const stub: typeof fetch = async (_url, init) => {
        seen.push(JSON.parse(init!.body as string))
        return Response.json({ candidates: [{ content: { parts: [{ inlineData: { data: 'AAAA' } }] } }] })
      }
      const [width, height] = wanted
      const { warnings } = await start({ size: { width, height } }, model, createGoogle({ ...simulator, fetch: stub }))
      const { aspectRatio, imageSize } = (seen[0] as { generationConfig: { imageConfig: Record<string, string> } }).generationConfig.imageConfig
      assert.equal(`${aspectRatio} ${imageSize}`, asked)
      assert.deepEqual(warnings.map(({ type, setting }) => `${type} ${setting}`), isTold ? ['adjusted size'] : [])
    })
  }

  test('the sketch in a thought is not taken for the picture', async () => {
    simulator.behave('thought')
    const started = await start()
    assert.ok('outputs' in started && started.outputs[0]?.type === 'bytes')
    assert.equal((await sharp(started.outputs[0].bytes).metadata()).width, 1024)
  })

  test('its files are given with the key, to the vendor and the configured address alone', () => {
    const key = { 'x-goog-api-key': simulator.apiKey }
    const { origin } = new URL(simulator.baseURL)
    assert.deepEqual(provider.downloadHeaders!(`${origin}/v1beta/files/a:download?alt=media`), key)
    assert.deepEqual(provider.downloadHeaders!('https://generativelanguage.googleapis.com/v1beta/files/a:download?alt=media'), key)
    for (const url of ['http://generativelanguage.googleapis.com/v1beta/files/a', 'https://generativelanguage.googleapis.com.evil.example/files/a', 'https://generativelanguage.googleapis.com@evil.example/', 'https://storage.googleapis.com/a', 'not a url']) {
      assert.equal(provider.downloadHeaders!(url), undefined, url)
    }
    assert.equal(provider.trustedOrigin, origin)
    assert.equal(createGoogle({ apiKey: 'k', baseURL: googleSetting.baseURL }).trustedOrigin, undefined)
  })

  test('the probe is free and needs the key', async () => {
    const created = simulator.created()
    assert.match(JSON.stringify(await provider.probe!({ signal })), /gemini-3\.1-flash-image/)
    assert.equal((await failureOf(createGoogle({ ...simulator, apiKey: 'other' }).probe!({ signal }))).code, 'provider_misconfigured')
    assert.equal(simulator.created(), created)
  })

  test('its options are checked, and the registry makes it when there is a key', () => {
    assert.equal(provider.optionsSchema.safeParse({ temperature: 3 }).success, false)
    assert.equal(provider.optionsSchema.safeParse({ colour: 'red' }).success, false)
    assert.equal(provider.optionsSchema.safeParse({ temperature: 2, pictureUse: 'first-frame' }).success, true)
    assert.equal(createProviders({ google: { apiKey: 'k', baseURL: googleSetting.baseURL } }).get('google')?.id, 'google')
    assert.equal(createProviders({ google: { apiKey: undefined, baseURL: googleSetting.baseURL } }).size, 0)
  })
})
