/** Faults of a hosted project and of what the service is told of it: each made, and named by the doctor. */
import assert from 'node:assert/strict'
import dns from 'node:dns'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, afterEach, before, describe, test } from 'node:test'
import { SignJWT } from 'jose'
import type { Environment } from '../../src/config-values.ts'
import { startModelArkSimulator, type ModelArkSimulator } from '../simulator/modelark.ts'
import { makeSigningKey, signToken, type SigningKey } from '../support/auth-server.ts'
import { findingsOf, shorten, startPatient, tryFault, type Patient } from '../support/doctor.ts'
import { startHostedProject, type HostedProject } from '../support/hosted-project.ts'
import { startQuietPooler } from '../support/quiet-pooler.ts'

const [REF, OTHER_REF] = ['abcdefghijklmnopqrst', 'tsrqponmlkjihgfedcba']
const SECRET = 'a-legacy-secret-that-is-long-enough'

describe('faults of a hosted project', () => {
  let patient: Patient
  let project: HostedProject
  let key: SigningKey
  let simulator: ModelArkSimulator
  /** As the service on a platform is configured. */
  let env: Environment
  const lookup = dns.lookup

  before(async () => {
    patient = await startPatient()
    project = await startHostedProject(patient)
    simulator = await startModelArkSimulator()
    key = project.keys[0]!
    // The names of Supabase lead to this machine.
    dns.lookup = ((host: string, ...rest: unknown[]) => (lookup as (...all: unknown[]) => void)(/\.supabase\.com?$/.test(host) ? '127.0.0.1' : host, ...rest)) as typeof dns.lookup
    const [api, database] = [new URL(project.url), new URL(patient.env.DATABASE_URL!)]
    api.hostname = `${REF}.supabase.co`
    database.hostname = `db.${REF}.supabase.co`
    database.searchParams.set('sslmode', 'disable')
    env = { SUPABASE_URL: api.origin, DATABASE_URL: database.href, SUPABASE_JWT_SECRET: undefined, SUPABASE_JWT_ISSUER: `${project.url}/auth/v1`, CORS_ORIGINS: 'https://app.example.com', ARK_API_KEY: simulator.apiKey, ARK_BASE_URL: simulator.baseURL }
  })
  afterEach(() => {
    Object.assign(project, { keys: [key], maxBytes: 2 ** 40, clockMs: 0, answer: () => undefined })
  })
  after(async () => {
    dns.lookup = lookup
    await simulator.close()
    await project.close()
    await patient.close()
  })

  const named = (only: string[], findings: Parameters<typeof tryFault>[1]['named'], changes: Environment = {}) => tryFault(patient, { name: '', env: { ...env, ...changes }, named: findings, only })

  test('none in one that is well, and nothing stays of the visit', async () => {
    const before = await patient.count()
    const report = await patient.examine(env)
    assert.deepEqual(findingsOf(report).map(({ code }) => code), ['database.plain'], shorten(report))
    assert.ok(report.ok)
    assert.deepEqual(report.checks.flatMap(({ untold }) => untold), [])
    assert.deepEqual(await patient.count(), before)
    assert.ok(report.checks.find(({ name }) => name === 'tokens')!.facts.includes('signed with ES256'))
  })

  const legacy = (claims: Record<string, unknown>) => new SignJWT({ iss: 'supabase', ref: REF, exp: 4_000_000_000, ...claims }).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(SECRET))

  test('keys that change places', async () => {
    const [secret, publishable] = [patient.supabase.secretKey, patient.supabase.publishableKey]
    await named(['keys'], [['keys.swapped SUPABASE_SECRET_KEY', /publishable/], ['keys.swapped SUPABASE_PUBLISHABLE_KEY', /secret/]], { SUPABASE_SECRET_KEY: publishable, SUPABASE_PUBLISHABLE_KEY: secret })
    await named(['keys'], ['keys.swapped SUPABASE_SECRET_KEY'], { SUPABASE_SECRET_KEY: publishable })
    await named(['keys'], ['keys.swapped SUPABASE_PUBLISHABLE_KEY'], { SUPABASE_PUBLISHABLE_KEY: secret })
    const [service, anon] = await Promise.all([legacy({ role: 'service_role' }), legacy({ role: 'anon' })])
    await named(['keys'], [['keys.swapped SUPABASE_SERVICE_ROLE_KEY', /role anon/], ['keys.swapped SUPABASE_ANON_KEY', /role service_role/]], { SUPABASE_SECRET_KEY: '', SUPABASE_SERVICE_ROLE_KEY: anon, SUPABASE_PUBLISHABLE_KEY: '', SUPABASE_ANON_KEY: service })
  })

  test('keys that are none, of another project, or over', async () => {
    await named(['keys'], [['keys.kind SUPABASE_SECRET_KEY', /is no key/]], { SUPABASE_SECRET_KEY: 'hunter2-hunter2' })
    await named(['keys'], ['keys.unknown SUPABASE_SECRET_KEY'], { SUPABASE_SECRET_KEY: 'sb_secret_ofAnotherProjectxxxx_01234567' })
    await named(['keys'], ['keys.unknown SUPABASE_PUBLISHABLE_KEY'], { SUPABASE_PUBLISHABLE_KEY: 'sb_publishable_ofAnotherxxxxx_01234567' })
    await named(['keys'], [['keys.other-project SUPABASE_ANON_KEY', new RegExp(OTHER_REF)]], { SUPABASE_PUBLISHABLE_KEY: '', SUPABASE_ANON_KEY: await legacy({ role: 'anon', ref: OTHER_REF }) })
    await named(['keys'], ['keys.expired SUPABASE_ANON_KEY'], { SUPABASE_PUBLISHABLE_KEY: '', SUPABASE_ANON_KEY: await legacy({ role: 'anon', exp: 1_700_000_000 }) })
  })

  test('a secret key without the rights of one, a publishable one with them', async () => {
    project.answer = ({ path, headers }) => (path.startsWith('/auth/v1/admin/users?') && headers.apikey === patient.supabase.secretKey ? Response.json({ msg: 'User not allowed' }, { status: 403 }) : undefined)
    await named(['keys'], ['keys.weak SUPABASE_SECRET_KEY'])
    project.answer = ({ path }) => (path.startsWith('/auth/v1/admin/users?') ? Response.json({ users: [] }) : undefined)
    await named(['keys'], ['keys.privileged SUPABASE_PUBLISHABLE_KEY'])
  })

  test('keys of the legacy kind work, and the secret that signed them is proven', async () => {
    const [service, anon] = await Promise.all([legacy({ role: 'service_role' }), legacy({ role: 'anon' })])
    project.legacy = new Map([[service, patient.supabase.secretKey], [anon, patient.supabase.publishableKey]])
    const keys = { SUPABASE_SECRET_KEY: '', SUPABASE_SERVICE_ROLE_KEY: service, SUPABASE_PUBLISHABLE_KEY: '', SUPABASE_ANON_KEY: anon }
    const report = await patient.examine({ ...env, ...keys, SUPABASE_JWT_SECRET: SECRET })
    assert.deepEqual(findingsOf(report).map(({ code }) => code), ['database.plain'], shorten(report))
    await named(['tokens'], ['tokens.secret SUPABASE_JWT_SECRET'], { ...keys, SUPABASE_JWT_SECRET: `${SECRET} ` .padEnd(60, 'x') })
  })

  test('a project that is closed, or does not answer', async () => {
    project.answer = ({ path }) => (path.startsWith('/auth/v1/health') ? Response.json({ message: 'exceed_egress_quota' }, { status: 402 }) : undefined)
    await named(['keys'], [['keys.unpaid SUPABASE_URL', /exceed_egress_quota/]])
    project.answer = ({ path }) => (path.startsWith('/auth/v1/health') ? new Response('<html>', { status: 521 }) : undefined)
    await named(['keys'], ['keys.no-auth SUPABASE_URL'])
    await named(['keys'], ['keys.unreachable SUPABASE_URL'], { SUPABASE_URL: `http://${REF}.supabase.co:1` })
  })

  test('a clock that is off', async () => {
    project.clockMs = 60_000
    await named(['clock'], [["clock.off Supabase's", /behind/]])
    project.clockMs = -3_600_000
    await named(['clock'], [["clock.off Supabase's", /ahead/]])
  })

  test('signing keys: one that is missing, none, an algorithm that is not taken, another name of the project', async () => {
    const url = `${env.SUPABASE_URL}/auth/v1/.well-known/jwks.json`
    const other = await makeSigningKey('key-2')
    project.answer = ({ path }) => (path.endsWith('jwks.json') ? Response.json({ keys: [other.publicJwk] }) : undefined)
    await named(['tokens'], [[`tokens.no-key ${url}`, /key-1/], 'tokens.refused access tokens'])
    project.answer = ({ path }) => (path.endsWith('jwks.json') ? new Response('<html>') : undefined)
    await named(['tokens'], [`tokens.no-key-set ${url}`])
    project.answer = () => undefined
    project.keys = [await makeSigningKey('key-3', 'RS256')]
    assert.ok((await patient.examine(env, { only: ['tokens'] })).ok)
    await named(['tokens'], [['tokens.issuer SUPABASE_JWT_ISSUER', /another project/]], { SUPABASE_JWT_ISSUER: '' })
  })

  test('a secret that is wrong, or that the service does not have', async () => {
    const local = { ...patient.env, CORS_ORIGINS: '' }
    await tryFault(patient, { name: '', env: { ...local, SUPABASE_JWT_SECRET: 'not-the-secret-that-auth-signs-with' }, named: ['tokens.secret SUPABASE_JWT_SECRET', 'tokens.refused access tokens'], only: ['tokens'] })
    await tryFault(patient, { name: '', env: { ...local, SUPABASE_JWT_SECRET: '' }, named: ['tokens.no-secret SUPABASE_JWT_SECRET'], only: ['tokens'] })
  })

  test('users who come by a link, since passwords are not taken', async () => {
    project.answer = ({ path }) => (path.startsWith('/auth/v1/token') ? Response.json({ code: 422, error_code: 'email_provider_disabled', msg: 'Email logins are disabled' }, { status: 422 }) : undefined)
    const report = await patient.examine(env, { only: ['rows'] })
    assert.ok(report.ok, shorten(report))
    assert.ok(report.checks.find(({ name }) => name === 'users')!.facts.includes('signed in by a link, since passwords are not taken'))
  })

  test('two projects: by their names, and by what lies behind them', async () => {
    await named(['database'], [['database.other-project DATABASE_URL', new RegExp(OTHER_REF)]], { DATABASE_URL: `postgresql://postgres.${OTHER_REF}:x@aws-0-eu-west-1.pooler.supabase.com:1/postgres?sslmode=disable` })
    const id = '6f0c7d2e-2f6b-4a53-9a4c-0a4f8a1b2c3d'
    const session = { access_token: await signToken(key, project.url, { sub: id }), token_type: 'bearer', expires_in: 3600, refresh_token: 'r', user: { id } }
    project.answer = ({ method, path }) => (method === 'POST' && path === '/auth/v1/admin/users' ? Response.json({ id }) : path.startsWith('/auth/v1/token') ? Response.json(session) : undefined)
    await named(['users'], [['users.other-project DATABASE_URL', /two projects/]])
    assert.ok(project.asked.some(({ method, path }) => method === 'DELETE' && path.endsWith(id)), 'the user is removed where they were made')
  })

  test('limits of the project', async () => {
    project.maxBytes = 52_428_800
    await named(['bucket'], [['bucket.size MAX_VIDEO_BYTES', /the project takes none above 50 MiB/]])
    const fitting = await patient.examine({ ...env, MAX_VIDEO_BYTES: '52428800' }, { only: ['bucket'] })
    assert.ok(fitting.ok, shorten(fitting))
  })

  test('what the Data API shows, and what it does not know', async () => {
    project.answer = ({ path, headers }) => {
      const schema = headers['accept-profile'] ?? headers['content-profile']
      if (schema === 'darkroom') return Response.json({ code: '42501', message: 'permission denied for schema darkroom' }, { status: 403 })
      if (schema === 'pgboss') return Response.json([])
      if (path === '/rest/v1/rpc/is_shown') return Response.json(true)
      return path.startsWith('/rest/v1/videos') ? Response.json({ code: 'PGRST205', message: 'Could not find the table' }, { status: 404 }) : undefined
    }
    await named(['rows'], [['rows.schema-exposed darkroom', /its grants alone/], ['rows.schema-exposed pgboss', /and what is in it/], 'rows.function-exposed is_shown', ['rows.own-hidden public.videos', /PGRST205/]])
  })

  test('the database: away, a wrong password, a pooler that forgets, read only, crowded', async () => {
    const url = (change: (of: URL) => void) => {
      const changed = new URL(env.DATABASE_URL!)
      change(changed)
      return { DATABASE_URL: changed.href }
    }
    await named(['database'], [['database.unreachable DATABASE_URL', /nothing listens there/]], url((of) => (of.port = '1')))
    await named(['database'], [['database.unreachable DATABASE_URL', /password/]], url((of) => (of.password = 'not-the-password')))
    await named(['database'], ['database.unreachable DATABASE_URL'], url((of) => of.searchParams.set('sslmode', 'no-verify')))
    const pooler = await startQuietPooler(patient.env.DATABASE_URL!)
    await named(['database'], [['database.no-notify DATABASE_URL', /transaction pooler/]], { DATABASE_URL: pooler.url })
    await pooler.close()
    for (const [setting, code] of [['alter role postgres set default_transaction_read_only = on', 'read-only'], ['alter database postgres connection limit 2', 'crowded']] as const) {
      await patient.sql(setting)
      await named(['database'], [`database.${code} DATABASE_URL`])
      await patient.sql('set default_transaction_read_only = off; alter role postgres reset default_transaction_read_only; alter database postgres connection limit -1')
    }
  })

  test('variables: every one that is wrong, and what can be seen nevertheless', async () => {
    const report = await patient.examine({ ...env, PORT: 'abc', MEDIA_ACCESS: 'secret', CORS_ORIGINS: '', TRUST_PROXY: '!!' }, { only: ['schema'] })
    assert.deepEqual(findingsOf(report).filter(({ code }) => code === 'configuration.variable').map(({ subject }) => subject), ['CORS_ORIGINS', 'PORT', 'MEDIA_ACCESS', 'TRUST_PROXY'])
    assert.equal(report.checks.find(({ name }) => name === 'schema')!.status, 'ok')
    const without = await patient.examine({ ...env, DATABASE_URL: 'postgresql://u:p@pooler.example.com:6543/postgres' })
    assert.match(shorten(without), /DATABASE_URL points at a transaction pooler/)
    assert.deepEqual([...new Set(without.checks.slice(1).map(({ status }) => status))], ['not-run'])
    await named([], ['configuration.variable MODELS_FILE'], { MODELS_FILE: 'package.json' })
  })

  test('providers: a key that is refused, one in trouble, none at all', async () => {
    await named(['providers'], ['providers.refused modelark'], { ARK_API_KEY: 'not-the-key' })
    await named(['providers'], ['providers.trouble modelark'], { ARK_BASE_URL: 'http://127.0.0.1:1' })
    await named(['providers'], ['providers.none providers'], { ARK_API_KEY: '' })
    const untold = await patient.examine({ ...env, FAL_KEY: 'a-key' }, { only: ['providers'] })
    assert.match(untold.checks.at(-1)!.untold.join(), /fal/)
  })

  test('the address of the service, and the proxy in front of it', async () => {
    const router = createServer((request, response) => void response.writeHead(200, { via: '1.1 heroku-router', 'content-type': 'application/json' }).end(request.url === '/health/live' ? '{"status":"ok"}' : '{}'))
    const url = await listen(router)
    await named(['address'], [['address.trust-proxy TRUST_PROXY', /Heroku/]], { PUBLIC_URL: url })
    assert.ok((await patient.examine({ ...env, PUBLIC_URL: url, TRUST_PROXY: '1' }, { only: ['address'] })).ok)
    await named(['address'], [['address.trust-proxy TRUST_PROXY', /Railway/]], { PUBLIC_URL: '', RAILWAY_PROJECT_ID: 'x', TRUST_PROXY: '1' })
    await named(['address'], ['address.other PUBLIC_URL'], { PUBLIC_URL: `${url}/api` })
    await named(['address'], ['address.plain PUBLIC_URL', 'address.unreachable PUBLIC_URL'], { PUBLIC_URL: `http://${REF}.supabase.co:1` })
    router.closeAllConnections()
    router.close()
  })
})

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
