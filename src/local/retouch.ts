/** What the sandbox does to pictures: it writes the wish on them, or keeps the middle of what they show. */
import sharp from 'sharp'
import { write } from './paint.ts'

/** The picture with the prompt across it. @returns a PNG of the same size. */
export async function writeOn(bytes: Uint8Array, prompt: string): Promise<Buffer> {
  const { width, height } = await sharp(bytes).metadata()
  const pixels = await write(prompt, sharp(bytes).removeAlpha(), { width, height })
  return await sharp(pixels, { raw: { width, height, channels: 3 } }).png().toBuffer()
}

/** The picture with everything outside an oval transparent. @returns a PNG of the same size. */
export async function cutOut(bytes: Uint8Array): Promise<Buffer> {
  const { width, height } = await sharp(bytes).metadata()
  const oval = Buffer.alloc(width * height * 4)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) oval[(y * width + x) * 4 + 3] = ((x / width) * 2 - 1) ** 2 + ((y / height) * 2 - 1) ** 2 < 0.8 ? 255 : 0
  }
  return await sharp(bytes).ensureAlpha().composite([{ input: oval, raw: { width, height, channels: 4 }, blend: 'dest-in' }]).png().toBuffer()
}
