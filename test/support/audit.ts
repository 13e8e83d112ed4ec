/** Rows of the audit log, and what an operator does with them. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import os from 'node:os'
import path from 'node:path'
import type { AuditRow } from '../../src/audit/audit-row.ts'
import { createEnvelope, type MasterKey } from '../../src/audit/envelope.ts'
import { createLogger } from '../../src/log.ts'
import { createDatabase } from '../../src/supabase/database.ts'
import { createRequestLogs } from '../../src/supabase/request-logs.ts'
import { collect, exited } from './process.ts'
import { eventually } from './service.ts'
import { sql, supabase, type TestUser } from './supabase.ts'

export interface LogRow extends Record<string, unknown> {
  id: string
  level: string
  event: string | null
  reason: string | null
  omitted: number | null
  user_id: string | null
  status: number | null
  route: string | null
}

/** A master key, and what STORAGE_MASTER_KEY says for it. */
export function makeMasterKey(id: string): MasterKey & { setting: string } {
  const key = randomBytes(32)
  return { id, key, setting: `${id}:${key.toString('base64')}` }
}

export const logRows = (condition: string, ...values: unknown[]): Promise<LogRow[]> => sql<LogRow>(`select * from darkroom.request_logs where ${condition} order by created_at`, values)

/** The row of one call, once it is written. */
export const logRowOf = (requestId: string): Promise<LogRow> => eventually(async () => (await logRows('request_id = $1 and event is distinct from $2', requestId, 'aside'))[0], `the row of ${requestId}`)

/** Rows with payloads, as a service with that key writes them. @returns their ids. */
export async function writeLogRows(user: TestUser, count: number, key: MasterKey): Promise<string[]> {
  const envelope = createEnvelope([key])
  const database = createDatabase({ url: supabase.databaseUrl, poolSize: 2, logger: createLogger({ level: 'silent' }) })
  const rows = Array.from({ length: count }, (_, index): AuditRow => {
    const id = randomUUID()
    const sealed = envelope.seal(id, Buffer.from(JSON.stringify({ body: { prompt: `A cat, take ${index}` } })))
    return { id, level: 'info', startedAt: performance.now() + index, omitted: undefined, userId: user.id, status: 200, sealed }
  })
  assert.deepEqual(await createRequestLogs(database).insert(rows), { written: count })
  await database.close()
  return rows.map(({ id }) => id)
}

export interface PayloadRow {
  log_id: string
  key_id: string
  data_key: Buffer
  payload: Buffer
}

export const payloadOf = async (logId: string): Promise<PayloadRow | undefined> => (await sql<PayloadRow & Record<string, unknown>>('select log_id, key_id, data_key, payload from darkroom.request_payloads where log_id = $1', [logId]))[0]

/** Everything that stands in the tables of the audit log, as a thief of the database would see it: as text, and the bytes. */
export async function dumpAuditLog(): Promise<string> {
  const rows = await sql<{ row: string }>('select log::text as row from darkroom.request_logs log')
  const payloads = await sql<{ row: string; bytes: Buffer; key: Buffer }>('select payload::text as row, payload as bytes, data_key as key from darkroom.request_payloads payload')
  return [...rows, ...payloads].map(({ row }) => row).join('\n') + payloads.map(({ bytes, key }) => bytes.toString('latin1') + key.toString('latin1')).join('\n')
}

const ADMIN = path.resolve(import.meta.dirname, '../../src/admin.ts')

export interface AdminRun {
  code: number | null
  /** Each line of standard output, which is JSON. */
  lines: Record<string, unknown>[]
  output: string
  errors: string
}

/** The variables of a service, for its operator. */
export const adminEnv = (env: Record<string, string> = {}): Record<string, string> => ({
  SUPABASE_URL: supabase.url,
  SUPABASE_SECRET_KEY: supabase.secretKey,
  SUPABASE_PUBLISHABLE_KEY: supabase.publishableKey,
  DATABASE_URL: supabase.databaseUrl,
  ...env,
})

/** @param cwd where there is no `.env`, unless it is to be read. */
export function startAdmin(args: string[], env: Record<string, string> = {}, cwd = os.tmpdir()) {
  const child = spawn(process.execPath, [ADMIN, ...args], { cwd, env: { PATH: process.env.PATH, ...adminEnv(env) } as NodeJS.ProcessEnv, stdio: ['ignore', 'pipe', 'pipe'] })
  const [output, errors] = [collect(child.stdout), collect(child.stderr)]
  return { child, done: exited(child).then((code) => ({ code, output: output(), errors: errors() })) }
}

/** `npm run admin -- …args` */
export async function runAdmin(args: string[], env: Record<string, string> = {}, cwd?: string): Promise<AdminRun> {
  const { code, output, errors } = await startAdmin(args, env, cwd).done
  const isJson = output.startsWith('{')
  return { code, output, errors, lines: isJson ? output.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>) : [] }
}
