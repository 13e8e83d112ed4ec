/**
 * The policies of Storage, tried out: one user and somebody without a sign-in try what is another's. What a user must be
 * able to do with their own is tried too.
 */
import { createHash } from 'node:crypto'
import type { SupabaseClient } from '@supabase/supabase-js'
import { createStorage, type Storage } from '../supabase/storage.ts'
import { codeOf } from '../supabase/storage-errors.ts'
import { PICTURE } from './bucket.ts'
import { need, type Check, type Context } from './context.ts'
import { ask, quote, withKey } from './http.ts'
import type { People } from './found.ts'
import { MARK } from './people.ts'
import type { Notebook } from './report.ts'

const CALL_TIMEOUT_MS = 20_000
const SIGNED_SECONDS = 60
const FORGED = Buffer.concat([PICTURE, Buffer.from('forged')])

export const files: Check = {
  name: 'files',
  needs: ['bucket', 'users'],
  timeoutMs: 120_000,
  async run(context, note) {
    const { a, b, anon } = need(context, 'people')
    const { supabase, media } = need(context, 'config')
    need(context, 'hasBucket')
    const storage = createStorage({ ...supabase, ...media, timeoutMs: CALL_TIMEOUT_MS })
    const [mine, theirs] = [pathOf(a.id), pathOf(b.id)]
    for (const path of [mine, theirs]) await storage.put(path, PICTURE, 'image/png')
    const trial = { storage, mine, theirs, isPublic: media.access === 'public', note }
    await tryOwn(context, a.client, trial)
    await tryOthers({ called: 'another user', client: a.client }, { a, b, anon }, trial)
    await tryOthers({ called: 'somebody without a sign-in', client: anon }, { a, b, anon }, trial)
    await compareLeft(context, { a, b, anon }, trial)
    if (note.findings.length === 0) note.fact('each seen by its owner alone')
  },
}

const pathOf = (id: string, name = 'own'): string => `${id}/${MARK}/${name}.png`

interface Trial {
  storage: Storage
  mine: string
  theirs: string
  isPublic: boolean
  note: Notebook
}

const MEND = 'Compare the policies on storage.objects with the one of the migrations: only "Users read their own media" is needed, and for a bucket of another name one like it.'

async function tryOwn(context: Context, client: SupabaseClient, { storage: { bucket }, mine, note }: Trial): Promise<void> {
  const own = client.storage.from(bucket)
  const hidden = (what: string, why: string) => note.problem({ code: 'files.own-hidden', subject: bucket, what: `Users cannot ${what} in ${bucket}: ${why}.`, mend: MEND })
  const listed = await own.list(mine.slice(0, mine.lastIndexOf('/')))
  if (listed.error) hidden('list their own files', listed.error.message)
  else if (listed.data.length === 0) hidden('list their own files', 'nothing is shown')
  const signed = await own.createSignedUrl(mine, SIGNED_SECONDS)
  if (signed.error) return hidden('sign addresses of their own files', signed.error.message)
  const answer = await ask(context, signed.data.signedUrl, { timeoutMs: CALL_TIMEOUT_MS })
  if (!answer.ok || !answer.bytes.equals(PICTURE)) hidden('read by a signed address what is theirs', quote(answer))
  const read = await own.download(mine)
  if (read.error) hidden('read their own files', read.error.message)
}

interface Stranger {
  called: string
  client: SupabaseClient
}

type Told = { data: unknown; error: { message: string } | null }

async function tryOthers({ called, client }: Stranger, { a, b }: People, { storage: { bucket }, theirs, isPublic, note }: Trial): Promise<void> {
  const all = client.storage.from(bucket)
  const options = { contentType: 'image/png' }
  const isSeen = ({ data }: Told) => JSON.stringify(data ?? '').includes(b.id)
  const isAny = ({ data }: Told) => Array.isArray(data) && data.length > 0
  const isDone = ({ error }: Told) => !error
  const open = (name: string) => pathOf(a.id, `${name}-${called === 'another user' ? 'user' : 'anon'}`)
  const attempts: [string, string, () => Promise<Told>, (told: Told) => boolean][] = [
    ['list', 'lists the files of somebody else', () => all.list(`${b.id}/${MARK}`), isAny],
    ['list', 'sees the folder of somebody else', () => all.list('', { limit: 1000 }), isSeen],
    ['sign', 'signs the address of a file of somebody else', () => all.createSignedUrl(theirs, SIGNED_SECONDS), isDone],
    ['upload', 'uploads into the folder of somebody else', () => all.upload(pathOf(b.id, 'forged'), FORGED, options), isDone],
    ['upload', 'uploads files', () => all.upload(open('forged'), FORGED, options), isDone],
    ['upload', 'gets an address to upload to', () => all.createSignedUploadUrl(pathOf(b.id, 'signed')), isDone],
    ['overwrite', 'overwrites a file of somebody else', () => all.upload(theirs, FORGED, { ...options, upsert: true }), isDone],
    ['overwrite', 'replaces a file of somebody else', () => all.update(theirs, FORGED, options), isDone],
    ['copy', 'copies a file of somebody else', () => all.copy(theirs, open('copied')), isDone],
    ['move', 'moves a file of somebody else', () => all.move(theirs, open('moved')), isDone],
    ['remove', 'removes a file of somebody else', () => all.remove([theirs]), isAny],
    // By design whoever knows its address reads a file of a public bucket.
    ...(isPublic ? [] : [['read', 'reads a file of somebody else', () => all.download(theirs), isDone] as (typeof attempts)[number]]),
  ]
  for (const [action, words, attempt, isPassed] of attempts) {
    const told = await attempt()
    if (isPassed(told)) note.problem({ code: `files.${action}`, subject: bucket, what: `In ${bucket}, ${called} ${words}.`, mend: MEND })
    // Words of a server or a line in trouble are no refusal.
    else if (told.error && !/^4\d\d$/.test(codeOf(told.error))) note.cannotTell(`whether ${called} ${words}: ${told.error.message}`)
  }
}

/** Nothing may have been changed, whatever was answered. */
async function compareLeft(context: Context, { b }: People, { storage: { bucket }, theirs, note }: Trial): Promise<void> {
  const { supabase } = need(context, 'config')
  const answer = await ask(context, `${supabase.url}/storage/v1/object/${bucket}/${theirs}`, { headers: withKey(supabase.secretKey), timeoutMs: CALL_TIMEOUT_MS })
  const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
  if (!answer.ok) note.problem({ code: 'files.lost', subject: bucket, what: `A file in ${bucket} was taken away by somebody whom it does not belong to.`, mend: MEND })
  else if (hash(answer.bytes) !== hash(PICTURE)) note.problem({ code: 'files.changed', subject: bucket, what: `A file in ${bucket} was overwritten by somebody whom it does not belong to.`, mend: MEND })
  const rows = await need(context, 'connection').query<{ name: string }>('select name from storage.objects where bucket_id = $1 and starts_with(name, $2) and name <> $3', [bucket, `${b.id}/`, theirs])
  if (rows.length > 0) note.problem({ code: 'files.planted', subject: bucket, what: `Somebody put a file into the folder of another user in ${bucket}.`, mend: MEND })
}
