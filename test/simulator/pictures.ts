/** Small pictures of one colour, in the size and form that was asked for. */
import sharp from 'sharp'

export type PictureFormat = 'jpeg' | 'png' | 'webp'

const pictures = new Map<string, Promise<Buffer>>()

/** The same bytes for the same arguments. */
export function picture(width: number, height: number, format: PictureFormat = 'png'): Promise<Buffer> {
  const key = `${width}x${height} ${format}`
  const made = pictures.get(key) ?? sharp({ create: { width, height, channels: 4, background: { r: 40, g: 90, b: 140, alpha: 1 } } }).toFormat(format).toBuffer()
  pictures.set(key, made)
  return made
}
