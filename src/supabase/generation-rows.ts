/** Rows as Postgres gives them, and the core's words for them. */
import type { Warning } from '../generation/provider.ts'
import type { Attempt, Generation, GenerationStatus, RecordedError, StoredImage, StoredVideo } from '../generation/records.ts'

interface ImageRow {
  id: string
  index: number
  url: string | null
  size: string
  file_size: number
  mime_type: string
  storage_path: string
  bucket_url: string | null
  width: number
  height: number
  sha256: string
  thumbnail_path: string
  thumbnail_url: string | null
  placeholder: string
}

interface VideoRow {
  id: string
  index: number
  url: string | null
  duration: number
  /** Null only in rows that this service did not write. */
  duration_seconds: number | null
  aspect_ratio: string
  file_size: number
  mime_type: string
  storage_path: string
  bucket_url: string | null
  width: number
  height: number
  sha256: string
}

export interface GenerationRow {
  id: string
  prompt_id: string
  kind: string
  requested_model: string
  model: string
  provider: string
  status: GenerationStatus
  progress: number | null
  error: RecordedError | null
  warnings: Warning[]
  estimated_cost_micros: number | null
  cost_micros: number | null
  attempts: Attempt[]
  cached: boolean
  created_at: Date
  created_at_micros: string
  version: string
  started_at: Date | null
  finished_at: Date | null
  images: ImageRow[]
  videos: VideoRow[]
}

export function toGeneration(row: GenerationRow): Generation {
  return {
    id: row.id,
    promptId: row.prompt_id,
    kind: row.kind,
    requestedModel: row.requested_model,
    model: row.model,
    provider: row.provider,
    status: row.status,
    progress: row.progress,
    error: row.error,
    warnings: row.warnings,
    estimatedCostMicros: row.estimated_cost_micros,
    costMicros: row.cost_micros,
    attempts: row.attempts,
    cached: row.cached,
    createdAt: row.created_at,
    createdAtMicros: row.created_at_micros,
    version: row.version,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    images: row.images.map(toImage),
    videos: row.videos.map(toVideo),
  }
}

function toImage(row: ImageRow): StoredImage & { id: string } {
  return {
    id: row.id,
    index: row.index,
    url: row.url,
    size: row.size,
    fileSize: row.file_size,
    mimeType: row.mime_type,
    storagePath: row.storage_path,
    bucketUrl: row.bucket_url,
    width: row.width,
    height: row.height,
    sha256: row.sha256,
    thumbnailPath: row.thumbnail_path,
    thumbnailUrl: row.thumbnail_url,
    placeholder: row.placeholder,
  }
}

export function toImageRow(image: StoredImage): Omit<ImageRow, 'id'> {
  return {
    index: image.index,
    url: image.url,
    size: image.size,
    file_size: image.fileSize,
    mime_type: image.mimeType,
    storage_path: image.storagePath,
    bucket_url: image.bucketUrl,
    width: image.width,
    height: image.height,
    sha256: image.sha256,
    thumbnail_path: image.thumbnailPath,
    thumbnail_url: image.thumbnailUrl,
    placeholder: image.placeholder,
  }
}

function toVideo(row: VideoRow): StoredVideo & { id: string } {
  return {
    id: row.id,
    index: row.index,
    url: row.url,
    duration: row.duration_seconds ?? row.duration,
    aspectRatio: row.aspect_ratio,
    fileSize: row.file_size,
    mimeType: row.mime_type,
    storagePath: row.storage_path,
    bucketUrl: row.bucket_url,
    width: row.width,
    height: row.height,
    sha256: row.sha256,
  }
}

export function toVideoRow(video: StoredVideo): Omit<VideoRow, 'id' | 'duration'> {
  return {
    index: video.index,
    url: video.url,
    duration_seconds: video.duration,
    aspect_ratio: video.aspectRatio,
    file_size: video.fileSize,
    mime_type: video.mimeType,
    storage_path: video.storagePath,
    bucket_url: video.bucketUrl,
    width: video.width,
    height: video.height,
    sha256: video.sha256,
  }
}
