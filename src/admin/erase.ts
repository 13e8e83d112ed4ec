/** Removes everything that the service holds of one user. */
import { setTimeout as sleep } from 'node:timers/promises'
import { deleteFilesJob } from '../jobs/delete-files.ts'
import { countFilesToRemove, eraseUser } from '../supabase/erase-user.ts'
import { createStorage } from '../supabase/storage.ts'
import { parseUserId, type AdminCommand, type AdminContext } from './command.ts'

/** How long a worker that took some of the files is waited for. */
const PATIENCE_MS = 60_000
const LOOK_MS = 200

export const erase: AdminCommand = {
  usage: `<user>

  <user>  the id (Dashboard, Authentication), also of an account that is gone

Removes prompts, generations, images, videos, what the service keeps for itself, the audit log with what was sent, and the
files in storage. Take the user's access away before. The account stays: delete it in Supabase Auth. What of this stands in
backups is not touched. Prints what was removed; ends with 1 while files are left, which workers then go on removing.`,
  options: {},
  arguments: ['user'],
  async run(context) {
    const userId = parseUserId(context.arguments[0])
    const { rows, files } = await eraseUser(context.database, userId)
    const left = await removeFiles(context, userId)
    await context.print({ user: userId, rows, files: { found: files, left: left.now, lookedAtAgain: left.later } })
    if (Object.keys(rows).length === 0) context.tell('There were no rows of this user.')
    if (left.now > 0) throw new Error(`${left.now} files could not be removed yet. Workers go on with them; run it again to see.`)
  },
}

/** By the same job as ever, which a worker may be doing at the same time. */
async function removeFiles({ config, database, logger }: AdminContext, userId: string) {
  const storage = createStorage({ ...config.supabase, ...config.media })
  const job = deleteFilesJob(database, storage, logger)
  const never = new AbortController().signal
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    const failed = await job({}, { stopping: never, leaving: never, earlierAttempts: 0 })
    const left = await countFilesToRemove(database, userId)
    if (failed || left.now === 0 || Date.now() > deadline) return left
    await sleep(LOOK_MS)
  }
}
