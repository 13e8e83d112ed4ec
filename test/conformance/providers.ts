/** One harness for each provider: its simulator, the models that serve each column, and the words that make it misbehave. */
import { startGatewaySimulator } from '../simulator/gateway.ts'
import { startGoogleSimulator } from '../simulator/google.ts'
import { startModelArkSimulator } from '../simulator/modelark.ts'
import { startOpenAISimulator } from '../simulator/openai.ts'
import { errorCases, looksOf, losses, type Bench, type Fault, type Track } from './harness.ts'
import { edit, imageToVideo, textToImage, textToVideo } from './jobs.ts'
import { bfl, fal, replicate, runway, stability } from './more-providers.ts'

async function modelark(): Promise<Bench> {
  const simulator = await startModelArkSimulator({ runningMs: 0 })
  const { videos } = simulator
  const say = (word: Parameters<typeof simulator.behave>[0]): Fault => () => simulator.behave(word)
  const sayVideo = (word: Extract<Parameters<typeof videos.behave>[0], string>): Fault => () => videos.behave(word)
  return {
    ...simulator,
    offers: { 'text to image': textToImage('seedream-4-0-250828'), edit: edit('seedream-4-0-250828'), 'text to video': textToVideo('seedance-1-0-pro-250528'), 'image to video': imageToVideo('seedance-1-0-pro-250528') },
    tracks: [
      {
        name: 'pictures',
        job: textToImage('seedream-4-0-250828'),
        created: () => simulator.billed(),
        errors: errorCases({
          'input moderation': { fault: say('moderation') },
          'output moderation': { fault: say('output-moderation') },
          'rate limit': { fault: say('rate-limit') },
          quota: { fault: say('quota') },
          'unknown model': { model: { vendorId: 'seedream-9' } },
          "vendor's server error": { fault: say('server-error') },
          'proxy error': { fault: say('proxy-error') },
        }),
        lost: [...losses(say, true, ['drop', 'cut', 'hang']), ...losses(say, false, ['html', 'gateway-error', 'proxy-conflict'])],
      },
      {
        name: 'videos',
        job: textToVideo('seedance-1-0-pro-250528'),
        created: () => videos.created(),
        errors: errorCases({
          'input moderation': { fault: sayVideo('moderation') },
          'output moderation': { fault: sayVideo('task-failed') },
          'rate limit': { fault: sayVideo('rate-limit') },
          quota: { fault: sayVideo('quota') },
          'unknown model': { model: { vendorId: 'seedance-9' } },
          "vendor's server error": { fault: sayVideo('server-error'), charged: 'unknown' },
          'proxy error': { fault: sayVideo('proxy-error') },
        }),
        lost: [...losses(sayVideo, true, ['accept-drop', 'accept-cut', 'accept-500', 'accept-502', 'accept-hang']), ...losses(sayVideo, false, ['html', 'drop'])],
        tasks: {
          stay: (status) => ({ release: videos.hold(status), goesOn: true }),
          states: [
            { name: 'failed', fault: sayVideo('task-failed-internal'), status: 'failed', code: 'provider_failed', charged: 'no' },
            { name: 'expired', fault: sayVideo('task-expired'), status: 'failed', code: 'operation_expired', charged: 'no' },
            { name: 'cancelled', fault: sayVideo('task-cancelled'), status: 'cancelled' },
            { name: 'unknown', fault: sayVideo('task-unknown-status'), status: 'unknown' },
          ],
          forgotten: sayVideo('task-forgotten'),
          looks: looksOf(sayVideo, ['check-error-once', 'check-rate-limit-once', 'check-html-once', 'check-drop-once', 'check-proxy-error-once', 'check-hang-once']),
          // It begins to run between the look and the wish.
          cancel: {
            tooLate() {
              const [begin, finish] = [videos.hold('queued'), videos.hold('running')]
              const off = videos.on('check-answering', () => {
                off()
                begin()
              })
              return finish
            },
          },
          find: { listFails: () => videos.behave('list-error-once') },
        },
      },
    ],
  }
}

async function openai(): Promise<Bench> {
  const simulator = await startOpenAISimulator()
  const say = (word: Parameters<typeof simulator.behave>[0]): Fault => () => simulator.behave(word)
  const track = (job: Track['job'], name: string): Track => ({
    name,
    job,
    created: simulator.created,
    errors: errorCases({
      'input moderation': { fault: say('moderation') },
      'output moderation': { fault: say('moderation-output'), charged: 'unknown' },
      'rate limit': { fault: say('rate-limit') },
      quota: { fault: say('quota') },
      'unknown model': { model: { vendorId: 'gpt-image-9' } },
      "vendor's server error": { fault: say('server-error') },
      'proxy error': { fault: say('proxy-error') },
    }),
    lost: [...losses(say, true, ['drop', 'cut', 'hang']), ...losses(say, false, ['html', 'bad-json', 'gateway-error', 'proxy-unavailable', 'proxy-conflict'])],
  })
  const [made, edited] = [textToImage('gpt-image-2'), edit('gpt-image-2')]
  return { ...simulator, offers: { 'text to image': made, edit: edited }, tracks: [track(made, 'pictures'), track(edited, 'edits')] }
}

async function gateway(): Promise<Bench> {
  const simulator = await startGatewaySimulator()
  const say = (word: Parameters<typeof simulator.behave>[0]): Fault => () => simulator.behave(word)
  const look = (word: Parameters<typeof simulator.behaveOnLook>[0]): Fault => () => simulator.behaveOnLook(word)
  const refusals = { 'input moderation': { fault: say('moderation') }, 'rate limit': { fault: say('rate-limit') }, quota: { fault: say('quota') }, 'unknown model': { fault: say('not-found') }, 'proxy error': { fault: say('proxy-error') } }
  const { created } = simulator
  const videos = (vendorId: string, family: string): Track => ({
    name: family,
    job: textToVideo(vendorId, family),
    created,
    errors: errorCases({ ...refusals, 'output moderation': { fault: say('task-failed-moderation'), charged: 'unknown' }, "vendor's server error": { fault: say('server-error'), charged: 'unknown' } }),
    lost: [...losses(say, true, ['accept-drop', 'accept-cut', 'accept-500', 'accept-502', 'accept-html', 'accept-no-id', 'accept-bad-id', 'accept-hang']), ...losses(say, false, ['edge-timeout', 'proxy-conflict'])],
    tasks: {
      // Each look takes a task one step further.
      stay: () => ({ release: () => undefined, goesOn: true }),
      states: [
        { name: 'failed', fault: say('task-failed'), status: 'failed', code: 'provider_failed', charged: 'unknown' },
        { name: 'failed, and billed', fault: say('task-failed-paid'), status: 'failed', code: 'provider_failed', charged: 'yes' },
        { name: 'expired', fault: say('task-expired'), status: 'failed', code: 'operation_expired', charged: 'unknown' },
        { name: 'cancelled', fault: say('task-cancelled'), status: 'cancelled' },
        { name: 'unknown', fault: say('task-unknown-status'), status: 'unknown' },
      ],
      forgotten: say('task-forgotten'),
      looks: looksOf(look, ['drop', 'html', 'server-error', 'proxy-error', 'rate-limit', 'hang']),
    },
  })
  return {
    ...simulator,
    offers: { 'text to image': textToImage('gpt-image-2'), edit: edit('gpt-image-2'), 'text to video': textToVideo('sora-2'), 'image to video': imageToVideo('sora-2') },
    tracks: [
      {
        name: 'pictures',
        job: textToImage('gpt-image-2'),
        created,
        errors: errorCases({ ...refusals, 'output moderation': { fault: say('item-refusal'), charged: 'unknown' }, "vendor's server error": { fault: say('server-error') } }),
        lost: [...losses(say, true, ['drop', 'cut', 'hang']), ...losses(say, false, ['html', 'edge-timeout', 'proxy-conflict', 'one-api-lost-behind'])],
      },
      videos('sora-2', 'openai-videos'),
      videos('wan-2.1', 'new-api-videos'),
      videos('google/veo-3.1', 'openrouter-videos'),
    ],
  }
}

async function google(): Promise<Bench> {
  const simulator = await startGoogleSimulator()
  const say = (word: string): Fault => () => simulator.behave(word)
  const { created } = simulator
  const refusals = { 'rate limit': { fault: say('rate-limit') }, quota: { fault: say('quota') }, 'proxy error': { fault: say('proxy-error') } }
  return {
    ...simulator,
    offers: { 'text to image': textToImage('gemini-3.1-flash-image'), edit: edit('gemini-3.1-flash-image'), 'text to video': textToVideo('gemini-omni-1.2-flash'), 'image to video': imageToVideo('gemini-omni-1.2-flash') },
    tracks: [
      {
        name: 'pictures',
        job: textToImage('gemini-3.1-flash-lite-image'),
        created,
        errors: errorCases({
          ...refusals,
          'input moderation': { fault: say('moderation') },
          'output moderation': { fault: say('image-safety-billed'), charged: 'yes' },
          'unknown model': { model: { vendorId: 'gemini-9-image' } },
          "vendor's server error": { fault: say('server-error') },
        }),
        lost: [...losses(say, true, ['drop', 'cut', 'html', 'hang']), ...losses(say, false, ['server-html', 'gateway-error', 'timeout', 'proxy-conflict'])],
      },
      {
        name: 'videos',
        job: textToVideo('gemini-omni-1.2-flash'),
        created,
        errors: errorCases({
          ...refusals,
          'input moderation': { fault: say('input-safety') },
          'output moderation': { fault: say('failed-safety') },
          'unknown model': { model: { vendorId: 'gemini-omni-9' } },
          "vendor's server error": { fault: say('server-error'), charged: 'unknown' },
        }),
        lost: losses(say, true, ['accept-drop', 'accept-cut', 'accept-500', 'accept-proxy-error', 'accept-html', 'accept-hang']),
        tasks: {
          stay(status) {
            simulator.hold(status === 'queued' ? 'queued' : 'in_progress')
            return { release: () => simulator.hold(undefined), goesOn: false }
          },
          states: [
            { name: 'failed', fault: say('failed-internal'), status: 'failed', code: 'provider_failed', charged: 'no' },
            { name: 'failed, and billed', fault: say('failed-billed'), status: 'failed', code: 'provider_failed', charged: 'yes' },
            { name: 'ended early', fault: say('incomplete'), status: 'failed', code: 'provider_failed', charged: 'no' },
            { name: 'cancelled', fault: say('vendor-cancelled'), status: 'cancelled' },
            { name: 'unknown', fault: say('unknown-status'), status: 'unknown' },
          ],
          forgotten: say('forgotten'),
          looks: looksOf((word: string) => () => simulator.behaveAtLook(word), ['server-error', 'proxy-error', 'rate-limit', 'html', 'drop', 'cut', 'hang']),
          cancel: { tooLate: () => say('ends-on-cancel')() as undefined },
        },
      },
    ],
  }
}

/** By the provider's id. */
export const benches: Readonly<Record<string, () => Promise<Bench>>> = { modelark, openai, gateway, runway, stability, fal, replicate, google, bfl }
