/** Sealed columns, when the master key changes: whatever is not sealed by the present one is sealed anew. */
import type { Sealer } from '../keys/sealing.ts'
import type { Logger } from '../log.ts'
import type { Database } from './database.ts'

export interface SealedColumn {
  database: Database
  sealer: Sealer
  logger: Logger
  table: string
  id: string
  column: string
}

export const placeOfRow = (table: string, id: string): string => `${table}/${id}`

export async function resealRows({ database, sealer, logger, table, id: idColumn, column }: SealedColumn): Promise<void> {
  const rows = await database.query<{ id: string; sealed: Buffer }>(`select ${idColumn} as id, ${column} as sealed from darkroom.${table} where substring(${column} for octet_length($1::bytea)) <> $1`, [sealer.head])
  let unreadable = 0
  for (const { id, sealed } of rows) {
    const place = placeOfRow(table, id)
    try {
      await database.query(`update darkroom.${table} set ${column} = $3 where ${idColumn} = $1 and ${column} = $2`, [id, sealed, sealer.seal(sealer.open(sealed, place), place)])
    } catch (error) {
      unreadable++
      logger.debug({ err: error, table }, 'a sealed row could not be read')
    }
  }
  if (rows.length > 0) logger.info({ table, resealed: rows.length - unreadable }, 'secrets were sealed with the present master key')
  if (unreadable > 0) logger.warn({ table, unreadable }, 'secrets are sealed by a master key that STORAGE_MASTER_KEY does not name any more')
}
