/** From services to a listening, draining process. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Config } from './config.ts'
import { answerConnectionErrors } from './http/connection-errors.ts'
import type { Logger } from './log.ts'
import { createServices, type Extras, type Services } from './services.ts'

export interface RunningService {
  /** Where it listens; undefined for a worker alone. */
  url: string | undefined
  /** Where a worker alone shows its metrics, if it does. */
  metricsUrl: string | undefined
  /** Takes no new work, finishes or hands back what runs, within the configured time. Safe to call twice. */
  stop(): Promise<void>
}

/** Longer than the 90 s for which Heroku's router keeps its connections: it must be the one that closes them. */
const KEEP_ALIVE_MS = 95_000
/** Of the time to stop; the rest is for answering whoever still waits, and for closing connections. */
const JOBS_SHARE = 0.8

/** @throws when the port is taken (`EADDRINUSE`) or the database cannot be reached. */
export async function startService(config: Config, logger: Logger, roles: { web: boolean; worker: boolean }, extras?: Extras): Promise<RunningService> {
  const services = await createServices(config, logger, roles, extras)
  let server: Server | undefined
  try {
    if (roles.worker) await services.startWorkers()
    server = await listenAs(roles, services, config)
  } catch (error) {
    await services.stopWorkers(0)
    await services.stop()
    throw error
  }
  const address = server && `http://localhost:${(server.address() as AddressInfo).port}`
  const [url, metricsUrl] = roles.web ? [address, undefined] : [undefined, address && `${address}/metrics`]
  logger.info({ url, metricsUrl, web: roles.web, worker: roles.worker }, 'started')

  let stopping: Promise<void> | undefined
  const stop = async () => {
    const deadline = Date.now() + config.http.shutdownMs
    const closed = server ? close(server) : Promise.resolve()
    // Jobs first: whoever waits for one that ends in time still gets its answer.
    await services.stopWorkers(config.http.shutdownMs * JOBS_SHARE)
    services.stopWaiting()
    const timer = setTimeout(() => server?.closeAllConnections(), Math.max(0, deadline - Date.now()))
    await closed
    clearTimeout(timer)
    // A database that does not answer must not hold the process beyond its time.
    await Promise.race([services.stop(), untilThen(deadline)])
    logger.info('stopped')
  }
  return { url, metricsUrl, stop: () => (stopping ??= stop()) }
}

function untilThen(deadline: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, Math.max(0, deadline - Date.now())).unref())
}

/** A web process serves the API. A worker alone serves nothing but its metrics, where it was given a port for them. */
async function listenAs(roles: { web: boolean }, { app, metricsApp }: Services, { http, metrics }: Config): Promise<Server | undefined> {
  if (roles.web) return await listen(app.callback(), http)
  return metrics.port === undefined ? undefined : await listen(metricsApp.callback(), { ...http, port: metrics.port })
}

async function listen(handler: Parameters<typeof createServer>[1], { port, host, receiveTimeoutMs }: Pick<Config['http'], 'port' | 'host' | 'receiveTimeoutMs'>): Promise<Server> {
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, headersTimeout: receiveTimeoutMs, requestTimeout: receiveTimeoutMs, connectionsCheckingInterval: receiveTimeoutMs / 10, requireHostHeader: false }, handler)
  answerConnectionErrors(server)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port, ...(host !== undefined && { host }) }, resolve)
  })
  return server
}

async function close(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  // Connections that wait for their next request are ended as soon as their last answer is out.
  const ending = setInterval(() => server.closeIdleConnections(), 100)
  server.closeIdleConnections()
  await closed
  clearInterval(ending)
}
