/** Removes the files whose rows are gone: the real Storage refuses deletion by SQL, so triggers only write down what to remove. */
import type { FileStore } from '../generation/files.ts'
import type { Logger } from '../log.ts'
import type { Database } from '../supabase/database.ts'
import type { JobHandler } from './dispatcher.ts'

const BATCH = 100
const RETRY_MS = 30_000
/** Doubling pauses between tries of one file, at most an hour. */
const BACKOFF_SQL = `least(interval '1 hour', interval '10 seconds' * power(2, least(attempts, 10)))`

/**
 * A folder was given up while nothing had a row in it; where a late answer opened its generation again, or stored it, the
 * folder is in use.
 */
const FORGET_FOLDERS_IN_USE = `
  delete from darkroom.file_deletions deletion using public.generations generation
  where deletion.bucket = $1 and deletion.not_before <= now() and deletion.path ~ '^[0-9a-f-]{36}/[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}/$'
    and generation.id = split_part(deletion.path, '/', 2)::uuid and generation.status in ('queued', 'running', 'storing', 'succeeded')`

interface Deletion {
  id: string
  path: string
}

export function deleteFilesJob(database: Database, files: FileStore, logger: Logger): JobHandler<object> {
  return async (_data, { stopping }) => {
    while (!stopping.aborted) {
      await database.query(FORGET_FOLDERS_IN_USE, [files.bucket])
      // A claim is only a later `not_before`: a process that dies leaves the rows to the next run.
      const claimed = await database.query<Deletion>(
        `update darkroom.file_deletions set attempts = attempts + 1, not_before = now() + ${BACKOFF_SQL}
         where id in (select id from darkroom.file_deletions where bucket = $1 and not_before <= now() order by not_before limit ${BATCH} for update skip locked)
         returning id, path`,
        [files.bucket],
      )
      if (claimed.length === 0) return undefined
      const ids = claimed.map(({ id }) => id)
      try {
        await files.remove(claimed.map(({ path }) => path))
        await database.query('delete from darkroom.file_deletions where id = any($1::bigint[])', [ids])
      } catch (error) {
        logger.warn({ files: claimed.length, err: error }, 'files could not be removed and will be tried again')
        const message = error instanceof Error ? error.message : 'unknown'
        await database.query('update darkroom.file_deletions set last_error = $2 where id = any($1::bigint[])', [ids, message])
        return { afterMs: RETRY_MS }
      }
    }
    return { afterMs: 0 }
  }
}
