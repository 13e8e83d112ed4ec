/** `rehosting`: what a worker takes, in memory and in time, to bring finished videos from the provider into storage. */
import { setTimeout as sleep } from 'node:timers/promises'
import { startBackend, startOurs, startSimulator, type Backend, type Simulator } from './backend.ts'
import { startChild, type Child, type Watched } from './child.ts'
import { canPin, SERVICE_CORE, STUB_CORE, watchCores } from './cores.ts'
import { createClient } from './load.ts'
import { createVideoMaker, type VideoMaker } from './made-videos.ts'
import type { Bench, Figure, Row, RowResult, Target } from './row.ts'
import { ratios, spread } from './statistics.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const MB = 1_000_000

interface Scenario {
  what: string
  count: number
  bytes: number
  runs: number
  memory: { unit: string; divisor: number; target?: Target }
}

const SCENARIOS: Scenario[] = [
  { what: 'one of 1 GiB', count: 1, bytes: GIB, runs: 3, memory: { unit: 'MiB', divisor: MIB, target: { of: 'ours', atMost: 64 } } },
  { what: '8 of 1 GiB at once', count: 8, bytes: GIB, runs: 1, memory: { unit: 'MiB each', divisor: 8 * MIB } },
  { what: '16 of 50 MB at once', count: 16, bytes: 50 * MB, runs: 3, memory: { unit: 'MB each', divisor: 16 * MB, target: { of: 'ours', atMost: 8 } } },
]

/** How our storage is spoken to: a file in one request, or in chunks that survive a cut connection. */
const WAYS = ['one request', 'TUS'] as const

const SETTLE_MS = 1000
const LOOK_MS = 20
const LONGEST_TRANSFER_MS = 240_000

interface Measurement {
  memoryAdded: number
  megabytesPerSecond: number
  cpuMsPerGib: number
  loopDelayP99Ms: number
  stubsBusy: number
}

interface Stage {
  bench: Bench
  backend: Backend
  userId: string
  sink: Child<{ plainUrl: string; resumableUrl: string }>
}

/** A file server and what has to be known of it. */
interface Source {
  simulator: Simulator
  maker: VideoMaker
}

export const rehosting: Row = {
  name: 'rehosting',
  title: 'finished videos from a file server into a storage that takes the stream',
  run,
}

async function run(bench: Bench): Promise<RowResult> {
  bench.progress('starting the database, the file servers and the sink')
  const backend = await startBackend(bench)
  const { id: userId } = await backend.signUp()
  const sink = await startChild<{ plainUrl: string; resumableUrl: string }>(bench, { script: 'serve-sink.ts', core: STUB_CORE })
  const stage: Stage = { bench, backend, userId, sink }
  const sources = new Map<number, Source>()
  for (const { bytes } of SCENARIOS) if (!sources.has(bytes)) sources.set(bytes, await startSource(stage, bytes))

  const figures: Figure[] = []
  for (const scenario of SCENARIOS) {
    const source = sources.get(scenario.bytes)!
    const measured = { bare: [] as Measurement[], 'one request': [] as Measurement[], TUS: [] as Measurement[] }
    for (let run = 1; run <= scenario.runs; run++) {
      bench.progress(`${scenario.what}: ${run} of ${scenario.runs}`)
      measured.bare.push(await measureBare(stage, source, scenario))
      for (const way of WAYS) measured[way].push(await measureOurs(stage, source, scenario, way))
    }
    for (const way of WAYS) figures.push(...toFigures(scenario, way, measured[way], measured.bare))
  }
  return { figures, notes: NOTES, failures: [] }
}

async function startSource({ bench, backend }: Stage, bytes: number): Promise<Source> {
  const simulator = await startSimulator(bench, { SIMULATOR_QUEUED_MS: 0, SIMULATOR_RUNNING_MS: 0, SIMULATOR_MIN_VIDEO_BYTES: bytes })
  return { simulator, maker: await createVideoMaker(bench, backend, simulator) }
}

/** In a worker of its own, from its first video on: what it loads for that is a part of what it takes. */
async function measureOurs(stage: Stage, { simulator, maker }: Source, scenario: Scenario, way: (typeof WAYS)[number]): Promise<Measurement> {
  const { bench, backend, sink } = stage
  const generationIds = await maker.record(stage.userId, await maker.finish(scenario.count))
  const env = { ...backend.env, ...simulator.env, SUPABASE_URL: way === 'TUS' ? sink.ready.resumableUrl : sink.ready.plainUrl, STORE_CONCURRENCY: '16' }
  const worker = await startOurs(bench, env, 'worker')
  const measurement = await measure(stage, worker, scenario, async () => {
    await maker.releaseStores(generationIds)
    await untilStored(backend, generationIds, scenario.bytes).catch((error: unknown) => {
      throw new Error(`${error instanceof Error ? error.message : String(error)}\n${worker.lastWords()}`)
    })
  })
  await worker.stop()
  return measurement
}

/** @throws when a video fails, is put off, or has another size. */
async function untilStored({ database }: Backend, generationIds: string[], bytes: number): Promise<void> {
  const deadline = Date.now() + LONGEST_TRANSFER_MS
  for (;;) {
    const [row] = await database.query<{ stored: number; trouble: string | null }>(COUNT_STORED, [generationIds, bytes])
    if (row!.trouble !== null) throw new Error(`A video was not stored at once: ${row!.trouble}`)
    if (row!.stored === generationIds.length) return
    if (Date.now() > deadline) throw new Error(`Of ${generationIds.length} videos only ${row!.stored} were stored within ${LONGEST_TRANSFER_MS / 1000} s.`)
    await sleep(LOOK_MS)
  }
}

const COUNT_STORED = `
  select count(*) filter (where status = 'succeeded' and video.file_size = $2)::integer as stored, min(error ->> 'message') as trouble
  from public.generations generation left join public.videos video on video.generation_id = generation.id
  where generation.id = any($1)`

async function measureBare(stage: Stage, { maker }: Source, scenario: Scenario): Promise<Measurement> {
  const videos = await maker.finish(scenario.count)
  const peer = await startChild<{ url: string }>(stage.bench, { script: 'serve-bare-pipe.ts', core: SERVICE_CORE })
  const transfers = videos.map(({ url }, index) => ({ from: url, to: `${stage.sink.ready.plainUrl}/storage/v1/object/media/${index}` }))
  const client = createClient()
  const measurement = await measure(stage, peer, scenario, async () => {
    const { status, body } = await client.post(peer.ready.url, {}, JSON.stringify(transfers))
    if (status !== 200) throw new Error(`The bare pipe failed: ${body}`)
  })
  client.close()
  await peer.stop()
  return measurement
}

async function measure({ sink }: Stage, child: Child<unknown>, { count, bytes }: Scenario, transfer: () => Promise<void>): Promise<Measurement> {
  await sleep(SETTLE_MS)
  await sink.ask('stored')
  await child.watch()
  const busySince = watchCores()
  const startedAt = performance.now()
  await transfer()
  const seconds = (performance.now() - startedAt) / 1000
  const busy = busySince()
  const watched = await child.watched()
  const { sizes } = await sink.ask<{ sizes: number[] }>('stored')
  if (sizes.length !== count || sizes.some((size) => size !== bytes)) throw new Error(`Of ${count} files of ${bytes} bytes the storage has received ${JSON.stringify(sizes)}.\n${child.lastWords()}`)
  return toMeasurement(watched, { bytes: count * bytes, seconds, stubsBusy: busy[STUB_CORE] ?? Number.NaN })
}

function toMeasurement({ memory, cpuMs, loopDelayMs }: Watched, { bytes, seconds, stubsBusy }: { bytes: number; seconds: number; stubsBusy: number }): Measurement {
  return {
    memoryAdded: memory.peak - memory.atFirst,
    megabytesPerSecond: bytes / MB / seconds,
    cpuMsPerGib: (cpuMs * GIB) / bytes,
    loopDelayP99Ms: loopDelayMs.p99,
    stubsBusy: stubsBusy * 100,
  }
}

function toFigures({ what, memory }: Scenario, way: string, ours: Measurement[], bare: Measurement[]): Figure[] {
  const figure = (name: string, unit: string, valueOf: (one: Measurement) => number, target?: Target): Figure => {
    const [a, b] = [ours.map(valueOf), bare.map(valueOf)]
    return { what: `${what}, ${way}: ${name}`, unit, ours: spread(a), peer: spread(b), ratio: ratios(a, b), ...(target && { target }) }
  }
  return [
    figure('memory added', memory.unit, ({ memoryAdded }) => memoryAdded / memory.divisor, memory.target),
    figure('throughput', 'MB/s', ({ megabytesPerSecond }) => megabytesPerSecond, { of: 'ratio', atLeast: 0.7 }),
    figure('processor time', 'ms/GiB', ({ cpuMsPerGib }) => cpuMsPerGib),
    figure('event loop p99', 'ms', ({ loopDelayP99Ms }) => loopDelayP99Ms),
    figure('stubs’ core busy', '%', ({ stubsBusy }) => stubsBusy),
  ]
}

const NOTES = [
  canPin
    ? `The worker, or the bare pipe, is a process of its own on core ${SERVICE_CORE}; file server, sink, Postgres and the bench share core ${STUB_CORE}. Where that core is busy all the time it is what limits both: the ratio of processor time then tells more than that of throughput.`
    : 'This machine cannot pin processes to cores: worker and stubs take each other’s time.',
  'Memory added: the most that was resident, less what was before the first job. Every run has a fresh process, so that what it loads on its first video counts.',
  'Throughput counts from the job’s announcement until the rows say that all is stored, as seen every 20 ms.',
  'The peer is `http.get` piped into `http.request` by `stream.pipeline`, in a fresh process too. It leaves out: SHA-256 of every byte, the outline of the MP4 and its description, the guard of addresses and sizes, timeouts for each silence, the last piece held back until the file is known to be whole, the queue, and five statements of SQL a video.',
  'TUS: chunks of 6 MiB, each acknowledged before the next is sent and kept until then, as hosted Supabase demands. The sink knows just enough of it; the peer still sends one request.',
  '`STORE_CONCURRENCY` is 16; its default is 8.',
]
