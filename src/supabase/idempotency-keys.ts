/** Which generation an idempotency key stands for, per user and route. */
import { AppError } from '../errors.ts'
import type { IdempotencyKey } from '../generation/records.ts'
import type { Query } from './database.ts'

/**
 * Takes the key, or finds the generation that has it. Whoever comes second waits here for the first one's commit, so
 * that fifty at once make one generation.
 */
export async function takeKey(tx: Query, userId: string, { key, route, bodySha256 }: IdempotencyKey): Promise<string | undefined> {
  await tx(`delete from darkroom.idempotency_keys where user_id = $1 and route = $2 and key = $3 and created_at < now() - ${IDEMPOTENCY_KEY_LIFE}`, [userId, route, key])
  const taken = await tx('insert into darkroom.idempotency_keys (user_id, route, key, body_sha256) values ($1, $2, $3, $4) on conflict do nothing returning key', [userId, route, key, bodySha256])
  if (taken.length > 0) return undefined
  return await findKey(tx, userId, { key, route, bodySha256 })
}

/** Has the key, taken in this transaction, stand for a generation. */
export async function giveKey(tx: Query, userId: string, { key, route }: IdempotencyKey, generationId: string): Promise<void> {
  await tx('update darkroom.idempotency_keys set generation_id = $4 where user_id = $1 and route = $2 and key = $3', [userId, route, key, generationId])
}

/** @throws {AppError} `idempotency_mismatch` for another body, `not_found` when the generation was deleted. */
export async function findKey(query: Query, userId: string, { key, route, bodySha256 }: IdempotencyKey): Promise<string | undefined> {
  const [earlier] = await query<{ body_sha256: string; generation_id: string | null }>(
    `select body_sha256, generation_id from darkroom.idempotency_keys where user_id = $1 and route = $2 and key = $3 and created_at >= now() - ${IDEMPOTENCY_KEY_LIFE}`,
    [userId, route, key],
  )
  if (!earlier) return undefined
  if (earlier.body_sha256 !== bodySha256) throw new AppError('idempotency_mismatch', 'This Idempotency-Key was used for another request. Take a new key for a new request.')
  if (earlier.generation_id === null) throw new AppError('not_found', 'The generation that this Idempotency-Key stood for was deleted.')
  return earlier.generation_id
}

/** Long enough for a client that retries over night. */
export const IDEMPOTENCY_KEY_LIFE = `interval '24 hours'`
