/** The bucket: there, as open as configured, with room for what the service stores; and a file there and back. */
import { createHash, randomBytes } from 'node:crypto'
import type { Config } from '../config.ts'
import { createStorage } from '../supabase/storage.ts'
import { need, type Check, type Context } from './context.ts'
import { ask, quote, withKey, type Answer } from './http.ts'
import { MARK } from './people.ts'
import { CannotRun, type Notebook } from './report.ts'

/** What is stored: pictures, their thumbnails, videos. */
const MEDIA_TYPES = ['image/png', 'image/jpeg', 'image/webp', 'video/mp4']
const CALL_TIMEOUT_MS = 20_000

interface Bucket {
  public: boolean
  file_size_limit: number | null
  allowed_mime_types: string[] | null
}

export const bucket: Check = {
  name: 'bucket',
  needs: ['keys'],
  timeoutMs: 60_000,
  async run(context, note) {
    const config = need(context, 'config')
    need(context, 'hasKeys')
    const found = await findBucket(context, config, note)
    if (!found) return
    const isAsConfigured = checkAccess(found, config.media, note)
    checkTypes(found, config.media.bucket, note)
    await checkSizes(context, found, config, note)
    await tryFile(context, config, isAsConfigured, note)
  },
}

async function findBucket(context: Context, { supabase, media }: Config, note: Notebook): Promise<Bucket | undefined> {
  const answer = await ask(context, `${supabase.url}/storage/v1/bucket/${media.bucket}`, { headers: withKey(supabase.secretKey), timeoutMs: CALL_TIMEOUT_MS })
  if (answer.ok) return answer.json as Bucket
  const { statusCode } = (answer.json ?? {}) as { statusCode?: string }
  if (statusCode !== '404') throw new CannotRun(`Storage does not answer as it should: ${quote(answer)}`)
  note.problem({ code: 'bucket.missing', subject: media.bucket, what: `There is no bucket ${media.bucket}.`, mend: 'Start a worker, which makes it, or check MEDIA_BUCKET.' })
  return undefined
}

/** @returns whether it is as open as configured. */
function checkAccess({ public: isPublic }: Bucket, { bucket: name, access }: Config['media'], note: Notebook): boolean {
  note.fact(`${name}, ${isPublic ? 'public' : 'private'}`)
  if (isPublic === (access === 'public')) return true
  const what = isPublic ? 'is public, and MEDIA_ACCESS says private: whoever has an address reads the file' : 'is private, and MEDIA_ACCESS says public: the addresses in the rows lead nowhere'
  note.problem({ code: 'bucket.access', subject: name, what: `The bucket ${name} ${what}.`, mend: `Restart a worker, which makes it ${access}, or set MEDIA_ACCESS=${isPublic ? 'public' : 'private'}.` })
  return false
}

function checkTypes({ allowed_mime_types: allowed }: Bucket, name: string, note: Notebook): void {
  if (allowed === null || allowed.length === 0) return
  const refused = MEDIA_TYPES.filter((type) => !allowed.includes(type) && !allowed.includes(`${type.split('/')[0]}/*`) && !allowed.includes('*/*'))
  if (refused.length > 0) note.problem({ code: 'bucket.types', subject: name, what: `The bucket ${name} does not take ${refused.join(', ')}.`, mend: 'Allow image/* and video/*, or every type (Dashboard, Storage, edit bucket).' })
}

async function checkSizes(context: Context, { file_size_limit: ofBucket }: Bucket, { supabase, media }: Config, note: Notebook): Promise<void> {
  const answer = await ask(context, `${supabase.url}/storage/v1/upload/resumable`, { method: 'OPTIONS', headers: withKey(supabase.secretKey), timeoutMs: CALL_TIMEOUT_MS })
  const ofProject = Number(answer.headers.get('tus-max-size') ?? Number.NaN)
  if (Number.isNaN(ofProject)) note.cannotTell("the project's limit for uploads: this Storage does not tell it")
  else note.fact(`uploads up to ${toMebibytes(ofProject)}`)
  const variables = [
    ['MAX_IMAGE_BYTES', media.maxImageBytes],
    ['MAX_VIDEO_BYTES', media.maxVideoBytes],
  ] as const
  for (const [variable, bytes] of variables) {
    if (ofBucket !== null && ofBucket < bytes) tooSmall(variable, bytes, ofBucket, `the bucket ${media.bucket}`, note)
    // A limit of the bucket that is larger than the project's says nothing.
    else if (ofProject < bytes) tooSmall(variable, bytes, ofProject, 'the project', note)
  }
}

function tooSmall(variable: string, bytes: number, limit: number, whose: string, note: Notebook): void {
  note.problem({
    code: 'bucket.size',
    subject: variable,
    what: `${variable} lets files of ${toMebibytes(bytes)} through, but ${whose} takes none above ${toMebibytes(limit)}: a larger one is paid for, and then cannot be stored.`,
    mend: `Set ${variable}=${limit}, or raise the limit of ${whose} (Dashboard, Storage${whose === 'the project' ? ' settings; the plan bounds it' : ', edit bucket'}).`,
  })
}

const toMebibytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(bytes < 10 * 1024 * 1024 ? 1 : 0)} MiB`

/** Every bucket that takes pictures takes this one. */
export const PICTURE = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64')

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Under one folder, so that the next run finds what a killed one left. */
async function tryFile(context: Context, { supabase, media }: Config, isAsConfigured: boolean, note: Notebook): Promise<void> {
  const storage = createStorage({ ...supabase, ...media, timeoutMs: CALL_TIMEOUT_MS })
  const path = `${MARK}/${randomBytes(16).toString('hex')}.png`
  context.cleanUp(`the file ${path}`, () => storage.remove([`${MARK}/`]))
  const bytes = Buffer.concat([PICTURE, randomBytes(16)])
  const problem = (what: string) => note.problem({ code: 'bucket.file', subject: media.bucket, what, mend: 'Look into the log of Storage (Dashboard, Logs), and at the quota of the plan.' })
  try {
    await storage.remove([`${MARK}/`])
    await storage.put(path, bytes, 'image/png')
    const back = await readBack(context, { supabase, media }, path)
    if (!back.ok) problem(`A file that was stored in ${media.bucket} cannot be read: ${quote(back)}.`)
    else if (sha256(back.bytes) !== sha256(bytes)) problem(`A file comes out of ${media.bucket} as another than it went in.`)
    // Where the bucket is not as configured, that was told before.
    if (isAsConfigured) await checkAddresses(context, { supabase, media }, { path, url: await storage.readableUrl(path) }, note)
    await storage.remove([path])
    if ((await readBack(context, { supabase, media }, path)).ok) problem(`A file that was removed from ${media.bucket} is still there.`)
    context.found.hasBucket = true
  } catch (error) {
    context.signal().throwIfAborted()
    problem(`No file can be stored in ${media.bucket}: ${causesOf(error)}.`)
  }
}

/** As the service gives it away, and as a stranger would try. */
async function checkAddresses(context: Context, { supabase, media }: Pick<Config, 'supabase' | 'media'>, { path, url }: { path: string; url: string }, note: Notebook): Promise<void> {
  const given = await ask(context, url, { timeoutMs: CALL_TIMEOUT_MS })
  if (!given.ok) note.problem({ code: 'bucket.closed', subject: media.bucket, what: `The address that the service gives for a file in ${media.bucket} leads nowhere: ${quote(given)}.`, mend: 'Check that SUPABASE_URL is the address that browsers use too.' })
  if (media.access === 'public') return
  const open = await ask(context, `${supabase.url}/storage/v1/object/public/${media.bucket}/${path}`, { timeoutMs: CALL_TIMEOUT_MS })
  if (open.ok) note.problem({ code: 'bucket.open', subject: media.bucket, what: `A stranger reads a file of ${media.bucket} by its path alone, and MEDIA_ACCESS says private.`, mend: 'Make the bucket private (Dashboard, Storage); a cache in front of it may remember for a while.' })
}

/** With the key, for which no cache answers. */
const readBack = (context: Context, { supabase, media }: Pick<Config, 'supabase' | 'media'>, path: string): Promise<Answer> =>
  ask(context, `${supabase.url}/storage/v1/object/${media.bucket}/${path}`, { headers: withKey(supabase.secretKey), timeoutMs: CALL_TIMEOUT_MS })

function causesOf(error: unknown): string {
  const messages: string[] = []
  for (let at = error; at instanceof Error && messages.length < 3; at = at.cause) messages.push(at.message.replace(/\.$/, ''))
  return messages.join(': ')
}
