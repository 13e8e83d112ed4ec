/** The simulated door for files that are too large to go along with a request: begun, then sent to the address it names. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { sendJson } from './answers.ts'
import { sendGoogleError } from './google-answers.ts'

export interface SimulatedUpload {
  mediaType: string
  bytes: Buffer
}

export function createUploads(origin: () => string) {
  const begun = new Map<string, { mediaType: string; byteLength: number }>()
  const files = new Map<string, SimulatedUpload>()
  const bad = (response: ServerResponse) => sendGoogleError(response, 400, 'INVALID_ARGUMENT', 'Invalid upload request.')
  return {
    /** By the address that a request names them with. */
    files: files as ReadonlyMap<string, SimulatedUpload>,

    /** @param address what the answer names instead of the right one. */
    begin({ headers }: IncomingMessage, response: ServerResponse, address?: string): void {
      const byteLength = Number(headers['x-goog-upload-header-content-length'])
      const mediaType = headers['x-goog-upload-header-content-type']
      if (headers['x-goog-upload-protocol'] !== 'resumable' || headers['x-goog-upload-command'] !== 'start' || typeof mediaType !== 'string' || !(byteLength > 0)) return bad(response)
      const id = randomUUID()
      begun.set(id, { mediaType, byteLength })
      response.setHeader('x-goog-upload-url', address ?? `${origin()}/upload/v1beta/files?upload_id=${id}&upload_protocol=resumable`).writeHead(200).end()
    },

    finish(id: string, { headers }: IncomingMessage, bytes: Buffer, response: ServerResponse): void {
      const upload = begun.get(id)
      if (!upload || headers['x-goog-upload-offset'] !== '0' || headers['x-goog-upload-command'] !== 'upload, finalize' || bytes.length !== upload.byteLength) return bad(response)
      begun.delete(id)
      const name = `files/${id.slice(0, 12)}`
      const uri = `${origin()}/v1beta/${name}`
      files.set(uri, { mediaType: upload.mediaType, bytes })
      sendJson(response, 200, { file: { name, uri, mimeType: upload.mediaType, sizeBytes: String(bytes.length), state: 'ACTIVE' } })
    },
  }
}
