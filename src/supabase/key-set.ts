/**
 * The project's public signing keys. jose's remote set fails every token once its cache is over and the endpoint is
 * away; this one keeps the last good keys, and lets nobody make it fetch more often than once a cooldown.
 */
import { createLocalJWKSet, type CryptoKey, type JSONWebKeySet, type JWK, type JWSHeaderParameters } from 'jose'
import { AppError } from '../errors.ts'
import type { Logger } from '../log.ts'

export interface KeySet {
  /**
   * The public key that signed a token with this header, fetching the set when it is unknown: a key that was rotated in
   * a moment ago is found, at most one cooldown later.
   * @returns undefined when the present set does not have it.
   * @throws {AppError} `auth_unavailable` when that cannot be known.
   */
  find(header: { kid?: string | undefined; alg: string }): Promise<FoundKey | undefined>
}

export interface FoundKey {
  key: CryptoKey
  /** Fixed by the key, never by the token. */
  algorithm: string
}

export interface KeySetOptions {
  url: string
  maxAgeMs: number
  cooldownMs: number
  logger: Logger
  fetch?: typeof fetch
  now?: () => number
}

const TIMEOUT_MS = 5000
const MAX_BYTES = 256 * 1024

/** What Supabase signs with, by the shape of the key. */
const ALGORITHMS = [
  { algorithm: 'ES256', fits: (jwk: JWK) => jwk.kty === 'EC' && jwk.crv === 'P-256' },
  { algorithm: 'RS256', fits: (jwk: JWK) => jwk.kty === 'RSA' },
]

interface Loaded {
  keys: { kid: string | undefined; algorithm: string; jwk: JWK }[]
  resolve: ReturnType<typeof createLocalJWKSet>
  at: number
}

export function createKeySet(options: KeySetOptions): KeySet {
  const { fetch: send = fetch, now = Date.now } = options
  let loaded: Loaded | undefined
  let lastAttempt = Number.NEGATIVE_INFINITY
  let lastFailed = false
  let fetching: Promise<void> | undefined

  async function load(): Promise<void> {
    // Everybody who needs newer keys waits for the same fetch, which waits for the cooldown of the one before.
    const wait = lastAttempt + options.cooldownMs - now()
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
    lastAttempt = now()
    try {
      loaded = { ...parse(await download(send, options.url)), at: now() }
      lastFailed = false
    } catch (error) {
      lastFailed = true
      options.logger.warn({ err: error, keysFromMs: loaded && now() - loaded.at }, 'the signing keys of the project cannot be fetched')
    }
  }
  const refresh = (): Promise<void> => (fetching ??= load().finally(() => (fetching = undefined)))

  function lookUp(header: { kid?: string | undefined; alg: string }): Promise<FoundKey | undefined> | undefined {
    const fitting = (loaded?.keys ?? []).filter((key) => (header.kid === undefined ? key.algorithm === header.alg : key.kid === header.kid))
    // Without a kid only a set with one fitting key tells which it was.
    if (fitting.length !== 1) return undefined
    const { algorithm, jwk } = fitting[0]!
    const wanted: JWSHeaderParameters = { alg: algorithm, ...(jwk.kid !== undefined && { kid: jwk.kid }) }
    return loaded!.resolve(wanted).then((key) => ({ key, algorithm }))
  }

  return {
    async find(header) {
      const known = lookUp(header)
      if (known) {
        // Keys that are too old are still good: they are renewed behind the request's back.
        if (now() - loaded!.at > options.maxAgeMs && now() - lastAttempt > options.cooldownMs) void refresh()
        return await known
      }
      // A fetch that is under way may have begun before the key existed.
      if (fetching) await fetching
      const found = lookUp(header)
      if (found) return await found
      await refresh()
      const now2 = lookUp(header)
      if (!now2 && lastFailed) throw new AppError('auth_unavailable', 'Your sign-in cannot be checked right now. Try again in a moment.', { retryAfterSeconds: 5 })
      return await now2
    },
  }
}

async function download(send: typeof fetch, url: string): Promise<JSONWebKeySet> {
  const response = await send(url, { headers: { accept: 'application/json' }, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) })
  const text = await response.text()
  if (!response.ok) throw new Error(`the key set answered with status ${response.status}`)
  if (text.length > MAX_BYTES) throw new Error('the key set is too large')
  const body = JSON.parse(text) as Partial<JSONWebKeySet> | null
  if (!Array.isArray(body?.keys)) throw new Error('the key set has no keys')
  return { keys: body.keys }
}

function parse(set: JSONWebKeySet): Omit<Loaded, 'at'> {
  const keys = set.keys.flatMap((jwk) => {
    const known = ALGORITHMS.find(({ fits }) => fits(jwk))
    return known && (jwk.alg === undefined || jwk.alg === known.algorithm) ? [{ kid: jwk.kid, algorithm: known.algorithm, jwk }] : []
  })
  return { keys, resolve: createLocalJWKSet({ keys: keys.map(({ jwk }) => jwk) }) }
}
