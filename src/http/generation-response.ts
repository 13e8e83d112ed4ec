/** How generations and their files look in answers: chosen field by field, so that no column leaks by accident. */
import { AppError } from '../errors.ts'
import type { FileStore } from '../generation/files.ts'
import type { Generation, StoredImage, StoredVideo } from '../generation/records.ts'

/** What to wait where the vendor told no time. */
const RATE_LIMIT_PAUSE_SECONDS = 30

export async function toGenerationResponse(generation: Generation, files: FileStore) {
  return {
    id: generation.id,
    promptId: generation.promptId,
    kind: generation.kind,
    model: generation.model,
    provider: generation.provider,
    status: generation.status,
    progress: generation.progress,
    error: generation.error,
    warnings: generation.warnings,
    attempts: generation.attempts,
    cached: generation.cached,
    estimatedCostMicros: generation.estimatedCostMicros,
    costMicros: generation.costMicros,
    createdAt: generation.createdAt.toISOString(),
    startedAt: generation.startedAt?.toISOString() ?? null,
    finishedAt: generation.finishedAt?.toISOString() ?? null,
    images: await Promise.all(generation.images.map((image) => toImageResponse(image, files))),
    videos: await Promise.all(generation.videos.map((video) => toVideoResponse(video, files))),
  }
}

export async function toImageResponse(image: StoredImage & { id: string }, files: FileStore) {
  const bucketUrl = image.bucketUrl ?? (await files.readableUrl(image.storagePath))
  return {
    id: image.id,
    url: image.url ?? bucketUrl,
    bucketUrl,
    size: image.size,
    storagePath: image.storagePath,
    width: image.width,
    height: image.height,
    mimeType: image.mimeType,
    fileSize: image.fileSize,
    thumbnailUrl: image.thumbnailUrl ?? (await files.readableUrl(image.thumbnailPath)),
    placeholder: image.placeholder,
  }
}

export async function toVideoResponse(video: StoredVideo & { id: string }, files: FileStore) {
  const bucketUrl = video.bucketUrl ?? (await files.readableUrl(video.storagePath))
  return {
    id: video.id,
    url: video.url ?? bucketUrl,
    bucketUrl,
    duration: video.duration,
    aspectRatio: video.aspectRatio,
    storagePath: video.storagePath,
    width: video.width,
    height: video.height,
    mimeType: video.mimeType,
    fileSize: video.fileSize,
  }
}

/** The error of a generation that did not succeed, as its request answers it. */
export function toFailure({ id, status, error }: Generation): AppError {
  if (status === 'cancelled') return new AppError('conflict', 'This generation was cancelled.', { generationId: id })
  const { code, message } = error ?? { code: 'internal_error' as const, message: 'Something went wrong inside the service.' }
  return new AppError(code, message, { generationId: id, ...(code === 'provider_rate_limited' && { retryAfterSeconds: RATE_LIMIT_PAUSE_SECONDS }) })
}
