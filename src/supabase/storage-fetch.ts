/**
 * A fetch for Storage. Node's own keeps a copy of every body that it streams; undici's `request` does not, and costs less
 * for the others. It never follows a redirect.
 */
import { Readable } from 'node:stream'
import { Agent, request, type Dispatcher } from 'undici'

const CONNECT_TIMEOUT_MS = 10_000
/** A Response refuses a body with these. */
const WITHOUT_BODY = new Set([204, 205, 304])

/**
 * @param options.timeoutMs for a call as a whole; where the body is a stream, for each silence of Storage instead: until
 *   it has taken what it was given, and until it has answered. How long the stream itself is silent is for its owner to
 *   limit.
 * @returns fetch, for bodies that are text, bytes or whatever yields bytes over time, and for answers that fit in memory.
 */
export function createStorageFetch({ timeoutMs }: { timeoutMs: number }): typeof fetch {
  // The limits are kept here, where they can tell whose silence it is. Several uploads share no connection, as they
  // would in HTTP/2: one that stalls would hold up the others.
  const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0, allowH2: false, connect: { timeout: CONNECT_TIMEOUT_MS } })

  return async (input, init = {}) => {
    if (input instanceof Request) throw new TypeError('A Request is not understood here: give its parts.')
    const patience = createPatience(timeoutMs)
    const body = toBody(init.body ?? null, patience)
    patience.start()
    try {
      const answer = await request(input, {
        dispatcher: agent,
        method: (init.method ?? 'GET') as Dispatcher.HttpMethod,
        headers: Object.fromEntries(new Headers(init.headers)),
        body,
        signal: init.signal ? AbortSignal.any([init.signal, patience.signal]) : patience.signal,
      })
      return await toResponse(answer)
    } finally {
      patience.stop()
    }
  }
}

interface Patience {
  /** Aborts when time has run out between `start` and `stop`. */
  readonly signal: AbortSignal
  start(): void
  stop(): void
}

function createPatience(timeoutMs: number): Patience {
  const controller = new AbortController()
  let timer: NodeJS.Timeout | undefined
  return {
    signal: controller.signal,
    start() {
      clearTimeout(timer)
      timer = setTimeout(() => controller.abort(new DOMException('Storage was silent for too long.', 'TimeoutError')), timeoutMs).unref()
    },
    stop: () => clearTimeout(timer),
  }
}

function toBody(body: unknown, patience: Patience): string | Uint8Array | Readable | null {
  if (body === null || typeof body === 'string' || body instanceof Uint8Array) return body
  if (typeof body === 'object' && Symbol.asyncIterator in body) return Readable.from(watch(body as AsyncIterable<Uint8Array>, patience), { objectMode: false })
  throw new TypeError('Only text, bytes and streams of bytes can be sent to Storage.')
}

/** Time runs while a piece waits to be taken, and after the last one; not while the stream has none to give. */
async function* watch(body: AsyncIterable<Uint8Array>, patience: Patience): AsyncGenerator<Uint8Array> {
  patience.stop()
  for await (const chunk of body) {
    patience.start()
    yield chunk
    patience.stop()
  }
  patience.start()
}

async function toResponse({ statusCode, statusText, headers, body }: Dispatcher.ResponseData): Promise<Response> {
  const bytes = await body.arrayBuffer()
  const names = Object.entries(headers).flatMap(([name, value]) => [value ?? []].flat().map((item): [string, string] => [name, item]))
  return new Response(WITHOUT_BODY.has(statusCode) ? null : bytes, { status: statusCode, statusText, headers: names })
}
