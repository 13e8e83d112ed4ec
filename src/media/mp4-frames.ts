/** Boxes that hold the tables of frames, or lead to them. */
const CONTAINERS = new Set(['moov', 'trak', 'mdia', 'minf', 'stbl', 'moof', 'traf'])

/**
 * How many frames the tables of an MP4's boxes stand for. A few bytes can claim billions, and whoever reads the table
 * makes an object of each: look here first.
 */
export function claimedFrames(boxes: Uint8Array): number {
  const children = childrenOf(Buffer.from(boxes.buffer, boxes.byteOffset, boxes.byteLength))
  // Times are only written out one by one where frames are shown in another order than they are stored.
  const isReordered = children.some(({ type }) => type === 'ctts')
  return children.reduce((frames, { type, body }) => {
    if (CONTAINERS.has(type)) return frames + claimedFrames(body)
    // Both begin with a version and flags, then comes the number of frames or of entries.
    if (body.length < 8) return frames
    if (type === 'trun') return frames + body.readUInt32BE(4)
    return type === 'stts' && isReordered ? frames + countOf(body) : frames
  }, 0)
}

/** The sum of a table's counts: each entry is a count of frames and how long each of them is shown. */
function countOf(table: Buffer): number {
  let frames = 0
  for (let at = 8; at + 8 <= table.length; at += 8) frames += table.readUInt32BE(at)
  return frames
}

function childrenOf(boxes: Buffer): { type: string; body: Buffer }[] {
  const children = []
  for (let at = 0; at + 8 <= boxes.length; ) {
    const isLong = boxes.readUInt32BE(at) === 1 && at + 16 <= boxes.length
    const size = isLong ? Number(boxes.readBigUInt64BE(at + 8)) : boxes.readUInt32BE(at)
    const headerLength = isLong ? 16 : 8
    const end = size < headerLength ? boxes.length : Math.min(boxes.length, at + size)
    children.push({ type: boxes.toString('latin1', at + 4, at + 8), body: boxes.subarray(at + headerLength, end) })
    at = end
  }
  return children
}
