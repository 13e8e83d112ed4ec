/** What is remembered of uploaded files after they were given up. */
import { subtle } from 'node:crypto'
import type { Context } from 'koa'
import type { UploadNote } from '../audit/payload.ts'

/** Sets `ctx.state.uploadNotes`, where anybody wants them. Hashes are computed beside the event loop and come in later. */
export function noteUploads(ctx: Context): void {
  if (ctx.state.keepsUploadNotes !== true) return
  const files = (ctx as { files?: Record<string, { originalname: string; buffer: Buffer<ArrayBuffer> }[]> }).files ?? {}
  ctx.state.uploadNotes = Object.entries(files).flatMap(([field, list]) => list.map(({ originalname, buffer }) => toNote(field, originalname, buffer)))
}

function toNote(field: string, name: string, bytes: Buffer<ArrayBuffer>): UploadNote {
  const note: UploadNote = { field, name: name.slice(0, 200), size: bytes.length }
  subtle.digest('SHA-256', bytes).then((digest) => (note.sha256 = Buffer.from(digest).toString('hex')), () => undefined)
  return note
}
