/**
 * What the attack list is run against: the real service, a victim who has something to lose, and an attacker who is signed
 * in too. Whatever the attacks are, nobody came to harm by them: that is looked at here, in one place.
 */
import assert from 'node:assert/strict'
import { askAs, makeKey, type TestKey } from './api-keys.ts'
import { eventually, startTestService, type LogLine, type TestService, type TestServiceOptions } from './service.ts'
import { signUp, sql, supabase, type TestUser } from './supabase.ts'
import { exchange, parseAnswers, toBytes, type Wire, type WireAnswer } from './wire.ts'

export interface Victim extends TestUser {
  key: TestKey
  /** A picture that is made and stored, asked for with this seed and Idempotency-Key. */
  generationId: string
  promptId: string
  imageId: string
  storagePath: string
  bucketUrl: string
  /** A video that its provider works on. */
  videoId: string
  callbackToken: string
}

export interface Stage {
  service: TestService
  victim: Victim
  attacker: TestUser
  /** The attacker's own. */
  key: TestKey
  /** Sends one request over a socket of its own, and looks at what the answer tells. */
  send(request: Wire): Promise<WireAnswer>
  /** The same for bytes that need not be HTTP: every answer that came. */
  sendBytes(...pieces: (string | Uint8Array)[]): Promise<WireAnswer[]>
  /**
   * Whether all is as it was: the service answers, both users are served, no row, file or entry was written or changed, no
   * provider was asked, nothing secret was logged, and nothing as our own fault.
   */
  assertUnharmed(): Promise<void>
  close(): Promise<void>
}

/** Of the victim's picture. */
export const PICTURE = { prompt: 'The house of the victim', seed: 4711 }
export const IDEMPOTENCY_KEY = 'the-key-of-the-victim'

/** The provider works on videos for ever, and is asked about them once a quarter of an hour. */
const STILL = { CHECK_SECONDS: '600', MAX_CHECK_SECONDS: '900', PUBLIC_URL: 'https://darkroom.example.com' }

/** @param prepare does what belongs to the stage: from then on nothing may change. */
export async function startStage(options: TestServiceOptions = {}, prepare: (service: TestService, victim: Victim, attacker: TestUser) => Promise<void> = async () => undefined): Promise<Stage> {
  const service = await startTestService({ ...options, simulator: { queuedMs: 3_600_000, ...options.simulator }, env: { ...STILL, ...options.env } })
  const [victim, attacker] = [await makeVictim(service), await signUp()]
  const key = await makeKey(service.url, attacker)
  await prepare(service, victim, attacker)
  const secrets = [victim.token, attacker.token, victim.key.key, key.key, victim.callbackToken, supabase.secretKey, supabase.jwtSecret, service.simulator.apiKey]
  const watched = { service, victim, attacker, secrets }
  const before = await snapshot(watched)
  service.log.length = 0

  const look = (answers: WireAnswer[], sent: string): WireAnswer[] => {
    for (const answer of answers) assertTellsNothing(answer, sent, watched)
    return answers
  }
  const sendBytes: Stage['sendBytes'] = async (...pieces) => {
    const bytes = pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece))
    return look(parseAnswers(await exchange(service.url, bytes)), Buffer.concat(bytes).toString('latin1'))
  }
  return {
    service,
    victim,
    attacker,
    key,
    sendBytes,
    async send(request) {
      const bytes = toBytes(request)
      const [answer = { status: 0, headers: {}, text: '', code: undefined }] = look(parseAnswers(await exchange(service.url, [bytes]), request.method), bytes.toString('latin1'))
      return answer
    },
    async assertUnharmed() {
      assert.equal((await service.request('/health/live')).status, 200)
      assert.deepEqual(await snapshot(watched), before)
      assertLogTellsNothing(service.log, watched)
      for (const user of [victim, attacker]) assert.equal((await service.request('/api/images/generate?dryRun=true', { method: 'POST', user, headers: { 'content-type': 'application/json' }, body: '{"prompt":"A cat"}' })).status, 200)
    },
    close: () => service.close(),
  }
}

async function makeVictim(service: TestService): Promise<Victim> {
  const user = await signUp()
  const key = await makeKey(service.url, user)
  const made = await service.generate(user, PICTURE, { 'idempotency-key': IDEMPOTENCY_KEY })
  const picture = (await made.json()) as { generationId: string; promptId: string; images: { id: string; bucketUrl: string; storagePath: string }[] }
  assert.equal(made.status, 200, JSON.stringify(picture))
  const started = await service.generateVideo(user, { prompt: 'The garden of the victim' }, { prefer: 'respond-async' })
  const { id: videoId } = (await started.json()) as { id: string }
  const [submission] = await eventually(async () => {
    const rows = await sql<{ callback_token: string }>(`select callback_token from darkroom.submissions where generation_id = $1 and state = 'started'`, [videoId])
    return rows.length > 0 && rows
  }, 'the video is begun')
  const { id: imageId, bucketUrl, storagePath } = picture.images[0]!
  // The key's last use is written down behind the request.
  await askAs(user, service.url, 'GET', '/api/keys')
  return { ...user, key, generationId: picture.generationId, promptId: picture.promptId, imageId, bucketUrl, storagePath, videoId, callbackToken: submission!.callback_token }
}

interface Watched {
  service: TestService
  victim: Victim
  attacker: TestUser
  secrets: string[]
}

const OF_USERS = ['public.prompts', 'public.generations', 'public.images', 'public.videos', 'public.usage_ledger', 'darkroom.accounts', 'darkroom.spending', 'darkroom.idempotency_keys']
const OF_GENERATIONS = ['darkroom.requests', 'darkroom.submissions', 'darkroom.inputs']

/** Every row and file of both users, to the letter; how much there is of everybody's; what providers were asked. */
async function snapshot({ service: { simulator }, victim, attacker }: Watched): Promise<object> {
  const users = [victim.id, attacker.id]
  const rowsOf = async (table: string, condition: string) => [table, (await sql<{ row: string }>(`select item::text as row from ${table} item where ${condition} order by 1`, [users])).map(({ row }) => row)] as const
  const [total] = await sql<{ prompts: string; files: string; keys: string }>(`select (select count(*) from public.prompts) as prompts, (select count(*) from storage.objects) as files, (select count(*) from darkroom.api_keys) as keys`)
  return {
    rows: await Promise.all([
      ...OF_USERS.map((table) => rowsOf(table, 'user_id = any($1)')),
      ...OF_GENERATIONS.map((table) => rowsOf(table, 'generation_id in (select id from public.generations where user_id = any($1))')),
      rowsOf('storage.objects', `name like any(select id || '/%' from unnest($1::text[]) id)`),
    ]),
    // When a key was used last may be told of an attacker's own.
    keys: await sql('select id, user_id, name, scopes, revoked_at, expires_at, replaced_by from darkroom.api_keys where user_id = any($1) order by id', [users]),
    total,
    asked: [simulator.requests.length, simulator.videos.requests.length, simulator.videos.checks(), [...simulator.videos.tasks.values()].map(({ status }) => status)],
  }
}

/** What no answer may tell and no log may hold. */
const TELLTALES: [what: string, pattern: RegExp][] = [
  ['a stack trace', /\n\s+at |\bat (?:async )?[\w.<>]+ \(|node:internal|\b[\w-]+\.(?:ts|js|mjs|cjs):\d+/],
  ['a path of this machine', /(?:^|[\s"'(])\/(?:tmp|home|root|usr|var|work|proc)\/|node_modules|file:\/\//],
  ['SQL', /\bselect\b.+\bfrom\b|\binsert into\b|\bupdate\b.+\bset\b|\bdelete from\b|\bdarkroom\.[a-z_]+\b|pgboss|SQLSTATE|syntax error at|violates \w+ constraint|relation "/i],
  ['a key', /sb_(?:secret|publishable)_\w|drk_[0-9A-Za-z]{16}_\w|postgres(?:ql)?:\/\//],
  ['a token', /eyJ[\w-]{8,}\./],
]

const idsOf = ({ id, key, generationId, promptId, imageId, videoId, storagePath }: Victim): string[] => [id, key.id, generationId, promptId, imageId, videoId, storagePath]

function assertTellsNothing({ text, headers }: WireAnswer, sent: string, { victim, secrets }: Watched): void {
  const told = `${JSON.stringify(headers)}\n${text}`
  for (const [what, pattern] of TELLTALES) {
    const found = pattern.exec(told)?.[0]
    assert.ok(found === undefined || sent.includes(found), `The answer tells ${what}: ${told.slice(0, 2000)}`)
  }
  for (const id of idsOf(victim)) assert.ok(!told.includes(id) || sent.includes(id), `The answer tells ${id}: ${told.slice(0, 2000)}`)
  for (const secret of secrets) assert.ok(!told.includes(secret), 'The answer tells a secret.')
}

function assertLogTellsNothing(log: readonly LogLine[], { victim, secrets }: Watched): void {
  const ours = log.filter(({ level }) => level === 'error' || level === 'fatal')
  assert.deepEqual(ours, [], 'What a client does wrong is no error of ours.')
  for (const line of log) {
    const text = JSON.stringify(line)
    for (const secret of [...secrets, ...idsOf(victim)]) assert.ok(!text.includes(secret), `The log tells ${secret.slice(0, 12)}: ${text.slice(0, 2000)}`)
    for (const [what, pattern] of TELLTALES) assert.ok(line.level === 'debug' || !pattern.test(text), `The log tells ${what}: ${text.slice(0, 2000)}`)
  }
}

/** Headers of a JSON request. */
export const JSON_TYPE = ['Content-Type', 'application/json'] as const
export const bearer = (token: string) => ['Authorization', `Bearer ${token}`] as const

/** A request that would be let in: what an attack changes of it must be what refuses it. */
export const dryRun = (token: string, changes: Partial<Wire> = {}): Wire => ({ method: 'POST', target: '/api/images/generate?dryRun=true', headers: [bearer(token), JSON_TYPE], body: '{"prompt":"A cat"}', ...changes })

/** A status, or several of which any will do; with `code` one of our errors. */
export function assertTold(answer: WireAnswer, status: number | readonly number[], code?: string): void {
  const isExpected = [status].flat().includes(answer.status) && (code === undefined || answer.code === code)
  assert.ok(isExpected, `expected ${[status].flat().join(' or ')} ${code ?? ''}, got ${answer.status} ${answer.text.slice(0, 1000)}`)
}

