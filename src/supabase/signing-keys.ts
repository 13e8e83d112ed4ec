/**
 * The keys that sign our access tokens, shared by all processes and rotated by whichever comes first. A new one is
 * published a while before it signs, an old one until its last token has expired.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto'
import type { JWK } from 'jose'
import { AppError } from '../errors.ts'
import { KEY_SET_MAX_AGE_SECONDS, KID_PREFIX, type SigningKeys } from '../keys/access-tokens.ts'
import type { Sealer } from '../keys/sealing.ts'
import type { Logger } from '../log.ts'
import type { Database, Query } from './database.ts'
import { placeOfRow } from './reseal.ts'

export interface SigningKeyStore extends SigningKeys {
  /** The public keys, as anybody may have them. */
  publicKeys(): Promise<JWK[]>
}

export interface SigningKeysOptions {
  database: Database
  sealer: Sealer
  logger: Logger
  /** How long a key signs. */
  rotationDays: number
  tokenLifetimeSeconds: number
  now?: () => number
}

/** A new key signs nothing before everybody's copy of the key set is newer than it. */
const PUBLISHED_BEFORE_SECONDS = 2 * KEY_SET_MAX_AGE_SECONDS
/** How long a process believes what it has read, and the least time between two reads for a kid that it does not know. */
const MAX_AGE_MS = 60_000
const COOLDOWN_MS = 1000
/** For processes that still sign with the old key, and clocks that differ. */
const GRACE_SECONDS = 120

/** One process at a time rotates; the pair is known to nobody else in this schema. */
const LOCK = 'select pg_advisory_xact_lock(20261127, 1)'
const NEEDS = `
  select not exists (select from darkroom.signing_keys where private_key is not null and signs_from <= clock_timestamp() and coalesce(retired_at > clock_timestamp(), true)) as "isMissing",
    not exists (select from darkroom.signing_keys where retired_at is null and signs_from > clock_timestamp() - make_interval(days => $1)) as "isOld"`

interface Row {
  kid: string
  publicJwk: JWK
  privateKey: Buffer | null
  signs: boolean
  isRetired: boolean
  isOver: boolean
}

interface Loaded {
  at: number
  rows: (Row & { publicKey: KeyObject })[]
}

export function createSigningKeys(options: SigningKeysOptions): SigningKeyStore {
  const { database, sealer, rotationDays, now = Date.now } = options
  const outlivesSeconds = options.tokenLifetimeSeconds + GRACE_SECONDS
  let loaded: Loaded | undefined
  let loading: Promise<Loaded> | undefined
  let replacing: Promise<void> | undefined

  async function isDue(query: Query): Promise<{ isMissing: boolean; isOld: boolean } | undefined> {
    const [needs] = await query<{ isMissing: boolean; isOld: boolean }>(NEEDS, [rotationDays])
    return needs!.isMissing || needs!.isOld ? needs : undefined
  }

  async function rotate(): Promise<void> {
    await database.transaction(async (tx) => {
      await tx(LOCK)
      const needs = await isDue(tx)
      if (!needs) return
      // Where there is no other, it cannot wait.
      const waitSeconds = needs.isMissing ? 0 : PUBLISHED_BEFORE_SECONDS
      const kid = await add(tx, waitSeconds)
      await tx('update darkroom.signing_keys set retired_at = clock_timestamp() + make_interval(secs => $2) where kid <> $1 and retired_at is null and signs_from <= clock_timestamp()', [kid, waitSeconds + GRACE_SECONDS])
    })
  }

  /** @param waitSeconds until it signs. @returns its id. */
  async function add(query: Query, waitSeconds: number): Promise<string> {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const kid = KID_PREFIX + randomBytes(12).toString('base64url')
    const jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' }
    const sealed = sealer.seal(privateKey.export({ format: 'der', type: 'pkcs8' }), placeOf(kid))
    await query('insert into darkroom.signing_keys (kid, public_jwk, private_key, signs_from) values ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))', [kid, JSON.stringify(jwk), sealed, waitSeconds])
    return kid
  }

  /** The newest key that signs and that our master key opens: another process may have been given another one. */
  function openNewest({ rows }: Loaded): { kid: string; privateKey: KeyObject } | undefined {
    for (const { kid, privateKey, signs, isRetired } of rows) {
      if (!signs || isRetired) continue
      try {
        return { kid, privateKey: createPrivateKey({ key: sealer.open(privateKey!, placeOf(kid)), format: 'der', type: 'pkcs8' }) }
      } catch (error) {
        if (!(error instanceof AppError)) throw error
      }
    }
    return undefined
  }

  /** A lost master key must not end all tokens to come. What was signed before is still known by its public key. */
  async function replace(): Promise<void> {
    const kid = await add(database.query, 0)
    options.logger.warn({ kid }, 'no key that signs access tokens can be opened with STORAGE_MASTER_KEY: another one was made')
    await get(0)
  }

  async function read(): Promise<Row[]> {
    return await database.query<Row>(
      `select kid, public_jwk as "publicJwk", private_key as "privateKey", signs_from <= now() and private_key is not null as signs,
         coalesce(retired_at <= now(), false) as "isRetired", coalesce(retired_at <= now() - make_interval(secs => $1), false) as "isOver"
       from darkroom.signing_keys order by signs_from desc, kid`,
      [outlivesSeconds],
    )
  }

  /** What signs no more must not be able to, and what nobody's token needs any more goes. */
  async function tidy(rows: Row[]): Promise<void> {
    if (rows.some(({ isRetired, privateKey }) => isRetired && privateKey)) await database.query('update darkroom.signing_keys set private_key = null where retired_at <= now() and private_key is not null')
    if (rows.some(({ isOver }) => isOver)) await database.query('delete from darkroom.signing_keys where retired_at <= now() - make_interval(secs => $1)', [outlivesSeconds])
  }

  async function load(): Promise<Loaded> {
    const at = now()
    if (await isDue(database.query)) await rotate()
    const rows = await read()
    await tidy(rows)
    loaded = { at, rows: rows.filter(({ isOver }) => !isOver).map((row) => ({ ...row, publicKey: createPublicKey({ key: row.publicJwk, format: 'jwk' }) })) }
    return loaded
  }

  /** @param maxAgeMs how old what is known may be. */
  async function get(maxAgeMs = MAX_AGE_MS): Promise<Loaded> {
    if (loaded && now() - loaded.at < maxAgeMs) return loaded
    return await (loading ??= load().finally(() => (loading = undefined)))
  }

  const findIn = ({ rows }: Loaded, kid: string) => rows.find((row) => row.kid === kid)?.publicKey

  return {
    async current() {
      const newest = openNewest(await get()) ?? openNewest(await get(0))
      if (newest) return newest
      await (replacing ??= replace().finally(() => (replacing = undefined)))
      return openNewest(await get())!
    },
    async find(kid) {
      return findIn(await get(), kid) ?? findIn(await get(COOLDOWN_MS), kid)
    },
    publicKeys: async () => (await get()).rows.map(({ publicJwk }) => publicJwk),
  }
}

const placeOf = (kid: string): string => placeOfRow('signing_keys', kid)
