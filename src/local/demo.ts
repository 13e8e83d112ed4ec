/** `npm run demo`: the whole story without a browser, checked at every step. Exits 1 with the reason when anything is wrong. */
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import { findRunningStack, STACK_DIRECTORY, type StackFacts } from './running-stack.ts'
import { startStack, type Stack } from './stack.ts'
import { createTerminalLogger } from './terminal-log.ts'

const VIDEO_PROMPTS = { text: 'The lighthouse turns its lamp on at dusk', picture: 'Waves roll in below the lighthouse' }
const PROMPTS = ['A lighthouse in a storm, oil on canvas', 'An isometric tea house in morning light', 'A paper crane that unfolds into a map of the stars']

interface Person {
  email: string
  id: string
  token: string
  client: SupabaseClient
}

/** A request, and what of its answer and its row must agree. */
interface Order {
  path: string
  body: () => string | FormData
  table: 'images' | 'videos'
  prompt: string
}

interface Answer {
  promptId: string
  model: string
  generationId: string
  images?: { id: string; bucketUrl: string }[]
  id?: string
  video_url?: string
  error?: string
}

interface Row {
  id: string
  file_size: number
  mime_type: string
  sha256: string
  width: number
  height: number
  duration_seconds?: number
  prompts: { prompt: string; model_used: string } | { prompt: string; model_used: string }[]
}

interface Checked {
  prompt: string
  model: string
  size: string
  bytes: number
  file: string
}

if (existsSync('.env')) process.loadEnvFile('.env')
let stack: Stack | undefined
try {
  const running = await findRunningStack()
  if (running) say('Darkroom is already running here: using it.')
  else {
    say('Starting Postgres, Supabase and Darkroom …')
    await mkdir(STACK_DIRECTORY, { recursive: true })
    stack = await startStack({ env: process.env, logger: createTerminalLogger({ file: path.join(STACK_DIRECTORY, 'dev.log'), storageDirectory: STACK_DIRECTORY, quiet: true }) })
    for (const note of stack.notes) say(note)
  }
  await tellStory(running ?? stack!.facts)
  await stack?.stop()
  process.exit(0)
} catch (error) {
  process.stderr.write(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}\n`)
  await stack?.stop()
  process.exit(1)
}

async function tellStory(facts: StackFacts): Promise<void> {
  const [owner, stranger] = [await signUp(facts), await signUp(facts)]
  say(`Signed up ${owner.email} through supabase-js.`)
  const directory = path.join(STACK_DIRECTORY, 'demo')
  await rm(directory, { recursive: true, force: true })
  await mkdir(directory, { recursive: true })
  const checked: Checked[] = []
  const orders = [...PROMPTS.map(orderPicture), orderVideo(VIDEO_PROMPTS.text), orderVideo(VIDEO_PROMPTS.picture, () => path.resolve(checked[0]!.file))]
  for (const [index, order] of orders.entries()) {
    const answer = await generate(facts, owner, order, `${index + 1}/${orders.length}`)
    checked.push(await check(owner, order, answer, path.join(directory, `${index + 1}`)))
  }
  await proveHidden(stranger, owner)
  say('A second user sees none of it: no prompt, no image, no video, no generation, no file.')
  printTable(checked)
}

async function signUp(facts: StackFacts): Promise<Person> {
  const client = createClient(facts.SUPABASE_URL, facts.SUPABASE_PUBLISHABLE_KEY, { auth: { persistSession: false, autoRefreshToken: false } })
  const email = `demo-${randomUUID().slice(0, 8)}@example.com`
  const { data, error } = await client.auth.signUp({ email, password: randomUUID() })
  if (error) throw new Error(`signing up failed: ${error.message}`)
  if (!data.session || !data.user) throw new Error('signing up gave no session: does the project demand that e-mail addresses are confirmed?')
  return { email, id: data.user.id, token: data.session.access_token, client }
}

function orderPicture(prompt: string): Order {
  return { path: '/api/images/generate', table: 'images', prompt, body: () => JSON.stringify({ prompt }) }
}

/** As the frontend sends it: a form, with the first frame as a file where there is one. */
function orderVideo(prompt: string, firstFrame?: () => string): Order {
  return {
    path: '/api/videos/generate',
    table: 'videos',
    prompt,
    body() {
      const form = new FormData()
      for (const [name, value] of Object.entries({ prompt, duration: '3', aspectRatio: '16:9' })) form.set(name, value)
      if (firstFrame) form.set('image', new Blob([readFileSync(firstFrame())]), 'first-frame')
      return form
    },
  }
}

/** Posts the order, and meanwhile follows its row as a frontend would. */
async function generate(facts: StackFacts, { token, client, id }: Person, order: Order, step: string): Promise<Answer> {
  let done = false
  let shown = ''
  const following = (async () => {
    while (!done) {
      const { data } = await client.from('generations').select('status, progress').eq('user_id', id).order('created_at', { ascending: false }).limit(1)
      const row = data?.[0] as { status: string; progress: number | null } | undefined
      const percent = row?.progress == null ? '' : ` ${Math.round(row.progress * 100)} %`
      const text = row === undefined || row.status === 'succeeded' ? shown : `${row.status}${percent}`
      if (text !== shown) say(`  ${step}  ${text} …`)
      shown = text
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })()
  say(`  ${step}  ${order.prompt}`)
  const body = order.body()
  const response = await fetch(facts.API_URL + order.path, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, ...(typeof body === 'string' && { 'content-type': 'application/json' }) },
    body,
  }).finally(() => (done = true))
  await following
  const answer = (await response.json()) as Answer
  if (!response.ok || answer.error !== undefined) throw new Error(`${response.status}: ${answer.error}`)
  say(`  ${step}  made by ${answer.model}`)
  return answer
}

/** Reads the rows as the user, downloads the file, and holds the one against the other. */
async function check({ client }: Person, { prompt, table }: Order, answer: Answer, name: string): Promise<Checked> {
  const { data: rows, error } = await client.from(table).select('*, prompts(prompt, model_used)').eq('prompt_id', answer.promptId)
  if (error) throw new Error(`the rows cannot be read: ${error.message}`)
  const row = rows[0] as Row | undefined
  const id = answer.images?.[0]?.id ?? answer.id
  const url = answer.images?.[0]?.bucketUrl ?? answer.video_url
  if (rows.length !== 1 || !row || !url || row.id !== id) throw new Error(`expected one row of ${table} for ${answer.promptId}, found ${rows.length}`)
  const parent = [row.prompts].flat()[0]
  if (parent?.prompt !== prompt || parent.model_used !== answer.model) throw new Error('the prompt row does not tell what was asked for')
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url} answers ${response.status}`)
  const bytes = Buffer.from(await response.arrayBuffer())
  if (bytes.length !== row.file_size) throw new Error(`the file has ${bytes.length} bytes, its row says ${row.file_size}`)
  if (createHash('sha256').update(bytes).digest('hex') !== row.sha256) throw new Error('the file’s hash is not the one in its row')
  if (response.headers.get('content-type') !== row.mime_type) throw new Error(`the file is served as ${response.headers.get('content-type')}, its row says ${row.mime_type}`)
  const file = `${name}.${row.mime_type.split('/')[1]}`
  await writeFile(file, bytes)
  const seconds = row.duration_seconds === undefined ? '' : `, ${row.duration_seconds} s`
  return { prompt, model: answer.model, size: `${row.width}x${row.height}${seconds}`, bytes: bytes.length, file: path.relative(process.cwd(), file) }
}

async function proveHidden(stranger: Person, owner: Person): Promise<void> {
  for (const table of ['prompts', 'images', 'videos', 'generations']) {
    const { data, error } = await stranger.client.from(table).select('id')
    if (error) throw new Error(`the second user cannot read ${table} at all: ${error.message}`)
    if (data.length > 0) throw new Error(`the second user sees ${data.length} rows of ${table}`)
  }
  const { data: files } = await stranger.client.storage.from('media').list(owner.id)
  if ((files ?? []).length > 0) throw new Error('the second user can list the first one’s files')
}

function printTable(rows: Checked[]): void {
  const table = [['file', 'size', 'bytes', 'model', 'prompt'], ...rows.map((row) => [row.file, row.size, String(row.bytes), row.model, row.prompt])]
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)))
  say('')
  for (const row of table) say(`  ${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd()}`)
  say('')
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
