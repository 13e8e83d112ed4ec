/** Sessions in cookies, written by the real `@supabase/ssr`: what a page may do with them, and what nobody else may. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { createServerClient } from '@supabase/ssr'
import { ConfigError, loadConfig } from '../../src/config.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, supabase } from '../support/supabase.ts'

const PAGE = 'https://app.example.com'

interface Jar {
  userId: string
  cookies: Map<string, string>
}

/** A browser in which somebody has signed up. @param bulk makes the session so large that it is cut into several cookies. */
async function signUpInBrowser(bulk = 0, name?: string): Promise<Jar> {
  const cookies = new Map<string, string>()
  const client = createServerClient(supabase.url, supabase.publishableKey, {
    ...(name !== undefined && { cookieOptions: { name } }),
    cookies: { getAll: () => [...cookies].map(([key, value]) => ({ name: key, value })), setAll: (all) => all.forEach((cookie) => cookies.set(cookie.name, cookie.value)) },
  })
  const { data, error } = await client.auth.signUp({ email: `${randomUUID()}@example.com`, password: 'correct horse', options: { data: { about: 'ö'.repeat(bulk) } } })
  if (error) throw error
  // Written behind the answer.
  await client.auth.getSession()
  return { userId: data.user!.id, cookies }
}

const header = ({ cookies }: Jar): string => [...cookies].map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('; ')

interface Answer {
  status: number
  code: string | undefined
  body: Record<string, unknown>
  headers: Headers
}

describe('sessions in cookies', () => {
  let service: TestService
  let jar: Jar
  before(async () => {
    service = await startTestService({ env: { COOKIE_AUTH: 'true' } })
    jar = await signUpInBrowser()
  })
  after(() => service.close())

  async function ask(path: string, headers: Record<string, string>, init: RequestInit = {}, to = service): Promise<Answer> {
    const response = await to.request(path, { ...init, headers: { ...(init.body !== undefined && { 'content-type': 'application/json' }), ...headers } })
    const body = (await response.json().catch(() => ({}))) as Record<string, unknown>
    return { status: response.status, code: body.code as string | undefined, body, headers: response.headers }
  }
  const fromPage = (own: Jar = jar) => ({ cookie: header(own), origin: PAGE, 'sec-fetch-site': 'cross-site' })
  const csrfTokenOf = async (own: Jar = jar) => (await ask('/api/csrf', fromPage(own))).body.csrfToken as string
  const generate = (headers: Record<string, string>) => ask('/api/images/generate', headers, { method: 'POST', body: '{"prompt":"A cat"}' })

  test('open the API to the frontend’s page, which may read the answer', async () => {
    const usage = await ask('/api/usage', fromPage())
    assert.equal(usage.status, 200)
    assert.deepEqual([usage.headers.get('access-control-allow-origin'), usage.headers.get('access-control-allow-credentials')], [PAGE, 'true'])
    assert.match(usage.headers.get('vary')!, /Cookie/)
    const token = await csrfTokenOf()
    const made = await generate({ ...fromPage(), 'x-csrf-token': token })
    assert.equal(made.status, 200)
    assert.equal((await sql('select from public.images where user_id = $1', [jar.userId])).length, 1)
    const preflight = await service.request('/api/images/generate', { method: 'OPTIONS', headers: { origin: PAGE, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-csrf-token' } })
    assert.match(preflight.headers.get('access-control-allow-headers')!, /X-CSRF-Token/)
    assert.equal(preflight.headers.get('access-control-allow-credentials'), 'true')
  })

  test('are read from several cookies, and from one of another name', async (t) => {
    const large = await signUpInBrowser(1500)
    assert.ok([...large.cookies.keys()].some((name) => name.endsWith('-auth-token.1')), [...large.cookies.keys()].join())
    assert.equal((await ask('/api/usage', fromPage(large))).status, 200)
    const named = await startTestService({ env: { COOKIE_AUTH: 'true', COOKIE_NAME: 'my-session' } })
    t.after(() => named.close())
    const other = await signUpInBrowser(0, 'my-session')
    assert.ok(other.cookies.has('my-session'))
    assert.deepEqual([(await ask('/api/usage', fromPage(other), {}, named)).status, (await ask('/api/usage', fromPage(), {}, named)).status], [200, 401])
  })

  for (const [name, headers, status] of [
    ['a page of another origin', { origin: 'https://evil.example.net', 'sec-fetch-site': 'cross-site' }, 403],
    ['a page of a neighbouring domain', { origin: 'https://blog.example.com', 'sec-fetch-site': 'same-site' }, 403],
    ['a page without an origin of its own', { origin: 'null', 'sec-fetch-site': 'cross-site' }, 403],
    ['a link on another site', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }, 403],
    ['a browser that tells nothing', {}, 403],
    ['an origin in other letters', { origin: 'https://APP.example.com', 'sec-fetch-site': 'cross-site' }, 403],
    ['an origin with more behind it', { origin: `${PAGE}.evil.net`, 'sec-fetch-site': 'cross-site' }, 403],
    ['an origin on another port', { origin: `${PAGE}:8443`, 'sec-fetch-site': 'same-site' }, 403],
    ['the same by http', { origin: 'http://app.example.com', 'sec-fetch-site': 'cross-site' }, 403],
    ['a link of the same site', { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'navigate' }, 200],
    ['a typed address', { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' }, 200],
    ['the API’s own page', { 'sec-fetch-site': 'same-origin' }, 200],
  ] as const) {
    test(`are ${status === 200 ? 'taken' : 'refused'} from ${name}`, async () => {
      const answer = await ask('/api/usage', { cookie: header(jar), ...headers })
      assert.deepEqual([answer.status, answer.code], [status, status === 200 ? undefined : 'forbidden'])
    })
  }

  test('change nothing without the CSRF token of the same user', async () => {
    const [own, others] = [await csrfTokenOf(), await csrfTokenOf(await signUpInBrowser())]
    const asked = service.simulator.requests.length
    const [expiresAt, signature] = own.split('.') as [string, string]
    for (const token of [undefined, '', others, own.slice(0, -2), `${Number(expiresAt) + 1000}.${signature}`, `.${signature}`, signature, `${expiresAt}.`, 'undefined']) {
      const refused = await generate({ ...fromPage(), ...(token !== undefined && { 'x-csrf-token': token }) })
      assert.deepEqual([refused.status, refused.code], [403, 'csrf_token_invalid'], token)
    }
    // A link or a form on the same site, though the token were known.
    for (const headers of [{ 'sec-fetch-site': 'same-site' }, { 'sec-fetch-site': 'none' }, {}]) {
      const refused = await generate({ cookie: header(jar), ...headers, 'x-csrf-token': own })
      assert.deepEqual([refused.status, refused.code], [403, 'forbidden'])
    }
    for (const [path, method] of [['/api/keys', 'POST'], [`/api/keys/${'a'.repeat(16)}`, 'DELETE'], [`/api/generations/${randomUUID()}/cancel`, 'POST']] as const) {
      assert.equal((await ask(path, fromPage(), { method, ...(method === 'POST' && { body: '{"name":"A key"}' }) })).code, 'csrf_token_invalid', path)
    }
    assert.equal(service.simulator.requests.length, asked)
  })

  test('are not taken when they were forged, cut, doubled or made of something else', async () => {
    const [name, value] = [...jar.cookies].find(([own]) => own.endsWith('-auth-token'))!
    const session = JSON.parse(Buffer.from(value.slice('base64-'.length), 'base64url').toString()) as { access_token: string }
    const encode = (of: unknown) => `base64-${Buffer.from(JSON.stringify(of)).toString('base64url')}`
    const origin = { origin: PAGE }
    for (const cookie of [
      `${name}=`, `${name}=nonsense`, `${name}=base64-%%%`, `${name}=base64-`, `${name}=${value.slice(0, 100)}`, `${name}=${encode([])}`, `${name}=${encode({ access_token: 7 })}`, `${name}=${encode({ access_token: '' })}`,
      `${name}=${encode({ access_token: `${session.access_token.slice(0, -6)}AAAAAA` })}`, `${name}=${value}; ${name}=${value}`, `${name}.0=a; ${name}.0=b`, `__proto__=1; constructor=2`, `x${name}=${value}`, `${name.toUpperCase()}=${value}`,
    ]) {
      const answer = await ask('/api/usage', { ...origin, cookie })
      assert.deepEqual([answer.status, answer.code], [401, 'unauthenticated'], cookie)
    }
    // As plain JSON, which older clients wrote.
    assert.equal((await ask('/api/usage', { ...origin, cookie: `${name}=${encodeURIComponent(JSON.stringify(session))}` })).status, 200)
  })

  test('count less than a token that was sent by intent', async () => {
    const user = await signUp()
    await service.generate(user, { prompt: 'Mine' })
    const both = await service.request('/api/usage', { user, headers: { cookie: header(jar), origin: 'https://evil.example.net' } })
    assert.equal(((await both.json()) as { storage: { bytes: number } }).storage.bytes > 0, true)
    assert.equal((await ask('/api/usage', { ...fromPage(), authorization: 'Bearer nonsense' })).status, 401)
    assert.equal((await service.request('/api/images/generate', { method: 'POST', user, body: '{"prompt":"No token for CSRF needed"}', headers: { 'content-type': 'application/json' } })).status, 200)
  })

  test('are nothing where nobody switched them on', async (t) => {
    const plain = await startTestService()
    t.after(() => plain.close())
    const answer = await ask('/api/usage', fromPage(), {}, plain)
    assert.deepEqual([answer.status, answer.headers.get('access-control-allow-credentials')], [401, null])
    const user = await signUp()
    assert.equal((await plain.request('/api/csrf', { user })).status, 404)
  })

  test('end their CSRF tokens with time', async () => {
    const { createCookieSessions } = await import('../../src/http/cookie-session.ts')
    let now = Date.now()
    const sessions = createCookieSessions({ name: 'sb', origins: [PAGE], secretKey: 'secret', csrfTokenSeconds: 60, now: () => now })
    const { token, expiresAt } = sessions.issueCsrfToken('somebody')
    const demand = () => sessions.demandCsrfToken({ method: 'POST', get: () => token } as never, 'somebody')
    now = expiresAt.getTime() - 1
    demand()
    now = expiresAt.getTime()
    assert.throws(demand, { code: 'csrf_token_invalid' })
  })
})

test('origins that no browser sends, and cookies without origins, keep the service from starting', () => {
  const problems = (env: Record<string, string>, local = false): string[] => {
    try {
      loadConfig(env, { providers: [], local })
    } catch (error) {
      if (error instanceof ConfigError) return error.problems.filter((problem) => problem.includes('CORS_ORIGINS'))
    }
    return []
  }
  for (const origin of ['*', 'https://app.example.com/', 'https://*.example.com/x', 'app.example.com', 'https://APP.example.com', 'https://app.example.com:443', 'null']) assert.equal(problems({ CORS_ORIGINS: `${PAGE},${origin}` }).length, 1, origin)
  assert.deepEqual(problems({ CORS_ORIGINS: `${PAGE},http://localhost:5173,capacitor://localhost` }), [])
  assert.equal(problems({ COOKIE_AUTH: 'true' }, true).length, 1)
  assert.equal(problems({}).length, 1)
})
