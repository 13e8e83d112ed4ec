/** What may be handed to a browser as a file to keep, known by its first bytes. */
import { fileTypeFromBuffer } from 'file-type'

export interface MediaKind {
  mediaType: string
  /** Those that fit, without the dot, the usual one first. */
  extensions: readonly [string, ...string[]]
}

/** As many bytes as the recognition looks at. */
export const SAMPLE_BYTES = 4100

const kind = (mediaType: string, ...extensions: MediaKind['extensions']): MediaKind => ({ mediaType, extensions })
const M4A = kind('audio/mp4', 'm4a', 'm4b', 'mp4')
const OGG = kind('audio/ogg', 'ogg', 'opus', 'oga')

/** By the recognition's own words. SVG is left out, as HTML is: it is a program. */
const KINDS: Readonly<Record<string, MediaKind>> = {
  'image/jpeg': kind('image/jpeg', 'jpg', 'jpeg'),
  'image/png': kind('image/png', 'png'),
  'image/apng': kind('image/apng', 'png', 'apng'),
  'image/gif': kind('image/gif', 'gif'),
  'image/webp': kind('image/webp', 'webp'),
  'image/avif': kind('image/avif', 'avif'),
  'image/heic': kind('image/heic', 'heic'),
  'image/heif': kind('image/heif', 'heif', 'heic', 'avif'),
  'image/jxl': kind('image/jxl', 'jxl'),
  'image/tiff': kind('image/tiff', 'tif', 'tiff'),
  'image/bmp': kind('image/bmp', 'bmp'),
  'video/mp4': kind('video/mp4', 'mp4', 'm4v'),
  'video/x-m4v': kind('video/mp4', 'mp4', 'm4v'),
  'video/quicktime': kind('video/quicktime', 'mov', 'qt'),
  'video/webm': kind('video/webm', 'webm'),
  'video/matroska': kind('video/matroska', 'mkv'),
  'audio/mpeg': kind('audio/mpeg', 'mp3'),
  'audio/mp4': M4A,
  'audio/x-m4a': M4A,
  'audio/aac': kind('audio/aac', 'aac'),
  'audio/wav': kind('audio/wav', 'wav'),
  'audio/flac': kind('audio/flac', 'flac'),
  'audio/ogg': OGG,
  'audio/ogg; codecs=opus': OGG,
}

export const MEDIA_KINDS: readonly MediaKind[] = Object.values(KINDS)

/** @param sample the file's beginning. @returns undefined for what is not on the list. */
export async function mediaKindOf(sample: Uint8Array): Promise<MediaKind | undefined> {
  const type = await fileTypeFromBuffer(sample)
  return type && KINDS[type.mime]
}
