/** The real service on a spare port, with the simulated provider behind it and its log in memory. */
import { randomUUID } from 'node:crypto'
import { loadConfig } from '../../src/config.ts'
import { createLogger } from '../../src/log.ts'
import { providerSettings } from '../../src/providers/registry.ts'
import type { Extras } from '../../src/services.ts'
import { startService } from '../../src/start.ts'
import { startModelArkSimulator, type ModelArkSimulator, type SimulatorOptions } from '../simulator/modelark.ts'
import { forgetJobs } from './jobs.ts'
import { keepLog, noteSecrets } from './secrecy.ts'
import { supabase, type TestUser } from './supabase.ts'

export interface TestService {
  url: string
  simulator: ModelArkSimulator
  /** Every line logged so far. */
  log: LogLine[]
  request(path: string, init?: RequestInit & { user?: TestUser }): Promise<Response>
  /** Posts JSON to the generate route as a user. */
  generate(user: TestUser, body: unknown, headers?: Record<string, string>): Promise<Response>
  /** Posts a form to the video route, as the frontend does: all values as text, the picture as a file. */
  generateVideo(user: TestUser, fields: Record<string, string | Uint8Array>, headers?: Record<string, string>): Promise<Response>
  close(): Promise<void>
}

export type LogLine = Record<string, unknown> & { msg: string; level: string }

export interface TestServiceOptions {
  simulator?: SimulatorOptions
  env?: Record<string, string>
  extras?: Extras
  local?: boolean
  /** False for a process that answers and does no work. */
  worker?: boolean
}

/** All requests of a test come from one address, and many of one user. */
export const NO_RATE_LIMITS = { RATE_LIMIT_IP: '0', RATE_LIMIT_USER: '0', RATE_LIMIT_IMAGES: '0', RATE_LIMIT_VIDEOS: '0', RATE_LIMIT_MODEL: '0' }

/** Short limits, so that what hangs ends within a test. */
const TEST_ENV = { LOG_LEVEL: 'debug', CORS_ORIGINS: 'https://app.example.com', PROVIDER_TIMEOUT_SECONDS: '2', DOWNLOAD_TIMEOUT_SECONDS: '3', STORE_RETRY_SECONDS: '1', SHUTDOWN_SECONDS: '5', CALL_TIMEOUT_SECONDS: '2', CHECK_SECONDS: '1', MAX_CHECK_SECONDS: '1', SETTLE_SECONDS: '4', START_PATIENCE_SECONDS: '0', BREAKER_FAILURES: '1000000', MODEL_GONE_SECONDS: '0', ...NO_RATE_LIMITS }

export async function startTestService(options: TestServiceOptions = {}): Promise<TestService> {
  const simulator = await startModelArkSimulator(options.simulator)
  await forgetJobs()
  const log: LogLine[] = []
  const logName = `service-${randomUUID()}`
  const write = (line: string) => {
    log.push(JSON.parse(line) as LogLine)
    keepLog(supabase.directory, logName, line)
  }
  const logger = createLogger({ level: 'debug', destination: { write } })
  const env = {
    ...TEST_ENV,
    PORT: '0',
    SUPABASE_URL: supabase.url,
    SUPABASE_SECRET_KEY: supabase.secretKey,
    SUPABASE_PUBLISHABLE_KEY: supabase.publishableKey,
    SUPABASE_JWT_SECRET: supabase.jwtSecret,
    DATABASE_URL: supabase.databaseUrl,
    ARK_API_KEY: simulator.apiKey,
    ARK_BASE_URL: simulator.baseURL,
    ...options.env,
  }
  noteSecrets(supabase.directory, env)
  const config = loadConfig(env, { providers: providerSettings, local: options.local ?? false })
  // Whoever cannot start must not hold up the end of its test.
  const service = await startService(config, logger, { web: true, worker: options.worker ?? true }, options.extras).catch(async (error: unknown) => {
    await simulator.close()
    throw error
  })
  const url = service.url!
  const request: TestService['request'] = (path, { user, ...init } = {}) => {
    const headers = new Headers(init.headers)
    if (user) headers.set('authorization', `Bearer ${user.token}`)
    return fetch(url + path, { ...init, headers })
  }
  return {
    url,
    simulator,
    log,
    request,
    generate: (user, body, headers) => request('/api/images/generate', { method: 'POST', user, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }),
    generateVideo: (user, fields, headers) => request('/api/videos/generate', { method: 'POST', user, body: toForm(fields), ...(headers && { headers }) }),
    async close() {
      await service.stop()
      await simulator.close()
    },
  }
}

/** A form as a browser sends it. Bytes become a file whose name lies. */
export function toForm(fields: Record<string, string | Uint8Array>): FormData {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'string') form.set(name, value)
    else form.set(name, new Blob([Uint8Array.from(value)], { type: 'text/plain' }), 'passwd.txt')
  }
  return form
}

/** Looks again until a condition holds. @throws when it does not within `timeoutMs`. */
export async function eventually<T>(look: () => Promise<T | undefined | false>, what: string, timeoutMs = 20_000): Promise<T> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (Date.now() > deadline) throw new Error(`Not seen within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
