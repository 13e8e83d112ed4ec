/** What the core asks of whoever handles bytes: fetching, looking at pictures, keeping files. */
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

export interface Media {
  /**
   * Fetches a provider's file through the guard, into memory.
   * @throws {AppError} `output_invalid` (refused address, wrong answer), `output_too_large`, `output_expired`, or
   *   `output_unavailable`, which may pass.
   */
  fetchPicture(url: string, options: { trustedOrigin?: string | undefined }): Promise<Uint8Array>
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

export interface FileStore {
  readonly bucket: string
  /**
   * Stores a file, in place of one at the same path: a repeated step writes the same bytes.
   * @throws {AppError} `storage_unavailable`, which may pass, or `output_too_large` for the bucket's or project's limit.
   */
  put(path: string, bytes: Uint8Array, mediaType: string): Promise<void>
  /** The stable URL, or null when the bucket is private. */
  publicUrl(path: string): string | null
  /** A URL that works now: the public one, or one signed for a limited time. */
  readableUrl(path: string): Promise<string>
  /** Removes files; one that is not there counts as removed. A path that ends with `/` is a folder. */
  remove(paths: string[]): Promise<void>
}
