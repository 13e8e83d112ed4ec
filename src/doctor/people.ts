/**
 * Two users who exist for as long as the doctor looks. They are known by their address, which no mail ever reaches, and
 * so a run also finds those of an earlier one that was killed.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import { createStorage } from '../supabase/storage.ts'
import { need, type Check, type Context } from './context.ts'
import type { Person } from './found.ts'
import { ask, quote, withKey } from './http.ts'
import { CannotRun, type Notebook } from './report.ts'

/** Names that a run gives to whatever it makes. */
export const MARK = 'darkroom-doctor'
const DOMAIN = `${MARK}.invalid`
/** One doctor at a time: another one's users must not be taken for leftovers. Any number will do. */
const LOCK = 20_261_126
const CALL_TIMEOUT_MS = 10_000

export const people: Check = {
  name: 'users',
  needs: ['keys'],
  timeoutMs: 60_000,
  async run(context, note) {
    const connection = need(context, 'connection')
    need(context, 'hasKeys')
    const [{ locked } = { locked: false }] = await connection.query<{ locked: boolean }>('select pg_try_advisory_lock($1) as locked', [LOCK])
    if (!locked) throw new CannotRun('another doctor is looking at this project')
    await removeLeftovers(context, note)
    const [a, b] = await Promise.all([createPerson(context, note), createPerson(context, note)])
    context.found.people = { a, b, anon: createBrowser(context) }
    note.fact('two throw-away users, removed at the end')
  },
}

async function removeLeftovers(context: Context, note: Notebook): Promise<void> {
  const rows = await need(context, 'connection').query<{ id: string }>(`select id from auth.users where email like $1`, [`${MARK}-%@${DOMAIN}`])
  for (const { id } of rows) await removePerson(context, id)
  if (rows.length > 0) note.fact(`${rows.length} users of an earlier run removed`)
}

async function createPerson(context: Context, note: Notebook): Promise<Person> {
  const email = `${MARK}-${randomUUID()}@${DOMAIN}`
  // A project may demand letters of both kinds, digits and signs.
  const password = `${randomBytes(30).toString('base64url')}aA1!`
  context.secrets.add(password)
  // Also when the answer is lost: whoever is there by that address goes.
  context.cleanUp(`the user ${email}`, async () => {
    for (const { id } of await need(context, 'connection').query<{ id: string }>('select id from auth.users where email = $1', [email])) await removePerson(context, id)
  })
  const client = createBrowser(context)
  const { id, token } = (await signUpAsAdmin(context, client, { email, password }, note)) ?? (await signUpAsAnybody(client, { email, password }))
  context.secrets.add(token)
  const seen = await need(context, 'connection').query('select from auth.users where id = $1', [id])
  if (seen.length === 0) {
    note.problem({ code: 'users.other-project', subject: 'DATABASE_URL', what: 'A user that Auth has just made is not in the database: SUPABASE_URL and DATABASE_URL are of two projects.', mend: 'Copy both from the dashboard of the same project.' })
    await ask(context, adminUrl(context, id), { method: 'DELETE', headers: withKey(need(context, 'config').supabase.secretKey) })
    throw new CannotRun('the two addresses do not lead to the same project')
  }
  return { id, token, client }
}

interface Credentials {
  email: string
  password: string
}

const adminUrl = (context: Context, id = ''): string => `${need(context, 'config').supabase.url}/auth/v1/admin/users${id === '' ? '' : `/${id}`}`

/** @returns undefined where there is no such route, as in the local Supabase. @throws {CannotRun} */
async function signUpAsAdmin(context: Context, client: SupabaseClient, credentials: Credentials, note: Notebook): Promise<{ id: string; token: string } | undefined> {
  const { secretKey } = need(context, 'config').supabase
  const made = await ask(context, adminUrl(context), { method: 'POST', headers: { ...withKey(secretKey), 'content-type': 'application/json' }, body: JSON.stringify({ ...credentials, email_confirm: true, user_metadata: { made_by: MARK } }) })
  if (!made.ok && context.isLocal) return undefined
  if (!made.ok) throw new CannotRun(`Auth did not make a user: ${quote(made)}`)
  const { id } = made.json as { id: string }
  const { data, error } = await client.auth.signInWithPassword(credentials)
  if (data.session) return { id, token: data.session.access_token }
  const byLink = await signInByLink(context, client, credentials.email)
  if (byLink === undefined) throw new CannotRun(`the user could not sign in: ${error?.message ?? 'no session was given'}`)
  note.fact('signed in by a link, since passwords are not taken')
  return { id, token: byLink }
}

/** Where passwords are switched off, or a captcha guards them. */
async function signInByLink(context: Context, client: SupabaseClient, email: string): Promise<string | undefined> {
  const { url, secretKey } = need(context, 'config').supabase
  const link = await ask(context, `${url}/auth/v1/admin/generate_link`, { method: 'POST', headers: { ...withKey(secretKey), 'content-type': 'application/json' }, body: JSON.stringify({ type: 'magiclink', email }) })
  const { hashed_token: tokenHash } = (link.json ?? {}) as { hashed_token?: string }
  if (tokenHash === undefined) return undefined
  context.secrets.add(tokenHash)
  const { data } = await client.auth.verifyOtp({ token_hash: tokenHash, type: 'magiclink' })
  return data.session?.access_token
}

/** @throws {CannotRun} */
async function signUpAsAnybody(client: SupabaseClient, credentials: Credentials): Promise<{ id: string; token: string }> {
  const { data, error } = await client.auth.signUp(credentials)
  if (!data.session || !data.user) throw new CannotRun(`nobody can sign up here: ${error?.message ?? 'no session was given'}`)
  return { id: data.user.id, token: data.session.access_token }
}

/** supabase-js as a browser has it, without its repeats: they would hide what is wrong, and take long. */
function createBrowser(context: Context): SupabaseClient {
  const { url, publishableKey } = need(context, 'config').supabase
  return createClient(url, publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false, storageKey: randomUUID() },
    db: { retry: false },
    global: { fetch: (input, init) => fetch(input, { ...init, signal: AbortSignal.any([context.signal(), AbortSignal.timeout(CALL_TIMEOUT_MS)]) }) },
  })
}

/** Files first: while the user is there, a later run finds what this one leaves. @throws when something stays. */
export async function removePerson(context: Context, id: string): Promise<void> {
  const { query } = need(context, 'connection')
  const { supabase, media } = need(context, 'config')
  const files = await query<{ name: string }>(`select name from storage.objects where bucket_id = $1 and starts_with(name, $2)`, [media.bucket, `${id}/`])
  if (files.length > 0) await createStorage({ ...supabase, ...media, timeoutMs: CALL_TIMEOUT_MS }).remove(files.map(({ name }) => name))
  const gone = await ask(context, adminUrl(context, id), { method: 'DELETE', headers: withKey(supabase.secretKey) }).catch(() => undefined)
  if (!gone?.ok) await query('delete from auth.users where id = $1', [id])
  await query(`do $$ begin if to_regclass('darkroom.file_deletions') is not null then delete from darkroom.file_deletions where path like '${id}/%'; end if; end $$`)
  await forgetNews(context, id)
  const left = await query(`select from auth.users where id = $1 union all select from storage.objects where bucket_id = $2 and starts_with(name, $3)`, [id, media.bucket, `${id}/`])
  if (left.length > 0) throw new Error('it is still there')
}

/** Realtime keeps messages for three days. Where they may not be deleted, they end by themselves. */
async function forgetNews(context: Context, id: string): Promise<void> {
  const { query } = need(context, 'connection')
  const [{ exists } = { exists: false }] = await query<{ exists: boolean }>(`select to_regclass('realtime.messages') is not null as exists`)
  if (exists) await query('delete from realtime.messages where topic = $1', [`user:${id}`]).catch(() => undefined)
}
