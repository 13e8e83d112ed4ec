/**
 * A Storage that takes whatever it is sent and keeps nothing, twice: once as a server that takes each file in one request,
 * once as one that also speaks TUS, as the hosted one does.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { finished } from 'node:stream/promises'
import { serveParent } from './serve-parent.ts'

/** What the bench learns: the sizes of the files that arrived whole since it asked last. */
let stored: number[] = []

const TUS = { 'tus-resumable': '1.0.0', 'tus-version': '1.0.0', 'tus-extension': 'creation,termination' }

await serveParent(async () => {
  const [plain, resumable] = [await listen(answerPlain), await listen(createResumable())]
  return {
    ready: { plainUrl: plain.url, resumableUrl: resumable.url },
    async stop() {
      plain.stop()
      resumable.stop()
    },
    answers: {
      stored() {
        const sizes = stored
        stored = []
        return { sizes }
      },
    },
  }
})

async function listen(handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>): Promise<{ url: string; stop(): void }> {
  const answer: RequestListener = (request, response) => void handle(request, response).catch(() => response.destroy())
  const server = createServer(answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop() {
      server.closeAllConnections()
      server.close()
    },
  }
}

async function answerPlain(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, url = '' } = request
  if (method === 'GET' && url.startsWith('/storage/v1/bucket/')) return sendJson(response, 200, { id: 'media', name: 'media', public: true })
  if (method === 'OPTIONS') return void response.writeHead(204).end()
  if (['POST', 'PUT'].includes(method!) && url.startsWith('/storage/v1/object/')) {
    stored.push(await count(request))
    return sendJson(response, 200, { Key: url.slice('/storage/v1/object/'.length), Id: 'nothing' })
  }
  sendJson(response, 404, { statusCode: '404', error: 'not_found', message: 'The bench knows no such path.' })
}

/** As much of TUS as an upload without a mishap needs. */
function createResumable(): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const endpoint = '/storage/v1/upload/resumable'
  const uploads = new Map<string, { length: number; offset: number }>()
  return async (request, response) => {
    const { method, url = '', headers } = request
    if (!url.startsWith(endpoint)) return await answerPlain(request, response)
    if (method === 'OPTIONS') return void response.writeHead(204, TUS).end()
    if (method === 'POST') {
      const path = `${endpoint}/${uploads.size}`
      uploads.set(path, { length: Number(headers['upload-length']), offset: 0 })
      return void response.writeHead(201, { ...TUS, location: `http://${headers.host}${path}` }).end()
    }
    const upload = uploads.get(url)
    if (method !== 'PATCH' || upload?.offset !== Number(headers['upload-offset'])) return void response.writeHead(409, TUS).end()
    upload.offset += await count(request)
    if (upload.offset === upload.length) stored.push(upload.offset)
    response.writeHead(204, { ...TUS, 'upload-offset': upload.offset }).end()
  }
}

/** @throws when the body is cut short. */
async function count(request: IncomingMessage): Promise<number> {
  let bytes = 0
  request.on('data', (chunk: Buffer) => (bytes += chunk.length))
  await finished(request)
  return bytes
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
