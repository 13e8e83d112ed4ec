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
 * Makes a new file of a picture's pixels and of nothing else: upright, in sRGB, cut to the wanted ratio around its middle
 * where there is one. A JPEG, on white where it was transparent, or a PNG where that is to stay. Enlarged only as far as
 * `fit.minSide` demands; `fit.maxSide` wins over it.
 * @param limits.maxPixels as the file's header tells, before anything is decoded.
 * @throws {AppError} `unsupported_media_type`, or `invalid_request` with details. What is sharp's own trouble rather than
 *   the picture's fault is thrown as it is.
 */
export async function cleanPicture(bytes: Uint8Array, fit: PictureFit, limits: UploadLimits): Promise<CleanPicture> {
  const { size: whole, hasAlpha } = await inspect(bytes, 'image', limits)
  const fail = (error: unknown): never => notClean('image', error, limits)
  const cut = fit.ratio === undefined ? whole : cutToRatio(whole, fit.ratio)
  const isCropped = cut !== whole
  // What is cut off is not decoded, but a picture that is broken there is a broken picture.
  if (isCropped) await openPicture(bytes, limits.maxPixels).resize({ width: MIN_SIDE, height: MIN_SIDE, fit: 'fill' }).raw().toBuffer().catch(fail)
  const upright = openPicture(bytes, limits.maxPixels)
    .autoOrient()
    .resize({ ...scaleToFit(cut, fit), fit: isCropped ? 'cover' : 'fill', position: 'centre' })
    .toColourspace('srgb')
  const keepsAlpha = hasAlpha && fit.keepsAlpha === true
  const encoded = keepsAlpha ? upright.png() : upright.flatten({ background: '#ffffff' }).jpeg(OUTPUT)
  const { data, info } = await encoded.toBuffer({ resolveWithObject: true }).catch(fail)
  return { bytes: data, mediaType: keepsAlpha ? 'image/png' : 'image/jpeg', width: info.width, height: info.height, isCropped }
}

/** The size of a picture as displayed. @throws {AppError} as `cleanPicture`, for what its header tells. */
export async function measurePicture(bytes: Uint8Array, limits: UploadLimits): Promise<Size> {
  return (await inspect(bytes, 'image', limits)).size
}

/** A mask as a new PNG, scaled as its picture was. @throws {AppError} `invalid_request` when it is no mask of that picture. */
export async function cleanMask(bytes: Uint8Array, { uploaded, cleaned }: { uploaded: Size; cleaned: Size }, limits: UploadLimits): Promise<CleanPicture> {
  const { size, hasAlpha, mediaType } = await inspect(bytes, 'mask', limits)
  if (mediaType !== 'image/png' || !hasAlpha) throw unfit('mask', 'must be a PNG that is transparent where the picture may be changed')
  if (size.width !== uploaded.width || size.height !== uploaded.height) throw unfit('mask', `must have the size of the picture, ${uploaded.width}x${uploaded.height}`)
  const { data, info } = await openPicture(bytes, limits.maxPixels)
    .autoOrient()
    .resize({ width: cleaned.width, height: cleaned.height, fit: 'fill', kernel: 'nearest' })
    .toColourspace('srgb')
    .ensureAlpha()
    .png()
    .toBuffer({ resolveWithObject: true })
    .catch((error: unknown): never => notClean('mask', error, limits))
  return { bytes: data, mediaType: 'image/png', width: info.width, height: info.height, isCropped: false }
}

export interface UploadLimits {
  maxPixels: number
}

/** What the header tells, checked before anything is decoded. */
async function inspect(bytes: Uint8Array, field: string, limits: UploadLimits): Promise<{ size: Size; hasAlpha: boolean; mediaType: string }> {
  const mediaType = await checkType(bytes, field)
  const metadata = await openPicture(bytes, limits.maxPixels).metadata().catch((error: unknown): never => notClean(field, error, limits))
  if ((metadata.pages ?? 1) > 1) throw unfit(field, 'moves: send a still picture')
  const { width, height } = metadata.autoOrient
  const [shorter, longer] = [Math.min(width, height), Math.max(width, height)]
  if (longer > MAX_SIDE) throw unfit(field, `has a side of ${longer} pixels, more than ${MAX_SIDE}`)
  if (shorter < MIN_SIDE) throw unfit(field, `has a side of ${shorter} pixels, fewer than ${MIN_SIDE}`)
  return { size: { width, height }, hasAlpha: metadata.hasAlpha, mediaType }
}

async function checkType(bytes: Uint8Array, field: string): Promise<string> {
  const type = await fileTypeFromBuffer(bytes)
  if (type?.mime === 'image/apng') throw unfit(field, 'moves: send a still picture')
  if (type && ACCEPTED_TYPES.includes(type.mime)) return type.mime
  throw new AppError('unsupported_media_type', `The ${field} must be a JPEG, PNG or WebP file.`, { details: [{ path: field, message: 'must be a JPEG, PNG or WebP file' }] })
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

const unfit = (field: string, message: string, cause?: unknown) => new AppError('invalid_request', `The ${field} ${message}.`, { details: [{ path: field, message }], cause })

function notClean(field: string, error: unknown, { maxPixels }: UploadLimits): never {
  const failure = decodeFailureOf(error)
  if (failure === 'trouble') throw error
  throw failure === 'too many pixels' ? unfit(field, `has more than ${maxPixels} pixels`, error) : unfit(field, 'is broken: it cannot be decoded', error)
}
