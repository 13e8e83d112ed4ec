/** What the adapter makes of a package's model, whatever the vendor: the forms that Black Forest Labs does not give. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { AISDKError, InvalidArgumentError, InvalidResponseDataError, TypeValidationError, type Experimental_VideoModelV4 as VideoModelV4, type Experimental_VideoModelV4VideoData as VideoData, type SharedV4Warning } from '@ai-sdk/provider'
import { z } from 'zod'
import { ProviderError } from '../../src/errors.ts'
import { fromVideoModel } from '../../src/providers/ai-sdk.ts'
import { call, failureOf, signal, told, videoRequest } from '../support/provider-requests.ts'

const PROMPT = 'A heron whose name is private'
const ADDRESS = 'https://vendor.example/v1/videos'
const response = { timestamp: new Date(0), modelId: 'a-model', headers: undefined }

/** A model of a package that asks its vendor once for each call. */
interface Package {
  start?: (ask: () => Promise<Response>) => Promise<SharedV4Warning[]>
  look?: (ask: () => Promise<Response>) => Promise<Awaited<ReturnType<NonNullable<VideoModelV4['doStatus']>>>>
  answer?: () => Response
}

function create({ start = async (ask) => (await ask(), []), look, answer = () => Response.json({ state: 'done' }) }: Package) {
  const model = (send: typeof fetch): VideoModelV4 => ({
    specificationVersion: 'v4',
    provider: 'vendor.video',
    modelId: 'a-model',
    maxVideosPerCall: 1,
    doStart: async () => ({ operation: { id: '7', secret: 'of the package' }, warnings: await start(() => send(ADDRESS, { method: 'POST' })), response }),
    doStatus: () => look!(() => send(ADDRESS)),
  })
  return fromVideoModel('vendor', model, {
    apiKey: 'a-key',
    isVendors: ({ host }) => host === 'vendor.example',
    fetch: async () => answer(),
    toCallOptions: () => ({}),
    operationSchema: z.object({ id: z.string() }),
    requestIdOf: ({ id }) => String(id),
    // The vendor's word decides; nothing else tells why it failed.
    toState: (seen, body) => (seen.status === 'pending' ? { status: 'queued' } : { status: 'failed', error: new ProviderError('provider_failed', `${seen.error} ${JSON.stringify(body)}`, { provider: 'vendor', charged: 'unknown' }) }),
    costMicrosOf: ({ vendor }) => (typeof vendor?.cost === 'number' ? vendor.cost : undefined),
  })
}

const completed = (videos: VideoData[], cost?: number) => async (ask: () => Promise<Response>) => {
  await ask()
  return { status: 'completed' as const, videos, warnings: [], ...(cost !== undefined && { providerMetadata: { vendor: { cost } } }), response }
}
const check = (parts: Package) => create(parts).check!({ id: '7' }, { signal })

describe('a video model of the AI SDK', () => {
  test('gives addresses and bytes, and what they cost', async () => {
    const bytes = new Uint8Array([1, 2, 3])
    const state = await check({ look: completed([{ type: 'url', url: 'https://files.example/a.mp4', mediaType: 'video/mp4' }, { type: 'binary', data: bytes, mediaType: 'video/mp4' }, { type: 'base64', data: 'BAUG', mediaType: 'video/mp4' }, { type: 'uploaded', mediaType: 'video/mp4' }], 12) })
    assert.deepEqual(state, { status: 'succeeded', outputs: [{ type: 'url', url: 'https://files.example/a.mp4' }, { type: 'bytes', bytes }, { type: 'bytes', bytes: Buffer.from([4, 5, 6]) }], costMicros: 12 })
  })

  test('that delivers to a store of its own has no file for us', async () => {
    for (const videos of [[], [{ type: 'uploaded' as const, mediaType: 'video/mp4' }]]) {
      const state = await check({ look: completed(videos) })
      assert.ok(state.status === 'failed')
      assert.deepEqual(told(state.error), ['output_invalid', 'yes', false, undefined])
    }
  })

  test('warns in our words', async () => {
    const given: SharedV4Warning[] = [{ type: 'unsupported', feature: 'seed' }, { type: 'unsupported', feature: 'fps', details: 'Always 24.' }, { type: 'compatibility', feature: 'resolution' }, { type: 'deprecated', setting: 'style', message: 'Say it in the prompt.' }, { type: 'other', message: 'Slow today.' }]
    const { warnings } = await create({ start: async (ask) => (await ask(), given) }).start(videoRequest(), call)
    assert.deepEqual(warnings, [
      { type: 'unsupported', setting: 'seed', message: 'seed is not supported: it was left out.' },
      { type: 'unsupported', setting: 'fps', message: 'Always 24.' },
      { type: 'adjusted', setting: 'resolution', message: 'resolution was adjusted to what is supported.' },
      { type: 'deprecated', setting: 'style', message: 'Say it in the prompt.' },
      { type: 'other', message: 'Slow today.' },
    ])
  })

  test('keeps of its operation what the schema knows', async () => {
    const answer = await create({}).start(videoRequest(), call)
    assert.deepEqual('operation' in answer && answer.operation, { id: '7' })
    assert.equal(answer.providerRequestId, '7')
  })

  const fail = (error: Error) => async (ask: () => Promise<Response>) => {
    await ask()
    throw error
  }
  const refuse = (error: Error) => () => Promise.reject(error)
  const invalid = new InvalidArgumentError({ argument: 'prompt', message: PROMPT })
  const mistaken = new TypeValidationError({ value: PROMPT, cause: new Error(PROMPT) })
  const ended = new AISDKError({ name: 'VENDOR_ERROR', message: 'no video' })

  for (const [name, parts, expected] of [
    ['that refuses a setting by itself has sent nothing', { start: refuse(invalid) }, ['invalid_request', 'no', false, undefined]],
    ['that refuses a value by itself has sent nothing', { start: refuse(mistaken) }, ['invalid_request', 'no', false, undefined]],
    ['that breaks before it sends has sent nothing', { start: refuse(new TypeError(PROMPT)) }, ['provider_failed', 'no', false, undefined]],
    ['that breaks after it has sent may be paid', { start: fail(new TypeError(PROMPT)) }, ['submission_unknown', 'unknown', false, 200]],
    ['that refuses an answer may be paid, whatever it calls it', { start: fail(invalid) }, ['submission_unknown', 'unknown', false, 200]],
    ['that was told no is not', { start: fail(mistaken), answer: () => new Response('', { status: 422 }) }, ['invalid_request', 'no', false, 422]],
  ] as const) {
    test(name, async () => {
      const error = await failureOf(create(parts).start(videoRequest({ prompt: PROMPT }), call))
      assert.deepEqual(told(error), expected)
      assert.ok(!inspect(error, { depth: Infinity }).includes(PROMPT))
    })
  }

  test('that can read an answer and finds no video leaves the rest to the vendor’s words', async () => {
    const state = await check({ look: fail(ended) })
    assert.ok(state.status === 'failed')
    assert.equal(state.error.message, 'no video {"state":"done"}')
    const failed = await check({ look: async (ask) => (await ask(), { status: 'error', error: 'refused', response }) })
    assert.ok(failed.status === 'failed')
    assert.equal(failed.error.message, 'refused {"state":"done"}')
  })

  for (const [name, parts, status] of [
    ['cannot read an answer', { look: fail(mistaken) }, 200],
    ['misses something in it', { look: fail(new InvalidResponseDataError({ data: PROMPT })) }, 200],
    ['breaks over it', { look: fail(new TypeError(PROMPT)) }, 200],
    ['was told of a fault', { look: fail(ended), answer: () => new Response('<h1>502</h1>', { status: 502 }) }, 502],
    ['does not look at all', { look: refuse(ended) }, undefined],
  ] as const) {
    test(`that ${name} says nothing of the work`, async () => {
      const error = await failureOf(check(parts))
      assert.deepEqual(told(error), ['provider_failed', 'no', true, status])
      assert.ok(!inspect(error, { depth: Infinity }).includes(PROMPT))
    })
  }

  test('gets its bytes as they were sent, but for the key', async () => {
    const bytes = Buffer.concat([Buffer.from([0, 128, 255]), Buffer.from('"a-key"'), Buffer.from('é')])
    let seen: Buffer | undefined
    await create({ start: async (ask) => ((seen = Buffer.from(await (await ask()).arrayBuffer())), []), answer: () => new Response(bytes) }).start(videoRequest(), call)
    assert.deepEqual(seen, Buffer.concat([Buffer.from([0, 128, 255]), Buffer.from('"[key]"'), Buffer.from('é')]))
  })
})
