/** Brings a backup back into a project. */
import { restore as restoreBackup } from '../backup/restore.ts'
import type { AdminCommand } from './command.ts'

export const restore: AdminCommand = {
  usage: `<directory> [--merge] [--skip-unknown-users] [--keep-keys] [--into <url>]

  <directory>           of the backup
  --merge               into a project that has work of its own, which stays as it is; else it refuses to begin
  --skip-unknown-users  leaves out the rows of users whom the project does not have; else it refuses to begin
  --keep-keys           API keys that the project does not have come back as they were; else they come back revoked
  --into                the SUPABASE_URL of the project: to be given for a hosted one that the backup is not of

Verifies the whole backup first. Then come the rows, all at once: those that are there are left as they are, and those that
differ are told. Then come the files that Storage lacks, each read back once it is stored. Ended at any moment and called
again, it goes on. Best done while the service is stopped, for its writes wait meanwhile.

Nothing is asked of any provider: what was not done yet when the backup was made is failed (submission_unknown), but for
what was made and paid already, which a worker goes on to store. Nothing comes back of users who were erased since. API
keys may have been revoked since as well: those that are gone from the project come back revoked for good, unless --keep-keys is
given the first time; those that are there stay as they are. Balances are made anew from the ledger. Prints what was done; ends with 1 while files are missing.`,
  options: { merge: { type: 'boolean' }, 'skip-unknown-users': { type: 'boolean' }, 'keep-keys': { type: 'boolean' }, into: { type: 'string' } },
  arguments: ['directory'],
  async run({ arguments: [directory = ''], values, project, print, tell }) {
    tell(`Into ${project.supabaseUrl}${project.isLocal ? ', the local project' : ''}.`)
    const options = { skipUnknownUsers: values['skip-unknown-users'] === true, merge: values.merge === true, keepKeys: values['keep-keys'] === true, into: values.into as string | undefined }
    const { manifest, rows, files } = await restoreBackup({ project, directory, ...options, onProgress: tell })
    for (const { name, differs, examples } of rows.tables.filter((table) => table.differs > 0)) {
      tell(`${name}: ${differs} rows differ and were left as they are (${examples.join('; ')}${differs > examples.length ? '; …' : ''})`)
    }
    if (rows.revokedKeys > 0) tell(`${rows.revokedKeys} API ${rows.revokedKeys === 1 ? 'key' : 'keys'} came back revoked: whoever needs one makes another.`)
    await print({
      directory,
      createdAt: manifest.createdAt,
      project: project.supabaseUrl,
      rows: Object.fromEntries(rows.tables.map(({ name, inserted, same, differs, skipped }) => [name, { inserted, same, differs, skipped }])),
      unknownUsers: rows.unknownUsers.count,
      erasedUsers: rows.erasedUsers,
      closed: rows.closed,
      revokedKeys: rows.revokedKeys,
      files: { uploaded: files.uploaded, bytes: files.uploadedBytes, there: files.there, missing: files.missing.length },
    })
    if (files.missing.length > 0) throw new Error(`Files that are neither in Storage nor in the backup:\n${files.missing.map(({ bucket, path }) => `  ${bucket}/${path}`).join('\n')}`)
  },
}
