import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { backUp } from '../../src/backup/back-up.ts'
import { restore } from '../../src/backup/restore.ts'
import { startModelArkSimulator } from '../simulator/modelark.ts'
import { emptyProject, project } from '../support/backups.ts'
import { forgetJobs } from '../support/jobs.ts'
import { eventually, startTestService } from '../support/service.ts'
import { signUp, sql } from '../support/supabase.ts'

let root: string
before(async () => {
  root = await mkdtemp('/var/tmp/darkroom-restore-')
})
after(() => rm(root, { recursive: true, force: true }))

let count = 0
const newDirectory = () => path.join(root, String(count++))
const bringBack = (directory: string) => restore({ project, directory, skipUnknownUsers: false })

describe('work that was not done when the backup was made', () => {
  test('is never asked for again; what was paid for and kept is stored', async () => {
    await emptyProject()
    const simulator = await startModelArkSimulator()
    const env = { ARK_API_KEY: simulator.apiKey, ARK_BASE_URL: simulator.baseURL, USER_CONCURRENCY: '1', PROVIDER_TIMEOUT_SECONDS: '30', DOWNLOAD_TIMEOUT_SECONDS: '30', CALL_TIMEOUT_SECONDS: '30' }
    const user = await signUp()
    const service = await startTestService({ env })
    const stateOf = async (id: string) => (await sql<{ state: string }>(`select generation.status || ' ' || string_agg(state, ',' order by index) as state from public.generations generation join darkroom.submissions on generation_id = generation.id where generation.id = $1 group by generation.id`, [id]))[0]?.state
    const begin = async (answer: Promise<Response>, state: string) => {
      const { id } = (await (await answer).json()) as { id: string }
      await eventually(async () => (await stateOf(id)) === state, `${id} is ${state}`)
      return id
    }
    const wait = { prefer: 'respond-async' }
    const releaseVideos = simulator.videos.hold('running')
    const filming = await begin(service.generateVideo(user, { prompt: 'Still filming', duration: '2' }, wait), 'running started')
    simulator.behave('file-hang-once')
    const storing = await begin(service.generate(user, { prompt: 'Made and paid' }, wait), 'storing accepted')
    const releasePictures = simulator.hold()
    const calling = await begin(service.generate(user, { prompt: 'Being asked for' }, { ...wait, 'idempotency-key': 'never-twice' }), 'running starting')
    const waiting = await begin(service.generate(user, { prompt: 'Waiting for a place' }, wait), 'queued queued')
    // Another output of the film was billed and withheld.
    await sql(`insert into darkroom.submissions (generation_id, index, state, cost_micros, error) values ($1, 1, 'unknown', 700, '{"code":"content_refused","message":"Withheld.","charged":"yes"}')`, [filming])
    const directory = newDirectory()
    await backUp({ project, directory, withFiles: true })
    releasePictures()
    releaseVideos()
    await service.close()
    await emptyProject()
    const asked = [simulator.requests.length, simulator.videos.created()]

    const { rows } = await bringBack(directory)
    assert.deepEqual(rows.closed, { failed: 3, toBeStored: 1 })
    const outcome = async (id: string) => (await sql<{ row: unknown[] }>(`select jsonb_build_array(status, error ->> 'code', cost_micros, finished_at is not null) as row from public.generations where id = $1`, [id]))[0]!.row
    for (const id of [filming, calling, waiting]) {
      assert.deepEqual(await outcome(id), ['failed', 'submission_unknown', id === filming ? 700 : 0, true])
      assert.equal(await stateOf(id), id === filming ? 'failed unknown,unknown' : 'failed unknown')
    }
    assert.deepEqual(await sql('select generation_id, cost_micros::integer as cost from public.usage_ledger where generation_id = any($1) and entry = $2', [[filming, calling, waiting], 'charge']), [{ generation_id: filming, cost: 700 }])
    assert.deepEqual(await sql('select from darkroom.requests where waiting'), [])
    assert.ok((await bringBack(directory)).rows.tables.every(({ inserted, differs }) => inserted + differs === 0))

    // Long ago, so that the sweep takes it for one that nobody works on.
    await sql(`alter table public.generations disable trigger announce; update public.generations set updated_at = now() - interval '1 hour' where true; alter table public.generations enable trigger announce`)
    const next = await startTestService({ env })
    await sql(`insert into pgboss.job (name, data, singleton_key) values ('sweep', '{}', 'now')`)
    await eventually(async () => (await stateOf(storing)) === 'succeeded accepted', 'it is stored')
    const repeated = await next.generate(user, { prompt: 'Being asked for' }, { 'idempotency-key': 'never-twice' })
    assert.deepEqual([repeated.status, ((await repeated.json()) as { generationId: string }).generationId], [502, calling])
    assert.deepEqual([simulator.requests.length, simulator.videos.created()], asked)
    const [image] = await sql<{ storage_path: string }>('select storage_path from public.images where generation_id = $1', [storing])
    assert.equal((await user.client.storage.from('media').download(image!.storage_path)).error, null)
    await next.close()
    await simulator.close()
    await forgetJobs()
  })
})
