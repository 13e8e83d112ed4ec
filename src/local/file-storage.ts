/** Where the local Storage keeps its bytes: plain files under one directory. */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { copyFile, mkdir, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { randomUUID } from 'node:crypto'
import type { ReadableStream } from 'node:stream/web'

interface Metadata {
  cacheControl: string
  contentLength: number
  size: number
  mimetype: string
  lastModified: Date
  eTag: string
  httpStatusCode?: number
}

/** The shape that `@supabase/lite` expects of a storage adapter. */
export class FileStorage {
  readonly driver = 'files'
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  async uploadObject(bucket: string, key: string, _version: string | undefined, body: ReadableStream | Uint8Array, mimetype: string, cacheControl: string): Promise<Metadata> {
    const file = this.#file(bucket, key)
    await mkdir(path.dirname(file), { recursive: true })
    const unfinished = `${file}.${randomUUID()}`
    const hash = createHash('md5')
    const hashing = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk)
        done(null, chunk)
      },
    })
    try {
      await pipeline(body instanceof Uint8Array ? Readable.from([Buffer.from(body)]) : Readable.fromWeb(body), hashing, createWriteStream(unfinished))
      await rename(unfinished, file)
    } catch (error) {
      await rm(unfinished, { force: true })
      throw error
    }
    const { size, mtime } = await stat(file)
    return { cacheControl, contentLength: size, size, mimetype, lastModified: mtime, eTag: `"${hash.digest('hex')}"` }
  }

  async getObject(bucket: string, key: string): Promise<{ httpStatusCode: number; metadata: Metadata; body: ReadableStream }> {
    const metadata = await this.headObject(bucket, key)
    const body = Readable.toWeb(createReadStream(this.#file(bucket, key))) as ReadableStream
    return { httpStatusCode: 200, metadata, body }
  }

  async headObject(bucket: string, key: string): Promise<Metadata> {
    const { size, mtime } = await stat(this.#file(bucket, key))
    const eTag = `"${createHash('md5').update(`${key}:${mtime.getTime()}`).digest('hex')}"`
    return { cacheControl: 'no-cache', contentLength: size, size, mimetype: 'application/octet-stream', lastModified: mtime, eTag }
  }

  async deleteObject(bucket: string, key: string): Promise<void> {
    await rm(this.#file(bucket, key), { force: true })
  }

  async deleteObjects(bucket: string, keys: string[]): Promise<void> {
    for (const key of keys) await this.deleteObject(bucket, key)
  }

  async copyObject(bucket: string, key: string, _version: string | undefined, toBucket: string, toKey: string) {
    const target = this.#file(toBucket, toKey)
    await mkdir(path.dirname(target), { recursive: true })
    await copyFile(this.#file(bucket, key), target)
    const { eTag, lastModified } = await this.headObject(toBucket, toKey)
    return { httpStatusCode: 200, eTag, lastModified }
  }

  async privateAssetUrl(bucket: string, key: string): Promise<string> {
    return `file://${this.#file(bucket, key)}`
  }

  /** The local Storage lets any key through; one that climbs out of its bucket must not become a path. */
  #file(bucket: string, key: string): string {
    const root = path.join(this.#directory, bucket)
    const file = path.join(root, key)
    if (!file.startsWith(root + path.sep)) throw new Error(`The key ${key} leaves its bucket.`)
    return file
  }
}
