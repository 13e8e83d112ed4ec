/** The checks, written once, for every provider. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import type { ProviderError } from '../../src/errors.ts'
import type { Operation, Provider } from '../../src/generation/provider.ts'
import { ask, checkError, checkFiles, checkNoSecret, checkTold, finish, free, look, outputsOf, plain, startTask, type Asked, type Expected } from './asking.ts'
import { MAKING, type Bench, type Column, type CreateProvider, type ErrorCase, type ErrorName, type Job, type Making, type Tasks, type Track } from './harness.ts'
import { edit, imageToVideo, removeBackground, textToVideo } from './jobs.ts'

/** Adds a check to a column, where a provider offers what it is about. */
export type Step = (column: Column, name: string, check: () => Promise<void>) => Promise<void>

const PATIENCE_MS = 500
const LOOK_MS = 5
/** Not a key that any vendor knows, and one that no header can hold. */
const WRONG_KEY = 'wrong-key-0123456789'
const BROKEN_KEY = 'broken-key-0123456789\nx'

const MEANINGS: Readonly<Record<ErrorName, Omit<Expected, 'charged'>>> = {
  'input moderation': { code: 'content_refused', isRetryable: false },
  'output moderation': { code: 'content_refused', isRetryable: false },
  'rate limit': { code: 'provider_rate_limited', isRetryable: true },
  quota: { code: 'provider_quota_reached', isRetryable: false },
  'unknown model': { code: 'model_unavailable', isRetryable: false },
  "vendor's server error": { code: 'provider_failed', isRetryable: true },
  'proxy error': { code: 'submission_unknown' },
}
const LOST: Omit<Expected, 'charged'> = { code: ['submission_unknown', 'provider_timeout'], isRetryable: false }

export async function runSuite(bench: Bench, create: CreateProvider, step: Step): Promise<void> {
  const secrets = [bench.apiKey, ...bench.apiKey.split(':'), WRONG_KEY, BROKEN_KEY.split('\n')[0]!]

  async function failureOf(provider: Provider, promise: Promise<unknown>): Promise<ProviderError> {
    const error: unknown = await promise.then(() => assert.fail('it did not fail'), (reason: unknown) => reason)
    checkError(error, secrets, provider)
    return error
  }

  /** A start that fails, and a bill that agrees with what the error says of it. */
  async function failedStart(track: Track, expected: Expected, more: { model?: ErrorCase['model']; changes?: Parameters<CreateProvider>[0]; signal?: AbortSignal; isMade?: boolean } = {}): Promise<void> {
    const provider = create(more.changes)
    const before = track.created()
    const error = await failureOf(provider, ask(provider, track.job, more.model).start({ ...(more.signal && { signal: more.signal }) }))
    const made = track.created() - before
    checkTold(error, expected)
    if (error.charged === 'no') assert.equal(made, 0, 'the error says that nothing is charged, and something was made')
    if (more.isMade !== undefined) assert.equal(made, more.isMade ? 1 : 0, `${made} were made`)
  }

  async function making(column: Making): Promise<void> {
    const job = bench.offers[column]
    if (job) {
      await step(column, 'makes files that can be had', async () => {
        const provider = create()
        const asked = ask(provider, job)
        await checkFiles(provider, await outputsOf(asked, await asked.start()), 'image' in job ? 'image' : 'video')
        for (const url of ['https://stranger.example/file', `https://${new URL(bench.baseURL).hostname}.stranger.example/file`, 'no address']) assert.equal(provider.downloadHeaders?.(url), undefined, 'the key would go to a stranger')
      })
      return
    }
    // What is not offered is asked of the model that makes the same kind of file in another way.
    const others: Partial<Record<Making, { from: Making; ask: (vendorId: string, family?: string) => Job }>> = {
      edit: { from: 'text to image', ask: edit },
      'remove background': { from: 'text to image', ask: removeBackground },
      'text to video': { from: 'image to video', ask: textToVideo },
      'image to video': { from: 'text to video', ask: imageToVideo },
    }
    const other = others[column]
    const sibling = other && bench.offers[other.from]
    // Not shown as a column of its own: what is not offered must not be paid for either.
    if (other && sibling) await step('errors', `${column} is refused unpaid`, async () => failedStart(trackOf(other.ask(sibling.model.vendorId, sibling.model.family)), { code: 'invalid_request', charged: 'no', isRetryable: false }, { isMade: false }))
    const kind = column.endsWith('video') ? 'video' : 'image'
    if (!sibling && column !== 'edit' && column !== 'remove background') await step('errors', `${column} is not there`, async () => assert.equal(create()[kind], undefined))

    function trackOf(job: Job): Track {
      return { ...bench.tracks[0]!, job }
    }
  }

  async function errors(track: Track): Promise<void> {
    const check = (name: string, run: () => Promise<void>) => step('errors', `${track.name}: ${name}`, run)
    for (const { name, fault, model, charged = name === 'proxy error' ? 'unknown' : 'no' } of track.errors) {
      await check(name, async () => {
        const provider = create()
        const asked = ask(provider, track.job, model)
        const before = track.created()
        fault?.()
        let operation: Operation | undefined
        const error = await failureOf(provider, asked.start().then(async (started) => {
          if (!('operation' in started)) return
          operation = started.operation
          const state = await look(asked, operation)
          if (state.status === 'failed') throw state.error
        }))
        const isServers = name === "vendor's server error" && charged === 'unknown'
        checkTold(error, { ...(isServers ? LOST : MEANINGS[name]), charged })
        if (!operation && charged === 'no') assert.equal(track.created() - before, 0, 'the error says that nothing is charged, and something was made')
      })
    }
    await check('wrong key', () => failedStart(track, { code: 'provider_misconfigured', charged: 'no', isRetryable: false }, { changes: { apiKey: WRONG_KEY }, isMade: false }))
    await check('a key that is no header', () => failedStart(track, { code: 'provider_misconfigured', charged: 'no', isRetryable: false }, { changes: { apiKey: BROKEN_KEY }, isMade: false }))
    await check('nobody at the address', async () => failedStart(track, { code: 'provider_failed', charged: 'no', isRetryable: true }, { changes: { baseURL: bench.baseURL.replace(/:\d+/, `:${await deadPort()}`) }, isMade: false }))
    await check('a signal that was over before', async () => {
      await failedStart(track, { code: 'provider_timeout', charged: 'no' }, { signal: AbortSignal.abort(), isMade: false })
    })
  }

  async function lostAnswers(track: Track): Promise<void> {
    for (const { name, fault, isMade, isSilent } of track.lost) {
      await step('lost answer', `${track.name}: ${name}`, async () => {
        fault()
        const signal = isSilent ? whenMade(track) : undefined
        await failedStart(track, { ...LOST, ...(isSilent && { code: 'provider_timeout' as const }), charged: 'unknown' }, { isMade, ...(signal && { signal }) })
      })
    }
  }

  async function states(track: Track, tasks: Tasks): Promise<void> {
    const check = (name: string, run: (provider: Provider, asked: Asked) => Promise<void>) => step('states', `${track.name}: ${name}`, async () => {
      const provider = create()
      await run(provider, ask(provider, track.job))
    })
    for (const status of ['queued', 'running'] as const) {
      await check(status, async (_, asked) => {
        const { release, goesOn } = tasks.stay(status)
        const state = startTask(asked).then(async (operation) => ({ operation, seen: await look(asked, operation, status) }))
        const { operation, seen } = await state.finally(release)
        assert.equal(seen.status, status)
        if (goesOn) await finish(asked, operation)
      })
    }
    for (const { name, fault, status, code, charged } of tasks.states) {
      await check(name, async (provider, asked) => {
        fault()
        const state = await look(asked, await startTask(asked))
        assert.equal(state.status, status)
        if (state.status === 'unknown') assert.ok(state.vendorStatus.length > 0)
        if (state.status !== 'failed') return
        checkError(state.error, secrets, provider)
        checkTold(state.error, { code: code!, charged: charged! })
      })
    }
    await check('forgotten', async (provider, asked) => {
      tasks.forgotten()
      const operation = await startTask(asked)
      for (const stranger of [operation, { ...operation, id: '../..', requestId: '../..' }, {}]) {
        const error = await failureOf(provider, asked.check(stranger, { signal: free() }))
        checkTold(error, { code: 'operation_lost', charged: 'unknown' })
      }
    })
    for (const { name, fault, code, isSilent } of tasks.looks) {
      await check(name, async (provider, asked) => {
        fault()
        const operation = await startTask(asked)
        const error = await failureOf(provider, asked.check(operation, { signal: isSilent ? AbortSignal.timeout(PATIENCE_MS) : free() }))
        checkTold(error, { code: code ?? ['provider_failed', 'provider_timeout', 'provider_rate_limited'], charged: 'no', isRetryable: code === undefined })
        await checkFiles(provider, await finish(asked, operation), 'image' in track.job ? 'image' : 'video')
      })
    }
  }

  async function cancelling(track: Track, tasks: Tasks): Promise<void> {
    const { cancel } = tasks
    const check = (name: string, run: (asked: Asked, provider: Provider) => Promise<void>) => step('cancel', `${track.name}: ${name}`, async () => {
      const provider = create()
      await run(ask(provider, track.job), provider)
    })
    if (!cancel) return await step('states', `${track.name}: has no cancel`, async () => assert.equal(ask(create(), track.job).has('cancel'), false))
    await check('what waits is stopped', async (asked) => {
      const { release } = tasks.stay('queued')
      const operation = await startTask(asked)
      assert.equal(await asked.cancel(operation, { signal: free() }).finally(release), true)
      const after = await asked.check(operation, { signal: free() }).then(({ status }) => status, ({ code }: ProviderError) => code)
      assert.ok(after === 'cancelled' || after === 'operation_lost', after)
    })
    await check('what runs is stopped only if it costs nothing', async (asked) => {
      const { release, goesOn } = tasks.stay('running')
      const operation = await startTask(asked)
      const isStopped = await look(asked, operation, 'running').then(() => asked.cancel(operation, { signal: free() })).finally(release)
      if (isStopped) assert.equal((await look(asked, operation)).status, 'cancelled')
      else if (goesOn) await finish(asked, operation)
      else assert.equal((await asked.check(operation, { signal: free() })).status, 'running')
    })
    await check('what is finished is kept', async (asked, provider) => {
      const operation = await startTask(asked)
      await finish(asked, operation)
      assert.equal(await asked.cancel(operation, { signal: free() }), false)
      await checkFiles(provider, await finish(asked, operation), 'image' in track.job ? 'image' : 'video')
    })
    const { tooLate } = cancel
    if (tooLate) await check('what came too late changes nothing', async (asked) => {
      const release = tooLate()
      const operation = await startTask(asked)
      assert.equal(await asked.cancel(operation, { signal: free() }).finally(release), false)
      const { status } = await look(asked, operation)
      assert.ok(status === 'succeeded' || status === 'cancelled', status)
    })
    await check('what is forgotten is said to be lost', async (asked, provider) => {
      tasks.forgotten()
      const operation = await startTask(asked)
      checkTold(await failureOf(provider, asked.cancel(operation, { signal: free() })), { code: 'operation_lost', charged: 'unknown' })
    })
  }

  async function finding(track: Track, tasks: Tasks): Promise<void> {
    const { find } = tasks
    if (!find) return await step('states', `${track.name}: has no find`, async () => assert.equal(ask(create(), track.job).has('find'), false))
    const lose = track.lost.find(({ isMade, isSilent }) => isMade && !isSilent)!.fault
    const loseOne = async (asked: Asked, fault = lose) => {
      const [since, mark] = [new Date(), asked.mark()]
      fault()
      await asked.start({ mark }).then(() => assert.fail('the answer was not lost'), () => undefined)
      return { mark, since }
    }
    await step('find', `${track.name}: the lost one and no other`, async () => {
      const asked = ask(create(), track.job)
      const others = [await startTask(asked), await startTask(asked)]
      const { mark, since } = await loseOne(asked)
      others.push(await startTask(asked), await startTask(asked))
      // Another process looks for it, with what was stored.
      const fresh = create()
      const found = await ask(fresh, track.job).find(plain(mark), { signal: free(), since })
      assert.equal(found.operations.length, 1, `${found.operations.length} were found`)
      assert.equal(found.isUndecided, false)
      const operation = plain(found.operations[0]!)
      for (const other of others) assert.notDeepEqual(operation, other)
      await checkFiles(fresh, await finish(ask(fresh, track.job), operation), 'image' in track.job ? 'image' : 'video')
    })
    await step('find', `${track.name}: nothing where nothing was made`, async () => {
      const asked = ask(create(), track.job)
      await startTask(asked)
      assert.deepEqual(await asked.find(asked.mark(), { signal: free(), since: new Date() }), { operations: [], isUndecided: false })
    })
    await step('find', `${track.name}: a list that fails is no list`, async () => {
      const provider = create()
      const asked = ask(provider, track.job)
      const { mark, since } = await loseOne(asked, find.listFails)
      checkTold(await failureOf(provider, asked.find(mark, { signal: free(), since })), { code: 'provider_failed', charged: 'no', isRetryable: true })
      assert.equal((await asked.find(mark, { signal: free(), since })).operations.length, 1)
    })
  }

  async function resuming(track: Track): Promise<void> {
    await step('resume after restart', `${track.name}: another instance goes on`, async () => {
      const asked = ask(create(), track.job)
      const operation = await startTask(asked)
      checkNoSecret(operation, secrets)
      const fresh = create()
      await checkFiles(fresh, await finish(ask(fresh, track.job), operation), 'image' in track.job ? 'image' : 'video')
    })
  }

  for (const column of MAKING) await making(column)
  for (const track of bench.tracks) {
    await errors(track)
    await lostAnswers(track)
    const { tasks } = track
    if (!tasks) continue
    await states(track, tasks)
    await finding(track, tasks)
    await cancelling(track, tasks)
    await resuming(track)
  }
}

/** Ends a call whose answer never comes, once the work behind it exists. */
function whenMade({ created }: Track): AbortSignal {
  const before = created()
  const controller = new AbortController()
  const timer = setInterval(() => {
    if (created() === before) return
    clearInterval(timer)
    controller.abort()
  }, LOOK_MS)
  return controller.signal
}

/** A port that nobody listens on. */
async function deadPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
