/** The rows of API keys. */
import { LRUCache } from 'lru-cache'
import { AppError } from '../errors.ts'
import type { ApiKey, ApiKeyStore, KeyFinder, KnownKey, NewApiKey } from '../keys/api-key.ts'
import { deriveSigningKey, hashKey, makeKey } from '../keys/key-text.ts'
import type { Sealer } from '../keys/sealing.ts'
import type { Scope } from '../keys/scopes.ts'
import { limitConcurrency } from '../limit-concurrency.ts'
import type { Logger } from '../log.ts'
import type { Database, Query } from './database.ts'
import { placeOfRow } from './reseal.ts'

export interface ApiKeysOptions {
  database: Database
  sealer: Sealer
  logger: Logger
  /** Keys that work, of one user. Those that were replaced and still work are not counted, up to as many again. */
  maxPerUser: number
  /** How old what is known of a key may be, should the database's news of it be lost. */
  cacheMs: number
}

export interface ApiKeys extends ApiKeyStore, KeyFinder {
}

const CHANNEL = 'darkroom_api_keys'
const CACHED_KEYS = 10_000
/** Anybody can make up keys: looking for them must leave connections to others. */
const MAX_LOOKUPS = 2
const TOUCH_MS = 60_000
/** Of one user, beside those that work. */
const MAX_ENDED = 100

const COLUMNS = `id, name, prefix, scopes, signed_only as "signedOnly", created_at as "createdAt", expires_at as "expiresAt", last_used_at as "lastUsedAt",
  revoked_at as "revokedAt", replaced_by as "replacedBy", overlap_until as "overlapUntil"`
const WORKS = 'revoked_at is null and coalesce(expires_at > now(), true) and coalesce(overlap_until > now(), true)'

/** As jsonb, since an older Auth may lack a column. */
const FIND = `
  select key.user_id as "userId", key.hash, key.signing_key as "sealedKey", key.scopes, key.signed_only as "signedOnly", key.revoked_at is not null as "isRevoked",
    least(key.expires_at, key.overlap_until) as "endsAt",
    coalesce((to_jsonb(owner) ->> 'banned_until')::timestamptz > now(), false) or to_jsonb(owner) ->> 'deleted_at' is not null as "isUserBlocked"
  from darkroom.api_keys key join auth.users owner on owner.id = key.user_id where key.id = $1`

interface KnownRow {
  userId: string
  hash: Buffer
  sealedKey: Buffer
  scopes: Scope[]
  signedOnly: boolean
  isRevoked: boolean
  endsAt: Date | null
  isUserBlocked: boolean
}

export function createApiKeys(options: ApiKeysOptions): ApiKeys {
  const { database, sealer, logger, maxPerUser } = options
  const known = new LRUCache<string, Promise<KnownKey | undefined>>({ max: CACHED_KEYS, ttl: options.cacheMs })
  const touched = new LRUCache<string, true>({ max: CACHED_KEYS, ttl: TOUCH_MS })
  const lookupSlots = limitConcurrency(MAX_LOOKUPS)
  // Where this cannot listen, a key is still looked up anew after `cacheMs`.
  const listening = database.listen(CHANNEL, (id) => void (id === '' ? known.clear() : known.delete(id)))
  listening.catch(() => undefined)

  async function load(id: string): Promise<KnownKey | undefined> {
    const [row] = await lookupSlots(() => database.query<KnownRow>(FIND, [id]))
    if (!row) return undefined
    const { sealedKey, endsAt, ...rest } = row
    let signingKey: Buffer | undefined
    return { ...rest, id, endsAt: endsAt?.getTime() ?? Infinity, signingKey: () => (signingKey ??= sealer.open(sealedKey, placeOf(id))) }
  }

  async function insert(tx: Query, userId: string, input: Omit<NewApiKey, 'expiresInDays'>, lifetime: string | null): Promise<{ apiKey: ApiKey; key: string }> {
    const { id, key } = makeKey()
    const [apiKey] = await tx<ApiKey>(
      `insert into darkroom.api_keys (id, user_id, name, hash, signing_key, scopes, signed_only, expires_at)
       select $1, id, $3, $4, $5, $6, $7, now() + $8::interval from auth.users where id = $2 returning ${COLUMNS}`,
      [id, userId, input.name, hashKey(key), sealer.seal(deriveSigningKey(key), placeOf(id)), input.scopes, input.signedOnly, lifetime],
    )
    if (!apiKey) throw new AppError('unauthenticated', 'Your account does not exist any more.')
    return { apiKey, key }
  }

  async function demandRoom(tx: Query, userId: string, counted: string, limit: number): Promise<void> {
    const [row] = await tx<{ count: number }>(`select count(*)::int as count from darkroom.api_keys where user_id = $1 and ${counted}`, [userId])
    if (row!.count >= limit) throw new AppError('conflict', `You already have ${row!.count} API keys. Revoke one that you do not need.`)
  }

  return {
    find(id) {
      const cached = known.get(id)
      if (cached) return cached
      const found = load(id)
      known.set(id, found)
      found.catch(() => known.delete(id))
      return found
    },
    touch(id) {
      if (touched.has(id)) return
      touched.set(id, true)
      database
        .query(`update darkroom.api_keys set last_used_at = now() where id = $1 and coalesce(last_used_at < now() - interval '1 minute', true)`, [id])
        .catch((error: unknown) => logger.warn({ err: error }, 'it could not be written down that a key is in use'))
    },
    create: (userId, { expiresInDays, ...input }) =>
      database.transaction(async (tx) => {
        await lockKeysOf(tx, userId)
        await forgetEnded(tx, userId)
        await demandRoom(tx, userId, `${WORKS} and replaced_by is null`, maxPerUser)
        return await insert(tx, userId, input, expiresInDays === undefined ? null : `${expiresInDays} days`)
      }),
    list: (userId) => database.query<ApiKey>(`select ${COLUMNS} from darkroom.api_keys where user_id = $1 order by created_at desc, id limit ${maxPerUser * 2 + MAX_ENDED}`, [userId]),
    async revoke(id, userId) {
      const rows = await database.query('update darkroom.api_keys set revoked_at = coalesce(revoked_at, now()) where id = $1 and user_id = $2 returning id', [id, userId])
      // The news of it comes a moment later, and whoever asked may have the answer before.
      known.delete(id)
      return rows.length > 0
    },
    async rotate(id, userId, overlapMinutes) {
      const made = await database.transaction(async (tx) => {
        await lockKeysOf(tx, userId)
        const [old] = await tx<ApiKey & { works: boolean; lifetime: string | null }>(`select ${COLUMNS}, ${WORKS} as works, (expires_at - created_at)::text as lifetime from darkroom.api_keys where id = $1 and user_id = $2 for update`, [id, userId])
        if (!old) return undefined
        if (!old.works || old.replacedBy !== null) throw new AppError('conflict', old.works ? 'This key was replaced already.' : 'This key has ended. Make a new one.')
        await forgetEnded(tx, userId)
        await demandRoom(tx, userId, WORKS, maxPerUser * 2)
        const successor = await insert(tx, userId, old, old.lifetime)
        await tx('update darkroom.api_keys set replaced_by = $2, overlap_until = now() + make_interval(mins => $3) where id = $1', [id, successor.apiKey.id, overlapMinutes])
        return successor
      })
      known.delete(id)
      return made
    },
  }
}

const placeOf = (id: string): string => placeOfRow('api_keys', id)

/** One after the other for each user, in all processes: no two count the same free place. */
const lockKeysOf = (tx: Query, userId: string) => tx(`select pg_advisory_xact_lock(hashtextextended('darkroom.api_keys/' || $1, 0))`, [userId])

const forgetEnded = (tx: Query, userId: string) =>
  tx(`delete from darkroom.api_keys where id in (select id from darkroom.api_keys where user_id = $1 and not (${WORKS}) order by created_at desc, id offset ${MAX_ENDED})`, [userId])
