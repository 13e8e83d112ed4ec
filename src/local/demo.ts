/** `npm run demo`: the whole story without a browser, checked at every step. Exits 1 with the reason when anything is wrong. */
import { createHash, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import { findRunningStack, STACK_DIRECTORY, startStack, type Stack, type StackFacts } from './stack.ts'
import { createTerminalLogger } from './terminal-log.ts'

const PROMPTS = ['A lighthouse in a storm, oil on canvas', 'An isometric tea house in morning light', 'A paper crane that unfolds into a map of the stars']

interface Person {
  email: string
  id: string
  token: string
  client: SupabaseClient
}

interface Made {
  promptId: string
  model: string
  images: { id: string; bucketUrl: string; size: string }[]
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
  for (const [index, prompt] of PROMPTS.entries()) {
    const made = await generate(facts, owner, prompt, `${index + 1}/${PROMPTS.length}`)
    checked.push(await check(owner, prompt, made, path.join(directory, `${index + 1}`)))
  }
  await proveHidden(stranger, owner)
  say('A second user sees none of it: no prompt, no image, no generation, no file.')
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

/** Posts the prompt, and meanwhile follows its row as a frontend would. */
async function generate(facts: StackFacts, { token, client, id }: Person, prompt: string, step: string): Promise<Made> {
  let done = false
  const known = new Set<string>()
  const following = (async () => {
    while (!done) {
      const { data } = await client.from('generations').select('status').eq('user_id', id).order('created_at', { ascending: false }).limit(1)
      const status = data?.[0]?.status as string | undefined
      if (status !== undefined && status !== 'succeeded' && !known.has(status)) say(`  ${step}  ${status} …`)
      if (status !== undefined) known.add(status)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })()
  say(`  ${step}  ${prompt}`)
  const response = await fetch(`${facts.API_URL}/api/images/generate`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ prompt }),
  }).finally(() => (done = true))
  await following
  const body = (await response.json()) as Made & { error?: string }
  if (!response.ok) throw new Error(`${response.status}: ${body.error}`)
  say(`  ${step}  made by ${body.model}`)
  return body
}

/** Reads the rows as the user, downloads the picture, and holds the one against the other. */
async function check({ client }: Person, prompt: string, made: Made, name: string): Promise<Checked> {
  const { data: rows, error } = await client.from('images').select('id, file_size, mime_type, sha256, size, prompts(prompt, model_used)').eq('prompt_id', made.promptId)
  if (error) throw new Error(`the rows cannot be read: ${error.message}`)
  const row = rows[0] as { id: string; file_size: number; mime_type: string; sha256: string; size: string; prompts: { prompt: string; model_used: string } | { prompt: string; model_used: string }[] } | undefined
  const image = made.images[0]
  if (rows.length !== 1 || !row || !image || row.id !== image.id) throw new Error(`expected one image row for ${made.promptId}, found ${rows.length}`)
  const parent = [row.prompts].flat()[0]
  if (parent?.prompt !== prompt || parent.model_used !== made.model) throw new Error('the prompt row does not tell what was asked for')
  const response = await fetch(image.bucketUrl)
  if (!response.ok) throw new Error(`${image.bucketUrl} answers ${response.status}`)
  const bytes = Buffer.from(await response.arrayBuffer())
  if (bytes.length !== row.file_size) throw new Error(`the file has ${bytes.length} bytes, its row says ${row.file_size}`)
  if (createHash('sha256').update(bytes).digest('hex') !== row.sha256) throw new Error('the file’s hash is not the one in its row')
  if (response.headers.get('content-type') !== row.mime_type) throw new Error(`the file is served as ${response.headers.get('content-type')}, its row says ${row.mime_type}`)
  const file = `${name}.${row.mime_type.split('/')[1]}`
  await writeFile(file, bytes)
  return { prompt, model: made.model, size: row.size, bytes: bytes.length, file: path.relative(process.cwd(), file) }
}

async function proveHidden(stranger: Person, owner: Person): Promise<void> {
  for (const table of ['prompts', 'images', 'generations']) {
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
