/** One finished video into storage, as it arrives: hashed, measured and recognised on the way, never held. */
import { Readable } from 'node:stream'
import type { FileStore, FileStream, Media } from './files.ts'
import type { Output, Provider } from './provider.ts'
import type { GenerationWork, StoredVideo } from './records.ts'
import { nameRatio, type VideoPlan } from './video-request.ts'

export interface StoreVideoInput {
  work: GenerationWork & { plan: VideoPlan }
  index: number
  output: Output
  /** The one origin that may be private, see `Provider`. */
  trustedOrigin: string | undefined
  downloadHeaders: Provider['downloadHeaders']
  media: Media
  files: FileStore
  /** Ends the transfer. */
  signal: AbortSignal
  /** Called now and then with the share of the file that is stored, 0 to 1, where its length is known. */
  onProgress: (share: number) => void
}

const VIDEO_TYPE = 'video/mp4'
/** How often a transfer may write its progress. */
const PROGRESS_MS = 1000

/** Safe to repeat: it writes the same file to the same path. */
export async function storeVideo({ work, index, output, trustedOrigin, downloadHeaders, media, files, signal, onProgress }: StoreVideoInput): Promise<StoredVideo> {
  const source = output.type === 'url' ? await media.openFile(output.url, { trustedOrigin, headers: downloadHeaders?.(output.url), onBehalfOf: { userId: work.userId, generationId: work.id }, signal }) : toStream(output.bytes)
  const { body, facts } = media.readVideo(source)
  const path = `${work.userId}/${work.id}/${index}.mp4`
  await files.putStream(path, { body, contentLength: source.contentLength }, VIDEO_TYPE, { signal, onProgress: shareOf(source.contentLength, onProgress) })
  const { duration, width, height, bytes, sha256, mediaType } = await facts
  return {
    index,
    // A provider that sends bytes has no URL of its own: whoever shows `url` still gets a video.
    url: output.type === 'url' ? output.url : files.publicUrl(path),
    duration: Math.round(duration * 1000) / 1000,
    aspectRatio: nameRatio(width, height, work.plan.aspectRatio),
    fileSize: bytes,
    mimeType: mediaType,
    storagePath: path,
    bucketUrl: files.publicUrl(path),
    width,
    height,
    sha256,
  }
}

const toStream = (bytes: Uint8Array): FileStream => ({ body: Readable.from([bytes], { objectMode: false }), contentLength: bytes.length })

function shareOf(contentLength: number | undefined, tell: (share: number) => void): (bytes: number) => void {
  let nextAt = Date.now() + PROGRESS_MS
  return (bytes) => {
    if (contentLength === undefined || Date.now() < nextAt) return
    nextAt = Date.now() + PROGRESS_MS
    tell(Math.min(1, bytes / contentLength))
  }
}
