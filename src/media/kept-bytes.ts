/** Parts of a file that has passed by, at their places; the rest reads as zeros. */

export interface KeptBytes {
  /** Keeps a copy; parts come in the order of the file. @returns false when there is no more room. */
  keep(offset: number, bytes: Buffer): boolean
  read(start: number, end: number): Uint8Array<ArrayBuffer>
}

interface Part {
  /** In the file. */
  start: number
  end: number
  /** In the store. */
  at: number
}

/** A part costs memory beside its bytes: very many tiny ones must not become what the limit is to prevent. */
const MAX_PARTS = 100_000
const FIRST_ROOM = 64 * 1024

/** @param maxBytes of all parts together. */
export function createKeptBytes(maxBytes: number): KeptBytes {
  const parts: Part[] = []
  let store = Buffer.alloc(0)
  let used = 0

  function makeRoom(length: number): void {
    if (used + length <= store.length) return
    const larger = Buffer.allocUnsafeSlow(Math.min(maxBytes, Math.max(FIRST_ROOM, store.length * 2, used + length)))
    store.copy(larger, 0, 0, used)
    store = larger
  }

  return {
    keep(offset, bytes) {
      if (used + bytes.length > maxBytes) return false
      makeRoom(bytes.length)
      const last = parts.at(-1)
      if (last?.end === offset) last.end += bytes.length
      else if (parts.push({ start: offset, end: offset + bytes.length, at: used }) > MAX_PARTS) return false
      used += bytes.copy(store, used)
      return true
    },
    read(start, end) {
      // No more than what may be kept: a box that claims to be larger is none.
      if (end - start > maxBytes) throw new RangeError(`${end - start} bytes are more than are kept.`)
      const bytes = new Uint8Array(end - start)
      for (let index = firstEndingAfter(parts, start); index < parts.length && parts[index]!.start < end; index++) {
        const part = parts[index]!
        const [from, to] = [Math.max(start, part.start), Math.min(end, part.end)]
        bytes.set(store.subarray(part.at + from - part.start, part.at + to - part.start), from - start)
      }
      return bytes
    },
  }
}

function firstEndingAfter(parts: Part[], offset: number): number {
  let [low, high] = [0, parts.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (parts[middle]!.end > offset) high = middle
    else low = middle + 1
  }
  return low
}
