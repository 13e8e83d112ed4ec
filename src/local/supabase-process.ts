/**
 * The local Supabase, in a process of its own: Postgres, the migrations, and Supabase's Auth, Data and Storage APIs. It
 * ends with its parent, however that ends, and takes Postgres along.
 */
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { serve } from '@hono/node-server'
import { App } from '@supabase/lite'
import { createPostgresConnection } from '@supabase/lite/postgres'
import pg from 'pg'
import { applyMigrations } from '../supabase/migrations.ts'
import { FileStorage } from './file-storage.ts'
import { startPostgres } from './postgres.ts'
import { privilegesAsMigrated } from './privileges.ts'
import type { SupabaseMessage, SupabaseProcessOptions } from './supabase.ts'

const options = JSON.parse(process.argv[2] ?? '{}') as SupabaseProcessOptions

/** The roles of a Supabase project, which the migrations name. The local stack would make them only later. */
const ROLES = `
  do $$ begin
    if not exists (select from pg_roles where rolname = 'anon') then create role anon nologin noinherit; end if;
    if not exists (select from pg_roles where rolname = 'authenticated') then create role authenticated nologin noinherit; end if;
    if not exists (select from pg_roles where rolname = 'service_role') then create role service_role nologin noinherit bypassrls; end if;
  end $$;
  grant usage on schema public to anon, authenticated, service_role;`

async function start() {
  const postgres = await startPostgres({ directory: path.join(options.directory, 'postgres'), port: options.databasePort, settings: options.databaseSettings ?? {} })
  const connection = createPostgresConnection({ url: postgres.url, postgresOptions: { onnotice: () => undefined, max: 10 } })
  const storageDirectory = path.join(options.directory, 'storage')
  await mkdir(storageDirectory, { recursive: true })
  const app = new App({
    connection,
    api: { schemas: ['public'], max_rows: 1000 },
    auth: {
      enabled: true,
      jwt_secret: options.jwtSecret,
      jwt_expiry: 3600,
      publishable_key: options.publishableKey,
      secret_key: options.secretKey,
      email: { enable_signup: true, enable_confirmations: false },
    },
    storage: { enabled: true, file_size_limit: '50MiB' },
    options: { server: { disableStudio: true, admin: false } },
  })
  // The adapter's type is not exported; FileStorage has its shape.
  app._storageAdapter = new FileStorage(storageDirectory) as unknown as NonNullable<typeof app._storageAdapter>
  // Its own tables first, then ours, then the start that reads all of them into its schema cache.
  await app.ensureSystemSchema()
  await runSql(postgres.url, ROLES)
  const migrations = await applyMigrations({ url: postgres.url })
  await app.init()
  // It grants with its first request.
  await app.fetch(new Request(`http://127.0.0.1:${options.port}/rest/v1/prompts?limit=0`, { headers: { apikey: options.publishableKey } }))
  await runSql(postgres.url, await privilegesAsMigrated())
  const server = serve({
    port: options.port,
    hostname: '127.0.0.1',
    fetch: async (request, env) => repairSignedUrl(request, await app.fetch(request, { peerAddress: env.incoming.socket.remoteAddress ?? null })),
  })
  await new Promise<void>((resolve, reject) => {
    if (server.listening) resolve()
    server.once('listening', resolve)
    server.once('error', reject)
  })
  return {
    databaseUrl: postgres.url,
    migrations,
    async stop() {
      server.close()
      if ('closeAllConnections' in server) server.closeAllConnections()
      await connection.close().catch(() => undefined)
      await postgres.stop()
    },
  }
}

async function runSql(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(sql)
  await client.end()
}

/** The real Storage answers `signedURL`; the local one spells it in a way that storage-js does not read. */
async function repairSignedUrl(request: Request, response: Response): Promise<Response> {
  if (request.method !== 'POST' || !new URL(request.url).pathname.startsWith('/storage/v1/object/sign/') || !response.ok) return response
  const body = (await response.json()) as { signedUrl?: string; signedURL?: string }
  return Response.json({ ...body, signedURL: body.signedURL ?? body.signedUrl?.replace(/^.*\/storage\/v1/, '') })
}

const tell = (message: SupabaseMessage) => void process.send?.(message)

process.env.DO_NOT_TRACK = '1'
let stopping: Promise<void> | undefined
const starting = start()

async function stop(): Promise<void> {
  stopping ??= starting.then(({ stop: stopAll }) => stopAll(), () => undefined)
  await stopping
  process.exit(0)
}

// The parent decides when to end; without it there is nothing to stay for. Ctrl-C reaches the parent too.
process.on('disconnect', () => void stop())
process.on('message', (message) => message === 'stop' && void stop())
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined)

try {
  const { databaseUrl, migrations } = await starting
  tell({ type: 'ready', databaseUrl, migrations })
} catch (error) {
  tell({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
  process.exitCode = 1
  process.disconnect?.()
}
