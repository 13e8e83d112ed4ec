/** What stands encrypted in rows: that STORAGE_MASTER_KEY opens it. */
import { createSealer } from '../keys/sealing.ts'
import type { Connection } from './connection.ts'
import { need, type Check } from './context.ts'
import type { Notebook } from './report.ts'

const COLUMNS = [
  { table: 'darkroom.api_keys', column: 'signing_key', what: 'API keys', lost: 'requests signed with them are refused' },
  { table: 'darkroom.signing_keys', column: 'private_key', what: 'keys that sign access tokens', lost: 'another one is made in their place' },
]
const PLAIN = createSealer([]).head
const SET_IT = 'Set STORAGE_MASTER_KEY (openssl rand -base64 32) for every process, and run npm run admin -- rekey.'

export const sealing: Check = {
  name: 'sealing',
  needs: ['schema'],
  timeoutMs: 20_000,
  async run(context, note) {
    const { masterKeys } = need(context, 'config')
    const connection = need(context, 'connection')
    const tables = need(context, 'tables')
    const known = masterKeys.map(({ key }) => createSealer([key]).head)
    for (const column of COLUMNS) if (tables.has(column.table)) await checkColumn(connection, column, known, note)
    if (tables.has('darkroom.request_payloads')) await checkPayloads(connection, masterKeys.map(({ id }) => id), note)
    note.fact(masterKeys.length === 0 ? 'no master key' : `master ${masterKeys.length === 1 ? 'key' : 'keys'} ${masterKeys.map(({ id }) => id).join(', ')}`)
  },
}

async function checkColumn(connection: Connection, { table, column, what, lost }: (typeof COLUMNS)[number], known: readonly Uint8Array[], note: Notebook): Promise<void> {
  const [counts] = await connection.query<{ open: number; unknown: number }>(
    `select count(*) filter (where starts)::integer as open, count(*) filter (where not starts and not head = any($2::bytea[]))::integer as unknown
     from (select substring(${column} for octet_length($1::bytea)) = $1 as starts, substring(${column} for 5) as head from ${table} where ${column} is not null) as sealed`,
    [PLAIN, known],
  )
  const { open, unknown } = counts!
  if (open > 0) note.warning({ code: 'sealing.open', subject: `${table}.${column}`, what: `${open} ${what} stand in their rows as they are: whoever reads the database, or a backup of it, can sign with them.`, mend: SET_IT })
  if (unknown > 0) note.problem({ code: 'sealing.unknown-key', subject: `${table}.${column}`, what: `${unknown} ${what} are sealed by a master key that STORAGE_MASTER_KEY does not name: ${lost}.`, mend: 'Name the old key too (STORAGE_MASTER_KEY=new:…,old:…). If it is lost, rotate the API keys.' })
}

async function checkPayloads(connection: Connection, known: readonly string[], note: Notebook): Promise<void> {
  const rows = await connection.query<{ id: string; count: number }>('select key_id as id, count(*)::integer as count from darkroom.request_payloads where not key_id = any($1) group by key_id order by key_id', [known])
  for (const { id, count } of rows) note.warning({ code: 'sealing.unknown-key', subject: 'darkroom.request_payloads', what: `${count} bodies in the audit log are encrypted by the master key ${id}, which STORAGE_MASTER_KEY does not name: nobody can read them.`, mend: `Name it too (STORAGE_MASTER_KEY=new:…,${id}:…) and run npm run admin -- rekey, or let AUDIT_RETENTION_DAYS pass.` })
}
