/**
 * The outline of an MP4 file, taken while the file passes by. An MP4 is a row of boxes, each with its size and type in
 * front; the pictures and sounds lie in `mdat`, what describes them in the other boxes, before or behind it.
 */
import { AppError } from '../errors.ts'
import { createKeptBytes, type KeptBytes } from './kept-bytes.ts'

/** Far more than the description of hours of video takes. */
const MAX_KEPT_BYTES = 16 * 1024 * 1024
/** What is as large as it likes and describes nothing. */
const PASSED_BY = new Set(['mdat', 'free', 'skip'])
const SHORT_HEADER = 8
/** With the size in 64 bits, where it does not fit into 32. */
const LONG_HEADER = 16

const notAVideo = () => new AppError('output_invalid', 'The provider sent something that is not an MP4 video.')
const cutShort = () => new AppError('output_invalid', "The provider's video is cut short.")
const unreadable = () => new AppError('output_invalid', 'The provider sent a video that cannot be read.')

export interface Mp4Outline {
  /** Takes the file's next bytes. @returns what makes it no video, as soon as it shows. */
  add(chunk: Buffer): AppError | undefined
  /** Tells that the file has ended. @returns what it lacks. */
  end(): AppError | undefined
  /** Everything outside the media itself, at its place in the file. */
  readonly kept: KeptBytes
  /** Where the boxes lie that describe the video: `moov` and every `moof`. In bytes. */
  readonly descriptions: { start: number; end: number }[]
}

/** @param fileSize in bytes, where it is known: a box that reaches beyond it shows at once. */
export function createMp4Outline(fileSize = Infinity): Mp4Outline {
  const kept = createKeptBytes(MAX_KEPT_BYTES)
  const descriptions: Mp4Outline['descriptions'] = []
  const header = Buffer.alloc(LONG_HEADER)
  let headerLength = 0
  let isKept = false
  /** Where the next byte belongs in the file, and where the box ends that it is in. */
  let offset = 0
  let boxEnd = 0

  /** Takes what is missing of the next box's header. @returns how many bytes that was, or what is wrong with the box. */
  function addHeader(bytes: Buffer): number | AppError {
    const wanted = headerLength >= SHORT_HEADER ? LONG_HEADER : SHORT_HEADER
    const taken = bytes.copy(header, headerLength, 0, wanted - headerLength)
    headerLength += taken
    if (headerLength < wanted) return taken
    const start = offset + taken - headerLength
    const type = header.toString('latin1', 4, SHORT_HEADER)
    if (start === 0 && type !== 'ftyp') return notAVideo()
    const shortSize = header.readUInt32BE(0)
    if (shortSize === 1 && wanted === SHORT_HEADER) return taken
    const size = shortSize === 1 ? Number(header.readBigUInt64BE(SHORT_HEADER)) : shortSize
    // 0 stands for "to the end of the file".
    if (size !== 0 && size < headerLength) return start === 0 ? notAVideo() : unreadable()
    boxEnd = size === 0 ? Infinity : start + size
    if (size !== 0 && boxEnd > fileSize) return cutShort()
    if (type === 'moov' || type === 'moof') descriptions.push({ start, end: boxEnd })
    isKept = !PASSED_BY.has(type)
    const fits = kept.keep(start, header.subarray(0, headerLength))
    headerLength = 0
    return fits ? taken : unreadable()
  }

  return {
    kept,
    descriptions,
    add(chunk) {
      for (let at = 0; at < chunk.length; ) {
        if (offset < boxEnd) {
          const end = Math.min(chunk.length, at + boxEnd - offset)
          if (isKept && !kept.keep(offset, chunk.subarray(at, end))) return unreadable()
          offset += end - at
          at = end
          continue
        }
        const taken = addHeader(chunk.subarray(at, at + LONG_HEADER))
        if (typeof taken !== 'number') return taken
        offset += taken
        at += taken
      }
      return undefined
    },
    end() {
      if (offset < SHORT_HEADER) return notAVideo()
      if (headerLength > 0 || (boxEnd !== Infinity && offset < boxEnd)) return cutShort()
      for (const description of descriptions) description.end = Math.min(description.end, offset)
      return undefined
    },
  }
}
