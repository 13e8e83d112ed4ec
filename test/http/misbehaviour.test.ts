import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Behaviour } from '../simulator/modelark.ts'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { deletionsAreDue, signUp, sql, storedFiles } from '../support/supabase.ts'

interface Case {
  behaviour: Behaviour
  /** How often in a row; the provider layer tries a refused create up to three times. */
  times?: number
  status: number
  code: string
  creates: number
}

/** What the provider does, and what its user is told. `creates` is how often it was asked: an unknown outcome only once. */
const CASES: Case[] = [
  { behaviour: 'rate-limit', times: 3, status: 429, code: 'provider_rate_limited', creates: 3 },
  { behaviour: 'rate-limit-long', status: 429, code: 'provider_rate_limited', creates: 1 },
  { behaviour: 'server-error', times: 3, status: 502, code: 'provider_failed', creates: 3 },
  { behaviour: 'proxy-error', status: 502, code: 'submission_unknown', creates: 1 },
  { behaviour: 'gateway-error', status: 502, code: 'submission_unknown', creates: 1 },
  { behaviour: 'proxy-conflict', status: 502, code: 'submission_unknown', creates: 1 },
  { behaviour: 'cut', status: 502, code: 'submission_unknown', creates: 1 },
  { behaviour: 'drop', status: 502, code: 'submission_unknown', creates: 1 },
  { behaviour: 'html', status: 502, code: 'submission_unknown', creates: 1 },
  { behaviour: 'hang', status: 504, code: 'provider_timeout', creates: 1 },
  { behaviour: 'moderation', status: 422, code: 'content_refused', creates: 1 },
  { behaviour: 'output-moderation', status: 422, code: 'content_refused', creates: 1 },
  { behaviour: 'item-error', status: 422, code: 'content_refused', creates: 1 },
  { behaviour: 'empty', status: 502, code: 'provider_failed', creates: 1 },
  { behaviour: 'auth', status: 503, code: 'provider_misconfigured', creates: 1 },
  { behaviour: 'overdue', status: 503, code: 'provider_misconfigured', creates: 1 },
  { behaviour: 'quota', status: 429, code: 'provider_quota_reached', creates: 1 },
  { behaviour: 'not-found', status: 502, code: 'model_unavailable', creates: 1 },
  { behaviour: 'file-html', status: 502, code: 'output_invalid', creates: 1 },
  { behaviour: 'file-svg', status: 502, code: 'output_invalid', creates: 1 },
  { behaviour: 'file-truncated', status: 502, code: 'output_invalid', creates: 1 },
  { behaviour: 'file-bomb', status: 502, code: 'output_too_large', creates: 1 },
  { behaviour: 'file-huge', status: 502, code: 'output_too_large', creates: 1 },
  { behaviour: 'file-endless', status: 502, code: 'output_too_large', creates: 1 },
  { behaviour: 'file-redirect-inward', status: 502, code: 'output_invalid', creates: 1 },
  { behaviour: 'file-redirect-loop', status: 502, code: 'output_invalid', creates: 1 },
  { behaviour: 'file-inward', status: 502, code: 'output_invalid', creates: 1 },
  { behaviour: 'file-expired', status: 502, code: 'output_expired', creates: 1 },
]

describe('a provider that misbehaves', () => {
  let service: TestService
  before(async () => {
    service = await startTestService()
  })
  after(() => service.close())

  for (const { behaviour, times = 1, status, code, creates } of CASES) {
    test(`${behaviour} ends as ${code}, a failed row and no file`, async () => {
      const user = await signUp()
      const before = service.simulator.requests.length
      service.simulator.behave(...Array.from({ length: times }, () => behaviour))
      const response = await service.generate(user, { prompt: 'A cat', model: 'seedream-4-0-250828' })
      const answer = (await response.json()) as { error: string; code: string; generationId: string }
      assert.deepEqual([response.status, answer.code], [status, code], JSON.stringify(answer))
      assert.match(answer.error, /^[A-Z].*\.$/)
      assert.doesNotMatch(answer.error, /021secretvendorid|secret-signature|127\.0\.0\.1|169\.254|InternalService|seedream-3/)
      assert.equal(service.simulator.requests.length - before, creates)

      const [row] = await sql<{ status: string; error: { code: string; message: string }; finished_at: Date | null }>('select status, error, finished_at from public.generations where id = $1', [answer.generationId])
      assert.deepEqual([row!.status, row!.error.code, row!.error.message], ['failed', code, answer.error])
      assert.notEqual(row!.finished_at, null)
      assert.equal((await sql('select from public.images where generation_id = $1', [answer.generationId])).length, 0)
      await deletionsAreDue()
      await eventually(async () => (await storedFiles(user.id)).length === 0, 'no file is left')
    })
  }

  test('a type that the server claims wrongly does not matter', async () => {
    service.simulator.behave('file-wrong-type')
    assert.equal((await service.generate(await signUp(), { prompt: 'A cat' })).status, 200)
  })

  for (const [name, behaviours, creates] of [['a rate limit', ['rate-limit', 'ok'], 2], ['a server error', ['server-error', 'ok'], 2], ['a file server that stumbles once', ['file-error-once'], 1]] as const) {
    test(`${name} that passes is got over`, async () => {
      const before = service.simulator.requests.length
      service.simulator.behave(...behaviours)
      assert.equal((await service.generate(await signUp(), { prompt: 'A cat' })).status, 200)
      assert.equal(service.simulator.requests.length - before, creates)
    })
  }

  test('the service still works', async () => {
    assert.equal((await service.generate(await signUp(), { prompt: 'A cat' })).status, 200)
  })
})

describe('a file server that does not deliver', () => {
  let service: TestService
  before(async () => {
    service = await startTestService({ env: { OUTPUT_LIFETIME_SECONDS: '12', DOWNLOAD_TIMEOUT_SECONDS: '1' } })
  })
  after(() => service.close())

  for (const behaviour of ['file-cut', 'file-hang'] as const) {
    test(`${behaviour}: the finished picture is told to be on its way, and fails only when its link is over`, async () => {
      const user = await signUp()
      service.simulator.behave(behaviour)
      const response = await service.generate(user, { prompt: `A cat and a ${behaviour}` })
      const answer = (await response.json()) as { code: string; error: string; generationId: string }
      assert.deepEqual([response.status, answer.code], [502, 'output_unavailable'])
      assert.match(answer.error, /tried again until/)
      const [row] = await sql<{ status: string }>('select status from public.generations where id = $1', [answer.generationId])
      assert.equal(row!.status, 'storing')
      await eventually(async () => (await sql<{ status: string }>('select status from public.generations where id = $1', [answer.generationId]))[0]!.status === 'failed', 'it fails', 40_000)
      // What another file left open may be asked for here too.
      assert.equal(service.simulator.requests.filter((request) => JSON.stringify(request).includes(`A cat and a ${behaviour}`)).length, 1)
    })
  }
})
