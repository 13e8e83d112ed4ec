/** What `kill -9` does to the work of every vendor that gives operations: it is followed by another process, and never paid twice. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { startBflSimulator } from './simulator/black-forest-labs.ts'
import { startFalSimulator } from './simulator/fal.ts'
import { startGatewaySimulator } from './simulator/gateway.ts'
import { startGoogleSimulator } from './simulator/google.ts'
import { startReplicateSimulator } from './simulator/replicate.ts'
import { startRunwaySimulator } from './simulator/runway.ts'
import { forgetJobs, putAsideJobs, takeUpJobs } from './support/jobs.ts'
import { startKillingProxy, type KillingProxy, type Moment } from './support/killing-proxy.ts'
import { exited, startProcess, type RunningProcess } from './support/process.ts'
import { eventually, toForm } from './support/service.ts'
import { signUp, sql, storedFiles, supabase, type TestUser } from './support/supabase.ts'

interface Vendor {
  name: string
  simulator: { baseURL: string; apiKey: string; created(): number; close(): Promise<void> }
  key: string
  address: string
  model: string
  fields: Record<string, string>
  withPicture: boolean
  /** Whether the vendor can be asked for work whose answer was lost. */
  finds: boolean
}

/** Every vendor that gives operations, but for ModelArk, which has a test of its own. */
const VENDORS: (Omit<Vendor, 'simulator'> & { startSimulator: () => Promise<Vendor['simulator']> })[] = [
  { name: 'Runway', startSimulator: startRunwaySimulator, key: 'RUNWAYML_API_SECRET', address: 'RUNWAYML_BASE_URL', model: 'gen4.5', fields: {}, withPicture: false, finds: false },
  { name: 'fal', startSimulator: startFalSimulator, key: 'FAL_KEY', address: 'FAL_BASE_URL', model: 'stable-video', fields: { duration: '4' }, withPicture: true, finds: false },
  { name: 'Replicate', startSimulator: startReplicateSimulator, key: 'REPLICATE_API_TOKEN', address: 'REPLICATE_BASE_URL', model: 'bytedance/seedance-1-pro', fields: {}, withPicture: false, finds: true },
  { name: 'Google', startSimulator: startGoogleSimulator, key: 'GEMINI_API_KEY', address: 'GEMINI_BASE_URL', model: 'gemini-omni-1.2-flash', fields: {}, withPicture: false, finds: false },
  { name: 'a gateway', startSimulator: startGatewaySimulator, key: 'GATEWAY_API_KEY', address: 'GATEWAY_BASE_URL', model: 'wan-2.1', fields: {}, withPicture: false, finds: false },
  { name: 'Black Forest Labs', startSimulator: startBflSimulator, key: 'BFL_API_KEY', address: 'BFL_BASE_URL', model: 'flux-3-video', fields: {}, withPicture: true, finds: false },
]

const ENV = { LOG_LEVEL: 'info', CHECK_SECONDS: '1', MAX_CHECK_SECONDS: '1', SETTLE_SECONDS: '5', STORE_RETRY_SECONDS: '1', CALL_TIMEOUT_SECONDS: '5', SHUTDOWN_SECONDS: '5' }

/** The words by which a process says what it is about to write, and what is killed around them. */
const POINTS: [name: string, words: string, moment: Moment][] = [
  ['before its operation is written down', `set state = 'started'`, 'before'],
  ['after its operation was written down', `set state = 'started'`, 'after'],
  ['after its output was written down', `set state = 'accepted'`, 'after'],
]

describe('kill -9 of a worker that works with', () => {
  const vendors: Vendor[] = []
  const running: RunningProcess[] = []
  const generations: { vendor: Vendor; id: string; prompt: string; isLost: boolean }[] = []
  let proxy: KillingProxy
  let web: RunningProcess
  let env: Record<string, string>
  let user: TestUser
  let picture: Buffer

  before(async () => {
    for (const { startSimulator, ...vendor } of VENDORS) vendors.push({ ...vendor, simulator: await startSimulator() })
    env = { ...ENV }
    for (const { key, address, simulator } of vendors) Object.assign(env, { [key]: simulator.apiKey, [address]: simulator.baseURL })
    proxy = await startKillingProxy(supabase.databaseUrl)
    user = await signUp()
    picture = await sharp({ create: { width: 1280, height: 720, channels: 3, background: 'teal' } }).jpeg().toBuffer()
    await forgetJobs()
    web = await start(['web'], env)
  })
  after(async () => {
    for (const { child } of running) child.kill('SIGKILL')
    await proxy.close()
    await Promise.all(vendors.map(({ simulator }) => simulator.close()))
  })

  async function start(role: string[], environment: Record<string, string>): Promise<RunningProcess> {
    const started = await startProcess(role, environment)
    running.push(started)
    return started
  }

  for (const [index, { name: vendorName }] of VENDORS.entries()) {
    for (const [name, words, moment] of POINTS) {
      test(`${vendorName}, ${name}`, async () => {
        const vendor = vendors[index]!
        const doomed = await start(['worker'], { ...env, DATABASE_URL: supabase.databaseUrl.replace(/:\d+\/postgres$/, `:${proxy.port}/postgres`) })
        const struck = proxy.arm(words, moment, () => void doomed.child.kill('SIGKILL'))
        const prompt = `${vendor.name} ${name}.`
        const form = toForm({ prompt, model: vendor.model, ...vendor.fields, ...(vendor.withPicture && { image: picture }) })
        const response = await fetch(`${web.url}/api/videos/generate`, { method: 'POST', headers: { authorization: `Bearer ${user.token}`, prefer: 'respond-async' }, body: form })
        assert.equal(response.status, 202, await response.clone().text())
        const { id } = (await response.json()) as { id: string }
        generations.push({ vendor, id, prompt, isLost: moment === 'before' })
        await struck
        await exited(doomed.child)
        // The next one is to meet its own generation alone.
        await proxy.quiet()
        await putAsideJobs(id)
      })
    }
  }

  test('another worker goes on with all of it: one create each, and none lost that can be found', async () => {
    await takeUpJobs()
    await start(['worker'], env)
    const open = () => sql(`select from public.generations where user_id = $1 and status in ('queued', 'running', 'storing')`, [user.id])
    await eventually(async () => (await open()).length === 0, 'every generation ends', 100_000)
    for (const vendor of vendors) assert.equal(vendor.simulator.created(), generations.filter((one) => one.vendor === vendor).length, vendor.name)
    let stored = 0
    for (const { vendor, id, prompt, isLost } of generations) {
      const [row] = await sql<{ status: string; error: { code: string } | null }>('select status, error from public.generations where id = $1', [id])
      if (row!.status === 'succeeded') stored++
      // Where the vendor cannot be asked, nobody knows of work whose answer was lost: it is told so, and not sent again.
      else assert.deepEqual([row!.status, row!.error!.code, isLost && !vendor.finds], ['failed', 'submission_unknown', true], prompt)
    }
    assert.equal(stored, generations.filter(({ isLost, vendor }) => !isLost || vendor.finds).length)
    assert.equal((await storedFiles(user.id)).length, stored)
  })
})
