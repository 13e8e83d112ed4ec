/** What the core asks of whoever handles bytes: fetching, looking at pictures, keeping files. */
import type { Readable } from 'node:stream'
import type { Size } from './provider.ts'

export interface Picture {
  bytes: Uint8Array
  /** As the bytes tell it, never as a header claims. */
  mediaType: string
  /** Without the dot. */
  extension: string
  /** As displayed, orientation applied. */
  width: number
  height: number
}

export interface Preview {
  /** WebP, at most 512 pixels on its longer side. */
  thumbnail: Uint8Array
  /** A thumbhash in base64. */
  placeholder: string
}

/** A video as its own bytes tell it. */
export interface VideoFacts {
  /** Seconds, as measured. */
  duration: number
  /** As displayed, rotation applied. */
  width: number
  height: number
  mediaType: string
}

/** What a cleaned picture must fit. Sides in pixels. */
export interface PictureFit {
  /** Width divided by height; the picture is cut to it, its middle kept. Left whole where absent. */
  ratio?: number | undefined
  minSide: number
  maxSide: number
  /** Whether what is transparent stays so; else it becomes white. */
  keepsAlpha?: boolean | undefined
}

/** A user's picture, made anew: nothing of the upload but its pixels is in it. */
export interface CleanPicture {
  bytes: Uint8Array
  mediaType: string
  width: number
  height: number
  /** Whether some of the picture had to be cut off. */
  isCropped: boolean
}

/** A file on its way. */
export interface FileStream {
  body: Readable
  /** In bytes, where the sender tells. */
  contentLength: number | undefined
}

export interface DownloadOptions {
  /** The one origin that may be private, see `Provider`. */
  trustedOrigin?: string | undefined
  /** Sent to the file's own origin alone. */
  headers?: Record<string, string> | undefined
  /** Whose file it is, for the audit log. */
  onBehalfOf?: { userId: string; generationId: string } | undefined
}

export interface Media {
  /**
   * Fetches a provider's file through the guard, into memory.
   * @throws {AppError} `output_invalid` (refused address, wrong answer), `output_too_large`, `output_expired`, or
   *   `output_unavailable`, which may pass.
   */
  fetchPicture(url: string, options: DownloadOptions): Promise<Uint8Array>
  /**
   * Opens a provider's file through the guard, to be read as it arrives.
   * @throws {AppError} as `fetchPicture`; failures in mid-stream destroy the body with the same errors.
   */
  openFile(url: string, options: DownloadOptions & { signal: AbortSignal }): Promise<FileStream>
  /**
   * Passes a video through, untouched, and tells what it was once all of it has passed.
   * @throws {AppError} from the stream: `output_invalid` when it is no video or is cut short, `output_too_large`,
   *   `output_unavailable` when the source ends before its length.
   */
  readVideo(source: FileStream): InspectedVideo
  /**
   * Makes a user's upload safe to pass on: decoded, turned upright, cut and scaled to `fit`, encoded anew.
   * @throws {AppError} `unsupported_media_type` for another type, `invalid_request` with details for an animated, broken
   *   or too large picture.
   */
  cleanPicture(bytes: Uint8Array, fit: PictureFit): Promise<CleanPicture>
  /** The size of an upload as displayed, by its header alone. @throws {AppError} as `cleanPicture`, for what its header tells. */
  measurePicture(bytes: Uint8Array): Promise<Size>
  /**
   * Makes a mask safe to pass on and scales it as its picture was.
   * @param sizes of the picture: as uploaded, and as cleaned.
   * @throws {AppError} `invalid_request` when it is no PNG with transparency or not of the picture's size.
   */
  cleanMask(bytes: Uint8Array, sizes: { uploaded: Size; cleaned: Size }): Promise<CleanPicture>
  /**
   * Tells what the bytes are, from their beginning.
   * @throws {AppError} `output_invalid` when they are no picture that may be stored.
   */
  inspectPicture(bytes: Uint8Array): Promise<Picture>
  /** The picture cut to `size`, the middle kept. */
  resizePicture(picture: Picture, size: Size): Promise<Picture>
  /**
   * Decodes the whole picture, which proves it, and draws what a gallery shows before it is loaded.
   * @throws {AppError} `output_invalid` when it cannot be decoded.
   */
  previewPicture(picture: Picture): Promise<Preview>
}

export interface InspectedVideo {
  /** The same bytes. Whoever reads it to its end finds its facts in `facts`. */
  body: Readable
  /** Settles when the body has ended; rejects as the body does. */
  facts: Promise<VideoFacts & { bytes: number; sha256: string }>
}

export interface FileStore {
  readonly bucket: string
  /**
   * Stores a file, in place of one at the same path: a repeated step writes the same bytes.
   * @throws {AppError} `storage_unavailable`, which may pass, or `output_too_large` for the bucket's or project's limit.
   */
  put(path: string, bytes: Uint8Array, mediaType: string): Promise<void>
  /**
   * Stores a file as it arrives, in place of one at the same path. Nothing of its size is held in memory.
   * @param file.contentLength in bytes, where it is known: a body of another length is an error.
   * @param options.onProgress bytes stored so far.
   * @throws {AppError} as `put`; a body that fails with an `AppError` fails with that.
   */
  putStream(path: string, file: FileStream, mediaType: string, options?: { signal?: AbortSignal; onProgress?: (bytes: number) => void }): Promise<void>
  /** The stable URL, or null when the bucket is private. */
  publicUrl(path: string): string | null
  /** A URL that works now: the public one, or one signed for a limited time. */
  readableUrl(path: string): Promise<string>
  /** Removes files; one that is not there counts as removed. A path that ends with `/` is a folder, one that ends with `.` whatever begins so. */
  remove(paths: string[]): Promise<void>
}
