/** Pictures as bytes: fetched, recognised, cut to size, previewed. Uploads and videos have files of their own. */
import { fileTypeFromBuffer } from 'file-type'
import { PassThrough } from 'node:stream'
import sharp, { type Sharp } from 'sharp'
import { rgbaToThumbHash } from 'thumbhash'
import { AppError } from '../errors.ts'
import type { Media } from '../generation/files.ts'
import { decodeFailureOf, openPicture } from './decode.ts'
import { passThrough, readWhole, tooLarge } from './file-streams.ts'
import type { GuardedFetch } from './guarded-fetch.ts'
import { cleanMask, cleanPicture, measurePicture } from './uploads.ts'
import { readVideo } from './videos.ts'

/** What may be stored and shown. SVG is left out: it is a program. */
const PICTURE_TYPES: Record<string, string> = { 'image/jpeg': 'jpg', 'image/png': 'png', 'image/webp': 'webp', 'image/avif': 'avif', 'image/gif': 'gif' }

const THUMBNAIL_SIDE = 512
/** thumbhash takes at most 100 pixels a side, keeps seven waves of them, and its time grows with their number. */
const PLACEHOLDER_SIDE = 64
/** At effort 2 a thumbnail costs half the time of the default 4 and a few percent more bytes. */
const THUMBNAIL_WEBP = { quality: 80, effort: 2 }

export interface MediaLimits {
  /** Of a provider's picture. */
  maxBytes: number
  maxPixels: number
  maxVideoBytes: number
  /** Of a picture that a user uploads. */
  maxUploadPixels: number
  /** For the download of one picture as a whole. A video's download is bounded by its caller's signal. */
  timeoutMs: number
}

export function createMedia(guard: GuardedFetch, limits: MediaLimits): Media {
  const uploads = { maxPixels: limits.maxUploadPixels }
  const open = (bytes: Uint8Array): Sharp => openPicture(bytes, limits.maxPixels)

  return {
    async fetchPicture(url, options) {
      const file = await guard.open(url, { ...options, signal: AbortSignal.timeout(limits.timeoutMs) })
      return await readWhole(file, limits.maxBytes)
    },

    async openFile(url, options) {
      const file = await guard.open(url, options)
      return { ...file, body: passThrough(file.body, new PassThrough()) }
    },

    readVideo: (source) => readVideo(source, { maxBytes: limits.maxVideoBytes }),

    cleanPicture: (bytes, fit) => cleanPicture(bytes, fit, uploads),
    measurePicture: (bytes) => measurePicture(bytes, uploads),
    cleanMask: (bytes, sizes) => cleanMask(bytes, sizes, uploads),

    async inspectPicture(bytes) {
      if (bytes.length > limits.maxBytes) throw tooLarge(limits.maxBytes)
      const type = await fileTypeFromBuffer(bytes)
      const extension = type && PICTURE_TYPES[type.mime]
      if (!extension) throw new AppError('output_invalid', 'The provider sent something that is not a picture.')
      const metadata = await open(bytes).metadata().catch(notDecodable)
      const { width, height } = metadata.autoOrient
      return { bytes, mediaType: type.mime, extension, width, height }
    },

    async resizePicture(picture, size) {
      const resized = open(picture.bytes).autoOrient().resize({ width: size.width, height: size.height, fit: 'cover' })
      const { data, info } = await encodeLike(resized, picture.mediaType).toBuffer({ resolveWithObject: true }).catch(notDecodable)
      return { ...picture, ...PICTURE_FORMATS[info.format], bytes: data, width: info.width, height: info.height }
    },

    async previewPicture(picture) {
      // The one decode of the whole file; JPEG and WebP are already shrunk while they are read.
      const { data, info } = await open(picture.bytes)
        .autoOrient()
        .resize({ width: THUMBNAIL_SIDE, height: THUMBNAIL_SIDE, fit: 'inside', withoutEnlargement: true })
        .toColourspace('srgb')
        .raw({ depth: 'uchar' })
        .toBuffer({ resolveWithObject: true })
        .catch(notDecodable)
      // Three channels unless the picture has transparency: a fourth one that says nothing costs a third more.
      const pixels = { raw: { width: info.width, height: info.height, channels: info.channels } }
      const [thumbnail, tiny] = await Promise.all([
        sharp(data, pixels).webp(THUMBNAIL_WEBP).toBuffer(),
        sharp(data, pixels).resize({ width: PLACEHOLDER_SIDE, height: PLACEHOLDER_SIDE, fit: 'inside', withoutEnlargement: true }).ensureAlpha().raw().toBuffer({ resolveWithObject: true }),
      ])
      const hash = rgbaToThumbHash(tiny.info.width, tiny.info.height, tiny.data)
      return { thumbnail, placeholder: Buffer.from(hash).toString('base64') }
    },
  }
}

const PICTURE_FORMATS: Record<string, { mediaType: string; extension: string }> = {
  jpeg: { mediaType: 'image/jpeg', extension: 'jpg' },
  png: { mediaType: 'image/png', extension: 'png' },
  webp: { mediaType: 'image/webp', extension: 'webp' },
}

/** The format that came is the format that is stored, but for the rare ones, which become WebP. */
function encodeLike(picture: Sharp, mediaType: string): Sharp {
  if (mediaType === 'image/jpeg') return picture.jpeg({ quality: 92, mozjpeg: false })
  if (mediaType === 'image/png') return picture.png({ compressionLevel: 6 })
  return picture.webp({ quality: 92 })
}

function notDecodable(cause: unknown): never {
  const failure = decodeFailureOf(cause)
  if (failure === 'trouble') throw new AppError('output_unavailable', 'The picture could not be decoded right now.', { cause })
  if (failure === 'too many pixels') throw new AppError('output_too_large', "The provider's picture has more pixels than this service decodes.", { cause })
  throw new AppError('output_invalid', 'The provider sent a picture that cannot be decoded.', { cause })
}
