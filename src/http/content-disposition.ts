/** The header that makes a browser save a file, under a name that harms nobody. */
import type { MediaKind } from '../media/media-kinds.ts'

/** File systems take 255 bytes; browsers add a number to a name that is taken. */
const MAX_NAME_BYTES = 200
/** Names that Windows keeps for devices, whatever follows the first dot. */
const RESERVED = /^(?:con|prn|aux|nul|com\d|lpt\d)(?=\.|$)/i

/** @param name as the user or the link has it. */
export function toContentDisposition(name: string, kind: MediaKind): string {
  const safe = toFileName(name, kind)
  // The first form is for clients that do not know the second one (RFC 6266); some of them would unescape a percent sign.
  const ascii = safe.normalize('NFD').replace(/\p{M}/gu, '').replace(/[^\x20-\x7e]|[%/\\<>:"|?*]/g, '_')
  const encoded = encodeURIComponent(safe).replace(/['()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
  return `attachment; filename="${ascii}"; filename*=UTF-8''${encoded}`
}

/** Always ends with an extension of the type that the bytes have: no picture is saved as a program. */
function toFileName(name: string, { extensions }: MediaKind): string {
  const clean = name
    .toWellFormed()
    .normalize('NFC')
    // Paths and what file systems refuse; then characters that nobody sees, or that turn a name around.
    .replace(/[/\\<>:"|?*]/g, '_')
    .replace(/[\p{C}\p{Zl}\p{Zp}\ufffd]/gu, '')
    .replace(/\s+/g, ' ')
    .replace(/^[ .]+/, '')
  const plain = trimEnd(clean).replace(RESERVED, '_$&')
  const dot = plain.lastIndexOf('.')
  const has = dot > 0 && extensions.includes(plain.slice(dot + 1).toLowerCase())
  const extension = has ? plain.slice(dot + 1) : extensions[0]
  const stem = trimEnd(cut(has ? plain.slice(0, dot) : plain, MAX_NAME_BYTES))
  return `${stem === '' ? 'download' : stem}.${extension}`
}

/** Without a regular expression, which would look at a long run of dots once for each of its dots. */
function trimEnd(text: string): string {
  let end = text.length
  while (end > 0 && ' .'.includes(text[end - 1]!)) end--
  return text.slice(0, end)
}

/** As many whole characters as fit. */
function cut(text: string, maxBytes: number): string {
  let bytes = 0
  let end = 0
  for (const character of text) {
    bytes += Buffer.byteLength(character)
    if (bytes > maxBytes) break
    end += character.length
  }
  return text.slice(0, end)
}
