/** Where the local Storage keeps its bytes: plain files under one directory. */
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { copyFile, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
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

type Notes = Pick<Metadata, 'mimetype' | 'cacheControl' | 'eTag'>

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
    const notes: Notes = { mimetype, cacheControl, eTag: `"${hash.digest('hex')}"` }
    await mkdir(path.dirname(this.#notes(bucket, key)), { recursive: true })
    await writeFile(this.#notes(bucket, key), JSON.stringify(notes))
    return await this.headObject(bucket, key)
  }

  async getObject(bucket: string, key: string): Promise<{ httpStatusCode: number; metadata: Metadata; body: ReadableStream }> {
    const metadata = await this.headObject(bucket, key)
    const body = Readable.toWeb(createReadStream(this.#file(bucket, key))) as ReadableStream
    return { httpStatusCode: 200, metadata, body }
  }

  async headObject(bucket: string, key: string): Promise<Metadata> {
    const { size, mtime } = await stat(this.#file(bucket, key))
    const notes = JSON.parse(await readFile(this.#notes(bucket, key), 'utf8')) as Notes
    return { ...notes, contentLength: size, size, lastModified: mtime }
  }

  async deleteObject(bucket: string, key: string): Promise<void> {
    await rm(this.#file(bucket, key), { force: true })
    await rm(this.#notes(bucket, key), { force: true })
  }

  async deleteObjects(bucket: string, keys: string[]): Promise<void> {
    for (const key of keys) await this.deleteObject(bucket, key)
  }

  async copyObject(bucket: string, key: string, _version: string | undefined, toBucket: string, toKey: string) {
    const target = this.#file(toBucket, toKey)
    await mkdir(path.dirname(target), { recursive: true })
    await copyFile(this.#file(bucket, key), target)
    await mkdir(path.dirname(this.#notes(toBucket, toKey)), { recursive: true })
    await copyFile(this.#notes(bucket, key), this.#notes(toBucket, toKey))
    const { eTag, lastModified } = await this.headObject(toBucket, toKey)
    return { httpStatusCode: 200, eTag, lastModified }
  }

  async privateAssetUrl(bucket: string, key: string): Promise<string> {
    return `file://${this.#file(bucket, key)}`
  }

  /** What is served with a file: its bytes alone do not tell. */
  #notes(bucket: string, key: string): string {
    this.#file(bucket, key)
    return path.join(this.#directory, '.notes', bucket, `${key}.json`)
  }

  /** The local Storage lets any key through; one that climbs out of its bucket must not become a path. */
  #file(bucket: string, key: string): string {
    const root = path.join(this.#directory, bucket)
    const file = path.join(root, key)
    if (!file.startsWith(root + path.sep)) throw new Error(`The key ${key} leaves its bucket.`)
    return file
  }
}
