/**
 * Stands between a process and Postgres or Storage, and kills the process at a point named by the words that it sends:
 * just before they arrive, in the middle of what follows them, or once they were carried out but not yet answered.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export type Moment = 'before' | 'middle' | 'after'

export interface KillingProxy {
  port: number
  /** Resolves once it has struck. `kill` must end the process at once. */
  arm(words: string, moment: Moment, kill: () => void): Promise<void>
  /** Resolves once the other side is done with all that was sent to it: what a dead process left is then what it is. */
  quiet(): Promise<void>
  close(): Promise<void>
}

interface Trap {
  words: Buffer
  moment: Moment
  strike: () => void
}

export async function startKillingProxy(target: string): Promise<KillingProxy> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  let trap: Trap | undefined

  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    /** Set once the words have passed on this connection. */
    let sprung: Trap | undefined
    const strike = ({ strike: kill }: Trap) => {
      kill()
      client.destroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
    }
    client.on('data', (chunk: Buffer) => {
      if (sprung?.moment === 'middle') return strike(sprung)
      if (trap && chunk.includes(trap.words)) {
        const found = trap
        trap = undefined
        if (found.moment === 'before') return strike(found)
        sprung = found
      }
      upstream.write(chunk)
    })
    upstream.on('data', (chunk) => (sprung?.moment === 'after' ? strike(sprung) : client.write(chunk)))
    // What was sent before the end still arrives: a dead client does not take its last words back.
    client.on('close', () => upstream.end())
    upstream.on('close', () => client.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    arm: (words, moment, kill) =>
      new Promise((resolve) => {
        trap = {
          words: Buffer.from(words),
          moment,
          strike() {
            kill()
            resolve()
          },
        }
      }),
    async quiet() {
      await Promise.all([...sockets].map((socket) => once(socket, 'close')))
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
