/**
 * Row level security, tried out: one user tries what is another's in every public table of ours, and somebody without a
 * sign-in tries all of it. What a user must be able to do is tried too: where nothing can be seen, nothing is proven.
 */
import type { SupabaseClient } from '@supabase/supabase-js'
import { need, type Check, type Context } from './context.ts'
import type { People, Row, Samples, SampleTable } from './found.ts'
import { CannotRun, type Notebook } from './report.ts'
import { insertSamples } from './samples.ts'

export const rows: Check = {
  name: 'rows',
  needs: ['users'],
  timeoutMs: 120_000,
  async run(context, note) {
    const people = need(context, 'people')
    const samples = await insertSamples(context, [people.a.id, people.b.id], note)
    if (samples.tables.length === 0) throw new CannotRun('there is no row to try it with')
    context.found.samples = samples
    // Each attempt on a table after the one before it, since one that succeeds changes what the next one meets.
    await Promise.all(
      samples.tables.map(async (table) => {
        await tryOwn(table, people, samples, note)
        for (const who of strangers(people)) await tryOthers(table, who, { people, samples }, note)
      }),
    )
    await tryEmbedded(samples, people, note)
    await trySchemas(people, note)
    await compareLeft(context, samples, people, note)
    await tryOwnDeletes(context, samples, people, note)
    if (note.findings.length === 0) note.fact(`${samples.tables.length} tables, each seen by its owner alone`)
  },
}

interface Stranger {
  called: string
  client: SupabaseClient
}

const strangers = ({ a, anon }: People): Stranger[] => [
  { called: 'another user', client: a.client },
  { called: 'somebody without a sign-in', client: anon },
]

interface Told {
  data: unknown
  error: { code?: string; message: string } | null
  status: number
}

/** `passed`: the permission was there, and something else was in the way perhaps. */
type Outcome = { is: 'refused' } | { is: 'nothing' } | { is: 'passed'; rows: Row[] } | { is: 'unclear'; why: string }

function outcomeOf({ data, error, status }: Told): Outcome {
  if (!error) return Array.isArray(data) && data.length === 0 ? { is: 'nothing' } : { is: 'passed', rows: (data ?? []) as Row[] }
  const code = error.code ?? ''
  if (code === '42501' || code.startsWith('PGRST3')) return { is: 'refused' }
  // A constraint, or a value: the row got past every permission.
  if (/^2[23]/.test(code)) return { is: 'passed', rows: [] }
  // A number that Postgres alone gives: refused before anybody's permission is looked at.
  if (code === '428C9') return { is: 'refused' }
  return { is: 'unclear', why: `${status} ${code} ${error.message}`.trim() }
}

const mendRows = (table: string): string => `Compare the policies and the grants of public.${table} with those of the migrations: the checks of the policies and the privileges say which differ.`

/** What users need of their own. */
async function tryOwn({ name, key, owner }: SampleTable, { a }: People, samples: Samples, note: Notebook): Promise<void> {
  const row = samples.of(a.id).get(name)!
  const seen = outcomeOf(await a.client.from(name).select(`${key}, ${owner}`).eq(key, row[key] as string))
  if (seen.is === 'passed' && seen.rows.length === 1) return
  const why = seen.is === 'unclear' ? `: ${seen.why}` : ''
  const isUnknown = seen.is === 'unclear' && /PGRST20[45]/.test(seen.why)
  note.problem({ code: 'rows.own-hidden', subject: `public.${name}`, what: `Users do not see their own rows of public.${name}${why}.`, mend: isUnknown ? "The Data API does not know the table yet; run: notify pgrst, 'reload schema'" : mendRows(name) })
}

interface Trial {
  people: People
  samples: Samples
}

async function tryOthers({ name, key, owner }: SampleTable, { called, client }: Stranger, { people: { a, b }, samples }: Trial, note: Notebook): Promise<void> {
  const theirs = samples.of(b.id).get(name)!
  const { [key]: value, ...copy } = theirs
  const table = () => client.from(name)
  const attempts: [string, string, () => PromiseLike<Told>][] = [
    ['read', 'reads a row of somebody else', () => table().select(`${key}, ${owner}`).eq(key, value as string)],
    ['list', 'finds rows of others in the list', () => table().select(`${key}, ${owner}`).neq(owner, a.id).limit(1)],
    ['insert', 'inserts a row in the name of somebody else', () => table().insert(copy)],
    ['insert', 'inserts a row', () => table().insert({ ...copy, [owner]: a.id })],
    ['upsert', 'overwrites a row of somebody else', () => table().upsert({ ...theirs, [owner]: a.id }).select(key)],
    ['update', 'takes a row of somebody else over', () => table().update({ [owner]: a.id }).eq(key, value as string).select(key)],
    ['update', 'changes a row', () => table().update({ [owner]: a.id }).eq(owner, a.id).select(key)],
    ['delete', 'deletes a row of somebody else', () => table().delete().eq(key, value as string).select(key)],
  ]
  for (const [action, words, attempt] of attempts) {
    const outcome = outcomeOf(await attempt())
    if (outcome.is === 'passed') note.problem({ code: `rows.${action}`, subject: `public.${name}`, what: `In public.${name}, ${called} ${words}.`, mend: mendRows(name) })
    if (outcome.is === 'unclear') note.cannotTell(`whether ${called} ${words} in public.${name}: ${outcome.why}`)
  }
}

/** By way of a table that refers to it, or is referred to. */
async function tryEmbedded({ tables }: Samples, people: People, note: Notebook): Promise<void> {
  const ways = tables.flatMap(({ name, parents }) => parents.flatMap(({ table, by }) => [{ outer: table, inner: name, by }, { outer: name, inner: table, by }]))
  await Promise.all(strangers(people).flatMap((who) => ways.map((way) => tryWay(way, who, people.b.id, note))))
}

async function tryWay({ outer, inner, by }: { outer: string; inner: string; by: string }, { called, client }: Stranger, ownerId: string, note: Notebook): Promise<void> {
  const told: Told = await client.from(outer).select(`${inner}!${by}(*)`).limit(50)
  const outcome = outcomeOf(told)
  if (outcome.is === 'passed' && JSON.stringify(told.data).includes(ownerId)) note.problem({ code: 'rows.embedded', subject: `public.${inner}`, what: `By way of public.${outer}, ${called} reads rows of others in public.${inner}.`, mend: mendRows(inner) })
  if (outcome.is === 'unclear') note.cannotTell(`what ${called} reads of public.${inner} by way of public.${outer}: ${outcome.why}`)
}

const PRIVATE_SCHEMAS = [
  { schema: 'darkroom', table: 'requests' },
  { schema: 'pgboss', table: 'job' },
]

/** The service's own state must not even be known to the Data API. */
async function trySchemas(people: People, note: Notebook): Promise<void> {
  for (const { called, client } of strangers(people)) {
    for (const { schema, table } of PRIVATE_SCHEMAS) {
      const answers = [await client.schema(schema).from(table).select('*').limit(1), await client.schema(schema).rpc('is_shown', { file_bucket: '', file_path: '' })]
      if (answers.every(({ error }) => error?.code === 'PGRST106')) continue
      const isOpen = answers.some(({ error }) => !error)
      note.problem({ code: 'rows.schema-exposed', subject: schema, what: `The Data API shows the schema ${schema} to ${called}${isOpen ? ', and what is in it' : '; its grants alone keep them out'}.`, mend: `Take ${schema} out of the exposed schemas (Dashboard, API settings, or [api] schemas in supabase/config.toml).` })
    }
    const { error } = await client.rpc('is_shown', { file_bucket: '', file_path: '' })
    if (!error) note.problem({ code: 'rows.function-exposed', subject: 'is_shown', what: `The Data API lets ${called} call a function of the service.`, mend: 'Functions of the service belong into the schema darkroom alone: drop the one in public.' })
  }
}

/** Nothing may have been changed, whatever was answered. */
async function compareLeft(context: Context, { tables, of }: Samples, { b }: People, note: Notebook): Promise<void> {
  for (const { name, key } of tables) {
    const before = of(b.id).get(name)!
    const [after] = await need(context, 'connection').query<{ row: Row }>(`select to_jsonb(sample) as row from public.${name} sample where ${key}::text = $1::text`, [before[key]])
    if (!after) note.problem({ code: 'rows.lost', subject: `public.${name}`, what: `A row of public.${name} was deleted by somebody whom it does not belong to.`, mend: mendRows(name) })
    else if (JSON.stringify(after.row) !== JSON.stringify(before)) note.problem({ code: 'rows.changed', subject: `public.${name}`, what: `A row of public.${name} was changed by somebody whom it does not belong to.`, mend: mendRows(name) })
  }
}

/** Last, since a prompt takes along what was made from it. */
async function tryOwnDeletes(context: Context, { tables, of }: Samples, { a }: People, note: Notebook): Promise<void> {
  const { privileges } = need(context, 'parts')
  const mayDelete = ({ name }: SampleTable) => privileges.tables.get(`public.${name}`)?.get('authenticated')?.has('delete') ?? false
  for (const table of [...tables.filter((item) => !mayDelete(item)), ...tables.filter(mayDelete)]) {
    const { name, key } = table
    const outcome = outcomeOf(await a.client.from(name).delete().eq(key, of(a.id).get(name)![key] as string).select(key))
    const isDone = outcome.is === 'passed' && outcome.rows.length === 1
    if (mayDelete(table) && !isDone) note.problem({ code: 'rows.own-kept', subject: `public.${name}`, what: `Users cannot delete their own rows of public.${name}${outcome.is === 'unclear' ? `: ${outcome.why}` : ''}.`, mend: mendRows(name) })
    if (!mayDelete(table) && isDone) note.problem({ code: 'rows.own-deleted', subject: `public.${name}`, what: `Users delete rows of public.${name}, which only the service may.`, mend: mendRows(name) })
  }
}
