/** Sizes as people write them: `5GiB`, `500 MB`, `1073741824`. */
import { UsageError } from './command.ts'

const UNITS: Readonly<Record<string, number>> = { '': 1, b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 }

/** @returns whole bytes. @throws {UsageError} */
export function parseBytes(text: string): number {
  const [, amount, unit] = /^(\d{1,15}(?:\.\d{1,6})?) ?([a-z]*)$/i.exec(text.trim()) ?? []
  const bytes = Math.round(Number(amount) * (UNITS[unit?.toLowerCase() ?? ''] ?? NaN))
  if (!Number.isSafeInteger(bytes)) throw new UsageError(`${JSON.stringify(text)} is no size: write 5GiB, 500MB or a number of bytes.`)
  return bytes
}
