/** Calls of the doctor's own: with a limit, without redirects, and with plain words for what goes wrong on the way. */

const TIMEOUT_MS = 10_000

export interface Answer {
  status: number
  ok: boolean
  headers: Headers
  bytes: Buffer
  text: string
  /** Undefined where the answer is no JSON. */
  json: unknown
}

/** Nobody answered. The message names the address and says why. */
export class Unreachable extends Error {}

/** @throws {Unreachable} */
export async function ask(context: { signal: () => AbortSignal }, url: string, init: RequestInit & { timeoutMs?: number } = {}): Promise<Answer> {
  const { timeoutMs = TIMEOUT_MS, ...rest } = init
  try {
    const response = await fetch(url, { redirect: 'manual', ...rest, signal: AbortSignal.any([context.signal(), AbortSignal.timeout(timeoutMs)]) })
    const bytes = Buffer.from(await response.arrayBuffer())
    const text = bytes.toString()
    return { status: response.status, ok: response.ok, headers: response.headers, bytes, text, json: parse(text) }
  } catch (error) {
    context.signal().throwIfAborted()
    throw new Unreachable(`${new URL(url).origin} does not answer: ${faultOf(error)}`, { cause: error })
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

const WORDS: Record<string, string> = {
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'its name cannot be looked up now',
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection was broken',
  EHOSTUNREACH: 'there is no way to it',
  ENETUNREACH: 'there is no way to its network',
  ETIMEDOUT: 'it is silent',
  UND_ERR_CONNECT_TIMEOUT: 'it is silent',
  UND_ERR_SOCKET: 'the connection was broken',
}

/** What went wrong between here and there, in a few words. */
export function faultOf(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at.name === 'TimeoutError') return 'it took too long'
    const code = 'code' in at ? String(at.code) : ''
    if (WORDS[code] !== undefined) return WORDS[code]
    if (at.cause === undefined) return at.message || code || at.name
  }
  return String(error)
}

/** The body of an answer, shortened, for a finding. */
export const quote = ({ status, text }: Pick<Answer, 'status' | 'text'>): string => `${status} ${text.replaceAll(/\s+/g, ' ').slice(0, 160)}`.trim()

/** Both headers with the same value: hosted Supabase refuses a key of the new kind otherwise. */
export const withKey = (key: string): Record<string, string> => ({ apikey: key, authorization: `Bearer ${key}` })
