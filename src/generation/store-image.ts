/** One finished picture into storage: fetched, proven, cut to size, kept with its preview. */
import { createHash } from 'node:crypto'
import { AppError } from '../errors.ts'
import { toSizeText } from './catalog.ts'
import type { FileStore, Media, Picture } from './files.ts'
import type { Output, Provider, Size } from './provider.ts'
import type { ImagePlan } from './image-request.ts'
import type { GenerationWork, StoredImage } from './records.ts'

export interface StoreImageInput {
  work: GenerationWork & { plan: ImagePlan }
  index: number
  output: Output
  /** The one origin that may be private, see `Provider`. */
  trustedOrigin: string | undefined
  downloadHeaders: Provider['downloadHeaders']
  media: Media
  files: FileStore
}

/** Safe to repeat: it writes the same files to the same paths. */
export async function storeImage({ work, index, output, trustedOrigin, downloadHeaders, media, files }: StoreImageInput): Promise<StoredImage> {
  const bytes = output.type === 'bytes' ? output.bytes : await media.fetchPicture(output.url, { trustedOrigin, headers: downloadHeaders?.(output.url), onBehalfOf: { userId: work.userId, generationId: work.id } })
  const inspected = await media.inspectPicture(bytes)
  const picture = work.plan.isAnySize ? inspected : await toWantedSize(media, inspected, work.plan.size)
  const folder = `${work.userId}/${work.id}`
  const path = `${folder}/${index}.${picture.extension}`
  const thumbnailPath = `${folder}/${index}.thumb.webp`
  // The upload does not wait for the decode. A picture that fails it fails the step, and its folder is emptied.
  const [preview] = await allSettledOrThrow([
    media.previewPicture(picture).then(async (made) => {
      await files.put(thumbnailPath, made.thumbnail, 'image/webp')
      return made
    }),
    files.put(path, picture.bytes, picture.mediaType),
  ])
  return {
    index,
    // A provider that sends bytes has no URL of its own: whoever shows `url` still gets a picture.
    url: output.type === 'url' ? output.url : files.publicUrl(path),
    size: toSizeText(picture),
    fileSize: picture.bytes.length,
    mimeType: picture.mediaType,
    storagePath: path,
    bucketUrl: files.publicUrl(path),
    width: picture.width,
    height: picture.height,
    sha256: createHash('sha256').update(picture.bytes).digest('hex'),
    thumbnailPath,
    thumbnailUrl: files.publicUrl(thumbnailPath),
    placeholder: preview.placeholder,
  }
}

/** A vendor may answer another size than the one asked for: what is wanted is cut from it wherever it fits in. */
async function toWantedSize(media: Media, picture: Picture, wanted: Size): Promise<Picture> {
  if (picture.width === wanted.width && picture.height === wanted.height) return picture
  const fitsIn = picture.width >= wanted.width && picture.height >= wanted.height
  return fitsIn ? await media.resizePicture(picture, wanted) : picture
}

/** Like Promise.all, but nothing is still running in the background when it throws: the folder may be emptied next. */
async function allSettledOrThrow<A, B>(tasks: [Promise<A>, Promise<B>]): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled(tasks)
  const failures = [a, b].flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []))
  // A picture that is no picture is worth telling before a storage that is away: it will not get better.
  const failure = failures.find((reason) => reason instanceof AppError && reason.code === 'output_invalid') ?? failures[0]
  if (failure !== undefined) throw failure
  return [(a as PromiseFulfilledResult<A>).value, (b as PromiseFulfilledResult<B>).value]
}
