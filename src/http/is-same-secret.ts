import { createHash, timingSafeEqual } from 'node:crypto'

/** Compares without telling by the time it takes how much of it was right, or how long it is. */
export function isSameSecret(known: string | undefined, given: string | undefined): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest()
  return known !== undefined && given !== undefined && timingSafeEqual(hash(known), hash(given))
}
