/**
 * Our requests to ModelArk beside those of `@ai-sdk/bytedance` for the same wishes. Each difference stands below with its
 * reason, from what is known of ModelArk's wire format in November 2026; one that is not listed fails, and so does a
 * listed one that is gone.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createByteDance } from '@ai-sdk/bytedance'
import sharp from 'sharp'
import type { ImageRequest, InputFile, VendorModel, VideoRequest } from '../../src/generation/provider.ts'
import type { ModelArkOptions } from '../../src/providers/modelark-options.ts'
import { createModelArk, modelArkSetting } from '../../src/providers/modelark.ts'
import { complaintsAbout, differencesOf, recordRequests, type Difference, type ListedDifference } from '../support/compared-requests.ts'
import { imageRequest, picture, signal, videoRequest } from '../support/provider-requests.ts'

interface Input<Wish> {
  what: string
  model: VendorModel
  request: Wish
  /** Our `providerOptions.modelark`, told to the other client in its own words. */
  options: ModelArkOptions
  /** What the other client is told besides, where ours knows one way only. */
  aloud: Record<string, string | boolean>
}
type PictureInput = Input<ImageRequest>
interface VideoInput extends Input<VideoRequest> {
  /** The resolution by its pixels, as the vendor's table of outputs has them: the AI SDK has no other word for it. */
  pixels: `${number}x${number}`
}

const jpeg = await picture('teal')
const another = await picture('plum')
const png: InputFile = { bytes: await sharp(jpeg.bytes).png().toBuffer(), mediaType: 'image/png' }

/** `ep-…` is an endpoint, whose family the catalog names. */
const toModel = (words: string): VendorModel => {
  const [vendorId = '', family] = words.split(' as ')
  return { vendorId, family }
}
const image = (what: string, model: string, more: Partial<ImageRequest> = {}, options: ModelArkOptions = {}, aloud: Input<unknown>['aloud'] = {}): PictureInput => ({ what, model: toModel(model), request: imageRequest({ ...more, providerOptions: options }), options, aloud })
const video = (what: string, model: string, pixels: VideoInput['pixels'], more: Partial<VideoRequest> = {}, options: ModelArkOptions = {}, aloud: Input<unknown>['aloud'] = {}): VideoInput => ({ what, model: toModel(model), pixels, request: videoRequest({ ...more, providerOptions: options }), options, aloud })

const SQUARE = { size: { width: 2048, height: 2048 } }
const everyOption: ModelArkOptions = { guidanceScale: 4, optimizePrompt: 'standard', outputFormat: 'png', webSearch: true }
const pictures: PictureInput[] = [
  image('1K', 'seedream-4-0-250828'),
  image('4K with a seed', 'seedream-4-0-250828', { size: { width: 4096, height: 4096 }, seed: 7 }),
  image('every option', 'seedream-4-0-250828', SQUARE, everyOption),
  image('words that look like settings', 'seedream-4-0-250828', { prompt: 'Ein Löwe, 狮子 --ratio 1:1', negativePrompt: 'rain' }),
  image('all that is ours said aloud', 'seedream-4-0-250828', {}, { responseFormat: 'b64_json', optimizePrompt: 'fast' }, { watermark: false, sequentialImageGeneration: 'disabled' }),
  image('an edit of one picture', 'seedream-4-0-250828', { task: 'edit', images: [jpeg], seed: 7 }),
  image('an edit with a mask', 'seedream-4-0-250828', { task: 'edit', images: [png], mask: png }),
  image('a wide one', 'seedream-4-5-251128', { size: { width: 2848, height: 1600 } }),
  image('an edit of three pictures', 'seedream-4-5-251128', { ...SQUARE, task: 'edit', images: [jpeg, another, png] }),
  image('every option', 'seedream-5-0-260128', SQUARE, everyOption),
  image('its other name, as bytes', 'seedream-5-0-lite-260128', SQUARE, { responseFormat: 'b64_json', webSearch: false }),
  image('an edit of two pictures', 'seedream-5-0-260128', { ...SQUARE, task: 'edit', images: [jpeg, png] }, { outputFormat: 'jpeg' }),
  image('every option', 'seedream-5-0-flash-260915', SQUARE, everyOption),
  image('a seed', 'dola-seedream-5-0-pro-260628', { size: { width: 2304, height: 1728 }, seed: 0 }),
  image('an edit of two pictures', 'dola-seedream-5-0-pro-260628', { ...SQUARE, task: 'edit', images: [png, another] }, { outputFormat: 'png' }),
  image('an endpoint of 3.0', 'ep-20261101-abcde as seedream-3'),
  image('an endpoint of 3.0 with a seed and every option', 'ep-20261101-abcde as seedream-3', { seed: 11 }, everyOption),
  image('an endpoint of 4.0', 'ep-20261101-fghij as seedream-4', SQUARE),
]

const videos: VideoInput[] = [
  video('text', 'seedance-1-0-pro-250528', '1248x704'),
  video('upright with a seed', 'seedance-1-0-pro-250528', '1088x1920', { duration: 10, aspectRatio: '9:16', resolution: '1080p', seed: 4_294_967_295 }),
  video('the seed 0', 'seedance-1-0-pro-250528', '1248x704', { seed: 0 }),
  video('words that look like settings', 'seedance-1-0-pro-250528', '1248x704', { prompt: 'A lion --ratio 1:1 --dur 12' }),
  video('half price', 'seedance-1-0-pro-250528', '1248x704', {}, {}, { serviceTier: 'flex' }),
  video('a first frame and a still camera', 'seedance-1-0-pro-fast-251015', '1248x704', { firstFrame: jpeg }, { cameraFixed: true }),
  video('sound, which it does not make', 'seedance-1-0-pro-fast-251015', '640x640', { aspectRatio: '1:1', resolution: '480p', generateAudio: true }),
  video('sound, a seed and a moving camera', 'seedance-1-5-pro-251215', '1280x720', { generateAudio: true, seed: 11 }, { cameraFixed: false }),
  video('a first frame', 'seedance-1-5-pro-251215', '1664x1248', { duration: 12, aspectRatio: '4:3', resolution: '1080p', firstFrame: png }),
  video('text', 'dreamina-seedance-2-0-260128', '1280x720'),
  video('4K, very wide', 'dreamina-seedance-2-0-260128', '3840x1646', { duration: 15, aspectRatio: '21:9', resolution: '4k' }),
  video('words that look like settings', 'dreamina-seedance-2-0-260128', '1280x720', { prompt: '--rs 480p A lion' }),
  video('all that is ours said aloud', 'dreamina-seedance-2-0-260128', '1280x720', { generateAudio: false, callbackUrl: 'https://app.example.com/hooks/ark' }, {}, { watermark: false, serviceTier: 'default' }),
  video('a first frame with sound', 'dreamina-seedance-2-0-fast-260128', '1280x720', { firstFrame: jpeg, generateAudio: true }),
  video('silence, a seed and a still camera', 'dreamina-seedance-2-0-mini-260615', '496x864', { aspectRatio: '9:16', resolution: '480p', generateAudio: false, seed: 5 }, { cameraFixed: true }),
  video('text, as long as can be', 'dreamina-seedance-2-5-260628', '1248x1664', { duration: 30, aspectRatio: '3:4', resolution: '1080p' }),
  video('480p, which has other pixels', 'dreamina-seedance-2-5-260628', '854x480', { resolution: '480p', generateAudio: true }),
  video('a first frame', 'dreamina-seedance-2-5-260628', '1280x720', { firstFrame: png, generateAudio: true }),
  video('an endpoint of 2.5 with a first frame', 'ep-20261101-klmno as seedance-2-5', '960x960', { aspectRatio: '1:1', firstFrame: jpeg }),
]

const always = () => true
const isOf = (pattern: RegExp) => ({ model: { family, vendorId } }: Input<unknown>): boolean => pattern.test(family ?? vendorId)
const isAbout = (pattern: RegExp) => (value: unknown): boolean => typeof value === 'string' && pattern.test(value)
const isWithin = (least: number, most: number) => (value: unknown): boolean => Number.isInteger(value) && Number(value) >= least && Number(value) <= most

const onEvery = (requests: string[]): ListedDifference<Input<unknown>>[] => [
  { requests, field: 'header user-agent', when: always, ours: isAbout(/^OpenAI\/JS [\d.]+$/), theirs: isAbout(/^ai-sdk\//), why: 'Access: there is no official client on npm; of the two that it names, ours is `openai` with its address changed.' },
  { requests, field: 'header x-stainless-*', when: always, ours: isAbout(/./), theirs: undefined, why: 'Access: the same. In them the `openai` client tells its version and its machine; those that the vendor names are others.' },
  { requests, field: 'header accept', when: always, ours: 'application/json', theirs: undefined, why: 'Access: everything here is JSON, and ours asks for it.' },
]

const isSeedream3 = isOf(/^seedream-3/)
const isSeedream5 = isOf(/seedream-5/)
const isSeedream5Lite = isOf(/seedream-5-(lite|0-(lite-)?\d)/)
const isSeedream4 = isOf(/seedream-4/)
const PICTURE = ['picture']
const onPictures: ListedDifference<PictureInput>[] = [
  ...onEvery(PICTURE),
  { requests: PICTURE, field: 'body response_format', when: ({ options }) => options.responseFormat !== 'b64_json', ours: 'url', theirs: 'b64_json', why: 'Images, answer: a link lives 24 hours and is to be copied at once, which is done; so base64 is for those who ask for it.' },
  { requests: PICTURE, field: 'body watermark', when: ({ aloud }) => aloud.watermark === undefined, ours: false, theirs: undefined, why: 'Images, request: the default is true, and false is to be sent for a clean picture.' },
  { requests: PICTURE, field: 'body sequential_image_generation', when: (input) => (isSeedream4(input) || isSeedream5Lite(input)) && input.aloud.sequentialImageGeneration === undefined, ours: 'disabled', theirs: undefined, why: 'Images, request: 4.0, 4.5 and 5.0-lite know it, and it is their default: said, since every picture is paid. 5.0-pro and 5.0-flash refuse it whatever its value.' },
  { requests: PICTURE, field: 'body seed', when: (input) => isSeedream3(input) && input.request.seed !== undefined, ours: (value, { request }) => value === request.seed, theirs: undefined, why: 'Images, request: 3.0 has a documented seed, which their client never sends; 4.x and 5.x are to get none from either.' },
  { requests: PICTURE, field: 'body guidance_scale', when: (input) => !isSeedream3(input) && input.options.guidanceScale !== undefined, ours: undefined, theirs: 4, why: 'Images, request: 3.0 only, and a field that the model does not know is refused with 400.' },
  { requests: PICTURE, field: 'body output_format', when: (input) => !isSeedream5(input) && input.options.outputFormat !== undefined, ours: undefined, theirs: 'png', why: 'Images, request: 5.x only; what came before always makes JPEG.' },
  { requests: PICTURE, field: 'body tools[0].type', when: (input) => !isSeedream5Lite(input) && input.options.webSearch === true, ours: undefined, theirs: 'web_search', why: 'Images, request: the web is searched by 5.0-lite only.' },
  { requests: PICTURE, field: 'body optimize_prompt_options.mode', when: (input) => isSeedream3(input) && input.options.optimizePrompt !== undefined, ours: undefined, theirs: 'standard', why: 'Images, request: 4.0, 4.5 and 5.x have it, 3.0 does not.' },
]

const isSeedance1 = isOf(/seedance-1/)
const isSeedance10 = isOf(/seedance-1-0/)
const isSeedance25 = isOf(/seedance-2-5/)
const TASK = ['task']
const LOOK = ['look']
const onVideos: ListedDifference<VideoInput>[] = [
  ...onEvery([...TASK, ...LOOK]),
  { requests: LOOK, field: 'header content-type', when: always, ours: undefined, theirs: 'application/json', why: 'Video tasks, retrieve: a GET without a body has no content whose type could be told.' },
  { requests: TASK, field: 'body watermark', when: ({ aloud }) => aloud.watermark === undefined, ours: false, theirs: undefined, why: 'Video tasks, body: every model takes it and false is its default; said, since the default for pictures is the other one.' },
  { requests: TASK, field: 'body execution_expires_after', when: always, ours: isWithin(3600, 259_200), theirs: undefined, why: 'Errors: a create call is never repeated blindly, the list is looked through first. Video tasks, retrieve: this is echoed, so a number of our own finds the task.' },
  { requests: TASK, field: 'body seed', when: (input) => isSeedance1(input) && input.request.seed === undefined, ours: isWithin(0, 4_294_967_295), theirs: undefined, why: 'Video tasks, body: 1.x takes one and retrieve echoes it; drawn here, it tells our task from others in the list.' },
  { requests: TASK, field: 'body seed', when: (input) => isSeedance1(input) && input.request.seed === 0, ours: 0, theirs: undefined, why: 'Video tasks, body: 0 is a seed like others from -1 on; their client takes it for none.' },
  { requests: TASK, field: 'body seed', when: (input) => !isSeedance1(input) && input.request.seed !== undefined, ours: undefined, theirs: (value, { request }) => value === request.seed, why: 'Video tasks, body: 1.x only; the documents call it unsupported on 2.x, although one probe passed.' },
  { requests: TASK, field: 'body camera_fixed', when: (input) => !isSeedance1(input) && input.options.cameraFixed !== undefined, ours: undefined, theirs: true, why: 'Video tasks, body: 1.x only, and a field that the model does not know is refused with 400.' },
  { requests: TASK, field: 'body generate_audio', when: (input) => isSeedance10(input) && input.request.generateAudio !== undefined, ours: undefined, theirs: true, why: 'Video tasks, body: 1.5 and 2.x only; models of 1.0 are silent and refuse it.' },
  { requests: TASK, field: 'body generate_audio', when: (input) => !isSeedance10(input) && input.request.generateAudio === undefined, ours: false, theirs: undefined, why: 'Video tasks, body: documents and schema disagree about the default, so it is always to be sent.' },
  { requests: TASK, field: 'body ratio', when: (input) => isSeedance25(input) && input.request.firstFrame !== undefined, ours: 'adaptive', theirs: (value, { request }) => value === request.aspectRatio, why: 'Video tasks, body: 2.5 needs adaptive with frames; the picture was cut to the ratio before.' },
  { requests: TASK, field: 'body resolution', when: ({ pixels }) => ['3840x1646', '854x480'].includes(pixels), ours: (value, { request }) => value === request.resolution, theirs: (value, { pixels }) => value === pixels, why: 'Video tasks, body: it is one of 480p, 720p, 1080p and 4k; their map does not hold all pixels of the table of outputs and passes these on.' },
  { requests: TASK, field: 'body content[1].role', when: ({ request }) => request.firstFrame !== undefined, ours: 'first_frame', theirs: undefined, why: 'Video tasks, content: the role may be left out when it is the only picture; said, it cannot be taken for a reference.' },
  { requests: TASK, field: 'body content[0].text', when: ({ request }) => request.prompt.includes('--'), ours: (value, { request }) => value === request.prompt.replaceAll('--', ''), theirs: (value, { request }) => value === request.prompt, why: 'Video tasks, old prompt suffix: such words are still read as settings and are to be stripped from what users write.' },
  { requests: TASK, field: 'body service_tier', when: ({ aloud }) => aloud.serviceTier !== undefined, ours: undefined, theirs: (value, { aloud }) => value === aloud.serviceTier, why: 'Video tasks, body and list: flex is 1.x only, takes hours, and its tasks are listed only when asked for; ours has no such setting and leaves the default.' },
]

const apiKey = 'a-key'
/** A picture, a new task, or a task that is done. */
function answer({ method, url }: Request): unknown {
  if (url.endsWith('/images/generations')) return { data: [{ b64_json: 'AAAA' }] }
  return { id: 'cgt-20261101120000-abcde', ...(method === 'GET' && { status: 'succeeded', content: { video_url: 'https://example.com/film.mp4' } }) }
}
/** Ours with its address, theirs with the one that it has built in. */
function createBoth() {
  const [ours, theirs] = [recordRequests(answer), recordRequests(answer)]
  const provider = createModelArk({ apiKey, baseURL: modelArkSetting.baseURL, fetch: ours.fetch })
  return { ours: ours.sent, theirs: theirs.sent, provider, other: createByteDance({ apiKey, fetch: theirs.fetch }) }
}
const toFile = ({ bytes, mediaType }: InputFile) => ({ type: 'file' as const, data: bytes, mediaType })

async function comparePicture({ model, request, options, aloud }: PictureInput): Promise<Difference[]> {
  const { ours, theirs, provider, other } = createBoth()
  await provider.image!(model).start(request, { signal, mark: {} })
  const { prompt, size: { width, height }, seed, images, mask } = request
  const { optimizePrompt, outputFormat, guidanceScale, webSearch } = options
  // What it has no word for is passed on as it is.
  const bytedance = { optimizePromptMode: optimizePrompt, outputFormat, guidance_scale: guidanceScale, tools: webSearch ? [{ type: 'web_search' }] : undefined, ...aloud }
  await other.image(model.vendorId).doGenerate({ prompt, n: 1, size: `${width}x${height}`, aspectRatio: undefined, seed, files: images.map(toFile), mask: mask && toFile(mask), providerOptions: { bytedance } })
  return differencesOf(PICTURE, ours, theirs)
}

async function compareVideo({ model, request, pixels, options, aloud }: VideoInput): Promise<Difference[]> {
  const { ours, theirs, provider, other } = createBoth()
  const seedance = provider.video!(model)
  const started = await seedance.start(request, { signal, mark: seedance.mark!(request) })
  assert.ok('operation' in started)
  await seedance.check!(started.operation, { signal })
  const { prompt, aspectRatio, duration, seed, firstFrame, generateAudio, callbackUrl } = request
  const bytedance = { cameraFixed: options.cameraFixed, callback_url: callbackUrl, ...aloud }
  const unused = { fps: undefined, frameImages: undefined, inputReferences: undefined }
  await other.video(model.vendorId).doGenerate({ prompt, n: 1, aspectRatio: aspectRatio as `${number}:${number}`, resolution: pixels, duration, seed, image: firstFrame && toFile(firstFrame), generateAudio, ...unused, providerOptions: { bytedance } })
  return differencesOf([...TASK, ...LOOK], ours, theirs)
}

function compareAll<One extends Input<unknown>>(inputs: One[], compare: (input: One) => Promise<Difference[]>, list: ListedDifference<One>[]): void {
  for (const input of inputs) {
    test(`${input.model.vendorId}: ${input.what}`, async () => {
      assert.deepEqual(complaintsAbout(input, await compare(input), list), [])
    })
  }

  for (const listed of list) {
    test(`the list needs ${listed.requests.join(', ')} ${listed.field}: ${listed.why}`, async () => {
      const input = inputs.find(listed.when)
      assert.ok(input, 'no input has it')
      const found = await compare(input)
      assert.notDeepEqual(complaintsAbout(input, found, list.filter((other) => other !== listed)), [], 'it may be taken from the list')
      const [prefix = ''] = listed.field.split('*')
      assert.notDeepEqual(complaintsAbout(input, found.filter(({ field }) => !field.startsWith(prefix)), list), [], 'it may be gone')
    })
  }
}

describe('ModelArk beside @ai-sdk/bytedance', () => {
  describe('pictures', () => compareAll(pictures, comparePicture, onPictures))
  describe('videos', () => compareAll(videos, compareVideo, onVideos))
})
