/** The direct connection to the project's Postgres: one pool, one listening session, transactions. */
import { EventEmitter } from 'node:events'
import pg from 'pg'
import { AppError } from '../errors.ts'
import type { Logger } from '../log.ts'

export interface Database {
  /** @throws {AppError} `database_unavailable` when the database cannot be reached. */
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>
  /** For the queue: the driver's own answer, which is a list of them when the text holds several statements. */
  execute(text: string, values?: unknown[]): Promise<pg.QueryResult>
  /** Runs `work` in one transaction, rolled back when it throws. */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>
  /** Calls `handler` for each notification on the channel, and once with `''` after a gap in which some were missed. */
  listen(channel: string, handler: (payload: string) => void): Promise<() => void>
  close(): Promise<void>
}

export type Query = <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<Row[]>

export interface DatabaseOptions {
  url: string
  /** A certificate authority in PEM, for Supabase's own; without it the URL decides about TLS. */
  ca?: string | undefined
  poolSize: number
  logger: Logger
}

const CONNECT_TIMEOUT_MS = 5000
const STATEMENT_TIMEOUT_MS = 30_000
/** How often the listening session is tried again, and asked whether it is still alive. */
const LISTEN_RETRY_MS = 1000
const LISTEN_PING_MS = 15_000

export function createDatabase(options: DatabaseOptions): Database {
  const connection = {
    connectionString: options.url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    ...(options.ca !== undefined && { ssl: { ca: options.ca } }),
    application_name: 'darkroom',
  }
  const pool = new pg.Pool({ ...connection, max: options.poolSize, statement_timeout: STATEMENT_TIMEOUT_MS, query_timeout: STATEMENT_TIMEOUT_MS + 5000 })
  // A backend that is ended while idle must not end the process.
  let isClosing = false
  // The pool says that it has ended before its connections have.
  pool.on('error', (error) => isClosing || options.logger.warn({ err: error }, 'a database connection was lost'))
  const listener = createListener(connection, options.logger)

  const execute = async (text: string, values?: unknown[]) => {
    try {
      return await pool.query(text, values)
    } catch (error) {
      throw toDatabaseError(error)
    }
  }
  return {
    query: async (text, values) => (await execute(text, values)).rows,
    execute,
    async transaction(work) {
      const client = await pool.connect().catch((error: unknown) => {
        throw toDatabaseError(error)
      })
      // A client that is lost while checked out emits the error besides failing the query.
      const ignore = () => undefined
      client.on('error', ignore)
      let failed: unknown
      try {
        await client.query('begin')
        const result = await work(async (text, values) => (await client.query(text, values)).rows)
        await client.query('commit')
        return result
      } catch (error) {
        failed = error
        await client.query('rollback').catch(() => undefined)
        throw toDatabaseError(error)
      } finally {
        client.off('error', ignore)
        client.release(isConnectionError(failed))
      }
    },
    listen: listener.listen,
    async close() {
      isClosing = true
      await listener.close()
      await pool.end()
    },
  }
}

function createListener(connection: pg.ClientConfig, logger: Logger) {
  const events = new EventEmitter().setMaxListeners(0)
  const channels = new Set<string>()
  let client: pg.Client | undefined
  let connecting: Promise<void> | undefined
  let closed = false
  let retry: NodeJS.Timeout | undefined

  // The connection between two machines can die without a word: a silent session is asked whether it is there.
  const ping = setInterval(() => {
    const asked = client
    const answer = asked?.query('select 1')
    if (!asked || !answer) return
    const timer = setTimeout(() => lost(asked, new Error('no answer')), CONNECT_TIMEOUT_MS)
    answer.catch((error: Error) => lost(asked, error)).finally(() => clearTimeout(timer))
  }, LISTEN_PING_MS).unref()

  function lost(which: pg.Client, error: Error): void {
    if (client !== which) return
    client = undefined
    which.end().catch(() => undefined)
    if (closed) return
    logger.warn({ err: error }, 'the listening database session was lost and will be opened again')
    retry = setTimeout(() => void connect().catch(() => undefined), LISTEN_RETRY_MS).unref()
  }

  function connect(): Promise<void> {
    connecting ??= open().finally(() => (connecting = undefined))
    return connecting
  }

  async function open(): Promise<void> {
    if (client || closed) return
    const next = new pg.Client({ ...connection, keepAlive: true, application_name: 'darkroom listener' })
    next.on('error', (error) => lost(next, error))
    next.on('end', () => lost(next, new Error('the session ended')))
    next.on('notification', ({ channel, payload }) => events.emit(channel, payload ?? ''))
    try {
      await next.connect()
      for (const channel of channels) await next.query(`listen ${pg.escapeIdentifier(channel)}`)
    } catch (error) {
      next.end().catch(() => undefined)
      if (!closed) retry = setTimeout(() => void connect().catch(() => undefined), LISTEN_RETRY_MS).unref()
      throw toDatabaseError(error)
    }
    client = next
    // Whatever was announced while nobody listened is looked up now.
    for (const channel of channels) events.emit(channel, '')
  }

  return {
    async listen(channel: string, handler: (payload: string) => void): Promise<() => void> {
      events.on(channel, handler)
      if (!channels.has(channel)) {
        channels.add(channel)
        if (client) await client.query(`listen ${pg.escapeIdentifier(channel)}`)
        else await connect()
      }
      return () => void events.off(channel, handler)
    },
    async close(): Promise<void> {
      closed = true
      clearInterval(ping)
      clearTimeout(retry)
      await connecting?.catch(() => undefined)
      await client?.end().catch(() => undefined)
    },
  }
}

/**
 * SQLSTATE classes and Node's codes of a database that is away, full, starting or stopping: the same may work later.
 * Supavisor says XX000 for all of its own troubles.
 */
function isConnectionError(error: unknown): boolean {
  if (error === undefined) return false
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (/^(08|53|57P0)|^(25006|40001|40P01|55P03|57014|XX000)$|^E[A-Z_]+$/.test(code)) return true
  // pg's own words for a cut connection or an exhausted pool carry no code.
  return error instanceof Error && /^(Connection terminated|timeout exceeded|Query read timeout|Client has encountered)/i.test(error.message)
}

function toDatabaseError(error: unknown): unknown {
  if (error instanceof AppError || !isConnectionError(error)) return error
  return new AppError('database_unavailable', 'The database cannot be reached right now. Try again in a moment.', { cause: error, retryAfterSeconds: 5 })
}

/**
 * Text as Postgres takes it: no NUL and no half of a surrogate pair, which vendors' answers and messages may hold.
 */
export function toStorableText(text: string): string {
  return text.replaceAll('\0', '').toWellFormed()
}

/** A value as a jsonb parameter, with every string in it storable. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => (typeof item === 'string' ? toStorableText(item) : item))
}
