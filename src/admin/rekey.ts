/**
 * Brings everything that is encrypted in rows under the newest master key, so that an older one can be thrown away: the
 * data keys of the audit log, whose payloads stay as they are, and what signs.
 */
import { createEnvelope, UnknownKeyError, type Envelope, type WrappedKey } from '../audit/envelope.ts'
import type { Database } from '../supabase/database.ts'
import { createSealer } from '../keys/sealing.ts'
import { resealSecrets } from '../supabase/reseal.ts'
import { UsageError, type AdminCommand } from './command.ts'

const BATCH = 500

export const rekey: AdminCommand = {
  usage: `

Give every process both keys, the old one in front (old:…,new:…), then both with the new one in front (new:…,old:…), run this,
and remove the old key. For a first key: give it to every process, and run this.
It may be interrupted and run again; what was done stays done. Ends with 1 while rows are left that no key opens.`,
  options: {},
  arguments: [],
  async run({ config, database, print }) {
    const [current, ...older] = config.masterKeys
    if (!current) throw new UsageError('STORAGE_MASTER_KEY is missing: there is no key to wrap by.')
    const outcome = await rewrapAll(database, createEnvelope([current, ...older]))
    const { resealed, unreadable } = await resealSecrets(database, createSealer(config.masterKeys.map(({ key }) => key)))
    await print({ keyId: current.id, ...outcome, unknownKeys: Object.fromEntries(outcome.unknownKeys), resealed, unreadable })
    const left = unreadable + outcome.broken + [...outcome.unknownKeys.values()].reduce((sum, count) => sum + count, 0)
    if (left > 0) throw new Error(`${left} rows could not be opened. Name their keys in STORAGE_MASTER_KEY and run it again.`)
  },
}

interface Outcome {
  rewrapped: number
  /** Rows whose key is configured and does not open them. */
  broken: number
  /** Rows by the id of their key, which is not configured. */
  unknownKeys: Map<string, number>
}

interface Row extends WrappedKey {
  id: string
}

async function rewrapAll(database: Database, envelope: Envelope): Promise<Outcome> {
  const outcome: Outcome = { rewrapped: 0, broken: 0, unknownKeys: new Map() }
  for (let last: string | null = null; ; ) {
    const rows: Row[] = await database.query<{ id: string; keyId: string; dataKey: Buffer }>(
      `select log_id as id, key_id as "keyId", data_key as "dataKey" from darkroom.request_payloads
       where key_id <> $1 and ($2::uuid is null or log_id > $2) order by log_id limit ${BATCH}`,
      [envelope.keyId, last],
    )
    if (rows.length === 0) return outcome
    const fresh = rows.flatMap((row) => rewrap(envelope, row, outcome))
    // Only where the old key is still there: whoever else does this at the same time has done it already.
    const changed = await database.query(
      `update darkroom.request_payloads payload set key_id = $1, data_key = fresh.data_key
       from unnest($2::uuid[], $3::varchar[], $4::bytea[]) as fresh (id, old_key_id, data_key)
       where payload.log_id = fresh.id and payload.key_id = fresh.old_key_id returning payload.log_id`,
      [envelope.keyId, fresh.map(({ id }) => id), fresh.map(({ keyId }) => keyId), fresh.map(({ dataKey }) => dataKey)],
    )
    outcome.rewrapped += changed.length
    last = rows.at(-1)!.id
  }
}

/** @returns the row with its old key's id and its new wrapping, or nothing where it cannot be opened. */
function rewrap(envelope: Envelope, row: Row, outcome: Outcome): Row[] {
  try {
    return [{ id: row.id, keyId: row.keyId, dataKey: envelope.rewrap(row.id, row).dataKey }]
  } catch (error) {
    if (error instanceof UnknownKeyError) outcome.unknownKeys.set(error.keyId, (outcome.unknownKeys.get(error.keyId) ?? 0) + 1)
    else outcome.broken++
    return []
  }
}
