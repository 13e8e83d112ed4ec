/** The simulated Runway's uploads: a place is asked for, and the file goes to an object store by a form. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { readBody, sendJson } from './answers.ts'

export interface SimulatedUpload {
  filename: string
  /** As the file's part of the form claims. */
  mediaType: string
  bytes: Buffer
}

export interface RunwayUploads {
  stored: ReadonlyMap<string, SimulatedUpload>
  isStored(uri: string): boolean
  mislead(misled: (string | number)[]): void
  /** Answers `POST /v1/uploads`. */
  prepare(request: IncomingMessage, response: ServerResponse): Promise<void>
  /** Answers a call to the store; false when it is none. */
  receive(call: string, request: IncomingMessage, response: ServerResponse): Promise<boolean>
}

const POLICY = 'signed-policy'

export function createRunwayUploads(origin: () => string): RunwayUploads {
  const stored = new Map<string, SimulatedUpload>()
  const next: (string | number)[] = []
  const statuses = new Map<string, number>()

  async function store(key: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const bytes = await readBody(request)
    const status = statuses.get(key)
    if (status !== undefined) return void response.writeHead(status, { 'content-type': 'application/xml', location: '/elsewhere' }).end('<Error/>')
    const type = request.headers['content-type'] ?? ''
    const length = request.headers['content-length']
    // The key is for the API, not for the store.
    if (!type.startsWith('multipart/form-data') || length === undefined || request.headers.authorization !== undefined) return void response.writeHead(400).end()
    const form = await new Response(new Uint8Array(bytes!), { headers: { 'content-type': type } }).formData()
    const file = form.get('file')
    if (form.get('key') !== key || form.get('policy') !== POLICY || !(file instanceof File) || [...form.keys()].at(-1) !== 'file') return void response.writeHead(403).end()
    stored.set(`runway://${key}`, { filename: file.name, mediaType: file.type, bytes: Buffer.from(await file.arrayBuffer()) })
    response.writeHead(204).end()
  }

  return {
    stored,
    isStored: (uri) => stored.has(uri),
    mislead: (misled) => void next.push(...misled),
    async prepare(request, response) {
      const { filename, type } = JSON.parse(String(await readBody(request))) as { filename?: string; type?: string }
      if (typeof filename !== 'string' || !/^[^/]+\.\w+$/.test(filename) || type !== 'ephemeral') return sendJson(response, 400, { error: 'Validation of body failed', issues: [{ path: ['filename'], message: 'Invalid' }] })
      const key = randomUUID()
      const misled = next.shift()
      if (typeof misled === 'number') statuses.set(key, misled)
      sendJson(response, 200, { uploadUrl: typeof misled === 'string' ? misled : `${origin()}/store/${key}`, fields: { key, policy: POLICY }, runwayUri: `runway://${key}` })
    },
    async receive(call, request, response) {
      const key = /^POST \/store\/([\w-]+)$/.exec(call)?.[1]
      if (key === undefined) return false
      await store(key, request, response)
      return true
    },
  }
}
