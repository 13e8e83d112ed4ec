/** The harnesses of the vendors that have a queue for everything, of Stability and of Black Forest Labs. */
import { startBflSimulator } from '../simulator/black-forest-labs.ts'
import { startFalSimulator } from '../simulator/fal.ts'
import { startReplicateSimulator } from '../simulator/replicate.ts'
import { startRunwaySimulator } from '../simulator/runway.ts'
import { startStabilitySimulator } from '../simulator/stability.ts'
import { errorCases, looksOf, losses, type Bench, type Fault, type Job, type Track } from './harness.ts'
import { edit, imageToVideo, removeBackground, textToImage, textToVideo } from './jobs.ts'

export async function runway(): Promise<Bench> {
  const simulator = await startRunwaySimulator()
  const say = (...words: Extract<Parameters<typeof simulator.behave>[0], readonly unknown[]>[number][]): Fault => () => simulator.behave(words)
  const track = (name: string, job: Job): Track => ({
    name,
    job,
    created: simulator.created,
    errors: errorCases({
      // Found out while it works, and billed.
      'input moderation': { fault: say('safety-input-text'), charged: 'yes' },
      'output moderation': { fault: say(name === 'videos' ? 'safety-output-video' : 'safety-output-image'), charged: 'yes' },
      'rate limit': { fault: say('rate-limit') },
      quota: { fault: say('quota') },
      'unknown model': { model: { vendorId: 'gen9' } },
      "vendor's server error": { fault: say('server-error'), charged: 'unknown' },
      'proxy error': { fault: say('proxy-error') },
    }),
    lost: [...losses(say, true, ['accept-drop', 'accept-cut', 'accept-500', 'accept-502', 'accept-hang']), ...losses(say, false, ['drop', 'html', 'no-id', 'bad-id', 'gateway-error', 'proxy-conflict'])],
    tasks: {
      stay(status) {
        simulator.behave(status === 'queued' ? 'pending' : 'running')
        return { release: () => undefined, goesOn: false }
      },
      states: [
        { name: 'failed', fault: say('internal'), status: 'failed', code: 'provider_failed', charged: 'no' },
        { name: 'failed without a word on the bill', fault: say('third-party', 'no-cost'), status: 'failed', code: 'provider_failed', charged: 'unknown' },
        { name: 'cancelled', fault: say('cancelled'), status: 'cancelled' },
        { name: 'unknown', fault: say('unknown-state'), status: 'unknown' },
      ],
      forgotten: say('forgotten'),
      looks: [...looksOf(say, ['check-error', 'check-rate-limit', 'check-html', 'check-drop', 'check-cut']), { name: 'check-page-404', fault: say('check-page-404'), code: 'provider_misconfigured' }, { name: 'check-auth', fault: say('check-auth'), code: 'provider_misconfigured' }],
      cancel: {},
    },
  })
  return {
    ...simulator,
    offers: { 'text to image': textToImage('gen4_image'), edit: edit('gen4_image'), 'text to video': textToVideo('gen4.5'), 'image to video': imageToVideo('gen4_turbo') },
    tracks: [track('pictures', textToImage('gen4_image')), track('videos', textToVideo('gen4.5'))],
  }
}

export async function stability(): Promise<Bench> {
  const simulator = await startStabilitySimulator()
  const say = (word: Parameters<typeof simulator.behave>[0]): Fault => () => simulator.behave(word)
  const track = (name: string, job: Job): Track => ({
    name,
    job,
    created: simulator.created,
    errors: errorCases({
      'input moderation': { fault: say('moderation') },
      'output moderation': { fault: say('filtered'), charged: 'unknown' },
      'rate limit': { fault: say('rate-limit') },
      quota: { fault: say('quota') },
      'unknown model': { model: { vendorId: 'sd9-large' } },
      "vendor's server error": { fault: say('server-error') },
      'proxy error': { fault: say('proxy-error') },
    }),
    lost: [...losses(say, true, ['drop', 'cut', 'hang']), ...losses(say, false, ['html', 'json', 'empty', 'html-500', 'gateway-error', 'gateway-json', 'proxy-timeout', 'proxy-conflict'])],
  })
  return {
    ...simulator,
    offers: { 'text to image': textToImage('stable-image-core'), edit: edit('stable-image-ultra'), 'remove background': removeBackground('remove-background') },
    tracks: [track('pictures', textToImage('stable-image-core')), track('edits', edit('sd3.5-large'))],
  }
}

export async function fal(): Promise<Bench> {
  const simulator = await startFalSimulator()
  const say = (word: Extract<Parameters<typeof simulator.behave>[0], string>): Fault => () => simulator.behave(word)
  const track = (name: string, job: Job): Track => ({
    name,
    job,
    created: simulator.created,
    errors: errorCases({
      'input moderation': { fault: say('moderation-at-once') },
      // The vendor's word for either; found out while it works.
      'output moderation': { fault: say('run-content_policy_violation'), charged: 'unknown' },
      'rate limit': { fault: say('rate-limit') },
      quota: { fault: say('quota') },
      'unknown model': { model: { vendorId: 'fal-ai/no-such-model' } },
      "vendor's server error": { fault: say('server-error'), charged: 'unknown' },
      'proxy error': { fault: say('proxy-error') },
    }),
    lost: [...losses(say, true, ['accept-drop', 'accept-cut', 'accept-500', 'accept-502', 'accept-html', 'accept-nonsense', 'accept-hang']), ...losses(say, false, ['drop', 'redirect'])],
    tasks: {
      stay: (status) => ({ release: simulator.hold(status === 'queued' ? 'IN_QUEUE' : 'IN_PROGRESS'), goesOn: true }),
      states: [
        { name: 'failed', fault: say('run-internal_server_error'), status: 'failed', code: 'provider_failed', charged: 'no' },
        { name: 'failed behind the vendor', fault: say('run-downstream_service_error'), status: 'failed', code: 'provider_failed', charged: 'unknown' },
        { name: 'expired', fault: say('run-generation_timeout'), status: 'failed', code: 'operation_expired', charged: 'no' },
        { name: 'without a file', fault: say('no-output'), status: 'failed', code: 'output_invalid', charged: 'yes' },
        { name: 'unknown', fault: say('unknown-state'), status: 'unknown' },
      ],
      forgotten: say('forgotten'),
      looks: looksOf(say, ['look-server-error-once', 'look-proxy-error-once', 'look-rate-limit-once', 'look-html-once', 'look-nonsense-once', 'look-drop-once', 'look-cut-once', 'look-hang-once', 'result-proxy-error-once', 'result-html-once', 'result-drop-once', 'result-hang-once']),
      cancel: {
        tooLate() {
          simulator.behave('cancel-late')
          return simulator.hold('IN_QUEUE')
        },
      },
    },
  })
  return {
    ...simulator,
    offers: {
      'text to image': textToImage('fal-ai/flux/schnell'),
      edit: edit('fal-ai/flux-2'),
      'remove background': removeBackground('fal-ai/imageutils/rembg'),
      'text to video': textToVideo('fal-ai/bytedance/seedance/v1/pro/text-to-video'),
      'image to video': imageToVideo('fal-ai/stable-video'),
    },
    tracks: [track('pictures', textToImage('fal-ai/flux-2')), track('videos', textToVideo('fal-ai/bytedance/seedance/v1/pro/text-to-video'))],
  }
}

export async function replicate(): Promise<Bench> {
  const simulator = await startReplicateSimulator()
  const say = (word: Extract<Parameters<typeof simulator.behave>[0], string>): Fault => () => simulator.behave(word)
  const track = (name: string, job: Job): Track => ({
    name,
    job,
    created: simulator.created,
    errors: errorCases({
      // The models say both after they were started, and promise nothing of the bill.
      'input moderation': { fault: say('run-sensitive'), charged: 'unknown' },
      'output moderation': { fault: say('run-nsfw'), charged: 'unknown' },
      'rate limit': { fault: say('rate-limit') },
      quota: { fault: say('quota') },
      'unknown model': { model: { vendorId: 'someone/no-such-model' } },
      "vendor's server error": { fault: say('server-error'), charged: 'unknown' },
      'proxy error': { fault: say('proxy-error') },
    }),
    lost: [...losses(say, true, ['accept-drop', 'accept-cut', 'accept-500', 'accept-502', 'accept-html', 'accept-nonsense', 'accept-hang']), ...losses(say, false, ['drop', 'redirect'])],
    tasks: {
      stay: (status) => ({ release: simulator.hold(status === 'queued' ? 'starting' : 'processing'), goesOn: true }),
      states: [
        { name: 'failed', fault: say('run-text'), status: 'failed', code: 'provider_failed', charged: 'unknown' },
        { name: 'expired while it waited', fault: say('deadline-waiting'), status: 'failed', code: 'operation_expired', charged: 'no' },
        { name: 'expired while it ran', fault: say('deadline-running'), status: 'failed', code: 'operation_expired', charged: 'yes' },
        { name: 'deleted', fault: say('removed'), status: 'failed', code: 'output_expired', charged: 'yes' },
        { name: 'without a file', fault: say('no-output'), status: 'failed', code: 'output_invalid', charged: 'yes' },
        { name: 'cancelled', fault: say('canceled'), status: 'cancelled' },
        { name: 'unknown', fault: say('unknown-state'), status: 'unknown' },
      ],
      forgotten: say('forgotten'),
      looks: looksOf(say, ['look-server-error-once', 'look-proxy-error-once', 'look-rate-limit-once', 'look-html-once', 'look-nonsense-once', 'look-drop-once', 'look-cut-once', 'look-hang-once']),
      cancel: {
        tooLate() {
          simulator.behave('begins-when-cancelled')
          return simulator.hold('starting')
        },
      },
      find: { listFails: () => simulator.behave(['accept-drop', 'list-server-error-once']) },
    },
  })
  return {
    ...simulator,
    offers: {
      'text to image': textToImage('black-forest-labs/flux-schnell'),
      edit: edit('black-forest-labs/flux-kontext-pro'),
      'remove background': removeBackground('bria/remove-background'),
      'text to video': textToVideo('bytedance/seedance-1-pro'),
      'image to video': imageToVideo('bytedance/seedance-1-pro'),
    },
    tracks: [track('pictures', textToImage('black-forest-labs/flux-schnell')), track('videos', textToVideo('bytedance/seedance-1-pro'))],
  }
}

export async function bfl(): Promise<Bench> {
  const simulator = await startBflSimulator()
  const say = (word: Extract<Parameters<typeof simulator.behave>[0], string>): Fault => () => simulator.behave(word)
  const track: Track = {
    name: 'videos',
    job: textToVideo('flux-3-video'),
    created: simulator.created,
    errors: errorCases({
      // Told once it is looked for; neither is charged.
      'input moderation': { fault: say('request-moderated') },
      'output moderation': { fault: say('content-moderated') },
      'rate limit': { fault: say('rate-limit') },
      quota: { fault: say('quota') },
      'unknown model': { model: { vendorId: 'flux-9-video' } },
      "vendor's server error": { fault: say('server-error'), charged: 'unknown' },
      'proxy error': { fault: say('proxy-error') },
    }),
    lost: [...losses(say, true, ['accept-drop', 'accept-cut', 'accept-500', 'accept-502', 'accept-html', 'accept-nonsense', 'accept-hang']), ...losses(say, false, ['drop', 'redirect', 'bad-id', 'proxy-conflict'])],
    tasks: {
      stay: (status) => ({ release: simulator.hold(status === 'queued' ? 'Pending' : 'Generating'), goesOn: true }),
      states: [
        { name: 'failed', fault: say('error'), status: 'failed', code: 'provider_failed', charged: 'unknown' },
        { name: 'failed, and free', fault: () => simulator.behave(['failed', 'free']), status: 'failed', code: 'provider_failed', charged: 'no' },
        { name: 'failed, and billed', fault: () => simulator.behave(['error', 'billed']), status: 'failed', code: 'provider_failed', charged: 'yes' },
        { name: 'without a file', fault: say('no-sample'), status: 'failed', code: 'output_invalid', charged: 'yes' },
        { name: 'unknown', fault: say('unknown-state'), status: 'unknown' },
      ],
      forgotten: say('forgotten'),
      looks: [...looksOf(say, ['look-server-error-once', 'look-proxy-error-once', 'look-rate-limit-once', 'look-html-once', 'look-nonsense-once', 'look-page-404-once', 'look-redirect-once', 'look-drop-once', 'look-cut-once', 'look-hang-once']), { name: 'look-auth-once', fault: say('look-auth-once'), code: 'provider_misconfigured' }],
    },
  }
  return { ...simulator, offers: { 'text to video': track.job, 'image to video': imageToVideo('flux-3-video') }, tracks: [track] }
}
