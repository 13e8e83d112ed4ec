/** What is sealed in rows, when the master key changes: whatever is not sealed by the present one is sealed anew. */
import type { Sealer } from '../keys/sealing.ts'
import type { Database } from './database.ts'

export const placeOfRow = (table: string, id: string): string => `${table}/${id}`

const COLUMNS = [
  { table: 'api_keys', id: 'id', column: 'signing_key' },
  { table: 'signing_keys', id: 'kid', column: 'private_key' },
]

export interface Resealed {
  resealed: number
  /** Sealed by a master key that is not configured. */
  unreadable: number
}

/** Safe to repeat, and while processes run: those that do not know the present key yet cannot open what this has done. */
export async function resealSecrets(database: Database, sealer: Sealer): Promise<Resealed> {
  const outcome: Resealed = { resealed: 0, unreadable: 0 }
  for (const { table, id: idColumn, column } of COLUMNS) {
    const rows = await database.query<{ id: string; sealed: Buffer }>(`select ${idColumn} as id, ${column} as sealed from darkroom.${table} where substring(${column} for octet_length($1::bytea)) <> $1`, [sealer.head])
    for (const { id, sealed } of rows) {
      const place = placeOfRow(table, id)
      const opened = open(sealer, sealed, place)
      if (!opened) outcome.unreadable++
      else outcome.resealed += (await database.query(`update darkroom.${table} set ${column} = $3 where ${idColumn} = $1 and ${column} = $2 returning 1`, [id, sealed, sealer.seal(opened, place)])).length
    }
  }
  return outcome
}

function open(sealer: Sealer, sealed: Buffer, place: string): Buffer | undefined {
  try {
    return sealer.open(sealed, place)
  } catch {
    return undefined
  }
}
