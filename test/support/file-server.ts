/** A provider's file server, which serves what a test gives it and misbehaves as told. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Answer {
  body: Buffer
  status?: number
  /** Told instead of the body's true length; null tells none. */
  contentLength?: number | null
  /** The connection is cut after so many bytes. */
  cutAfter?: number
  /** Says nothing more after so many bytes, but holds the line. */
  silentAfter?: number
  /** The body again and again, for ever. */
  isEndless?: boolean
}

export interface FileServer {
  origin: string
  /** @returns a URL where this answer is to be had. */
  serve(answer: Answer): string
  /** Connections that are open now. */
  connections(): Promise<number>
  close(): Promise<void>
}

export async function startFileServer(): Promise<FileServer> {
  const answers = new Map<string, Answer>()
  const server = createServer((request, response) => {
    const answer = answers.get(request.url ?? '')
    if (!answer) return void response.writeHead(404).end()
    send(response, answer)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    origin,
    serve(answer) {
      const path = `/${answers.size}`
      answers.set(path, answer)
      return origin + path
    },
    connections: () => new Promise((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count)))),
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function send(response: ServerResponse, { body, status = 200, contentLength = body.length, cutAfter, silentAfter, isEndless }: Answer): void {
  response.on('error', () => undefined)
  response.writeHead(status, contentLength === null || isEndless ? {} : { 'content-length': contentLength })
  if (isEndless) return sendForEver(response, body)
  const part = body.subarray(0, cutAfter ?? silentAfter ?? body.length)
  if (silentAfter !== undefined) response.write(part)
  else if (cutAfter !== undefined || part.length < (contentLength ?? 0)) response.write(part, () => response.destroy())
  else response.end(part)
}

function sendForEver(response: ServerResponse, body: Buffer): void {
  const more = () => {
    while (!response.destroyed && response.write(body));
  }
  response.on('drain', more)
  more()
}
