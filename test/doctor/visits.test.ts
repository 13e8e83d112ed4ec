/** How the doctor comes and goes: what it prints, how it ends, and that nothing stays of it, however it ends. */
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import path from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import type { Report } from '../../src/doctor/report.ts'
import { removePostgresData } from '../../src/local/postgres.ts'
import { startStack } from '../../src/local/stack.ts'
import { createLogger } from '../../src/log.ts'
import { startModelArkSimulator, type ModelArkSimulator } from '../simulator/modelark.ts'
import { findingsOf, shorten, startPatient, type Patient } from '../support/doctor.ts'
import { startHostedProject, type HostedProject } from '../support/hosted-project.ts'
import { collect, exited } from '../support/process.ts'

const DOCTOR = path.resolve(import.meta.dirname, '../../src/doctor.ts')
const PASSWORD = 'a-password-that-nobody-must-see'

describe('a visit of the doctor', () => {
  let patient: Patient
  let project: HostedProject
  let simulator: ModelArkSimulator
  let env: Record<string, string>
  before(async () => {
    patient = await startPatient()
    project = await startHostedProject(patient)
    simulator = await startModelArkSimulator()
    await patient.sql(`create role owner superuser login password '${PASSWORD}'`)
    env = { ...(patient.env as Record<string, string>), SUPABASE_URL: project.url, DATABASE_URL: patient.supabase.databaseUrl.replace('postgres:postgres@', `owner:${PASSWORD}@`), ARK_API_KEY: simulator.apiKey, ARK_BASE_URL: simulator.baseURL }
  })
  afterEach(() => {
    project.answer = () => undefined
  })
  after(async () => {
    await simulator.close()
    await project.close()
    await patient.close()
  })

  interface Visit {
    child: ChildProcess
    out: () => string
    errors: () => string
  }

  function visit(args: string[], changes: Record<string, string> = {}): Visit {
    // Away from a file .env that a developer may have here.
    const child = spawn(process.execPath, [DOCTOR, ...args], { cwd: '/var/tmp', env: { PATH: process.env.PATH, ...env, ...changes } as NodeJS.ProcessEnv, stdio: ['ignore', 'pipe', 'pipe'] })
    return { child, out: collect(child.stdout), errors: collect(child.stderr) }
  }

  function assertNoSecret(text: string): void {
    for (const secret of [patient.supabase.secretKey, patient.supabase.jwtSecret, PASSWORD, simulator.apiKey]) assert.ok(!text.includes(secret), 'a secret was printed')
    assert.doesNotMatch(text, /eyJ[\w-]{10,}/)
  }

  /** Stops the answer to the last questions about rows: users, files and rows are there by then. */
  function hold(): { reached: Promise<void>; release: () => void } {
    const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    project.answer = async ({ path: asked }) => {
      if (asked !== '/rest/v1/rpc/is_shown') return undefined
      reached.resolve()
      await released.promise
      return undefined
    }
    return { reached: reached.promise, release: released.resolve }
  }

  test('ends with 0 where nothing is wrong, and says what it saw', async () => {
    const { child, out, errors } = visit([])
    assert.equal(await exited(child), 0, out() + errors())
    assert.match(out(), /^✓ configuration/m)
    assert.match(out(), /^✓ rows +5 tables, each seen by its owner alone$/m)
    assert.match(out(), /Nothing is wrong\.\n$/)
    assertNoSecret(out() + errors())
  })

  test('ends with 1 where something is, names it and how to mend it, and tells programs the same', async () => {
    await patient.sql('alter table public.videos disable row level security')
    const [text, json] = [visit(['schema']), visit(['schema', '--json'])]
    const codes = await Promise.all([exited(text.child), exited(json.child)])
    await patient.sql('alter table public.videos enable row level security')
    assert.deepEqual(codes, [1, 1])
    assert.match(text.out(), /✗ Row level security is off on public\.videos[^\n]*\n +→ alter table public\.videos enable row level security;/)
    assert.match(text.out(), /1 problem\.\n$/)
    const report = JSON.parse(json.out()) as Report
    assert.deepEqual([report.ok, findingsOf(report).map(({ code }) => code)], [false, ['schema.rls-off']])
  })

  test('says no secret, whatever goes wrong', async () => {
    const wrongs = [{ SUPABASE_SECRET_KEY: env.SUPABASE_PUBLISHABLE_KEY!, SUPABASE_PUBLISHABLE_KEY: env.SUPABASE_SECRET_KEY! }, { DATABASE_URL: env.DATABASE_URL!.replace(/:\d+\//, ':1/') }, { ARK_BASE_URL: 'http://127.0.0.1:1', SUPABASE_JWT_SECRET: `${patient.supabase.jwtSecret}x`, MEDIA_ACCESS: 'private' }]
    for (const wrong of wrongs) {
      const { child, out, errors } = visit([], wrong)
      assert.equal(await exited(child), 1)
      assertNoSecret(out() + errors())
    }
  })

  test('refuses what it does not know', async () => {
    const [option, check] = [visit(['--yaml']), visit(['weather'])]
    assert.deepEqual(await Promise.all([exited(option.child), exited(check.child)]), [1, 1])
    assert.match(option.errors(), /There is only --json/)
    assert.match(check.errors(), /Unknown check weather\. There are configuration, database/)
  })

  test('Ctrl-C clears everything away', async () => {
    const [before, held] = [await patient.count(), hold()]
    const { child, out } = visit(['rows', 'files'])
    await held.reached
    const during = await patient.count()
    child.kill('SIGINT')
    assert.equal(await exited(child), 1)
    held.release()
    assert.ok(during['auth.users']! > before['auth.users']! && during['storage.objects']! > before['storage.objects']! && during['public.images']! > before['public.images']!)
    assert.deepEqual(await patient.count(), before)
    assert.match(out(), /stopped before its end/)
  })

  test('what a killed one left is cleared away by the next', async () => {
    const [before, held] = [await patient.count(), hold()]
    const { child } = visit(['rows', 'files'])
    await held.reached
    child.kill('SIGKILL')
    await exited(child)
    held.release()
    project.answer = () => undefined
    assert.ok((await patient.count())['public.images']! > before['public.images']!)
    const report = await patient.examine({ SUPABASE_URL: project.url }, { only: ['users'] })
    assert.ok(report.ok, shorten(report))
    assert.ok(report.checks.at(-1)!.facts.includes('2 users of an earlier run removed'))
    assert.deepEqual(await patient.count(), before)
  })

  test('of two at once the second one waits for another day', async () => {
    const held = hold()
    const first = visit(['rows'])
    await held.reached
    const report = await patient.examine({ SUPABASE_URL: project.url }, { only: ['users'] })
    held.release()
    assert.equal(await exited(first.child), 0, first.out())
    assert.deepEqual([report.ok, report.checks.at(-1)!.why], [false, 'another doctor is looking at this project'])
  })

  test('where Auth does not remove its users, the database does', async () => {
    const before = await patient.count()
    project.answer = ({ method, path: asked }) => (method === 'DELETE' && asked.startsWith('/auth/') ? Response.json({ msg: 'Database error deleting user' }, { status: 500 }) : undefined)
    assert.ok((await patient.examine({ SUPABASE_URL: project.url }, { only: ['rows', 'files'] })).ok)
    assert.deepEqual(await patient.count(), before)
  })

  test('what cannot be cleared away is told, and is by the next run', async () => {
    const before = await patient.count()
    await patient.sql(`create function public.keep() returns trigger language plpgsql as $$ begin raise exception 'nobody leaves'; end $$; create trigger keep before delete on auth.users for each row execute function public.keep()`)
    project.answer = ({ method, path: asked }) => (method === 'DELETE' && asked.startsWith('/auth/') ? Response.json({ msg: 'Database error deleting user' }, { status: 500 }) : undefined)
    const report = await patient.examine({ SUPABASE_URL: project.url }, { only: ['users'] })
    await patient.sql('drop trigger keep on auth.users; drop function public.keep()')
    const left = findingsOf(report).filter(({ code }) => code === 'clean-up.left')
    assert.deepEqual([report.ok, left.length], [false, 2], shorten(report))
    assert.match(left[0]!.what, /the user darkroom-doctor-\S+ could not be cleared away: nobody leaves/)
    project.answer = () => undefined
    assert.ok((await patient.examine({ SUPABASE_URL: project.url }, { only: ['users'] })).ok)
    assert.deepEqual(await patient.count(), before)
  })

  test('a Storage that falls silent in the middle keeps nobody, and is told', async () => {
    const before = await patient.count()
    project.answer = ({ method, path: asked }) => (method === 'POST' && asked.startsWith('/storage/v1/object/list') ? Response.json({ statusCode: '500', error: 'Internal', message: 'out of order' }, { status: 500 }) : undefined)
    const report = await patient.examine({ SUPABASE_URL: project.url }, { only: ['files'] })
    assert.ok(!report.ok)
    project.answer = () => undefined
    assert.deepEqual(await patient.count(), before)
  })
})

test('the local project that runs is found without a variable', async () => {
  const directory = await mkdtemp('/var/tmp/darkroom-doctor-stack-')
  const stack = await startStack({ env: { PATH: process.env.PATH }, logger: createLogger({ level: 'silent' }), directory })
  try {
    // Another process: a stack is not found by the one that holds it.
    const [examine, target] = ['examine', 'target'].map((name) => path.join(path.dirname(DOCTOR), 'doctor', `${name}.ts`))
    const script = `import { examine } from ${JSON.stringify(examine)}; import { findTarget } from ${JSON.stringify(target)}; console.log(JSON.stringify(await examine(await findTarget({}, ${JSON.stringify(directory)})))); process.exit()`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH } as NodeJS.ProcessEnv })
    const [out, errors] = [collect(child.stdout), collect(child.stderr)]
    assert.equal(await exited(child), 0, errors())
    const report = JSON.parse(out()) as Report
    assert.deepEqual(findingsOf(report), [], shorten(report))
    assert.deepEqual(report.checks.filter(({ status }) => status !== 'ok').map(({ name }) => name), ['redis', 'realtime', 'providers', 'address'])
  } finally {
    await stack.stop()
    await removePostgresData(path.join(directory, 'postgres'))
    await rm(directory, { recursive: true, force: true })
  }
})
