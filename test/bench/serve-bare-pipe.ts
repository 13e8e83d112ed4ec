/** The least that a transfer can cost in Node: what one server sends is piped to the other. Told what to pipe by a POST. */
import { once } from 'node:events'
import { createServer, get, request, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { serveParent } from './serve-parent.ts'

/** From one address to another. */
export interface BareTransfer {
  from: string
  to: string
}

await serveParent(async () => {
  const server = createServer((incoming, response) => {
    const answer = (status: number, text: string) => void response.writeHead(status).end(text)
    pipeAll(incoming).then(
      () => answer(200, ''),
      (error: unknown) => answer(500, String(error)),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    ready: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` },
    async stop() {
      server.closeAllConnections()
      server.close()
    },
  }
})

async function pipeAll(incoming: IncomingMessage): Promise<void> {
  const transfers = (await json(incoming)) as BareTransfer[]
  await Promise.all(transfers.map(pipe))
}

async function pipe({ from, to }: BareTransfer): Promise<void> {
  const [source] = (await once(get(from), 'response')) as [IncomingMessage]
  if (source.statusCode !== 200) throw new Error(`The file server answered with status ${source.statusCode}.`)
  const target = request(to, { method: 'POST', headers: { 'content-type': 'video/mp4', 'content-length': source.headers['content-length'] } })
  const answered = once(target, 'response') as Promise<[IncomingMessage]>
  await pipeline(source, target)
  const [answer] = await answered
  answer.resume()
  if (answer.statusCode !== 200) throw new Error(`The sink answered with status ${answer.statusCode}.`)
}
