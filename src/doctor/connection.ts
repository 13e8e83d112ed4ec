/** The doctor's own session with the database: one, since its lock belongs to a session, and opened anew when it is lost. */
import { TLSSocket } from 'node:tls'
import pg from 'pg'
import type { Config } from '../config.ts'

const CONNECT_TIMEOUT_MS = 10_000
const STATEMENT_TIMEOUT_MS = 15_000

export interface Connection {
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>
  /** How the connection is protected: nobody can read it (`encrypted`), and the server has proven who it is (`proven`). */
  protection(): { encrypted: boolean; proven: boolean }
  /** Calls `handler` for each notification. */
  onNotification(handler: (payload: string) => void): void
  /** Breaks off what is under way. The next query opens another session. */
  interrupt(): void
  close(): Promise<void>
}

export function createConnection({ url, ca }: Config['database']): Connection {
  let opening: Promise<pg.Client> | undefined
  let current: pg.Client | undefined
  const handlers: ((payload: string) => void)[] = []

  async function open(): Promise<pg.Client> {
    const client = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      query_timeout: STATEMENT_TIMEOUT_MS + 5000,
      ...(ca !== undefined && { ssl: { ca } }),
      application_name: 'darkroom doctor',
    })
    const forget = () => {
      if (current !== client) return
      current = undefined
      opening = undefined
    }
    client.on('error', forget).on('end', forget)
    client.on('notification', ({ payload }) => handlers.forEach((handler) => handler(payload ?? '')))
    current = client
    try {
      await client.connect()
    } catch (error) {
      forget()
      client.end().catch(() => undefined)
      throw error
    }
    return client
  }

  return {
    async query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]) {
      opening ??= open()
      return (await (await opening).query<Row>(text, values)).rows
    },
    protection() {
      // The driver's types leave its socket out.
      const socket = (current as unknown as { connection: { stream: unknown } } | undefined)?.connection.stream
      return { encrypted: socket instanceof TLSSocket, proven: socket instanceof TLSSocket && socket.authorized }
    },
    onNotification: (handler) => void handlers.push(handler),
    interrupt() {
      const lost = current
      current = undefined
      opening = undefined
      ;(lost as unknown as { connection: { stream: { destroy(): void } } } | undefined)?.connection.stream.destroy()
    },
    async close() {
      await current?.end().catch(() => undefined)
    },
  }
}
