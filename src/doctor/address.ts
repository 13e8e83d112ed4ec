/** Where the service is reached from outside, and which proxy it believes. */
import type { Config } from '../config.ts'
import type { Environment } from '../config-values.ts'
import { need, type Check } from './context.ts'
import { ask, quote, Unreachable } from './http.ts'
import { NotApplicable, type Notebook } from './report.ts'

export const address: Check = {
  name: 'address',
  needs: ['configuration'],
  timeoutMs: 20_000,
  async run(context, note) {
    const { generation, http } = need(context, 'config')
    const headers = generation.publicUrl === undefined ? undefined : await tryAddress(context, generation.publicUrl, note)
    const platform = platformOf(context.env, headers)
    if (platform) checkProxy(platform, http.trustProxy, note)
    if (generation.publicUrl === undefined && !platform) throw new NotApplicable('there is no PUBLIC_URL')
  },
}

async function tryAddress(context: Parameters<Check['run']>[0], url: string, note: Notebook): Promise<Headers | undefined> {
  const problem = (code: string, what: string, mend: string) => note.problem({ code: `address.${code}`, subject: 'PUBLIC_URL', what, mend })
  if (url.startsWith('http:') && !/^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(url)) note.warning({ code: 'address.plain', subject: 'PUBLIC_URL', what: 'PUBLIC_URL is plain http: tokens and callbacks travel in the open, and some platforms turn a POST there into a GET.', mend: 'Give it with https.' })
  try {
    const answer = await ask(context, `${url}/health/live`)
    const isOurs = answer.ok && (answer.json as { status?: unknown } | undefined)?.status === 'ok'
    if (isOurs) note.fact(`${url} answers`)
    else problem('other', `Behind PUBLIC_URL is not this service: ${quote(answer)}.`, 'Check PUBLIC_URL: the address of the web process, without /api. Start the web process.')
    return answer.headers
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error
    problem('unreachable', `PUBLIC_URL cannot be reached: ${error.message}. Providers that call back are not heard.`, 'Check PUBLIC_URL, and start the web process.')
    return undefined
  }
}

type Platform = 'Heroku' | 'Railway'

/** By the variables of the machine, or by what the router writes into its answers. */
function platformOf(env: Environment, headers: Headers | undefined): Platform | undefined {
  if (env.DYNO !== undefined || /heroku/i.test(headers?.get('via') ?? '')) return 'Heroku'
  if (env.RAILWAY_PROJECT_ID !== undefined || headers?.has('x-railway-edge') || /railway/i.test(headers?.get('server') ?? '')) return 'Railway'
  return undefined
}

const WANTED: Record<Platform, { value: string; fits: (trust: Config['http']['trustProxy']) => boolean; otherwise: string }> = {
  Heroku: { value: '1', fits: (trust) => trust !== undefined && 'hops' in trust, otherwise: 'its router tells the client in the last address of X-Forwarded-For, and lets any other header of the client through' },
  Railway: { value: 'X-Real-IP', fits: (trust) => trust !== undefined && 'header' in trust, otherwise: 'its edge tells the client in X-Real-IP alone' },
}

function checkProxy(platform: Platform, trust: Config['http']['trustProxy'], note: Notebook): void {
  const { value, fits, otherwise } = WANTED[platform]
  note.fact(`on ${platform}`)
  if (fits(trust)) return
  const harm = trust === undefined ? 'every client seems to be the router' : 'a client may claim any address'
  note.warning({ code: 'address.trust-proxy', subject: 'TRUST_PROXY', what: `TRUST_PROXY does not fit ${platform}: ${otherwise}, so ${harm}.`, mend: `Set TRUST_PROXY=${value}${platform === 'Heroku' ? ' (2 behind a CDN of your own)' : ''}.` })
}
