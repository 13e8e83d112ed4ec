/** The manifest of a backup: written last, so that what has none, or one that does not match, is no backup. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { z } from 'zod'
import { replaceFile } from './measured-files.ts'

export const MANIFEST = 'manifest.json'
/** Where the files of a backup lie, each at its bucket and path. */
export const FILES_FOLDER = 'files'
/** Marks a directory as one of ours and tells people what is in it. */
export const ABOUT = 'ABOUT.txt'

/** The same in one line, for whoever has the manifest alone. */
export const ABOUT_LINE = "Rows are in the text format of Postgres's COPY, UTF-8, with the columns in this order, one table a file of this folder; the files of Storage are listed in its files.jsonl."

export const ABOUT_TEXT = `A backup of Darkroom, to be brought back with: npm run admin -- restore <this directory>

manifest.json        what belongs to the backup, with sizes, counts and SHA-256 hashes; without it this is no backup
rows.<id>/*.copy     the rows of one table each, in the text format of Postgres's COPY, UTF-8, one row a line; the columns
                     stand in the manifest. By hand: \\copy public.prompts (id, user_id, …) from 'public.prompts.copy'
rows.<id>/users.copy the ids of the users whom the rows belong to. The users themselves are here only of a local project
rows.<id>/files.jsonl one file of Storage a line: bucket, path, size, sha256, contentType; problem, where it is not kept
files/<bucket>/…     the files themselves, where the backup was made with --files
`

const measured = { bytes: z.int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) }

const bodySchema = z.object({
  format: z.literal('darkroom-backup'),
  version: z.literal(1),
  about: z.string(),
  /** When the snapshot was taken. */
  createdAt: z.iso.datetime(),
  /** The project's own address, which the rows' links begin with. */
  supabaseUrl: z.string(),
  /** Versions of the migrations that the database had. */
  migrations: z.array(z.string()),
  /** The folder of everything but the files. */
  folder: z.string().regex(/^rows\.[\w-]+$/),
  tables: z.array(z.object({ name: z.string().regex(/^[a-z_]+\.[a-z_]+$/), columns: z.array(z.string()), rows: z.int().min(0), ...measured })),
  users: z.object({ count: z.int().min(0), ...measured }),
  buckets: z.array(z.object({ id: z.string(), public: z.boolean() })),
  files: z.object({
    /** Whether the files themselves are part of the backup. */
    areKept: z.boolean(),
    count: z.int().min(0),
    /** Of those that are kept. */
    keptBytes: z.int().min(0),
    /** Files that could not be kept. */
    problems: z.int().min(0),
    list: z.object(measured),
  }),
})

const manifestSchema = z.object({ ...bodySchema.shape, /** Of everything before it. */ sha256: z.string() })

export type Manifest = z.infer<typeof bodySchema>

/** A line of the list of files. */
export const fileEntrySchema = z.object({
  bucket: z.string(),
  path: z.string(),
  /** In bytes. Null where the row does not tell and the file was not read. */
  size: z.int().min(0).nullable(),
  sha256: z.string().nullable(),
  contentType: z.string(),
  /** Why it is not kept. */
  problem: z.enum(['missing', 'differs from its row', 'unreadable', 'no proper path']).optional(),
})

export type FileEntry = z.infer<typeof fileEntrySchema>

/** Something is wrong with a backup, in words for whoever runs the command. */
export class BackupError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'BackupError'
  }
}

export const tableFile = (directory: string, { folder }: Pick<Manifest, 'folder'>, table: string): string => path.join(directory, folder, `${table}.copy`)
export const usersFile = (directory: string, { folder }: Pick<Manifest, 'folder'>): string => path.join(directory, folder, 'users.copy')
export const listFile = (directory: string, { folder }: Pick<Manifest, 'folder'>): string => path.join(directory, folder, 'files.jsonl')
export const keptFile = (directory: string, { bucket, path: key }: Pick<FileEntry, 'bucket' | 'path'>): string => path.join(directory, FILES_FOLDER, bucket, key)

const hashOf = (body: object): string => createHash('sha256').update(JSON.stringify(body)).digest('hex')

export async function writeManifest(directory: string, manifest: Manifest): Promise<void> {
  const text = `${JSON.stringify({ ...manifest, sha256: hashOf(manifest) }, null, 2)}\n`
  await replaceFile(Readable.from([Buffer.from(text)]), path.join(directory, MANIFEST), () => true)
}

/** @throws {BackupError} when there is none, or it is not as it was written. */
export async function readManifest(directory: string): Promise<Manifest> {
  const text = await readFile(path.join(directory, MANIFEST), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    throw new BackupError(`There is no whole backup in ${directory}: it has no ${MANIFEST}.`)
  })
  const broken = new BackupError(`The ${MANIFEST} of ${directory} is damaged.`)
  let written: unknown
  try {
    written = JSON.parse(text)
  } catch {
    throw broken
  }
  const version = z.object({ format: z.literal('darkroom-backup'), version: z.int() }).safeParse(written)
  if (version.success && version.data.version > bodySchema.shape.version.value) throw new BackupError(`The backup in ${directory} was made by a newer version of Darkroom (format ${version.data.version}).`)
  const parsed = manifestSchema.safeParse(written)
  // What was written is hashed as it stands, with whatever else it holds.
  const { sha256, ...body } = written as Record<string, unknown>
  if (!parsed.success || sha256 !== hashOf(body)) throw broken
  return bodySchema.parse(body)
}
