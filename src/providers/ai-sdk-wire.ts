/**
 * What a package of the AI SDK sends and is answered during one call. Its errors carry the whole request, prompt and
 * pictures too, and do not tell for certain what was sent: so that is noted here, where it happens.
 */
import { longFetch } from './long-fetch.ts'
import { parseJson, type VendorAnswer } from './vendor-call.ts'

export interface WireOptions {
  /** Taken out of whatever the vendor echoes. */
  apiKey: string
  /** Whether an address is the vendor's. Nothing is sent to any other, whatever an answer says: the key might go along. */
  isVendors: (url: URL) => boolean
  fetch?: typeof fetch | undefined
}

/** The requests of one call; the last of them decides what became of it. */
export interface Wire {
  /** For the package. */
  fetch: typeof fetch
  /** Whether it was called at all. */
  wasUsed: boolean
  /** What the last request was answered, where that came whole. */
  answer: VendorAnswer | undefined
  /** Why there is no answer to the last request. */
  failure: unknown
}

export function openWire({ apiKey, isVendors, fetch: send = longFetch }: WireOptions): Wire {
  const wire: Wire = { fetch: watch, wasUsed: false, answer: undefined, failure: undefined }

  async function watch(...[input, init]: Parameters<typeof fetch>): Promise<Response> {
    Object.assign(wire, { wasUsed: true, answer: undefined, failure: undefined })
    try {
      if (!isVendors(new URL(input instanceof Request ? input.url : input))) throw new Error("An answer led away from the provider's own addresses")
      // A redirect would carry the key, or repeat a paid call, somewhere else. Packages follow those of looks by themselves.
      const response = await send(input, { ...init, redirect: 'manual' })
      const { status } = response
      const headers = new Headers([...response.headers])
      const body = hide(Buffer.from(await response.arrayBuffer()), apiKey)
      wire.answer = { status, headers, body: parseJson(body.toString()) }
      return new Response(body.length > 0 ? body : null, { status, headers })
    } catch (error) {
      wire.failure = error
      throw error
    }
  }

  return wire
}

/** Latin-1 gives every other byte back as it was. */
const hide = (bytes: Buffer<ArrayBuffer>, key: string): Buffer<ArrayBuffer> => (bytes.includes(key) ? Buffer.from(bytes.toString('latin1').replaceAll(key, '[key]'), 'latin1') : bytes)
