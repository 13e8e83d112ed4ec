/** What is kept of a request's body: JSON without secrets, of bounded size. */
import { createBudget, removeSecrets } from './remove-secrets.ts'

/** A file that came with a request: nothing of it is kept but this. */
export interface UploadNote {
  field: string
  name: string
  /** In bytes. */
  size: number
  /** In hexadecimal; undefined where it was not computed in time. */
  sha256?: string | undefined
}

/** Of what is kept beside the beginning of a body that is too long. */
const FRAME_BYTES = 64

/** @returns JSON of at most `maxBytes`: `{ body, files }`, or `{ truncated: true, beginning }` with the first part of that as text. */
export function toPayload(body: unknown, files: readonly UploadNote[], maxBytes: number): Buffer {
  const budget = createBudget(maxBytes)
  const cleaned = removeSecrets(files.length > 0 ? { body, files: files.map(toFile) } : { body }, budget)
  const text = JSON.stringify(cleaned)
  if (!budget.isSpent && Buffer.byteLength(text) <= maxBytes) return Buffer.from(text)
  return Buffer.from(JSON.stringify({ truncated: true, beginning: cutToFit(text, maxBytes - FRAME_BYTES) }))
}

/** Written as text, a quote takes two bytes, and many a letter too. */
function cutToFit(text: string, maxBytes: number): string {
  let cut = text.slice(0, maxBytes)
  for (;;) {
    const excess = Buffer.byteLength(JSON.stringify(cut)) - maxBytes
    if (excess <= 0) return cut
    cut = cut.slice(0, -Math.ceil(excess / 3))
  }
}

const toFile = ({ field, name, size, sha256 }: UploadNote) => ({ field, filename: name, size, sha256: sha256 ?? null })
