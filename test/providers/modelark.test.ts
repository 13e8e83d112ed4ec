/** The requests that the provider really sends, through the real OpenAI SDK. The simulator refuses what the real one does. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startTestService, type TestService } from '../support/service.ts'
import { signUp, type TestUser } from '../support/supabase.ts'

describe('ModelArk', () => {
  let service: TestService
  let user: TestUser
  before(async () => {
    // Variables that the SDK would read for another vendor must not reach this one.
    Object.assign(process.env, { OPENAI_ORG_ID: 'org-stray', OPENAI_PROJECT_ID: 'proj-stray', OPENAI_BASE_URL: 'https://api.openai.com/v1' })
    service = await startTestService()
    user = await signUp()
  })
  after(async () => {
    for (const name of ['OPENAI_ORG_ID', 'OPENAI_PROJECT_ID', 'OPENAI_BASE_URL']) delete process.env[name]
    await service.close()
  })

  const common = { prompt: 'A cat', response_format: 'url', watermark: false }
  const options = { optimizePrompt: 'fast', outputFormat: 'png', webSearch: true, guidanceScale: 4 } as const
  const cases: [model: string, body: Record<string, unknown>, left: string[]][] = [
    ['seedream-4-0-250828', { ...common, model: 'seedream-4-0-250828', size: '2048x2048', sequential_image_generation: 'disabled', optimize_prompt_options: { mode: 'fast' } }, ['guidanceScale', 'outputFormat', 'webSearch']],
    ['seedream-4-5-251128', { ...common, model: 'seedream-4-5-251128', size: '2048x2048', sequential_image_generation: 'disabled', optimize_prompt_options: { mode: 'fast' } }, ['guidanceScale', 'outputFormat', 'webSearch']],
    ['seedream-5-0-260128', { ...common, model: 'seedream-5-0-260128', size: '2048x2048', sequential_image_generation: 'disabled', optimize_prompt_options: { mode: 'fast' }, output_format: 'png', tools: [{ type: 'web_search' }] }, ['guidanceScale']],
    ['seedream-5-0-flash-260915', { ...common, model: 'seedream-5-0-flash-260915', size: '2048x2048', optimize_prompt_options: { mode: 'fast' }, output_format: 'png' }, ['guidanceScale', 'webSearch']],
    ['dola-seedream-5-0-pro-260628', { ...common, model: 'dola-seedream-5-0-pro-260628', size: '2048x2048', optimize_prompt_options: { mode: 'fast' }, output_format: 'png' }, ['guidanceScale', 'webSearch']],
  ]
  for (const [model, body, left] of cases) {
    test(`${model} is sent the body that its family accepts, and what it does not know is told`, async () => {
      const response = await service.generate(user, { prompt: 'A cat', model, size: '2048x2048', providerOptions: { modelark: options } })
      const answer = (await response.json()) as { warnings: { setting?: string }[] }
      assert.equal(response.status, 200, JSON.stringify(answer))
      assert.deepEqual(service.simulator.requests.at(-1)!.body, body)
      assert.deepEqual(answer.warnings.map(({ setting }) => setting!.split('.').at(-1)!).toSorted((a, b) => a.localeCompare(b)), left)
    })
  }

  test('is sent its own key and nothing of another vendor’s', () => {
    const { headers } = service.simulator.requests.at(-1)!
    assert.equal(headers.authorization, `Bearer ${service.simulator.apiKey}`)
    assert.equal(headers['openai-organization'], undefined)
    assert.equal(headers['openai-project'], undefined)
  })
})
