/** sharp, set up for pictures that somebody else made. */
import sharp, { type Sharp } from 'sharp'

const TIMEOUT_SECONDS = 30

// Nothing is decoded twice here, so libvips' cache would only hold memory; one thread a picture keeps requests even.
sharp.cache(false)
sharp.concurrency(1)
sharp.block({ operation: ['VipsForeignLoadSvg', 'VipsForeignLoadPdf', 'VipsForeignLoadMagick'] })

/** A picture to be decoded: one that is cut short, corrupt or larger than `maxPixels` fails. */
export function openPicture(bytes: Uint8Array, maxPixels: number): Sharp {
  return sharp(bytes, { limitInputPixels: maxPixels, failOn: 'warning', sequentialRead: true }).timeout({ seconds: TIMEOUT_SECONDS })
}

/** What a failed decode says: sharp's errors carry no code. `trouble` is of sharp's own, rather than of the picture's. */
export function decodeFailureOf(error: unknown): 'trouble' | 'too many pixels' | 'broken' {
  if (/timeout|memory|too many open files|resource/i.test(String(error))) return 'trouble'
  return /pixel limit/.test(String(error)) ? 'too many pixels' : 'broken'
}
