/**
 * What this process has counted, for Prometheus. Counting costs next to nothing and never fails what is counted. Labels
 * come from lists that this service knows: whatever strangers make up is `other`, so the number of series is bounded.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { ErrorCode } from '../errors.ts'
import type { AuditStats } from '../audit/audit.ts'

/** A generation that has come to an end. */
export interface GenerationEnd {
  outcome: 'succeeded' | 'failed' | 'cancelled'
  kind: string
  provider: string
  model: string
  /** Why it failed. */
  code: string | null
  /** From the request on. */
  seconds: number
  /** Of its files. */
  storedBytes: number
  /** In millionths of a US dollar, where that is settled. */
  costMicros: number | null
}

export interface ProviderCall {
  provider: string
  /** What was to be made; `none` for a probe. */
  kind: 'image' | 'video' | 'none'
  call: 'start' | 'check' | 'cancel' | 'find' | 'probe'
  seconds: number
  /** Where it failed. */
  code?: ErrorCode | undefined
}

export interface QueueState {
  queues: {
    queue: string
    /** Jobs that could be taken now. */
    due: number
    /** Jobs whose time has not come. */
    later: number
    /** How long the oldest of those that are due has waited. */
    oldestSeconds: number
  }[]
  /** Generations that wait without a job, for a place at their provider. */
  waiting: number
}

export interface Metrics {
  /** False where nobody may read them: nothing that costs more than counting is done then. */
  readonly isOn: boolean
  readonly contentType: string
  /** In the text form of Prometheus. */
  read(): Promise<string>
  httpRequest(request: { method: string; route: string; status: string; seconds: number }): void
  generationEnded(end: GenerationEnd): void
  providerCall(call: ProviderCall): void
  /** Something is tried again that failed in a way that may pass. */
  retried(what: string): void
  /** Somebody was refused because of a limit. @param name of the limit, a constant. */
  limitHit(name: string): void
}

export interface MetricsOptions {
  isOn: boolean
  version: string
  role: 'web' | 'worker' | 'both'
  isKnownModel: (id: string) => boolean
  providers: readonly string[]
  /** What the database tells; undefined when it cannot be asked. */
  readQueues: () => Promise<QueueState | undefined>
  /** What became of the audit log's rows so far. */
  readAudit: () => AuditStats
}

const REQUEST_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900]
const CALL_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300]
const GENERATION_SECONDS = [1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 7200]

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
/** Names are constants of the code; should one ever be made of something else, it cannot fill the memory. */
const MAX_NAMES = 100

export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry()
  const counters = createCounters(registry)
  const queues = createQueueGauges(registry)
  countAudit(registry, options.readAudit)
  const [whats, limits] = [boundedNames(), boundedNames()]
  new Gauge({ name: 'darkroom_info', help: 'The version and the role of this process.', labelNames: ['version', 'role'], registers: [registry] }).set({ version: options.version, role: options.role }, 1)
  if (options.isOn) collectDefaultMetrics({ register: registry })

  const toProvider = (id: string): string => (options.providers.includes(id) ? id : 'other')
  const toModel = (id: string): string => (options.isKnownModel(id) ? id : 'other')

  return {
    isOn: options.isOn,
    contentType: registry.contentType,
    async read() {
      queues.set(await options.readQueues())
      return await registry.metrics()
    },
    httpRequest: quietly(({ method: given, route, status, seconds }) => {
      const method = METHODS.includes(given) ? given : 'other'
      counters.requests.inc({ method, route, status })
      counters.requestSeconds.observe({ method, route }, seconds)
    }),
    generationEnded: quietly(({ outcome, kind, code, seconds, storedBytes, costMicros, ...end }) => {
      const labels = { kind, provider: toProvider(end.provider), model: toModel(end.model) }
      counters.generations.inc({ ...labels, outcome })
      counters.generationSeconds.observe({ kind, outcome }, seconds)
      counters.storedBytes.inc({ kind }, storedBytes)
      if (outcome === 'failed') counters.failures.inc({ kind, code: code ?? 'internal_error' })
      if (costMicros !== null) counters.cost.inc(labels, costMicros)
    }),
    providerCall: quietly(({ provider, kind, call, seconds, code }) => {
      const labels = { provider: toProvider(provider), kind, call }
      counters.callSeconds.observe(labels, seconds)
      if (code !== undefined) counters.callErrors.inc({ ...labels, code })
    }),
    retried: quietly((what) => counters.retries.inc({ what: whats(what) })),
    limitHit: quietly((name) => counters.limits.inc({ limit: limits(name) })),
  }
}

function createCounters(registry: Registry) {
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[]) => new Counter({ name: `darkroom_${name}`, help, labelNames, registers: [registry] })
  const histogram = <Label extends string>(name: string, help: string, labelNames: Label[], buckets: number[]) => new Histogram({ name: `darkroom_${name}`, help, labelNames, buckets, registers: [registry] })
  return {
    requests: counter('http_requests_total', 'Requests that were answered, by the route’s pattern. An answer that began early counts as what it said in the end; aborted: the caller hung up.', ['method', 'route', 'status']),
    requestSeconds: histogram('http_request_seconds', 'From a request to the end of its answer.', ['method', 'route'], REQUEST_SECONDS),
    generations: counter('generations_total', 'Generations that ended in this process.', ['kind', 'provider', 'model', 'outcome']),
    failures: counter('generation_failures_total', 'Generations that failed, by the code that their owners were told.', ['kind', 'code']),
    generationSeconds: histogram('generation_seconds', 'From a request to the end of its generation, waiting included.', ['kind', 'outcome'], GENERATION_SECONDS),
    storedBytes: counter('stored_bytes_total', 'Bytes of the files of ended generations, without their thumbnails.', ['kind']),
    cost: counter('cost_usd_micros_total', 'Settled cost of ended generations, in millionths of a US dollar.', ['kind', 'provider', 'model']),
    callSeconds: histogram('provider_call_seconds', 'Calls to providers, answered or not.', ['provider', 'kind', 'call'], CALL_SECONDS),
    callErrors: counter('provider_call_errors_total', 'Calls to providers that failed.', ['provider', 'kind', 'call', 'code']),
    retries: counter('retries_total', 'What was tried again after a failure that may pass.', ['what']),
    limits: counter('limits_hit_total', 'Requests that were refused because of a limit.', ['limit']),
  }
}

/** Counted where it happens, and only read here. */
function countAudit(registry: Registry, read: () => AuditStats): void {
  const counter = <Label extends string>(name: string, help: string, label: Label, counts: (stats: AuditStats) => Readonly<Record<string, number>>) =>
    new Counter({
      name: `darkroom_${name}`,
      help,
      labelNames: [label],
      registers: [registry],
      collect() {
        this.reset()
        for (const [value, count] of Object.entries(counts(read()))) this.inc({ [label]: value } as Record<Label, string>, count)
      },
    })
  counter('audit_rows_total', 'Rows of the audit log. omitted: counted in the row of another one; dropped: nobody will see them.', 'outcome', ({ written, omitted, dropped }) => ({ written, omitted, dropped }))
  counter('audit_payloads_dropped_total', 'Bodies that were left out of rows, since too many waited.', 'reason', ({ payloadsDropped }) => ({ queue_full: payloadsDropped }))
  counter('security_events_total', 'Refused tokens, signatures, replays, accesses and addresses.', 'event', ({ security }) => security)
}

function createQueueGauges(registry: Registry) {
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[]) => new Gauge({ name: `darkroom_${name}`, help: `${help} The same in every process.`, labelNames, registers: [registry] })
  const readable = gauge('queue_readable', 'Whether the database could be asked for what follows.', [])
  const jobs = gauge('queue_jobs', 'Jobs that wait: due now, or later.', ['queue', 'when'])
  const oldest = gauge('queue_oldest_seconds', 'How long the oldest job that is due has waited.', ['queue'])
  const waiting = gauge('generations_waiting', 'Generations that wait for a place at their provider.', [])
  return {
    set(state: QueueState | undefined): void {
      readable.set(state ? 1 : 0)
      // What is not known is not told, rather than what was true once.
      jobs.reset()
      oldest.reset()
      waiting.remove()
      if (!state) return
      for (const { queue, due, later, oldestSeconds } of state.queues) {
        jobs.set({ queue, when: 'due' }, due)
        jobs.set({ queue, when: 'later' }, later)
        oldest.set({ queue }, oldestSeconds)
      }
      waiting.set(state.waiting)
    },
  }
}

function boundedNames(): (name: string) => string {
  const known = new Set<string>()
  return (name) => {
    if (!known.has(name) && known.size >= MAX_NAMES) return 'other'
    known.add(name)
    return name
  }
}

/** Whatever is wrong with a number is no reason to fail what is counted. */
function quietly<T>(count: (value: T) => void): (value: T) => void {
  return (value) => {
    try {
      count(value)
    } catch {
      // prom-client refuses what is no number.
    }
  }
}
