/** Whether a backup is whole and as it was written: read to its last byte before anything is believed of it. */
import path from 'node:path'
import { hasProperPath } from './fetch-files.ts'
import { BackupError, fileEntrySchema, keptFile, listFile, readManifest, tableFile, usersFile, type Manifest } from './manifest.ts'
import { measureFile, readJsonLines, type Measured } from './measured-files.ts'
import { createTally, type OnProgress } from './progress.ts'

const MAX_COMPLAINTS = 10

/** @throws {BackupError} that names what is missing or damaged. */
export async function verifyBackup(directory: string, onProgress?: OnProgress): Promise<Manifest> {
  const manifest = await readManifest(directory)
  const parts: [file: string, wanted: Measured][] = [
    ...manifest.tables.map((table): [string, Measured] => [tableFile(directory, manifest, table.name), table]),
    [usersFile(directory, manifest), manifest.users],
    [listFile(directory, manifest), manifest.files.list],
  ]
  const complaints: string[] = []
  for (const [file, wanted] of parts) await complainOf(file, wanted, directory, complaints)
  if (complaints.length === 0) await verifyFiles(directory, manifest, complaints, onProgress)
  if (complaints.length === 0) return manifest
  const more = complaints.length > MAX_COMPLAINTS ? [`and ${complaints.length - MAX_COMPLAINTS} more`] : []
  throw new BackupError(`The backup in ${directory} is damaged:\n${[...complaints.slice(0, MAX_COMPLAINTS), ...more].map((line) => `  ${line}`).join('\n')}`)
}

/** What the list says is believed no more than any other words: it must name files of a bucket, and those must be here. */
async function verifyFiles(directory: string, manifest: Manifest, complaints: string[], onProgress: OnProgress | undefined): Promise<void> {
  const tally = createTally(onProgress, (count) => `${count} files are as they were written`)
  for await (const line of readJsonLines<unknown>(listFile(directory, manifest))) {
    const { data: entry } = fileEntrySchema.safeParse(line)
    if (!entry) complaints.push('the list of files has a line that cannot be understood')
    else if (entry.problem === undefined && !hasProperPath(entry)) complaints.push(`the list of files names ${JSON.stringify(entry.path)}, which leads elsewhere`)
    else if (entry.problem === undefined && manifest.files.areKept) await complainOf(keptFile(directory, entry), { bytes: entry.size ?? -1, sha256: entry.sha256 ?? '' }, directory, complaints)
    tally()
  }
}

async function complainOf(file: string, wanted: Measured, directory: string, complaints: string[]): Promise<void> {
  const found = await measureFile(file)
  const name = path.relative(directory, file)
  if (!found) complaints.push(`${name} is missing`)
  else if (found.bytes !== wanted.bytes) complaints.push(`${name} has ${found.bytes} bytes instead of ${wanted.bytes}`)
  else if (found.sha256 !== wanted.sha256) complaints.push(`${name} is not what was written`)
}
