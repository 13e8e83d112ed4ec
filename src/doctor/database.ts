/** The connection to Postgres: that it is there, protected as configured, whole sessions, and has room for the service. */
import { randomUUID } from 'node:crypto'
import type { Config } from '../config.ts'
import { createConnection, type Connection } from './connection.ts'
import { need, type Check, type Context } from './context.ts'
import { faultOf } from './http.ts'
import { refOfDatabase, refOfUrl } from '../supabase/project-ref.ts'
import type { Notebook } from './report.ts'

/** The oldest that Supabase still runs. */
const MIN_VERSION = 15
const PINGS = 5
/** Beyond, every step of a generation is felt: the database is in another part of the world. */
const SLOW_MS = 100
const CROWDED = 0.8
const NEWS_TIMEOUT_MS = 5000
const SUBJECT = 'DATABASE_URL'

export const database: Check = {
  name: 'database',
  needs: ['configuration'],
  timeoutMs: 60_000,
  async run(context, note) {
    const config = need(context, 'config')
    checkProject(config, note)
    const connection = createConnection(config.database)
    context.cleanUp('the session with the database', connection.close)
    try {
      await connection.query('select 1')
    } catch (error) {
      context.signal().throwIfAborted()
      note.problem({ code: 'database.unreachable', subject: SUBJECT, what: `The database does not let the doctor in: ${faultOf(error)}.`, mend: mendOf(error) })
      return
    }
    context.found.connection = connection
    checkProtection(config.database, connection, note)
    await checkServer(connection, note)
    await checkLatency(connection, note)
    await checkSession(context, connection, config.database, note)
  },
}

function checkProject({ supabase, database: { url } }: Config, note: Notebook): void {
  const [ofApi, ofDatabase] = [refOfUrl(supabase.url), refOfDatabase(url)]
  if (ofApi === undefined || ofDatabase === undefined || ofApi === ofDatabase) return
  note.problem({ code: 'database.other-project', subject: SUBJECT, what: `DATABASE_URL is of the project ${ofDatabase}, SUPABASE_URL of ${ofApi}.`, mend: 'Copy both from the dashboard of the same project.' })
}

/** By SQLSTATE, by Node's codes, and by what Supabase's pooler says without one. */
const MENDS: readonly (readonly [RegExp, string])[] = [
  [/28P01|password authentication/, 'The password in DATABASE_URL is wrong, or has signs that are not percent-encoded: copy the string anew, reset the password if need be.'],
  [/tenant or user not found/i, 'The user in DATABASE_URL must be postgres.<ref>, and the host the pooler of that very project: copy the string from the dashboard.'],
  [/3D000/, 'DATABASE_URL names a database that is not there; Supabase calls it postgres.'],
  [/SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|CERT_/, "Give the project's certificate as DATABASE_CA (Dashboard, Database settings), and no sslmode in DATABASE_URL."],
  [/ALTNAME/, 'The certificate is for another host than the one in DATABASE_URL: use the name that the dashboard gives, not an address.'],
  [/does not support SSL/i, 'The server speaks no TLS: say sslmode=disable in DATABASE_URL if that is meant.'],
  [/ENETUNREACH|ENOTFOUND|EHOSTUNREACH/, 'The direct address of a project answers over IPv6 alone: use the session pooler (port 5432), or check the name.'],
  [/53300|too many|max client/i, 'Every connection is taken: lower DATABASE_POOL_SIZE, end what holds them, or take a larger database.'],
  [/57P0|starting up|shutting down/, 'Postgres is starting or stopping: try again in a moment.'],
]

function mendOf(error: unknown): string {
  const words = error instanceof Error ? `${'code' in error ? String(error.code) : ''} ${error.message}` : String(error)
  return MENDS.find(([pattern]) => pattern.test(words))?.[1] ?? 'Check host, port and password of DATABASE_URL, whether the project is paused, and whether its network restrictions let this machine in.'
}

function checkProtection({ url, ca }: Config['database'], connection: Connection, note: Notebook): void {
  const { hostname, searchParams } = new URL(url)
  const { encrypted, proven } = connection.protection()
  const isHere = ['localhost', '127.0.0.1', '[::1]'].includes(hostname)
  note.fact(encrypted ? `TLS${proven ? '' : ', the server unproven'}` : 'not encrypted')
  const wanted = ca !== undefined || (searchParams.get('sslmode') ?? '').startsWith('verify')
  if (wanted && !proven) note.problem({ code: 'database.unproven', subject: 'DATABASE_CA', what: 'DATABASE_CA is given, but the server has not proven who it is.', mend: 'Remove sslmode from DATABASE_URL: it overrides the certificate.' })
  else if (!encrypted && !isHere) note.warning({ code: 'database.plain', subject: SUBJECT, what: 'The connection to the database is not encrypted.', mend: "Give the project's certificate as DATABASE_CA, and remove sslmode=disable." })
}

interface ServerRow {
  version: number
  name: string
  read_only: boolean
  used: number
  places: number
  may_create: boolean
  has_queue: boolean
}

const SELECT_SERVER = `
  select current_setting('server_version_num')::integer / 10000 as version, split_part(current_setting('server_version'), ' ', 1) as name,
    current_setting('default_transaction_read_only') = 'on' or pg_is_in_recovery() as read_only,
    (select count(*)::integer from pg_stat_activity where backend_type = 'client backend') as used,
    least(current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer,
      (select nullif(datconnlimit, -1) from pg_database where datname = current_database()), (select nullif(rolconnlimit, -1) from pg_roles where rolname = current_user)) as places,
    has_database_privilege(current_database(), 'create') as may_create, to_regnamespace('pgboss') is not null as has_queue`

async function checkServer(connection: Connection, note: Notebook): Promise<void> {
  const [row] = await connection.query<ServerRow & Record<string, unknown>>(SELECT_SERVER)
  const { version, name, read_only: isReadOnly, used, places, may_create: mayCreate, has_queue: hasQueue } = row!
  note.fact(`Postgres ${name}`)
  note.fact(`${used} of ${places} connections`)
  if (version < MIN_VERSION) note.problem({ code: 'database.old', subject: SUBJECT, what: `Postgres ${name} is too old: the service is made for ${MIN_VERSION} and later.`, mend: "Upgrade the project's database in the dashboard." })
  if (isReadOnly) note.problem({ code: 'database.read-only', subject: SUBJECT, what: 'The database takes no writes.', mend: 'It is a replica, or a project over the size of its plan: use the primary, free space or take a larger plan.' })
  if (used >= places * CROWDED) note.warning({ code: 'database.crowded', subject: SUBJECT, what: `${used} of ${places} connections are taken. A deploy needs those of two versions at once.`, mend: 'Lower DATABASE_POOL_SIZE, run fewer processes, or take a larger database.' })
  if (!mayCreate && !hasQueue) note.problem({ code: 'database.no-create', subject: SUBJECT, what: 'The user of DATABASE_URL may not create the schema of the queue.', mend: 'Connect as postgres, or grant create on the database to this user.' })
}

async function checkLatency(connection: Connection, note: Notebook): Promise<void> {
  const times: number[] = []
  for (let ping = 0; ping < PINGS; ping++) {
    const startedAt = performance.now()
    await connection.query('select 1')
    times.push(performance.now() - startedAt)
  }
  const median = Math.round(times.toSorted((a, b) => a - b)[PINGS >> 1]!)
  note.fact(`${median} ms away`)
  if (median > SLOW_MS) note.warning({ code: 'database.far', subject: SUBJECT, what: `A question to the database takes ${median} ms.`, mend: "Run the service in the region of the project's database." })
}

/** The queue lives on LISTEN and NOTIFY, which a transaction pooler takes and forgets. */
async function checkSession(context: Context, connection: Connection, config: Config['database'], note: Notebook): Promise<void> {
  const listener = createConnection(config)
  context.cleanUp('the second session with the database', listener.close)
  const word = randomUUID()
  const heard = new Promise<boolean>((resolve) => listener.onNotification((payload) => payload === word && resolve(true)))
  try {
    await listener.query('listen darkroom_doctor')
  } catch (error) {
    note.problem({ code: 'database.one-session', subject: SUBJECT, what: `A second session is not let in: ${faultOf(error)}. Each process needs DATABASE_POOL_SIZE and one more.`, mend: mendOf(error) })
    return
  }
  await connection.query('select pg_notify($1, $2)', ['darkroom_doctor', word])
  if (!(await Promise.race([heard, after(NEWS_TIMEOUT_MS, context.signal())]))) {
    note.problem({ code: 'database.no-notify', subject: SUBJECT, what: 'A notification sent in one session does not reach another: DATABASE_URL leads through a transaction pooler.', mend: 'Use the session pooler (port 5432 of the same host) or the direct connection.' })
  }
  await listener.close()
}

function after(ms: number, signal: AbortSignal): Promise<false> {
  return new Promise((resolve) => {
    const done = () => resolve(false)
    setTimeout(done, ms).unref()
    signal.addEventListener('abort', done, { once: true })
  })
}
