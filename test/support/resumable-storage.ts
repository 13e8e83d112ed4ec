/**
 * The local Storage with what it lacks: resumable uploads, as hosted Supabase has them. They land in a directory, and in
 * the local Storage once they are whole; everything else goes there at once.
 */
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer, request as forward, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, createServer as createTcpServer, type AddressInfo, type Server as TcpServer, type Socket } from 'node:net'
import path from 'node:path'
import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'
import { supabase } from './supabase.ts'

const ROUTE = '/storage/v1/upload/resumable'

export interface ResumableStorage {
  url: string
  /** Every request for a resumable upload so far. */
  requests: { method: string; bytes: number }[]
  /** The connection breaks once, after so many more bytes from the client. */
  cutAfter(bytes: number): void
  /** How many uploads lie there unfinished. */
  unfinished(): Promise<number>
  close(): Promise<void>
}

/** @param options.maxSize in bytes, as a project's limit. */
export async function startResumableStorage({ maxSize = Infinity } = {}): Promise<ResumableStorage> {
  const directory = await mkdtemp('/var/tmp/darkroom-tus-')
  const requests: ResumableStorage['requests'] = []
  const tus = new Server({
    path: ROUTE,
    datastore: new FileStore({ directory }),
    maxSize,
    // Behind a gateway it knows itself by a name that its users do not.
    generateUrl: (_request, { path: route, id }) => `http://storage.internal:5000${route}/${id}`,
    onIncomingRequest: async (request) => {
      const key = `Bearer ${supabase.secretKey}`
      if (request.method !== 'OPTIONS' && (request.headers.get('authorization') !== key || request.headers.get('apikey') !== supabase.secretKey)) throw { status_code: 403, body: 'Unauthorized' }
    },
    onUploadFinish: async (request, { metadata, storage }) => {
      if (request.headers.get('x-upsert') !== 'true') throw { status_code: 409, body: 'The resource already exists' }
      const { bucketName, objectName, contentType, cacheControl } = metadata as Record<string, string>
      const headers = { apikey: supabase.secretKey, authorization: `Bearer ${supabase.secretKey}`, 'x-upsert': 'true', 'content-type': contentType!, 'cache-control': `max-age=${cacheControl}` }
      const stored = await fetch(`${supabase.url}/storage/v1/object/${bucketName}/${objectName}`, { method: 'POST', headers, body: createReadStream(storage!.path), duplex: 'half' })
      if (!stored.ok) throw { status_code: 500, body: await stored.text() }
      await rm(storage!.path)
      return {}
    },
  })
  const server = createServer((request, response) => {
    if (!request.url?.startsWith(ROUTE)) return passOn(request, response)
    requests.push({ method: request.method ?? '', bytes: Number(request.headers['content-length'] ?? 0) })
    void tus.handle(request, response)
  })
  const behind = await listen(server)
  const line = cuttableLine(behind)
  const port = await listen(line.server)
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    cutAfter: line.cutAfter,
    unfinished: async () => (await readdir(directory)).filter((name) => path.extname(name) === '').length,
    async close() {
      line.close()
      server.closeAllConnections()
      server.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function listen(server: TcpServer): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

function passOn(request: IncomingMessage, response: ServerResponse): void {
  const target = forward(supabase.url + request.url, { method: request.method, headers: { ...request.headers, host: new URL(supabase.url).host } }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(response)
  })
  target.on('error', () => response.destroy())
  request.on('close', () => void (request.complete || target.destroy()))
  request.pipe(target)
}

/** Counts what clients send, and breaks the connection that it is told to break. */
function cuttableLine(port: number): { server: TcpServer; cutAfter(bytes: number): void; close(): void } {
  const sockets = new Set<Socket>()
  let left = Infinity
  const server = createTcpServer((client) => {
    const upstream = connect(port, '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => undefined).on('close', () => {
        sockets.delete(socket)
        // What has come through still gets where it was going.
        client.destroy()
        upstream.end()
      })
    }
    client.on('data', (chunk: Buffer) => {
      left -= chunk.length
      if (left > 0) return
      left = Infinity
      client.destroy()
    })
    client.pipe(upstream).pipe(client)
  })
  return {
    server,
    cutAfter: (bytes) => void (left = bytes),
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
