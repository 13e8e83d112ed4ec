/** What tests do to the queue behind the service's back. */
import { sql } from './supabase.ts'

/** Removes what other files left behind: it would call their simulators. */
export async function forgetJobs(): Promise<void> {
  await sql(`do $$ begin if to_regclass('pgboss.job') is not null then delete from pgboss.job; end if; end $$`)
}

/** Keeps every job of a generation, a dead worker's too, from workers until {@link takeUpJobs}. */
export async function putAsideJobs(generationId: string): Promise<void> {
  await sql(
    `update pgboss.job set heartbeat_on = case state when 'active' then now() + interval '1 hour' end, start_after = now() + interval '1 hour'
     where singleton_key = $1 and state in ('created', 'retry', 'active')`,
    [generationId],
  )
}

/** Gives back all that was put aside: a dead worker's jobs as those whose heartbeat is over. */
export async function takeUpJobs(): Promise<void> {
  await sql(`update pgboss.job set heartbeat_on = case state when 'active' then now() - interval '1 hour' end, start_after = now() where start_after > now() + interval '30 minutes'`)
}
