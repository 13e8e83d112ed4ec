import assert from 'node:assert/strict'
import { crc32 } from 'node:zlib'
import { describe, test } from 'node:test'
import sharp, { type Sharp } from 'sharp'
import type { AppError, ErrorCode } from '../../src/errors.ts'
import type { PictureFit } from '../../src/generation/files.ts'
import { createGuardedFetch } from '../../src/media/guarded-fetch.ts'
import { createMedia } from '../../src/media/pictures.ts'

const media = createMedia(createGuardedFetch({ timeoutMs: 1000 }), { maxBytes: 1, maxPixels: 1, maxUploadPixels: 2_000_000, maxVideoBytes: 1, timeoutMs: 1000 })
const WIDE: PictureFit = { ratio: 16 / 9, minSide: 64, maxSide: 800 }
const clean = (bytes: Uint8Array, fit: Partial<PictureFit> = {}) => media.cleanPicture(bytes, { ...WIDE, ...fit })

/** Red on its left half and blue on its right, so that turns and cuts show. */
const twoHalves = (width: number, height: number): Sharp =>
  sharp({ create: { width, height, channels: 3, background: '#ff0000' } }).composite([{ input: { create: { width: width / 2, height, channels: 3, background: '#0000ff' } }, left: width / 2, top: 0 }])
const noise = (width: number, height: number) => sharp({ create: { width, height, channels: 3, background: '#808080', noise: { type: 'gaussian', mean: 128, sigma: 60 } } })

async function colourAt(bytes: Uint8Array, x: number, y: number): Promise<string> {
  const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true })
  assert.equal(info.channels, 3)
  const [red = 0, green = 0, blue = 0] = data.subarray((y * info.width + x) * 3)
  if (red > 230 && green > 230 && blue > 230) return 'white'
  return red > 200 && blue < 60 ? 'red' : blue > 200 && red < 60 ? 'blue' : `${red},${green},${blue}`
}

async function assertRefused(bytes: Uint8Array, code: ErrorCode, message: RegExp): Promise<void> {
  await assert.rejects(clean(bytes), (error: AppError) => {
    assert.equal(error.code, code)
    assert.equal(error.details?.[0]?.path, 'image')
    assert.match(error.details?.[0]?.message ?? '', message)
    return true
  })
}

function pngChunk(type: string, data: Buffer): Buffer {
  const typed = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)]
  length.writeUInt32BE(data.length)
  sum.writeUInt32BE(crc32(typed))
  return Buffer.concat([length, typed, sum])
}

describe("a user's picture", () => {
  for (const [type, picture] of [
    ['jpeg', twoHalves(320, 180).jpeg()],
    ['png', twoHalves(320, 180).png()],
    ['webp', twoHalves(320, 180).webp()],
  ] as const) {
    test(`${type} becomes a plain JPEG of the same picture`, async () => {
      const cleaned = await clean(await picture.toBuffer())
      assert.deepEqual({ ...cleaned, bytes: undefined }, { bytes: undefined, mediaType: 'image/jpeg', width: 320, height: 180, isCropped: false })
      const metadata = await sharp(cleaned.bytes).metadata()
      assert.deepEqual([metadata.format, metadata.width, metadata.height, metadata.space, metadata.chromaSubsampling], ['jpeg', 320, 180, 'srgb', '4:4:4'])
      assert.deepEqual([await colourAt(cleaned.bytes, 20, 90), await colourAt(cleaned.bytes, 300, 90)], ['red', 'blue'])
    })
  }

  test('loses its place, its camera, its profile and whatever was hung onto it, and stands upright', async () => {
    const original = await twoHalves(180, 320)
      .withExif({ IFD0: { Copyright: 'secret' }, IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '51/1 30/1 3230/100' } })
      .withMetadata({ orientation: 6 })
      .withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/"><secret/></x:xmpmeta>')
      .withIccProfile('p3')
      .jpeg()
      .toBuffer()
    const before = await sharp(original).metadata()
    assert.ok(before.exif && before.icc && before.xmp && before.orientation === 6)
    const cleaned = await clean(Buffer.concat([original, Buffer.from('PK\u0003\u0004 secret archive')]))
    const after = await sharp(cleaned.bytes).metadata()
    assert.deepEqual([after.exif, after.icc, after.xmp, after.iptc, after.orientation], Array(5).fill(undefined))
    assert.equal(Buffer.from(cleaned.bytes).includes('secret'), false)
    assert.deepEqual([...cleaned.bytes.subarray(-2)], [0xff, 0xd9])
    // Orientation 6: shown turned to the right, so that its left half is on top.
    assert.deepEqual([cleaned.width, cleaned.height, cleaned.isCropped], [320, 180, false])
    assert.deepEqual([await colourAt(cleaned.bytes, 160, 20), await colourAt(cleaned.bytes, 160, 160)], ['red', 'blue'])
  })

  test('is cut to the ratio, its middle kept', async () => {
    const square = await clean(await twoHalves(320, 180).png().toBuffer(), { ratio: 1 })
    assert.deepEqual([square.width, square.height, square.isCropped], [180, 180, true])
    assert.deepEqual([await colourAt(square.bytes, 75, 90), await colourAt(square.bytes, 105, 90)], ['red', 'blue'])
    const tall = await clean(await twoHalves(320, 180).png().toBuffer(), { ratio: 9 / 16 })
    assert.deepEqual([tall.width, tall.height, tall.isCropped], [101, 180, true])
    const flat = await clean(await twoHalves(200, 400).png().toBuffer(), { ratio: 2 })
    assert.deepEqual([flat.width, flat.height, flat.isCropped], [200, 100, true])
  })

  test('is left whole where the ratio is almost right', async () => {
    const { width, height, isCropped } = await clean(await noise(322, 180).png().toBuffer())
    assert.deepEqual([width, height, isCropped], [322, 180, false])
    assert.equal((await clean(await noise(324, 180).png().toBuffer())).isCropped, true)
  })

  test('is scaled down to the longest side, and up to the shortest', async () => {
    const large = await clean(await noise(1600, 900).jpeg().toBuffer())
    assert.deepEqual([large.width, large.height, large.isCropped], [800, 450, false])
    const small = await clean(await noise(64, 36).png().toBuffer(), { minSide: 90 })
    assert.deepEqual([small.width, small.height], [160, 90])
    const narrow = await clean(await noise(800, 40).png().toBuffer(), { ratio: 20, minSide: 80 })
    assert.deepEqual([narrow.width, narrow.height], [800, 40])
  })

  test('is white where it was transparent, 16 bits deep and grey or not', async () => {
    const clear = { create: { width: 320, height: 180, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } } } as const
    const transparent = await sharp(clear).png().toBuffer()
    const deepGrey = await sharp(transparent).toColourspace('grey16').png().toBuffer()
    const { channels, depth } = await sharp(deepGrey).metadata()
    assert.deepEqual([channels, depth], [2, 'ushort'])
    for (const bytes of [transparent, deepGrey]) assert.equal(await colourAt((await clean(bytes)).bytes, 100, 100), 'white')
  })

  test('has the colours that its profile means, printed ones too', async () => {
    const printed = await sharp(await twoHalves(320, 180).png().toBuffer()).toColourspace('cmyk').withIccProfile('cmyk').jpeg({ quality: 95 }).toBuffer()
    assert.equal((await sharp(printed).metadata()).space, 'cmyk')
    const cleaned = await clean(printed)
    assert.equal(await colourAt(cleaned.bytes, 20, 90), 'red')
    // No ink is as blue as a screen: dark, and far more blue than red or green.
    assert.match(await colourAt(cleaned.bytes, 300, 90), /^\d\d,\d\d,1\d\d$/)
    assert.equal((await sharp(cleaned.bytes).metadata()).space, 'srgb')
  })
})

describe('what is no picture to work with', () => {
  test('another type, whatever it is called', async () => {
    const gif = await noise(64, 64).gif().toBuffer()
    for (const bytes of [gif, await animation(3), await noise(64, 64).avif().toBuffer(), await noise(64, 64).tiff().toBuffer(), Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100"/>'), Buffer.from('GIF'), Buffer.from('hello'), Buffer.alloc(0)]) {
      await assertRefused(bytes, 'unsupported_media_type', /JPEG, PNG or WebP/)
    }
  })

  test('one that moves', async () => {
    await assertRefused(await sharp(await animation(3), { animated: true }).webp({ loop: 0 }).toBuffer(), 'invalid_request', /moves/)
    const still = await noise(64, 64).png().toBuffer()
    const headerEnd = 33
    const frames = pngChunk('acTL', Buffer.from([0, 0, 0, 2, 0, 0, 0, 0]))
    await assertRefused(Buffer.concat([still.subarray(0, headerEnd), frames, still.subarray(headerEnd)]), 'invalid_request', /moves/)
  })

  test('one that is cut short, even where it would be cut off', async () => {
    for (const bytes of [await noise(600, 900).jpeg().toBuffer(), await noise(600, 900).png().toBuffer(), await noise(600, 900).webp({ lossless: true }).toBuffer()]) {
      for (const part of [0.02, 0.5, 0.95]) await assertRefused(bytes.subarray(0, bytes.length * part), 'invalid_request', /broken/)
    }
  })

  test('one that is corrupt', async () => {
    const png = await noise(300, 300).png().toBuffer()
    png.fill(0, 1000, 1200)
    await assertRefused(png, 'invalid_request', /broken/)
    await assertRefused(Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe0]), Buffer.alloc(100)]), 'invalid_request', /broken/)
  })

  test('too many pixels, too long a side, too short a side: by its header alone', async () => {
    const jpeg = await noise(64, 64).jpeg().toBuffer()
    // The frame header: length, precision, height, width.
    const frame = jpeg.indexOf(Buffer.from([0xff, 0xc0]))
    const claim = (width: number, height: number) => {
      const bytes = Buffer.from(jpeg)
      bytes.writeUInt16BE(height, frame + 5)
      bytes.writeUInt16BE(width, frame + 7)
      return bytes
    }
    await assertRefused(claim(60_000, 60_000), 'invalid_request', /more than 2000000 pixels/)
    await assertRefused(claim(15_000, 100), 'invalid_request', /15000 pixels, more than 12000/)
    await assertRefused(await noise(1, 1).png().toBuffer(), 'invalid_request', /1 pixels, fewer than 32/)
    await assertRefused(await noise(900, 31).png().toBuffer(), 'invalid_request', /31 pixels, fewer than 32/)
  })
})

/** A GIF of so many frames. */
async function animation(frames: number): Promise<Buffer> {
  const pictures = await Promise.all(Array.from({ length: frames }, (_, index) => sharp({ create: { width: 64, height: 64, channels: 3, background: { r: index * 80, g: 0, b: 0 } } }).png().toBuffer()))
  return await sharp(pictures, { join: { animated: true } }).gif().toBuffer()
}
