/** Videos in the middle of their way, with the rows and jobs that a service would have left, and none of the waiting. */
import { createCatalog } from '../../src/generation/catalog.ts'
import { models } from '../../src/generation/models.ts'
import type { Operation, Provider, VideoModel } from '../../src/generation/provider.ts'
import type { Records } from '../../src/generation/records.ts'
import { planVideo, videoRequestSchema, type VideoPlan } from '../../src/generation/video-request.ts'
import { JOBS_CHANNEL, startQueue, STORES, type Queue } from '../../src/jobs/queue.ts'
import { createLogger } from '../../src/log.ts'
import { createModelArk } from '../../src/providers/modelark.ts'
import { createRecords } from '../../src/supabase/records.ts'
import type { Backend, Simulator } from './backend.ts'
import { closedLoop } from './load.ts'
import type { Bench } from './row.ts'

export interface VideoMaker {
  plan: VideoPlan
  queue: Queue
  /** Has the provider begin so many videos. */
  start(count: number): Promise<Operation[]>
  /** So many videos that the provider has finished. */
  finish(count: number): Promise<FinishedVideo[]>
  /** Their rows, as they are when nobody has stored them yet. @returns the generations' ids. */
  record(userId: string, videos: FinishedVideo[]): Promise<string[]>
  /** Gives their jobs to the workers. */
  releaseStores(generationIds: string[]): Promise<void>
}

export interface FinishedVideo {
  operation: Operation
  /** The provider's link. */
  url: string
}

const BUCKET = 'media'
const LINK_LIFE_MS = 3_600_000
const STARTS_AT_ONCE = 16
const CALL_TIMEOUT_MS = 20_000
/** No limit. */
const PLACES = { perProvider: 1_000_000, perUser: 1_000_000 }
const LIMITS = { quotaBytes: Number.MAX_SAFE_INTEGER, budgetMicros: null, maxOpen: 1_000_000 }

export async function createVideoMaker(bench: Bench, { database }: Backend, simulator: Simulator): Promise<VideoMaker> {
  const queue = await startQueue(database, createLogger({ level: 'silent' }), { supervise: false, places: PLACES })
  bench.defer(() => queue.stop())
  // Jobs come later, all at once.
  const records = createRecords(database, { enqueue: async () => undefined, wakeWaiting: async () => undefined, places: PLACES, limits: LIMITS })
  const provider: Provider = createModelArk(simulator)
  const plan = planVideo(videoRequestSchema.parse({ prompt: 'A tea house in the rain' }), false, { catalog: createCatalog([...models], []), providers: new Map([[provider.id, provider]]), standIns: {}, isGone: () => false })
  const model = provider.video!({ vendorId: plan.vendorId, family: plan.family })
  const mark = model.mark!(toRequest(plan))
  async function start(count: number): Promise<Operation[]> {
    const operations: Operation[] = []
    const startOne = async () => {
      const started = await model.start(toRequest(plan), { signal: AbortSignal.timeout(CALL_TIMEOUT_MS), mark })
      if (!('operation' in started)) throw new Error('The simulated provider answered at once.')
      operations.push(started.operation)
    }
    await closedLoop(startOne, { concurrency: STARTS_AT_ONCE, count })
    return operations
  }

  return {
    plan,
    queue,
    start,
    async finish(count) {
      return await Promise.all((await start(count)).map((operation) => toFinished(operation, model)))
    },
    async record(userId, videos) {
      return await Promise.all(videos.map((video) => recordOne(userId, video, { plan, records })))
    },
    async releaseStores(generationIds) {
      await queue.boss.insert(STORES, generationIds.map((generationId) => ({ data: { generationId }, singletonKey: generationId })))
      await database.query('select pg_notify($1, $2)', [JOBS_CHANNEL, STORES])
    },
  }
}

/** @throws when the provider has not finished it. */
async function toFinished(operation: Operation, model: VideoModel): Promise<FinishedVideo> {
  const state = await model.check!(operation, { signal: AbortSignal.timeout(CALL_TIMEOUT_MS) })
  if (state.status !== 'succeeded' || state.outputs[0]?.type !== 'url') throw new Error(`A video of the simulated provider is ${state.status}.`)
  return { operation, url: state.outputs[0].url }
}

async function recordOne(userId: string, { operation, url }: FinishedVideo, { plan, records }: { plan: VideoPlan; records: Records }): Promise<string> {
  const { generationId } = await records.create({ userId, plan, maxAgeSeconds: 0, bucket: BUCKET })
  await records.claimSubmissions(generationId, [{}])
  await records.saveStarted(generationId, 0, { operation, warnings: [] })
  await records.saveAccepted(generationId, 0, { outputs: [{ type: 'url', url }], expiresAt: new Date(Date.now() + LINK_LIFE_MS), warnings: [] })
  return generationId
}

const toRequest = ({ prompt, duration, aspectRatio, resolution, seed, generateAudio, providerOptions }: VideoPlan) => ({ prompt, duration, aspectRatio, resolution, seed, generateAudio, firstFrame: undefined, callbackUrl: undefined, providerOptions })
