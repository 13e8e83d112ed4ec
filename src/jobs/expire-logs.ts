/** Deletes what the audit log has kept for long enough, payloads with their rows. */
import type { Logger } from '../log.ts'
import type { Database } from '../supabase/database.ts'
import type { JobHandler } from './dispatcher.ts'

/** Small enough to be over in a moment, payloads included. */
const BATCH = 1000

export function expireLogsJob(database: Database, { retentionDays }: { retentionDays: number }, logger: Logger): JobHandler<object> {
  return async (_data, { stopping }) => {
    let deleted = 0
    while (!stopping.aborted) {
      const rows = await database.query(
        `delete from darkroom.request_logs
         where id in (select id from darkroom.request_logs where created_at < now() - make_interval(days => $1) order by created_at, id limit ${BATCH}) returning id`,
        [retentionDays],
      )
      deleted += rows.length
      if (rows.length === BATCH) continue
      if (deleted > 0) logger.info({ rows: deleted }, 'old rows of the audit log were deleted')
      return undefined
    }
    return { afterMs: 0 }
  }
}
