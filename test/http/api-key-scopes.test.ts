/** Every route that there is, with a key of each scope. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createSandbox } from '../../src/local/sandbox.ts'
import { makeKey } from '../support/api-keys.ts'
import { startTestService, toForm, type TestService } from '../support/service.ts'
import { signUp, type TestUser } from '../support/supabase.ts'

const SCOPES = ['images:generate', 'images:read', 'videos:generate', 'videos:read']

describe('scopes', () => {
  let service: TestService
  let user: TestUser
  const keys: Record<string, string> = {}
  const made: Record<string, string> = {}
  before(async () => {
    service = await startTestService({ extras: createSandbox() })
    user = await signUp()
    for (const scope of SCOPES) keys[scope] = (await makeKey(service.url, user, { scopes: [scope] })).key
    keys.reader = (await makeKey(service.url, user, { scopes: ['images:read', 'videos:read'] })).key
    const image = await service.generate(user, { prompt: 'A', model: 'sandbox-image' })
    made.image = ((await image.json()) as { generationId: string }).generationId
    const video = await service.generateVideo(user, { prompt: 'A', model: 'sandbox-video', duration: '2' }, { prefer: 'respond-async' })
    made.video = ((await video.json()) as { id: string }).id
  })
  after(() => service.close())

  const json = (value: object): RequestInit => ({ body: JSON.stringify(value), headers: { 'content-type': 'application/json' } })
  const routes: [method: string, path: () => string, needed: string[], init?: () => RequestInit][] = [
    ['POST', () => '/api/images/generate?dryRun=true', ['images:generate'], () => json({ prompt: 'A', model: 'sandbox-image' })],
    ['POST', () => '/api/images/generate/?dryRun=true', ['images:generate'], () => json({ prompt: 'A', model: 'sandbox-image' })],
    ['POST', () => '/api/images/edit?dryRun=true', ['images:generate'], () => ({ body: toForm({ prompt: 'A' }) })],
    ['POST', () => '/api/images/remove-background?dryRun=true', ['images:generate'], () => ({ body: toForm({}) })],
    ['POST', () => '/api/images/test', ['images:generate'], () => json({ prompt: 'A' })],
    ['GET', () => '/api/images/models', ['images:read']],
    ['HEAD', () => '/api/images/models', ['images:read']],
    ['POST', () => '/api/videos/generate?dryRun=true', ['videos:generate'], () => json({ prompt: 'A', model: 'sandbox-video' })],
    ['GET', () => '/api/videos/models', ['videos:read']],
    ['GET', () => '/api/models', []],
    ['GET', () => '/api/generations', ['images:read', 'videos:read']],
    ['GET', () => '/api/generations?kind=image', ['images:read']],
    ['GET', () => '/api/generations?kind=video', ['videos:read']],
    ['GET', () => `/api/generations/${made.image}`, ['images:read']],
    ['GET', () => `/api/generations/${made.image}/events`, ['images:read']],
    ['GET', () => `/api/generations/${made.video}`, ['videos:read']],
    ['POST', () => `/api/generations/${made.image}/cancel`, ['images:generate']],
    ['POST', () => `/api/generations/${made.video}/cancel`, ['videos:generate']],
  ]
  for (const [method, path, needed, init] of routes) {
    test(`${method} ${path().replace('undefined', ':id')} needs ${needed.join(' and ') || 'any key'}`, async () => {
      for (const [name, key] of Object.entries(keys)) {
        const held = name === 'reader' ? ['images:read', 'videos:read'] : [name]
        const missing = needed.filter((scope) => !held.includes(scope))
        const { headers, ...rest } = init?.() ?? {}
        const response = await service.request(path(), { method, ...rest, headers: { ...(headers as Record<string, string>), authorization: `Bearer ${key}` } })
        if (missing.length === 0) {
          assert.notEqual(response.status, 403, `${name} may do it`)
          await response.body?.cancel()
          continue
        }
        assert.equal(response.status, 403, name)
        assert.equal(response.headers.get('www-authenticate'), `Bearer error="insufficient_scope", scope="${needed.join(' ')}"`)
        if (method === 'HEAD') continue
        const { code, error, details } = (await response.json()) as { code: string; error: string; details: { path: string; message: string }[] }
        assert.deepEqual([code, details], ['insufficient_scope', missing.map((scope) => ({ path: 'scope', message: `${scope} is missing` }))])
        assert.ok(missing.every((scope) => error.includes(scope)))
      }
    })
  }

  test('the user in person may do all of it', async () => {
    assert.equal((await service.request('/api/generations', { user })).status, 200)
  })
})
