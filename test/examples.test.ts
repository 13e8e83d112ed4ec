/** The examples, as a reader runs them. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import sharp from 'sharp'
import { createSignedClient } from '../examples/signed-client.ts'
import { createSandbox } from '../src/local/sandbox.ts'
import { makeKey, type TestKey } from './support/api-keys.ts'
import { collect, exited } from './support/process.ts'
import { startTestService, type TestService } from './support/service.ts'
import { signUp, type TestUser } from './support/supabase.ts'

const EXAMPLES = path.resolve(import.meta.dirname, '../examples')

const missing = ['bash', 'curl', 'openssl'].filter((program) => spawnSync(program, ['--help']).error)

describe('the examples', () => {
  let service: TestService
  let user: TestUser
  let key: TestKey
  let directory: string
  before(async () => {
    service = await startTestService({ extras: createSandbox() })
    user = await signUp()
    key = await makeKey(service.url, user, { signedOnly: true })
    directory = await mkdtemp('/var/tmp/darkroom-examples-')
  })
  after(async () => {
    await service.close()
    await rm(directory, { recursive: true })
  })

  async function run(command: string, args: string[], secret = key.key): Promise<{ code: number | null; out: string; errors: string }> {
    const child = spawn(command, args, { env: { PATH: process.env.PATH, DARKROOM_URL: service.url, DARKROOM_KEY: secret } as NodeJS.ProcessEnv })
    const [out, errors] = [collect(child.stdout), collect(child.stderr)]
    const code = await exited(child)
    return { code, out: out(), errors: errors() }
  }

  test('signed-client.ts tells what a picture would cost, and a changed one', async () => {
    const picture = path.join(directory, 'harbour.jpg')
    await writeFile(picture, await sharp({ create: { width: 300, height: 200, channels: 3, background: '#204060' } }).jpeg().toBuffer())
    for (const args of [[], ['Make it night', picture]]) {
      const { code, out, errors } = await run(process.execPath, [path.join(EXAMPLES, 'signed-client.ts'), ...args])
      assert.deepEqual([code, (JSON.parse(out || '{}') as { dryRun: boolean }).dryRun], [0, true], out + errors)
    }
    const refused = await run(process.execPath, [path.join(EXAMPLES, 'signed-client.ts')], `drk_${key.id}_${'x'.repeat(49)}`)
    assert.deepEqual([refused.code, (JSON.parse(refused.out) as { code: string }).code], [1, 'signature_invalid'])
  })

  test('its client makes pictures and reads about them', async () => {
    const client = createSignedClient({ url: service.url, key: key.key })
    const made = await client.postJson('/api/images/generate', { prompt: 'By example', model: 'sandbox-image' }, { 'Idempotency-Key': 'example-1' })
    const { generationId } = (await made.json()) as { generationId: string }
    assert.equal(made.status, 200)
    const listed = (await (await client.get('/api/generations?limit=5&kind=image')).json()) as { generations: { id: string }[] }
    assert.deepEqual(listed.generations.map(({ id }) => id), [generationId])
  })

  test('signed-request.sh reads and generates, with a query and any body', { skip: missing.length > 0 && `without ${missing.join(' and ')}` }, async () => {
    const script = path.join(EXAMPLES, 'signed-request.sh')
    const read = await run('bash', [script, 'GET', '/api/generations?limit=5&kind=image'])
    assert.ok(read.code === 0 && Array.isArray((JSON.parse(read.out) as { generations: unknown }).generations), read.out + read.errors)
    const made = await run('bash', [script, 'POST', '/api/images/generate', JSON.stringify({ prompt: 'Höhle %s\n\'"$(x)` 100%', model: 'sandbox-image' })])
    assert.equal(made.code, 0, made.out + made.errors)
    const { data } = await user.client.from('prompts').select('prompt').like('prompt', 'Höhle%')
    assert.deepEqual(data, [{ prompt: 'Höhle %s\n\'"$(x)` 100%' }])
    const refused = await run('bash', [script, 'GET', '/api/models'], `drk_${key.id}_${'x'.repeat(49)}`)
    assert.ok(refused.code !== 0 && refused.out.includes('signature_invalid'), refused.out)
  })
})
