/**
 * `images`: what an image generation costs above the provider's own time, ours against the straightforward handler of
 * straightforward.ts.
 */
import { canPin, SERVICE_CORE, STUB_CORE, watchCores } from './cores.ts'
import { startImageServices, type ImageServices, type Service } from './image-services.ts'
import { closedLoop, createClient, fixedRate, type LoadResult } from './load.ts'
import type { Bench, Figure, Row, RowResult } from './row.ts'
import { mean, percentile, ratios, spread } from './statistics.ts'

const PROVIDER_LATENCY_MS = 200
const MIN_BYTES = 1.5 * 1024 * 1024
const SIZE = { width: 2048, height: 2048 }
const PAIRS = 5
const WARM_UPS = 32
const MIB = 1024 * 1024

interface Scenario {
  what: string
  format: 'url' | 'b64_json'
  /** `rateOf`: half of what the slower one did in that scenario, which both can keep up with. */
  load: { concurrency: number; count: number } | { rateOf: string; count: number }
  target?: number
}

/** Counts are such that the whole row takes a few minutes on a small machine. */
const SCENARIOS: Scenario[] = [
  { what: 'url, 1 at once', format: 'url', load: { concurrency: 1, count: 6 }, target: 0.6 },
  { what: 'url, 32 at once', format: 'url', load: { concurrency: 32, count: 48 }, target: 0.6 },
  { what: 'base64, 1 at once', format: 'b64_json', load: { concurrency: 1, count: 6 }, target: 0.6 },
  { what: 'base64, 32 at once', format: 'b64_json', load: { concurrency: 32, count: 48 }, target: 0.6 },
  { what: 'url, at a fixed rate', format: 'url', load: { rateOf: 'url, 32 at once', count: 12 } },
]

interface Measurement {
  overheadMs: number
  p50Ms: number
  p99Ms: number
  perSecond: number
  /** Processor time of the service, all threads. */
  cpuMs: number
  stubsBusy: number
}

type Pairs = Record<'ours' | 'peer', Measurement[]>

export const images: Row = {
  name: 'images',
  title: 'image generation, 2048x2048 JPEG of 1.5 MiB, the provider’s own time taken off',
  run,
}

async function run(bench: Bench): Promise<RowResult> {
  const services = await startImageServices(bench, { latencyMs: PROVIDER_LATENCY_MS, minBytes: MIN_BYTES })
  const measure = (side: 'ours' | 'peer', format: Scenario['format'], load: LoadOptions) => measureOnce(services, services[side], format, load)

  for (const side of ['ours', 'peer'] as const) {
    bench.progress(`warming up ${side}`)
    for (const format of ['url', 'b64_json'] as const) await measure(side, format, { concurrency: 16, count: WARM_UPS })
  }
  const results = new Map<string, Pairs>()
  for (const scenario of SCENARIOS) {
    const load = 'concurrency' in scenario.load ? scenario.load : { perSecond: sustainedRate(results.get(scenario.load.rateOf)!), count: scenario.load.count }
    const pairs: Pairs = { ours: [], peer: [] }
    for (let pair = 1; pair <= PAIRS; pair++) {
      bench.progress(`${scenario.what}: pair ${pair} of ${PAIRS}`)
      for (const side of ['ours', 'peer'] as const) pairs[side].push(await measure(side, scenario.format, load))
    }
    results.set(scenario.what, pairs)
  }
  const figures = SCENARIOS.flatMap((scenario) => toFigures(scenario, results.get(scenario.what)!))
  return { figures: [...figures, await memoryFigure(services)], notes: NOTES, failures: [] }
}

type LoadOptions = { concurrency: number; count: number } | { perSecond: number; count: number }

function sustainedRate({ ours, peer }: Pairs): number {
  const median = (side: Measurement[]) => spread(side.map(({ perSecond }) => perSecond)).median
  return Math.min(median(ours), median(peer)) / 2
}

/** @throws when an answer is not a picture, or when a row or a file of it is missing. */
async function measureOnce(services: ImageServices, service: Service, format: Scenario['format'], load: LoadOptions): Promise<Measurement> {
  const client = createClient()
  const generationIds: string[] = []
  const body = JSON.stringify({ prompt: 'A tea house in the rain', model: 'seedream-4-0-250828', size: `${SIZE.width}x${SIZE.height}`, providerOptions: { modelark: { responseFormat: format } } })
  const send = async () => {
    const answer = await client.post(`${service.ready.url}/api/images/generate`, { authorization: `Bearer ${services.user.token}` }, body)
    if (answer.status !== 200) throw new Error(`An answer of status ${answer.status}: ${answer.body.slice(0, 500)}\n${service.lastWords()}`)
    generationIds.push(checkAnswer(answer.body))
  }
  const before = await service.usage()
  const busySince = watchCores()
  const result = await ('concurrency' in load ? closedLoop(send, load) : fixedRate(send, load))
  const busy = busySince()
  client.close()
  const { cpuMs } = await service.usage()
  const complete = await services.countComplete(generationIds)
  if (complete !== generationIds.length) throw new Error(`${generationIds.length} pictures were answered, but only ${complete} of them have their rows and files.`)
  await services.removeFiles()
  return toMeasurement(result, (cpuMs - before.cpuMs) / load.count, busy[STUB_CORE] ?? Number.NaN)
}

function checkAnswer(text: string): string {
  const answer = JSON.parse(text) as { generationId: string; promptId: string; images: { width: number; height: number; fileSize: number; bucketUrl: string; thumbnailUrl: string; placeholder: string }[] }
  const [image] = answer.images
  const isWhole = answer.images.length === 1 && image!.width === SIZE.width && image!.height === SIZE.height && image!.fileSize >= MIN_BYTES && image!.bucketUrl && image!.thumbnailUrl && image!.placeholder
  if (!isWhole) throw new Error(`An answer without its picture: ${text.slice(0, 500)}`)
  return answer.generationId
}

function toMeasurement({ latenciesMs, durationMs }: LoadResult, cpuMs: number, stubsBusy: number): Measurement {
  return {
    overheadMs: mean(latenciesMs) - PROVIDER_LATENCY_MS,
    p50Ms: percentile(latenciesMs, 0.5),
    p99Ms: percentile(latenciesMs, 0.99),
    perSecond: (latenciesMs.length * 1000) / durationMs,
    cpuMs,
    stubsBusy: stubsBusy * 100,
  }
}

function toFigures({ what, load, target }: Scenario, { ours, peer }: Pairs): Figure[] {
  const figure = (name: string, unit: string, key: keyof Measurement): Figure => {
    const [a, b] = [ours.map((one) => one[key]), peer.map((one) => one[key])]
    return { what: `${what}: ${name}`, unit, ours: spread(a), peer: spread(b), ratio: ratios(a, b) }
  }
  const overhead = figure('mean overhead', 'ms', 'overheadMs')
  return [
    target === undefined ? overhead : { ...overhead, target: { of: 'ratio', atMost: target } },
    figure('latency p50', 'ms', 'p50Ms'),
    figure('latency p99', 'ms', 'p99Ms'),
    figure('rate', '1/s', 'perSecond'),
    figure('processor time', 'ms each', 'cpuMs'),
    ...('concurrency' in load && load.concurrency === 1 ? [] : [figure('stubs’ core busy', '%', 'stubsBusy')]),
  ]
}

async function memoryFigure({ ours, peer }: ImageServices): Promise<Figure> {
  const [a, b] = [await ours.usage(), await peer.usage()].map(({ peakMemory }) => spread([peakMemory / MIB])) as [Figure['ours'] & {}, Figure['peer'] & {}]
  return { what: 'peak resident memory, whole row', unit: 'MiB', ours: a, peer: b, ratio: ratios([a.median], [b.median]) }
}

const NOTES = [
  canPin
    ? `Each service is a process of its own on core ${SERVICE_CORE}, under load one at a time; the simulated provider, the local Supabase with its Postgres, and the load generator (the bench itself) share core ${STUB_CORE}.`
    : 'This machine cannot pin processes to cores: services, stubs and load take each other’s time.',
  `Overhead is the mean latency less the ${PROVIDER_LATENCY_MS} ms for which the simulated provider sleeps. Its base64 encoding and the file’s way stay in, for both.`,
  'Ours does in addition: a durable job in a queue (insert, notify, fetch, complete), the state of the paid call written before and after it, one transaction for the result, a guarded download (addresses checked, size counted), the media type read from the bytes, CORS and security headers, a catalog of models, a request id, limits on what runs at once.',
  'Ours also has the other one’s rows announced to it while it is idle, asks its queue once a second, and has its heartbeat.',
  'The peer leaves out: all of that. A crash loses its work, and a retry pays twice. It writes rows through the Data API and supabase-js, one request each; ours uses a direct connection to Postgres.',
  'The peer decodes a picture three times (check, thumbnail, placeholder), since it awaits each step in turn; ours once. The peer’s thumbnail is made with the encoder’s default effort, ours with effort 2.',
  'Ours remembers tokens it has verified; the peer verifies each one (well under 1 ms).',
  'Postgres runs with fsync off, which is kinder to whoever commits more often: ours, with six commits a picture against the peer’s four and two of Storage for each.',
  'The disk is spared: files are removed after each measurement, once their rows were counted.',
]
