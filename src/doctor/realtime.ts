/** News by Realtime, where the project has it: the owner hears of a change, and nobody else may listen. */
import type { SupabaseClient } from '@supabase/supabase-js'
import { need, type Check, type Context } from './context.ts'
import type { Connection } from './connection.ts'
import { NotApplicable, type Notebook } from './report.ts'

const TABLES = ['generations', 'images', 'videos']
const POLICY = 'Users hear of their own generations'
const FILE = '20261122000004_realtime.sql'
const JOIN_TIMEOUT_MS = 10_000
const NEWS_TIMEOUT_MS = 5000

export const realtime: Check = {
  name: 'realtime',
  needs: ['rows'],
  timeoutMs: 60_000,
  async run(context, note) {
    const connection = need(context, 'connection')
    const [has] = await connection.query<{ send: boolean; policy: boolean }>(
      `select to_regprocedure('realtime.send(jsonb,text,text,boolean)') is not null and to_regclass('realtime.messages') is not null as send,
        exists (select from pg_policies where schemaname = 'realtime' and tablename = 'messages' and policyname = $1) as policy`,
      [POLICY],
    )
    if (!has?.send) throw new NotApplicable('the project has no Realtime')
    if (!has.policy) note.problem({ code: 'realtime.no-policy', subject: 'realtime.messages', what: `The policy "${POLICY}" is missing: nobody may listen to their own news.`, mend: `Run again the last block of supabase/migrations/${FILE}: it does only what is missing.` })
    await checkPublication(connection, note)
    await tryNews(context, note)
  },
}

async function checkPublication({ query }: Connection, note: Notebook): Promise<void> {
  const rows = await query<{ tablename: string }>(`select tablename from pg_publication_tables where pubname = 'supabase_realtime' and schemaname = 'public'`)
  const published = new Set(rows.map(({ tablename }) => tablename))
  for (const table of TABLES.filter((name) => !published.has(name))) note.warning({ code: 'realtime.unpublished', subject: `public.${table}`, what: `Realtime does not publish the rows of public.${table}: whoever subscribes to them hears nothing.`, mend: `alter publication supabase_realtime add table public.${table};` })
}

interface Channel {
  /** Undefined when the server let us in. */
  refusal: string | undefined
  /** Resolves with the first news. */
  news: Promise<true>
}

async function tryNews(context: Context, note: Notebook): Promise<void> {
  const { a, b } = need(context, 'people')
  const row = need(context, 'samples').of(b.id).get('generations')
  const topic = `user:${b.id}`
  context.cleanUp('the connections to Realtime', async () => {
    for (const { client } of [a, b]) await client.removeAllChannels()
  })
  const own = await join(context, b.client, topic)
  const overheard = await join(context, a.client, topic)
  if (overheard.refusal === undefined) note.problem({ code: 'realtime.overheard', subject: topic.split(':')[0]!, what: 'Another user may listen to the news of a user.', mend: `Compare the policies on realtime.messages with the one in supabase/migrations/${FILE}: only the topic user:<own id> may be listened to.` })
  if (own.refusal !== undefined) {
    note.problem({ code: 'realtime.refused', subject: 'realtime.messages', what: `A user may not listen to their own news: ${own.refusal}.`, mend: 'See the findings above; where Realtime is switched off for the project, switch it on (Dashboard, Realtime settings).' })
    return
  }
  if (!row) return note.cannotTell('whether news arrive: there is no row to change')
  await need(context, 'connection').query('update public.generations set progress = 0.5 where id::text = $1::text', [row.id])
  if (!(await within(own.news, NEWS_TIMEOUT_MS, context.signal()))) note.problem({ code: 'realtime.silent', subject: 'public.generations', what: `A user does not hear of a change of their generation within ${NEWS_TIMEOUT_MS / 1000} s.`, mend: "Look at the trigger broadcast on public.generations, at the warnings in the database's log, and whether Realtime has made today's partition of realtime.messages." })
  else note.fact('news arrive, at their owner alone')
}

async function join(context: Context, client: SupabaseClient, topic: string): Promise<Channel> {
  await client.realtime.setAuth()
  const { promise: news, resolve: tell } = Promise.withResolvers<true>()
  const { promise: joined, resolve } = Promise.withResolvers<string | true>()
  client
    .channel(topic, { config: { private: true } })
    .on('broadcast', { event: 'generation' }, () => tell(true))
    .subscribe((status, error) => resolve(status === 'SUBSCRIBED' ? true : (error?.message ?? status)))
  const answer = await within(joined, JOIN_TIMEOUT_MS, context.signal())
  return { refusal: answer === true ? undefined : answer || 'there was no answer', news }
}

function within<T>(promise: Promise<T>, ms: number, signal: AbortSignal): Promise<T | false> {
  const { promise: late, resolve } = Promise.withResolvers<false>()
  const timer = setTimeout(() => resolve(false), ms)
  signal.addEventListener('abort', () => resolve(false), { once: true })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
