/** A Supabase project as an operator's command reaches it: its database and its Storage, with every right. */
import pg from 'pg'

export interface Project {
  databaseUrl: string
  /** A certificate authority in PEM; without it the URL decides about TLS. */
  databaseCa: string | undefined
  supabaseUrl: string
  secretKey: string
  /** Whether it is the one of `npm run dev`, whose users nobody else keeps. */
  isLocal: boolean
}

const CONNECT_TIMEOUT_MS = 10_000

/** Values as text that any Postgres reads back as they were, and no limit of time: what is copied may be large. */
const SESSION = `
  set statement_timeout = 0; set idle_in_transaction_session_timeout = 0;
  set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'; set bytea_output = 'hex'; set extra_float_digits = 1;`

/** One session, closed by the caller. @throws when the database cannot be reached. */
export async function connectToDatabase({ databaseUrl, databaseCa }: Pick<Project, 'databaseUrl' | 'databaseCa'>): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    application_name: 'darkroom admin',
    ...(databaseCa !== undefined && { ssl: { ca: databaseCa } }),
  })
  // A session that is lost fails the query that runs on it, or the next one.
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query(SESSION)
    return client
  } catch (cause) {
    throw new Error('The database cannot be reached', { cause })
  }
}
