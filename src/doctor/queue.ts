/** The queue: of the version that this service speaks, whole, and moving. */
import { PgBoss } from 'pg-boss'
import pgBossPackage from 'pg-boss/package.json' with { type: 'json' }
import { FILE_DELETIONS, LOG_EXPIRY, PICTURES, STEPS, STORES, SWEEP } from '../jobs/queue.ts'
import type { Connection } from './connection.ts'
import { need, type Check } from './context.ts'
import { NotApplicable, type Notebook } from './report.ts'

const QUEUES = [STEPS, PICTURES, STORES, FILE_DELETIONS, SWEEP, LOG_EXPIRY]
/** Idle workers look once a second: a job that is due for longer is seen by nobody. */
const STUCK_SECONDS = 120
/** The sweep queues an open generation again that nobody touched for a minute. */
const ORPHANED_SECONDS = 600
const LATE_DELETION_SECONDS = 3600
const START_A_WORKER = 'Start a worker (`node src/main.ts worker`, or scale it up), and read the log of those that run.'

export const queue: Check = {
  name: 'queue',
  needs: ['schema'],
  timeoutMs: 30_000,
  async run(context, note) {
    const connection = need(context, 'connection')
    const boss = new PgBoss({ db: { executeSql: async (text, values) => ({ rows: await connection.query(text, values) }) }, schema: 'pgboss', supervise: false, schedule: false })
    if (!(await boss.isInstalled())) throw new NotApplicable('the service has not run on this database yet: its first start makes the queue')
    const isCurrent = checkVersion(await boss.schemaVersion(), note)
    if (isCurrent) await checkShape(boss, note)
    await checkJobs(connection, note)
    if (context.found.tables?.has('public.generations')) await checkOrphans(connection, note)
    if (context.found.tables?.has('darkroom.file_deletions')) await checkDeletions(connection, note)
  },
}

/** @returns whether it is the version that is expected. */
function checkVersion(version: number | null, note: Notebook): boolean {
  const expected = pgBossPackage.pgboss.schema
  note.fact(`pg-boss schema ${version}`)
  if (version === expected) return true
  if ((version ?? 0) > expected) note.problem({ code: 'queue.newer', subject: 'pgboss.version', what: `The queue's schema has version ${version}, this service knows ${expected}: a newer version of the service has run here.`, mend: 'Deploy the newer version everywhere.' })
  else note.cannotTell(`whether the queue is whole: its schema has version ${version}, the next start of the service brings it to ${expected}`)
  return false
}

async function checkShape(boss: PgBoss, note: Notebook): Promise<void> {
  const names = new Set((await boss.getQueues()).map(({ name }) => name))
  for (const name of QUEUES.filter((item) => !names.has(item))) note.problem({ code: 'queue.missing', subject: name, what: `The queue ${name} is missing.`, mend: 'Restart the service: each start makes the queues that are missing.' })
  const drift = await boss.detectSchemaDrift()
  const missing = [...drift.missingTables, ...drift.missing.map(({ name }) => name), ...drift.missingFunctions.map(({ name }) => name), ...drift.invalid.map(({ name }) => name)]
  if (!drift.ok) note.problem({ code: 'queue.drift', subject: 'pgboss', what: `The queue's tables are not as pg-boss makes them${missing.length > 0 ? `: ${missing.join(', ')}` : ''}.`, mend: 'Undo what was changed in the schema pgboss; with no job left, drop schema pgboss cascade and restart the service.' })
}

const SELECT_JOBS = `
  select name,
    count(*) filter (where state in ('created', 'retry') and start_after <= now())::integer as due,
    coalesce(extract(epoch from now() - min(start_after) filter (where state in ('created', 'retry') and start_after <= now())), 0)::float8 as age,
    count(*) filter (where state = 'active')::integer as active,
    count(*) filter (where state = 'active' and heartbeat_on < now() - make_interval(secs => $2))::integer as dead,
    count(*) filter (where state = 'failed')::integer as failed
  from pgboss.job where name = any($1) group by name`

interface JobsRow {
  name: string
  due: number
  age: number
  active: number
  dead: number
  failed: number
}

async function checkJobs({ query }: Connection, note: Notebook): Promise<void> {
  const rows = await query<JobsRow & Record<string, unknown>>(SELECT_JOBS, [QUEUES, STUCK_SECONDS])
  for (const { name, due, age, dead, failed } of rows) {
    if (age > STUCK_SECONDS) note.problem({ code: 'queue.stuck', subject: name, what: `${due} ${due === 1 ? 'job' : 'jobs'} of the queue ${name} could be done now, the oldest for ${toDuration(age)}: nobody takes them.`, mend: START_A_WORKER })
    if (dead > 0) note.problem({ code: 'queue.dead', subject: name, what: `${dead} ${dead === 1 ? 'job' : 'jobs'} of the queue ${name} belong to workers that died, and nobody gives them back.`, mend: START_A_WORKER })
    // The sweep is not tried again: the next minute brings another.
    if (failed > 0 && name !== SWEEP && name !== LOG_EXPIRY) note.warning({ code: 'queue.failed', subject: name, what: `${failed} ${failed === 1 ? 'job' : 'jobs'} of the queue ${name} were given up after every try.`, mend: `Read why: select id, completed_on, output from pgboss.job where name = '${name}' and state = 'failed';` })
  }
  const sum = (key: 'due' | 'active') => rows.reduce((total, row) => total + row[key], 0)
  note.fact(`${sum('due')} due, ${sum('active')} under way`)
}

const SELECT_ORPHANS = `
  select count(*)::integer as count from public.generations generation
  where status in ('queued', 'running', 'storing') and updated_at < now() - make_interval(secs => $1)
    and not exists (select from darkroom.requests where generation_id = generation.id and waiting)
    and not exists (select from pgboss.job where singleton_key = generation.id::text and state in ('created', 'retry', 'active'))`

async function checkOrphans({ query }: Connection, note: Notebook): Promise<void> {
  const [{ count } = { count: 0 }] = await query<{ count: number }>(SELECT_ORPHANS, [ORPHANED_SECONDS])
  if (count > 0) note.problem({ code: 'queue.orphans', subject: 'public.generations', what: `${count} ${count === 1 ? 'generation is' : 'generations are'} open and no job stands for ${count === 1 ? 'it' : 'them'}: no worker has swept for ${toDuration(ORPHANED_SECONDS)}.`, mend: START_A_WORKER })
}

async function checkDeletions({ query }: Connection, note: Notebook): Promise<void> {
  const [row] = await query<{ count: number; last_error: string | null }>(`select count(*)::integer as count, max(last_error) as last_error from darkroom.file_deletions where not_before < now() - make_interval(secs => $1) or attempts > 10`, [LATE_DELETION_SECONDS])
  if (row && row.count > 0) note.warning({ code: 'queue.deletions', subject: 'darkroom.file_deletions', what: `${row.count} files of deleted rows are still in storage${row.last_error === null ? '' : `: ${row.last_error}`}.`, mend: START_A_WORKER })
}

const toDuration = (seconds: number): string => (seconds < 120 ? `${Math.round(seconds)} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`)
