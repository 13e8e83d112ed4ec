/** Calls to Supabase Auth itself. */
import { AppError } from '../errors.ts'

export interface AuthOptions {
  url: string
  publishableKey: string
  timeoutMs?: number
}

const DEFAULT_TIMEOUT_MS = 5000

/** @returns a function that tells whether Auth accepts a token. @throws {AppError} `auth_unavailable`. */
export function createAskAuth({ url, publishableKey, timeoutMs = DEFAULT_TIMEOUT_MS }: AuthOptions): (token: string) => Promise<boolean> {
  return async (token) => {
    const response = await call(`${url}/auth/v1/user`, { apikey: publishableKey, authorization: `Bearer ${token}` }, timeoutMs)
    if (response.ok) return true
    // 403 is Auth's word for a bad token, 429 and 5xx say nothing about it.
    if ([400, 401, 403, 404].includes(response.status)) return false
    throw unavailable(new Error(`Auth answered with status ${response.status}`))
  }
}

/** @throws {AppError} `auth_unavailable` when Auth does not answer its health check. */
export async function probeAuth({ url, publishableKey, timeoutMs = DEFAULT_TIMEOUT_MS }: AuthOptions): Promise<void> {
  const response = await call(`${url}/auth/v1/health`, { apikey: publishableKey }, timeoutMs)
  if (response.status >= 500) throw unavailable(new Error(`Auth answered with status ${response.status}`))
}

async function call(url: string, headers: Record<string, string>, timeoutMs: number): Promise<Response> {
  try {
    const response = await fetch(url, { headers, redirect: 'error', signal: AbortSignal.timeout(timeoutMs) })
    await response.arrayBuffer()
    return response
  } catch (error) {
    throw unavailable(error)
  }
}

const unavailable = (cause: unknown) => new AppError('auth_unavailable', 'Your sign-in cannot be checked right now. Try again in a moment.', { cause, retryAfterSeconds: 5 })
