/** The two keys: of the right kind each, of this project, and with the rights that their kind has. */
import { decodeJwt } from 'jose'
import type { Config } from '../config.ts'
import { need, type Check, type Context } from './context.ts'
import { ask, quote, Unreachable, withKey, type Answer } from './http.ts'
import { kindOfKey, refOfUrl } from '../supabase/project-ref.ts'
import type { Notebook } from './report.ts'

interface KeyUse {
  variable: string
  called: string
  value: string
  /** The role that a legacy key of this use has. */
  role: string
  kind: 'secret' | 'publishable'
}

export const keys: Check = {
  name: 'keys',
  needs: ['schema'],
  timeoutMs: 40_000,
  async run(context, note) {
    const { supabase } = need(context, 'config')
    const uses = usesOf(supabase, context)
    for (const use of uses) judgeWords(use, supabase.url, note)
    try {
      for (const use of uses) await checkKnown(context, use, supabase.url, note)
      if (!note.findings.some(({ level }) => level === 'problem')) await checkRights(context, note)
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error
      note.problem({ code: 'keys.unreachable', subject: 'SUPABASE_URL', what: `${error.message}.`, mend: 'Check SUPABASE_URL; wake the project up if it is paused.' })
    }
    context.found.hasKeys = !note.findings.some(({ level }) => level === 'problem')
  },
}

function usesOf({ secretKey, publishableKey }: Config['supabase'], { env }: Context): KeyUse[] {
  const variable = (first: string, second: string) => (env[first]?.trim() ? first : second)
  return [
    { variable: variable('SUPABASE_SECRET_KEY', 'SUPABASE_SERVICE_ROLE_KEY'), called: 'secret key', value: secretKey, role: 'service_role', kind: 'secret' },
    { variable: variable('SUPABASE_PUBLISHABLE_KEY', 'SUPABASE_ANON_KEY'), called: 'publishable key', value: publishableKey, role: 'anon', kind: 'publishable' },
  ]
}

const DANGER = 'It may have reached browsers: whoever has it reads and writes everything. Replace that key in the dashboard.'

/** What a key says of itself, before anybody is asked. */
function judgeWords({ variable, called, value, role, kind }: KeyUse, url: string, note: Notebook): void {
  const says = kindOfKey(value)
  const problem = (code: string, what: string, mend: string) => note.problem({ code: `keys.${code}`, subject: variable, what: `${variable} ${what}.`, mend })
  if (says.kind === 'unknown') return problem('kind', `is no key of Supabase: it is neither sb_${kind}_… nor a token`, `Copy the ${called} from the dashboard (API keys).`)
  if (says.kind !== 'legacy') {
    if (says.kind !== kind) problem('swapped', `holds a ${says.kind} key`, `Put the ${called} (sb_${kind}_…) there.${kind === 'publishable' ? ` ${DANGER}` : ''}`)
    return
  }
  if (says.role !== role) problem('swapped', `holds a key of the role ${says.role}, not of ${role}`, `Put the ${called} there.${kind === 'publishable' ? ` ${DANGER}` : ''}`)
  const ref = refOfUrl(url)
  if (ref !== undefined && says.ref !== undefined && says.ref !== ref) problem('other-project', `is a key of the project ${says.ref}, SUPABASE_URL is of ${ref}`, 'Copy the keys and the address from the same project.')
  if (says.expiresAt !== undefined && says.expiresAt * 1000 < Date.now()) problem('expired', `ended at ${new Date(says.expiresAt * 1000).toISOString()}`, `Make a new ${called} in the dashboard (API keys).`)
}

async function checkKnown(context: Context, { variable, called, value }: KeyUse, url: string, note: Notebook): Promise<void> {
  const answer = await ask(context, `${url}/auth/v1/health`, { headers: withKey(value) })
  if (answer.status === 401 || answer.status === 403) note.problem({ code: 'keys.unknown', subject: variable, what: `${variable} is not a key of this project, or was revoked: ${answer.status}.`, mend: `Copy the ${called} from the dashboard of the project that SUPABASE_URL names (API keys).` })
  else if (answer.status === 402) note.problem({ code: 'keys.unpaid', subject: 'SUPABASE_URL', what: `The project is closed: ${quote(answer)}.`, mend: 'Pay the bill, or free what is over the quota of its plan.' })
  else if (!answer.ok) note.problem({ code: 'keys.no-auth', subject: 'SUPABASE_URL', what: `Auth does not answer as it should: ${quote(answer)}.`, mend: 'Check SUPABASE_URL: the address of the API, without a path. Wake the project up if it is paused.' })
}

/** What only the secret key opens, asked with both. */
async function checkRights(context: Context, note: Notebook): Promise<void> {
  const { supabase, media } = need(context, 'config')
  const [secret, publishable] = usesOf(supabase, context)
  const admin = (key: string) => ask(context, `${supabase.url}/auth/v1/admin/users?page=1&per_page=1`, { headers: withKey(key) })
  const bucket = (key: string) => ask(context, `${supabase.url}/storage/v1/bucket/${media.bucket}`, { headers: withKey(key) })
  const [opensAuth, opensStorage] = [await admin(supabase.secretKey), await bucket(supabase.secretKey)]
  // The local Supabase has no such routes.
  const hasAdmin = opensAuth.ok || !context.isLocal
  if (hasAdmin && !opensAuth.ok) weak(secret!, 'Auth', opensAuth, note)
  if (!opensStorage.ok && !isMissing(opensStorage)) weak(secret!, 'Storage', opensStorage, note)
  const leak = hasAdmin ? await admin(supabase.publishableKey) : await bucket(supabase.publishableKey)
  if (leak.ok) note.problem({ code: 'keys.privileged', subject: publishable!.variable, what: `${publishable!.variable} opens what only a secret key may open.`, mend: `Put the publishable key there. ${DANGER}` })
  await checkService(context, secret!, note)
  if (note.findings.length === 0) note.fact(`${describe(secret!)} with the rights of the service, ${describe(publishable!)} without`)
}

const isMissing = ({ json }: Answer): boolean => typeof json === 'object' && json !== null && 'statusCode' in json && json.statusCode === '404'

function weak({ variable }: KeyUse, where: string, answer: Answer, note: Notebook): void {
  note.problem({ code: 'keys.weak', subject: variable, what: `${variable} does not have the rights of the service in ${where}: ${quote(answer)}.`, mend: 'Put a secret key of the project there.' })
}

/** By the Data API too: a row level security that lets the key through, and a grant. */
async function checkService(context: Context, { value, variable }: KeyUse, note: Notebook): Promise<void> {
  const { supabase } = need(context, 'config')
  if (!context.found.tables?.has('public.prompts')) return
  const answer = await ask(context, `${supabase.url}/rest/v1/prompts?select=id&limit=1`, { headers: withKey(value) })
  if (!answer.ok) note.problem({ code: 'keys.no-rows', subject: variable, what: `The Data API does not give rows to ${variable}: ${quote(answer)}.`, mend: "Where it speaks of the schema cache, run: notify pgrst, 'reload schema'; else see the check of the privileges." })
}

function describe({ value, called }: KeyUse): string {
  return kindOfKey(value).kind === 'legacy' ? `legacy ${called} (${String(decodeJwt(value).role)})` : called
}
