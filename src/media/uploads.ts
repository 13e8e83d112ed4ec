/** Pictures that users upload, made safe to pass on to a provider. */
import { fileTypeFromBuffer } from 'file-type'
import { AppError } from '../errors.ts'
import type { CleanPicture, PictureFit } from '../generation/files.ts'
import type { Size } from '../generation/provider.ts'
import { decodeFailureOf, openPicture } from './decode.ts'

/** SVG is left out, which is a program, and so is whatever moves. */
const ACCEPTED_TYPES = ['image/jpeg', 'image/png', 'image/webp']
const MIN_SIDE = 32
const MAX_SIDE = 12_000
/** A picture whose ratio is as near as this to the wanted one is left whole. */
const RATIO_TOLERANCE = 0.01
/** Full colour resolution: the picture is going to be looked at closely, by a machine. */
const OUTPUT = { quality: 92, chromaSubsampling: '4:4:4' }

/**
 * Makes a JPEG of a picture's pixels and of nothing else: upright, in sRGB, on white where it was transparent, cut to
 * the wanted ratio around its middle. Enlarged only as far as `fit.minSide` demands; `fit.maxSide` wins over it.
 * @param limits.maxPixels as the file's header tells, before anything is decoded.
 * @throws {AppError} `unsupported_media_type`, or `invalid_request` with details. What is sharp's own trouble rather than
 *   the picture's fault is thrown as it is.
 */
export async function cleanPicture(bytes: Uint8Array, fit: PictureFit, { maxPixels }: { maxPixels: number }): Promise<CleanPicture> {
  await checkType(bytes)
  const fail = (error: unknown): never => notClean(error, maxPixels)
  const metadata = await openPicture(bytes, maxPixels).metadata().catch(fail)
  if ((metadata.pages ?? 1) > 1) throw unfit('moves: send a still picture')
  const whole: Size = metadata.autoOrient
  const [shorter, longer] = [Math.min(whole.width, whole.height), Math.max(whole.width, whole.height)]
  if (longer > MAX_SIDE) throw unfit(`has a side of ${longer} pixels, more than ${MAX_SIDE}`)
  if (shorter < MIN_SIDE) throw unfit(`has a side of ${shorter} pixels, fewer than ${MIN_SIDE}`)

  const cut = cutToRatio(whole, fit.ratio)
  const isCropped = cut !== whole
  // What is cut off is not decoded, but a picture that is broken there is a broken picture.
  if (isCropped) await openPicture(bytes, maxPixels).resize({ width: MIN_SIDE, height: MIN_SIDE, fit: 'fill' }).raw().toBuffer().catch(fail)
  const { data, info } = await openPicture(bytes, maxPixels)
    .autoOrient()
    .resize({ ...scaleToFit(cut, fit), fit: isCropped ? 'cover' : 'fill', position: 'centre' })
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .jpeg(OUTPUT)
    .toBuffer({ resolveWithObject: true })
    .catch(fail)
  return { bytes: data, mediaType: 'image/jpeg', width: info.width, height: info.height, isCropped }
}

async function checkType(bytes: Uint8Array): Promise<void> {
  const type = await fileTypeFromBuffer(bytes)
  if (type?.mime === 'image/apng') throw unfit('moves: send a still picture')
  if (type && ACCEPTED_TYPES.includes(type.mime)) return
  throw new AppError('unsupported_media_type', 'The image must be a JPEG, PNG or WebP file.', { details: [{ path: 'image', message: 'must be a JPEG, PNG or WebP file' }] })
}

function cutToRatio(whole: Size, ratio: number): Size {
  const change = whole.width / whole.height / ratio
  if (Math.abs(change - 1) <= RATIO_TOLERANCE) return whole
  return change > 1 ? { ...whole, width: whole.height * ratio } : { ...whole, height: whole.width / ratio }
}

function scaleToFit({ width, height }: Size, { minSide, maxSide }: PictureFit): Size {
  const [shorter, longer] = [Math.min(width, height), Math.max(width, height)]
  const scale = Math.min(Math.max(1, minSide / shorter), maxSide / longer)
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) }
}

const unfit = (message: string, cause?: unknown) => new AppError('invalid_request', `The image ${message}.`, { details: [{ path: 'image', message }], cause })

function notClean(error: unknown, maxPixels: number): never {
  const failure = decodeFailureOf(error)
  if (failure === 'trouble') throw error
  throw failure === 'too many pixels' ? unfit(`has more than ${maxPixels} pixels`, error) : unfit('is broken: it cannot be decoded', error)
}
