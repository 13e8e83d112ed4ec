import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { AppError } from '../../src/errors.ts'
import { createLogger } from '../../src/log.ts'
import { createDatabase } from '../../src/supabase/database.ts'

/** Postgres's ErrorResponse, as a pooler sends it at the door. */
function errorResponse(code: string, message: string): Buffer {
  const fields = Buffer.from(`SFATAL\0VFATAL\0C${code}\0M${message}\0\0`)
  const head = Buffer.alloc(5)
  head.write('E')
  head.writeInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields])
}

for (const [code, message] of [['XX000', '(EDBHANDLEREXITED) connection to database closed'], ['53300', 'too many clients'], ['57P03', 'the database system is starting up']] as const) {
  test(`${code} from a pooler or a starting Postgres is an outage that may pass`, async () => {
    const server = createServer((socket) => socket.once('data', () => socket.end(errorResponse(code, message))).on('error', () => undefined))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const database = createDatabase({ url: `postgresql://u:p@127.0.0.1:${(server.address() as AddressInfo).port}/db`, poolSize: 2, logger: createLogger({ level: 'silent' }) })
    try {
      await assert.rejects(database.query('select 1'), (error: AppError) => error.code === 'database_unavailable' && !error.message.includes(message))
    } finally {
      await database.close()
      server.close()
    }
  })
}
