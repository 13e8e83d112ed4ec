/** Supabase Storage through supabase-js, with its errors in our words. */
import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import type { FileStore } from '../generation/files.ts'
import { codeOf, isMissing, toStorageError } from './storage-errors.ts'
import { createStorageFetch } from './storage-fetch.ts'
import { CACHE_FOREVER, checkPath, createStreamUpload } from './stream-upload.ts'

export interface StorageOptions {
  url: string
  secretKey: string
  bucket: string
  access: 'public' | 'private'
  signedUrlSeconds: number
  /** For one call; while a stream is stored, for a silence of Storage. */
  timeoutMs: number
}

export interface Storage extends FileStore {
  /** Makes the bucket what the configuration says. @throws {AppError} `storage_unavailable`. */
  prepareBucket(): Promise<void>
  /** A free call that proves the key and the bucket. @throws {AppError} `storage_unavailable`. */
  probe(): Promise<void>
}

const REMOVE_BATCH = 1000
const LIST_PAGE = 1000

export function createStorage(options: StorageOptions): Storage {
  const { bucket, access } = options
  const fetch = createStorageFetch(options)
  const { storage } = createStorageClient(options, fetch)
  const files = storage.from(bucket)
  const publicUrl = (path: string) => (access === 'public' ? files.getPublicUrl(path).data.publicUrl : null)

  /** A folder, or in one whatever begins with the last part of the path. */
  async function listPrefix(prefix: string): Promise<string[]> {
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
    const { data, error } = await files.list(folder.replace(/\/$/, ''), { limit: LIST_PAGE })
    if (error) throw toStorageError(error)
    // The local Storage answers whole keys where the real one answers names.
    return data.map((entry) => folder + entry.name.slice(entry.name.lastIndexOf('/') + 1)).filter((path) => path.startsWith(prefix))
  }

  return {
    bucket,
    publicUrl,
    putStream: createStreamUpload({ ...options, fetch }),

    async put(path, bytes, mediaType) {
      checkPath(path)
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
      const listed = await Promise.all(paths.filter(isPrefix).map(listPrefix))
      const all = [...new Set([...paths.filter((path) => !isPrefix(path)), ...listed.flat()])]
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

function createStorageClient(options: StorageOptions, fetch: typeof globalThis.fetch): SupabaseClient {
  return createClient(options.url, options.secretKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: { fetch },
  })
}

const isPrefix = (path: string): boolean => path.endsWith('/') || path.endsWith('.')
