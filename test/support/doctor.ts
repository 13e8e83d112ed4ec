/** A local Supabase that tests of the doctor break and mend, and the doctor's run over it. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import type { Environment } from '../../src/config-values.ts'
import { examine, type ExamineOptions } from '../../src/doctor/examine.ts'
import type { Finding, Report } from '../../src/doctor/report.ts'
import { findTarget } from '../../src/doctor/target.ts'
import { startQueue } from '../../src/jobs/queue.ts'
import { removePostgresData } from '../../src/local/postgres.ts'
import { startLocalSupabase, type LocalSupabase } from '../../src/local/supabase.ts'
import { createLogger } from '../../src/log.ts'
import { createDatabase } from '../../src/supabase/database.ts'

export interface Patient {
  supabase: LocalSupabase
  /** What the service would be configured with. */
  env: Environment
  sql<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>
  examine(env?: Environment, options?: Partial<ExamineOptions>): Promise<Report>
  /** How many rows each table has: what a run left behind shows. */
  count(): Promise<Record<string, number>>
  close(): Promise<void>
}

const PORT = 54_621

/** With the queue in it, as the service's first start makes it. */
export async function startPatient(): Promise<Patient> {
  const directory = await mkdtemp('/var/tmp/darkroom-doctor-')
  const supabase = await startLocalSupabase({ directory, port: PORT, databaseSettings: { fsync: 'off' } })
  const pool = new pg.Pool({ connectionString: supabase.databaseUrl, max: 2 }).on('error', () => undefined)
  const sql = async <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => (await pool.query<Row>(text, values)).rows
  const env: Environment = {
    SUPABASE_URL: supabase.url,
    SUPABASE_SECRET_KEY: supabase.secretKey,
    SUPABASE_PUBLISHABLE_KEY: supabase.publishableKey,
    SUPABASE_JWT_SECRET: supabase.jwtSecret,
    DATABASE_URL: supabase.databaseUrl,
  }
  await makeQueue(supabase.databaseUrl)
  return {
    supabase,
    env,
    sql,
    examine: async (changes = {}, options = {}) => await examine({ ...(await findTarget({ ...env, ...changes })), ...options }),
    count: () => countRows(sql),
    async close() {
      await pool.end()
      await supabase.stop()
      await removePostgresData(path.join(directory, 'postgres'))
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function makeQueue(url: string): Promise<void> {
  const logger = createLogger({ level: 'silent' })
  const database = createDatabase({ url, poolSize: 2, logger })
  const queue = await startQueue(database, logger, { supervise: false, places: { perProvider: 1, perUser: 1 } })
  await queue.stop()
  await database.close()
}

async function countRows(sql: Patient['sql']): Promise<Record<string, number>> {
  // What Auth logs of itself is not the doctor's to remove.
  const tables = await sql<{ name: string }>(
    `select format('%I.%I', table_schema, table_name) as name from information_schema.tables
     where table_schema in ('public', 'darkroom', 'auth', 'storage', 'realtime', 'pgboss') and table_type = 'BASE TABLE' and table_name <> 'audit_log_entries' order by 1`,
  )
  const counts: Record<string, number> = {}
  for (const { name } of tables) counts[name] = (await sql<{ count: number }>(`select count(*)::integer as count from ${name}`))[0]!.count
  return counts
}

export const findingsOf = ({ checks }: Report): Finding[] => checks.flatMap(({ findings }) => findings)

/** For a failing test: everything that was found, in short. */
export const shorten = (report: Report): string => [...findingsOf(report).map(({ code, subject, what }) => `${code} [${subject}] ${what}`), ...report.checks.filter(({ why }) => why !== undefined).map(({ name, status, why }) => `${name} ${status}: ${why}`)].join('\n')

export interface Fault {
  name: string
  /** SQL that makes it. */
  break?: string
  /** The configuration, where that is at fault. */
  env?: Environment
  /** What must be among the findings: the code, the subject, and words of what is said perhaps. */
  named: (string | readonly [string, RegExp])[]
  /** SQL that mends it; else what the doctor says of the first of `named`. */
  mend?: string
  /** The checks to run: those that see it. */
  only: string[]
}

/** Makes it, has it named, mends it. */
export async function tryFault(patient: Patient, { break: fault, env, named, mend, only }: Fault): Promise<void> {
  if (fault !== undefined) await patient.sql(fault)
  const report = await patient.examine(env, { only })
  const wanted = named.map((item) => (typeof item === 'string' ? ([item, /./] as const) : item))
  const found = wanted.map(([words, pattern]) => findingsOf(report).find(({ code, subject, what }) => `${code} ${subject}` === words && pattern.test(what)))
  if (fault !== undefined) await patient.sql(mend ?? found[0]?.mend ?? '')
  assert.deepEqual(wanted.filter((_, index) => !found[index]).map(([words]) => words), [], shorten(report))
  assert.equal(report.ok, !findingsOf(report).some(({ level }) => level === 'problem') && !report.checks.some(({ status }) => status === 'not-run'))
}
