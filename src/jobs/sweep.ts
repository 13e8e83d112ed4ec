/** Finds what fell between two stools: open generations that no job stands for, files that wait to be removed, keys that are over. */
import type { Logger } from '../log.ts'
import type { Database } from '../supabase/database.ts'
import { IDEMPOTENCY_KEY_LIFE } from '../supabase/idempotency-keys.ts'
import type { JobHandler } from './dispatcher.ts'
import type { Queue } from './queue.ts'
import { FILE_DELETIONS, PICTURES, STEPS, STORES } from './queue.ts'

/** A generation that nobody touched for this long should have a job; younger ones are on their way. */
const QUIET_SECONDS = 60
const BATCH = 500

export function sweepJob(database: Database, queue: Queue, bucket: string, logger: Logger): JobHandler<object> {
  return async () => {
    const orphans = await database.query<{ id: string; kind: string }>(
      `select generation.id, generation.kind from public.generations generation
       where generation.status in ('queued', 'running', 'storing') and generation.updated_at < now() - make_interval(secs => $1)
         and not exists (select from darkroom.requests where generation_id = generation.id and waiting and generation.status = 'queued')
         and not exists (select from pgboss.job where job.name = any($2) and job.singleton_key = generation.id::text and job.state in ('created', 'retry', 'active'))
       order by generation.updated_at limit ${BATCH}`,
      [QUIET_SECONDS, [STEPS, PICTURES, STORES]],
    )
    for (const { id, kind } of orphans) await queue.enqueueGeneration(database.query, id, kind)
    await queue.wakeWaiting()
    if (orphans.length > 0) logger.warn({ generations: orphans.length }, 'open generations without a job were queued again')
    await database.query(`delete from darkroom.idempotency_keys where created_at < now() - ${IDEMPOTENCY_KEY_LIFE}`)
    const [due] = await database.query<{ due: boolean }>('select exists (select from darkroom.file_deletions where bucket = $1 and not_before <= now()) as due', [bucket])
    if (due?.due) await queue.boss.send(FILE_DELETIONS, {}, { singletonKey: 'all' })
    return undefined
  }
}
