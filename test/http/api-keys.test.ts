import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { SignJWT } from 'jose'
import { askAs, makeKey, sendRaw, sign, type TestKey } from '../support/api-keys.ts'
import { startProcess, type RunningProcess } from '../support/process.ts'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, supabase, type TestUser } from '../support/supabase.ts'

const EVERY_SCOPE = ['images:generate', 'images:read', 'videos:generate', 'videos:read']

interface KeyAnswer extends TestKey {
  name: string
  prefix: string
  state: string
  scopes: string[]
  signedOnly: boolean
  expiresAt: string | null
  lastUsedAt: string | null
  replacedBy: string | null
  overlapUntil: string | null
  code?: string
}

type KeyRequest = Omit<RequestInit, 'headers'> & { headers?: Record<string, string> }

describe('API keys', () => {
  let service: TestService
  let user: TestUser
  before(async () => {
    await sql('truncate darkroom.signing_keys')
    service = await startTestService({ env: { API_KEYS_PER_USER: '4' } })
    user = await signUp()
  })
  after(() => service.close())

  const json = async (response: Response) => ({ status: response.status, answer: (await response.json()) as KeyAnswer & { keys: KeyAnswer[]; error: string; details?: { path: string; message: string }[] } })
  const manage = async (who: TestUser, method: string, path: string, body?: unknown) => await json(await askAs(who, service.url, method, `/api/keys${path}`, body))
  const bearer = (key: string, path = '/api/images/models', { headers, ...init }: KeyRequest = {}, url = service.url) => fetch(url + path, { ...init, headers: { authorization: `Bearer ${key}`, ...headers } })
  const refusal = async (key: string, path?: string, init?: KeyRequest) => {
    const response = await bearer(key, path, init)
    const { code, error } = (await response.json()) as { code: string; error: string }
    return { status: response.status, code, error }
  }

  test('a key is told once, in a form that scanners know, and lists show only how it begins', async () => {
    const owner = await signUp()
    const { status, answer } = await manage(owner, 'POST', '', { name: ' Build server ', expiresInDays: 30 })
    assert.equal(status, 201)
    assert.match(answer.key, /^drk_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}$/)
    assert.deepEqual([answer.prefix, answer.name, answer.state, answer.signedOnly, answer.scopes], [`drk_${answer.id}`, 'Build server', 'active', false, EVERY_SCOPE])
    assert.ok(Math.abs(Date.parse(answer.expiresAt!) - Date.now() - 30 * 86_400_000) < 60_000)
    const listed = await manage(owner, 'GET', '')
    assert.deepEqual(listed.answer.keys.map(({ id, prefix }) => ({ id, prefix })), [{ id: answer.id, prefix: answer.prefix }])
    assert.ok(!JSON.stringify(listed.answer).includes(answer.key.slice(21)), 'the secret is not in the list')
    assert.equal((await askAs(owner, service.url, 'GET', '/api/keys')).headers.get('cache-control'), 'no-store')
    assert.equal((await bearer(answer.key)).status, 200)
  })

  test('the last six signs are the checksum of the rest', async () => {
    const { key } = await makeKey(service.url, await signUp())
    const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
    const value = key.slice(-6).split('').reduce((sum, sign) => sum * 62 + alphabet.indexOf(sign), 0)
    assert.equal(value, crc32(key.slice(0, -6)))
  })

  test('a key acts as its user, and its requests are logged under both ids', async () => {
    const owner = await signUp()
    const { id, key } = await makeKey(service.url, owner)
    const made = await bearer(key, '/api/images/generate', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ prompt: 'By key', model: 'seedream-4-0-250828' }) })
    assert.equal(made.status, 200, await made.clone().text())
    const { data } = await owner.client.from('prompts').select('prompt')
    assert.deepEqual(data, [{ prompt: 'By key' }])
    assert.ok(service.log.some((line) => line.route === '/api/images/generate' && line.userId === owner.id && line.keyId === id))
    const listed = await eventually(async () => (await manage(owner, 'GET', '')).answer.keys.find(({ lastUsedAt }) => lastUsedAt !== null), 'it is written down that the key is in use')
    assert.equal(listed.id, id)
  })

  test('its last use is written down at most once a minute', async () => {
    const owner = await signUp()
    const { id, key } = await makeKey(service.url, owner)
    await sql(`update darkroom.api_keys set last_used_at = now() - interval '30 seconds' where id = $1`, [id])
    const lastUse = async () => (await sql<{ at: string }>('select last_used_at::text as at from darkroom.api_keys where id = $1', [id]))[0]!.at
    const before = await lastUse()
    const other = await startTestService()
    try {
      for (let count = 0; count < 5; count++) assert.equal((await bearer(key)).status, 200)
      assert.equal((await bearer(key, '/api/images/models', {}, other.url)).status, 200)
    } finally {
      // Its writes are done when it has stopped.
      await other.close()
    }
    assert.equal(await lastUse(), before)
  })

  test('no key makes, sees, replaces or ends keys, in whatever way it is used', async () => {
    const key = await makeKey(service.url, await signUp())
    const basic = Buffer.from(`${key.id}:${key.key}`).toString('base64')
    const token = (await (await fetch(`${service.url}/oauth/token`, { method: 'POST', headers: { authorization: `Basic ${basic}` }, body: new URLSearchParams({ grant_type: 'client_credentials' }) })).json()) as { access_token: string }
    for (const [method, path] of [['GET', '/api/keys'], ['POST', '/api/keys'], ['DELETE', `/api/keys/${key.id}`], ['POST', `/api/keys/${key.id}/rotate`]] as const) {
      for (const secret of [key.key, token.access_token]) {
        const { status, code } = await refusal(secret, path, { method, headers: { 'content-type': 'application/json' } })
        assert.deepEqual([status, code], [403, 'forbidden'], `${method} ${path}`)
      }
      assert.equal((await sendRaw(service.url, sign(key, { method, target: path, headers: [] }))).status, 403)
    }
    assert.equal((await bearer(key.key)).status, 200)
  })

  test('nobody else can see or touch a key', async () => {
    const { id, key } = await makeKey(service.url, user)
    const other = await signUp()
    assert.deepEqual((await manage(other, 'GET', '')).answer.keys, [])
    assert.equal((await manage(other, 'DELETE', `/${id}`)).status, 404)
    assert.equal((await manage(other, 'POST', `/${id}/rotate`, { overlapMinutes: 0 })).status, 404)
    assert.equal((await bearer(key)).status, 200)
    for (const odd of ['x', id.toLowerCase() + id, '%00', "'--", `${id}%2Frotate`]) assert.equal((await manage(user, 'DELETE', `/${odd}`)).status, 404, odd)
  })

  const refused: [what: string, body: unknown, path: string][] = [
    ['no name', {}, 'name'],
    ['a blank name', { name: '  ' }, 'name'],
    ['too long a name', { name: 'x'.repeat(101) }, 'name'],
    ['a name with a NUL', { name: 'a\0b' }, 'name'],
    ['an unknown scope', { name: 'a', scopes: ['images:delete'] }, 'scopes.0'],
    ['no scopes', { name: 'a', scopes: [] }, 'scopes'],
    ['an end today', { name: 'a', expiresInDays: 0 }, 'expiresInDays'],
    ['an end in a hundred years', { name: 'a', expiresInDays: 36_500 }, 'expiresInDays'],
    ['signedOnly as text', { name: 'a', signedOnly: 'yes' }, 'signedOnly'],
    ['a user', { name: 'a', userId: '11111111-1111-4111-8111-111111111111' }, 'userId'],
  ]
  for (const [what, body, path] of refused) {
    test(`${what} is refused`, async () => {
      const { status, answer } = await manage(user, 'POST', '', body)
      assert.deepEqual([status, answer.details?.[0]?.path], [400, path])
    })
  }

  test('a user has only so many keys, however fast they are made; one that ended makes room', async () => {
    const owner = await signUp()
    const made = await Promise.all(Array.from({ length: 12 }, (_, index) => manage(owner, 'POST', '', { name: `key ${index}` })))
    assert.deepEqual(made.map(({ status }) => status).toSorted((a, b) => a - b), [201, 201, 201, 201, ...Array.from({ length: 8 }, () => 409)])
    assert.equal(made.find(({ status }) => status === 409)!.answer.code, 'conflict')
    const [first] = made.filter(({ status }) => status === 201)
    assert.equal((await askAs(owner, service.url, 'DELETE', `/api/keys/${first!.answer.id}`)).status, 204)
    assert.equal((await manage(owner, 'POST', '', { name: 'another' })).status, 201)
  })

  test('a revoked key is refused at once, and says so only to whoever holds it', async () => {
    const owner = await signUp()
    const { id, key } = await makeKey(service.url, owner)
    assert.equal((await bearer(key)).status, 200)
    assert.equal((await askAs(owner, service.url, 'DELETE', `/api/keys/${id}`)).status, 204)
    assert.deepEqual(await refusal(key), { status: 401, code: 'unauthenticated', error: 'This API key was revoked.' })
    assert.equal((await askAs(owner, service.url, 'DELETE', `/api/keys/${id}`)).status, 204, 'a second time too')
    assert.equal((await manage(owner, 'GET', '')).answer.keys[0]!.state, 'revoked')
    assert.equal((await refusal(withSecretOf(key, (await makeKey(service.url, owner)).key))).error, 'This is not a valid API key.')
  })

  test('a process that hears nothing from the database still knows what it has revoked itself', async () => {
    const owner = await signUp()
    const { id, key } = await makeKey(service.url, owner)
    assert.equal((await bearer(key)).status, 200)
    await sql(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'darkroom listener'`)
    assert.equal((await askAs(owner, service.url, 'DELETE', `/api/keys/${id}`)).status, 204)
    assert.equal((await bearer(key)).status, 401)
  })

  test('wrong, unknown, mistyped and cut keys are refused alike', async () => {
    const [{ key }, other] = [await makeKey(service.url, user), await makeKey(service.url, user)]
    const unknown = checked(`drk_${'A'.repeat(16)}_${key.slice(21, -6)}`)
    const wrong = [withSecretOf(key, other.key), unknown, key.slice(0, -1), `${key.slice(0, -1)}${key.endsWith('0') ? '1' : '0'}`, key.slice(0, -6), `${key}0`, key.toLowerCase(), key.slice(4), 'drk_', `drk_${other.id}_`, key.replace('_', '-'), `${key},${key}`]
    for (const text of wrong) {
      const { status, code } = await refusal(text)
      assert.deepEqual([status, code], [401, 'unauthenticated'], text)
    }
    const answers = await Promise.all(wrong.slice(0, 6).map(async (text) => (await refusal(text)).error))
    assert.deepEqual([...new Set(answers)], ['This is not a valid API key.'])
  })

  test('a key that ended, or whose user is banned or gone, is refused within the moment that keys are kept', async () => {
    const endings: [what: string, end: (id: string, owner: TestUser) => Promise<unknown>][] = [
      ['expired', (id) => sql(`update darkroom.api_keys set expires_at = now() where id = $1`, [id])],
      ['row deleted', (id) => sql('delete from darkroom.api_keys where id = $1', [id])],
      ['user banned', (_id, owner) => sql(`update auth.users set banned_until = now() + interval '1 day' where id = $1`, [owner.id])],
      ['user deleted', (_id, owner) => sql('delete from auth.users where id = $1', [owner.id])],
    ]
    for (const [what, end] of endings) {
      const owner = await signUp()
      const { id, key } = await makeKey(service.url, owner)
      assert.equal((await bearer(key)).status, 200)
      await end(id, owner)
      await eventually(async () => (await bearer(key)).status === 401, what)
    }
  })

  test('a key that only signs is refused as a bearer, but signs', async () => {
    const key = await makeKey(service.url, await signUp(), { signedOnly: true })
    const { status, code, error } = await refusal(key.key)
    assert.deepEqual([status, code], [401, 'unauthenticated'])
    assert.match(error, /only signs/)
    assert.equal((await sendRaw(service.url, sign(key, { method: 'GET', target: '/api/images/models', headers: [] }))).status, 200)
  })

  test('rotation gives a key like the old one, which works until the overlap ends', async () => {
    const owner = await signUp()
    const old = await makeKey(service.url, owner, { name: 'rotating', scopes: ['images:read'], expiresInDays: 7 })
    const { status, answer } = await manage(owner, 'POST', `/${old.id}/rotate`, { overlapMinutes: 60 })
    assert.deepEqual([status, answer.name, answer.scopes], [201, 'rotating', ['images:read']])
    assert.ok(answer.key !== old.key && Math.abs(Date.parse(answer.expiresAt!) - Date.now() - 7 * 86_400_000) < 60_000)
    assert.deepEqual([(await bearer(old.key)).status, (await bearer(answer.key)).status], [200, 200])
    const listed = (await manage(owner, 'GET', '')).answer.keys
    assert.deepEqual(listed.map(({ state, replacedBy }) => [state, replacedBy]), [['active', null], ['replaced', answer.id]])
    assert.equal((await manage(owner, 'POST', `/${old.id}/rotate`, { overlapMinutes: 0 })).status, 409, 'it was replaced already')
    await sql('update darkroom.api_keys set overlap_until = now() where id = $1', [old.id])
    await eventually(async () => (await bearer(old.key)).status === 401, 'the overlap has ended')
    const last = await manage(owner, 'POST', `/${answer.id}/rotate`, { overlapMinutes: 0 })
    assert.deepEqual([(await bearer(answer.key)).status, (await bearer(last.answer.key)).status], [401, 200], 'without an overlap it ends at once')
    for (const body of [{}, { overlapMinutes: -1 }, { overlapMinutes: 1.5 }, { overlapMinutes: 1e6 }]) assert.equal((await manage(owner, 'POST', `/${last.answer.id}/rotate`, body)).status, 400)
  })

  test('of many rotations at once one wins', async () => {
    const owner = await signUp()
    const { id } = await makeKey(service.url, owner)
    const answers = await Promise.all(Array.from({ length: 8 }, () => manage(owner, 'POST', `/${id}/rotate`, { overlapMinutes: 5 })))
    assert.deepEqual(answers.map(({ status }) => status).toSorted((a, b) => a - b), [201, 409, 409, 409, 409, 409, 409, 409])
  })

  test('anonymous users and those who are gone make no keys', async () => {
    const [gone, { id }] = [await signUp(), await signUp()]
    const claims = { sub: id, aud: 'authenticated', role: 'authenticated', is_anonymous: true, exp: Math.floor(Date.now() / 1000) + 60 }
    const token = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(supabase.jwtSecret))
    assert.equal((await manage({ ...gone, token }, 'POST', '', { name: 'a' })).status, 403)
    await sql('delete from auth.users where id = $1', [gone.id])
    assert.equal((await manage(gone, 'POST', '', { name: 'a' })).status, 401)
  })
})

describe('API keys in two processes', () => {
  const running: RunningProcess[] = []
  after(async () => {
    for (const one of running) await one.terminate()
  })

  test('what one revokes the other refuses', async () => {
    // Longer than the test looks: it is the database's news that ends the key in the other process.
    const env = { API_KEY_CACHE_SECONDS: '10' }
    running.push(...(await Promise.all([startProcess(['web'], env), startProcess(['web'], env)])))
    const [first, second] = running.map(({ url }) => url) as [string, string]
    const user = await signUp()
    const key = await makeKey(first, user)
    const ask = (url: string) => fetch(`${url}/api/models`, { headers: { authorization: `Bearer ${key.key}` } }).then(({ status }) => status)
    assert.deepEqual([await ask(first), await ask(second)], [200, 200])
    assert.equal((await askAs(user, second, 'DELETE', `/api/keys/${key.id}`)).status, 204)
    assert.equal(await ask(second), 401)
    await eventually(async () => (await ask(first)) === 401, 'the other process refuses it too', 8000)
  })
})

/** A key's id with another key's secret, and a checksum that fits. */
const withSecretOf = (key: string, other: string): string => checked(`${key.slice(0, 21)}${other.slice(21, -6)}`)

function checked(text: string): string {
  const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
  let sum = ''
  for (let rest = crc32(text), count = 0; count < 6; count++, rest = Math.floor(rest / 62)) sum = alphabet[rest % 62]! + sum
  return text + sum
}
