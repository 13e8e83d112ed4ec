/**
 * Realtime, as far as its users see it: channels over a web socket (Phoenix's protocol 2.0.0), joined as the policies on
 * `realtime.messages` allow, and messages that `realtime.send` writes.
 */
import { createHash } from 'node:crypto'
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { decodeJwt } from 'jose'
import pg from 'pg'
import type { Patient } from './doctor.ts'

/** What a project with Realtime has in its database, as far as the migrations touch it. */
const SCHEMA = `
  create schema realtime;
  create table realtime.messages (topic text, extension text, payload jsonb, event text, private boolean);
  alter table realtime.messages enable row level security;
  create function realtime.topic() returns text language sql stable as $$ select nullif(current_setting('realtime.topic', true), '') $$;
  create function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void language plpgsql security definer as $$
  begin
    insert into realtime.messages (topic, extension, payload, event, private) values (topic, 'broadcast', payload, event, private);
    perform pg_notify('realtime', jsonb_build_object('topic', topic, 'event', event, 'payload', payload)::text);
  end $$;
  grant usage on schema realtime to authenticated;
  grant select on realtime.messages to authenticated;
  create publication supabase_realtime;`

export async function installRealtime({ sql }: Patient, migration: string): Promise<void> {
  await sql(SCHEMA)
  await sql(migration)
}

interface Message {
  topic: string
  event: string
  payload: unknown
}

/** Takes the web sockets that a server is asked for. */
export async function serveRealtime(server: Server, { supabase }: Patient): Promise<() => Promise<void>> {
  const joined = new Map<Duplex, Set<string>>()
  const listener = new pg.Client({ connectionString: supabase.databaseUrl })
  await listener.connect()
  await listener.query('listen realtime')
  listener.on('notification', ({ payload }) => {
    const { topic, event, payload: news } = JSON.parse(payload ?? '{}') as Message
    for (const [socket, topics] of joined) if (topics.has(`realtime:${topic}`)) send(socket, [null, null, `realtime:${topic}`, 'broadcast', { type: 'broadcast', event, payload: news }])
  })

  /** As the real one asks: may this user select a message of that topic? */
  async function mayJoin(topic: string, token: string): Promise<boolean> {
    const client = new pg.Client({ connectionString: supabase.databaseUrl })
    await client.connect()
    try {
      await client.query('begin')
      await client.query(`insert into realtime.messages (topic, extension) values ($1, 'broadcast')`, [topic])
      await client.query(`select set_config('request.jwt.claim.sub', $1, true), set_config('request.jwt.claims', $2, true), set_config('realtime.topic', $3, true)`, [decodeJwt(token).sub, JSON.stringify(decodeJwt(token)), topic])
      await client.query('set local role authenticated')
      return (await client.query('select from realtime.messages')).rows.length > 0
    } finally {
      await client.end()
    }
  }

  async function answer(socket: Duplex, [joinRef, ref, topic, event, payload]: [string, string, string, string, { access_token?: string }]): Promise<void> {
    const reply = (status: string, response: unknown) => send(socket, [joinRef, ref, topic, 'phx_reply', { status, response }])
    if (event !== 'phx_join') return reply('ok', {})
    if (!(await mayJoin(topic.replace('realtime:', ''), payload.access_token ?? ''))) return reply('error', { reason: 'Unauthorized: You do not have permissions to read from this Channel topic' })
    joined.get(socket)?.add(topic)
    reply('ok', { postgres_changes: [] })
  }

  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    const key = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${key}\r\n\r\n`)
    joined.set(socket, new Set())
    socket.on('close', () => joined.delete(socket)).on('error', () => undefined)
    readFrames(socket, (text) => void answer(socket, JSON.parse(text) as Parameters<typeof answer>[1]))
  })
  return async () => {
    for (const socket of joined.keys()) socket.destroy()
    await listener.end()
  }
}

/** The texts that a client sends: each masked, in one frame. */
function readFrames(socket: Duplex, handle: (text: string) => void): void {
  let waiting = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    waiting = Buffer.concat([waiting, chunk])
    for (;;) {
      const short = (waiting[1] ?? 0) & 0x7f
      const head = short === 126 ? 4 : 2
      if (waiting.length < head + 4) return
      const length = short === 126 ? waiting.readUInt16BE(2) : short
      const end = head + 4 + length
      if (waiting.length < end) return
      const mask = waiting.subarray(head, head + 4)
      const payload = Buffer.from(waiting.subarray(head + 4, end).map((byte, index) => byte ^ mask[index % 4]!))
      const kind = waiting[0]! & 0x0f
      waiting = waiting.subarray(end)
      if (kind === 8) return void socket.end()
      if (kind === 1) handle(payload.toString())
    }
  })
}

function send(socket: Duplex, message: unknown): void {
  const text = Buffer.from(JSON.stringify(message))
  const head = text.length < 126 ? Buffer.from([0x81, text.length]) : Buffer.from([0x81, 126, text.length >> 8, text.length & 0xff])
  socket.write(Buffer.concat([head, text]))
}
