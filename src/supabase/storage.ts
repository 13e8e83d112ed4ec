/** Supabase Storage through supabase-js, with its errors in our words. */
import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import { AppError } from '../errors.ts'
import type { FileStore } from '../generation/files.ts'

export interface StorageOptions {
  url: string
  secretKey: string
  bucket: string
  access: 'public' | 'private'
  signedUrlSeconds: number
  timeoutMs: number
}

export interface Storage extends FileStore {
  /** Makes the bucket what the configuration says. @throws {AppError} `storage_unavailable`. */
  prepareBucket(): Promise<void>
  /** A free call that proves the key and the bucket. @throws {AppError} `storage_unavailable`. */
  probe(): Promise<void>
}

/** Paths never change their content, so browsers and CDNs may keep them for ever. */
const CACHE_FOREVER = 'public, max-age=31536000, immutable'
const REMOVE_BATCH = 1000
const LIST_PAGE = 1000

export function createStorage(options: StorageOptions): Storage {
  const { bucket, access } = options
  const { storage } = createStorageClient(options)
  const files = storage.from(bucket)
  const publicUrl = (path: string) => (access === 'public' ? files.getPublicUrl(path).data.publicUrl : null)

  async function listFolder(folder: string): Promise<string[]> {
    const { data, error } = await files.list(folder.replace(/\/$/, ''), { limit: LIST_PAGE })
    if (error) throw toStorageError(error)
    // The local Storage answers whole keys where the real one answers names.
    return data.map((entry) => folder + entry.name.slice(entry.name.lastIndexOf('/') + 1))
  }

  return {
    bucket,
    publicUrl,

    async put(path, bytes, mediaType) {
      const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const { error } = await files.upload(path, body, { contentType: mediaType, upsert: true, headers: { 'cache-control': CACHE_FOREVER } })
      if (error) throw toStorageError(error)
    },

    async readableUrl(path) {
      const url = publicUrl(path)
      if (url !== null) return url
      const { data, error } = await files.createSignedUrl(path, options.signedUrlSeconds)
      if (error) throw toStorageError(error)
      return data.signedUrl
    },

    async remove(paths) {
      const folders = paths.filter((path) => path.endsWith('/'))
      const listed = await Promise.all(folders.map(listFolder))
      const all = [...new Set([...paths.filter((path) => !path.endsWith('/')), ...listed.flat()])]
      for (let at = 0; at < all.length; at += REMOVE_BATCH) {
        const { error } = await files.remove(all.slice(at, at + REMOVE_BATCH))
        if (error) throw toStorageError(error)
      }
    },

    async prepareBucket() {
      const { data, error } = await storage.getBucket(bucket)
      if (error && !isMissing(error)) throw toStorageError(error)
      const wanted = { public: access === 'public' }
      if (data?.public === wanted.public) return
      const result = data ? await storage.updateBucket(bucket, wanted) : await storage.createBucket(bucket, wanted)
      if (result.error && codeOf(result.error) !== '409') throw toStorageError(result.error)
    },

    async probe() {
      const { error } = await storage.getBucket(bucket)
      if (error) throw toStorageError(error)
    },
  }
}

function createStorageClient(options: StorageOptions): SupabaseClient {
  return createClient(options.url, options.secretKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    // storage-js takes no signal. Without `redirect: 'error'` Node's fetch keeps a copy of a streamed body.
    global: { fetch: (input, init) => fetch(input, { ...init, redirect: 'error', signal: AbortSignal.timeout(options.timeoutMs) }) },
  })
}

/** Storage answers HTTP 400 for nearly everything; the true word is in `code`, or in `statusCode` as text. */
function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  const { code, statusCode, status } = error as { code?: unknown; statusCode?: string; status?: number }
  if (typeof code === 'string' && code !== '') return CODES[code] ?? code
  return String(statusCode ?? status ?? '')
}

const CODES: Record<string, string> = {
  KeyAlreadyExists: '409',
  ResourceAlreadyExists: '409',
  NoSuchBucket: '404',
  NoSuchKey: '404',
  EntityTooLarge: '413',
  AccessDenied: '403',
  InvalidMimeType: '415',
}

const isMissing = (error: unknown): boolean => codeOf(error) === '404' || /bucket not found/i.test(String((error as Error).message))

function toStorageError(cause: unknown): AppError {
  const code = codeOf(cause)
  if (code === '413') return new AppError('output_too_large', 'The file is larger than the storage of this project allows.', { cause })
  if (code === '402') return new AppError('storage_unavailable', "The project's storage is over its quota.", { cause, retryAfterSeconds: 60 })
  return new AppError('storage_unavailable', 'The storage cannot be reached right now.', { cause, retryAfterSeconds: 5 })
}
