/** Stands before Postgres as a transaction pooler does, as far as LISTEN goes: taken, answered, and never heard of again. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

const NOTIFICATION = 'A'.charCodeAt(0)

export async function startQuietPooler(target: string): Promise<{ url: string; close(): Promise<void> }> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    for (const socket of [client, upstream]) sockets.add(socket.on('error', () => undefined))
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
    client.pipe(upstream)
    let waiting = Buffer.alloc(0)
    // Each message has a letter and its length.
    upstream.on('data', (chunk: Buffer) => {
      waiting = Buffer.concat([waiting, chunk])
      while (waiting.length >= 5 && waiting.length > waiting.readUInt32BE(1)) {
        const length = waiting.readUInt32BE(1) + 1
        if (waiting[0] !== NOTIFICATION) client.write(waiting.subarray(0, length))
        waiting = waiting.subarray(length)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(target)
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
