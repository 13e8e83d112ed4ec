/** Requests of a load, over connections that are kept, with nothing in between that would take the stubs' time. */
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Answer {
  status: number
  body: string
}

const REQUEST_TIMEOUT_MS = 60_000

/** For one measurement: a connection that idles through the next one may be ended by the service just when it is used again. */
export function createClient(): { post(url: string, headers: Record<string, string>, body: string): Promise<Answer>; close(): void } {
  const agent = new Agent({ keepAlive: true })
  return {
    post: (url, headers, body) =>
      new Promise((resolve, reject) => {
        const sent = request(url, { method: 'POST', agent, headers: { ...headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) })
        sent.once('error', reject)
        sent.once('response', (response) => {
          let text = ''
          response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
          response.once('error', reject).once('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
        })
        sent.end(body)
      }),
    close: () => agent.destroy(),
  }
}

export interface LoadResult {
  latenciesMs: number[]
  durationMs: number
}

/** So many callers, each of which asks again as soon as it was answered. */
export async function closedLoop(send: () => Promise<void>, options: { concurrency: number; count: number }): Promise<LoadResult> {
  const latenciesMs: number[] = []
  let left = options.count
  const startedAt = performance.now()
  const caller = async () => {
    while (left-- > 0) latenciesMs.push(await timed(send, performance.now()))
  }
  await Promise.all(Array.from({ length: Math.min(options.concurrency, options.count) }, caller))
  return { latenciesMs, durationMs: performance.now() - startedAt }
}

/** Requests that come when they come: the time of each counts from when it was due, not from when it could be sent. */
export async function fixedRate(send: () => Promise<void>, options: { perSecond: number; count: number }): Promise<LoadResult> {
  const startedAt = performance.now()
  const sending = Array.from({ length: options.count }, async (_, index) => {
    const due = startedAt + (index * 1000) / options.perSecond
    await sleep(Math.max(0, due - performance.now()))
    return await timed(send, due)
  })
  return { latenciesMs: await Promise.all(sending), durationMs: performance.now() - startedAt }
}

async function timed(send: () => Promise<void>, since: number): Promise<number> {
  await send()
  return performance.now() - since
}
