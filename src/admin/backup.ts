/** Writes the rows of the project, and its files where they are wanted, into a directory. */
import { backUp } from '../backup/back-up.ts'
import type { FileEntry } from '../backup/manifest.ts'
import type { AdminCommand } from './command.ts'

export const backup: AdminCommand = {
  usage: `<directory> [--files]

  <directory>  a new one, or that of an earlier backup, which the new one takes the place of once it is whole
  --files      with the files of Storage; those that are there already stay

Writes the rows of the service as they are at this moment, and a list of their files with their hashes. Ended at any moment
and called again, it goes on. Users of a hosted project belong to Supabase Auth and are no part of it; those of the local
one are. What the audit log has encrypted stays so, and so do signing keys: by STORAGE_MASTER_KEY, which is in no backup.
Without one, what API keys sign with stands in it as it does in the database. Prints what was written; ends with 1 when
files are not as their rows say.`,
  options: { files: { type: 'boolean' } },
  arguments: ['directory'],
  async run({ arguments: [directory = ''], values, project, print, tell }) {
    const { manifest, fetched, deletedMeanwhile, problems } = await backUp({ project, directory, withFiles: values.files === true, onProgress: tell })
    const { tables, users, files } = manifest
    await print({
      directory,
      createdAt: manifest.createdAt,
      project: manifest.supabaseUrl,
      rows: Object.fromEntries(tables.map(({ name, rows }) => [name, rows])),
      users: users.count,
      files: { kept: files.areKept, count: files.count, bytes: files.keptBytes, fetched, deletedMeanwhile: deletedMeanwhile.map(toPlace), problems: problems.map((entry) => ({ file: toPlace(entry), problem: entry.problem })) },
    })
    if (problems.length > 0) throw new Error(`The backup in ${directory} is whole but for what Storage does not have as its rows say:\n${problems.map((entry) => `  ${entry.problem}: ${toPlace(entry)}`).join('\n')}`)
  },
}

const toPlace = ({ bucket, path }: FileEntry): string => `${bucket}/${path}`
