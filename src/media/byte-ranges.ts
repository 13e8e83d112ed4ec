/** Parts of files, as HTTP asks for them and tells of them (RFC 9110, section 14). */

/** Both ends belong to it. */
export interface Part {
  start: number
  end: number
}

export type WantedRange = { start: number; end: number | undefined } | { last: number }

const RANGE = /^bytes=(\d{0,15})-(\d{0,15})$/i
const CONTENT_RANGE = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i

/** @returns undefined for what may be passed over: several ranges, another unit, or none that makes sense. */
export function parseRange(header: string): WantedRange | undefined {
  const [, first, last] = RANGE.exec(header.trim()) ?? []
  if (first === undefined || last === undefined || first + last === '') return undefined
  if (first === '') return { last: Number(last) }
  const range = { start: Number(first), end: last === '' ? undefined : Number(last) }
  return range.end !== undefined && range.end < range.start ? undefined : range
}

/** @returns undefined when a file of this size has nothing there. */
export function partOf(range: WantedRange, size: number): Part | undefined {
  const start = 'last' in range ? Math.max(0, size - range.last) : range.start
  const end = Math.min(size - 1, ('end' in range ? range.end : undefined) ?? size - 1)
  return start > end ? undefined : { start, end }
}

/** @returns undefined for what is not valid. `size` is the whole file's, where it is told. */
export function parseContentRange(header: unknown): { part: Part; size: number | undefined } | undefined {
  const match = typeof header === 'string' ? CONTENT_RANGE.exec(header) : null
  if (!match) return undefined
  const part = { start: Number(match[1]), end: Number(match[2]) }
  const size = match[3] === '*' ? undefined : Number(match[3])
  return part.start > part.end || (size !== undefined && part.end >= size) ? undefined : { part, size }
}

export const toRangeHeader = ({ start, end }: Part): string => `bytes=${start}-${end}`
export const toContentRange = ({ start, end }: Part, size: number | undefined): string => `bytes ${start}-${end}/${size ?? '*'}`
export const lengthOf = ({ start, end }: Part): number => end - start + 1
