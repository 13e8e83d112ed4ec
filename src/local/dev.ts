/** `npm run dev`: the whole service on this machine, until Ctrl-C. */
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { providerSettings } from '../providers/registry.ts'
import { watchLauncher } from './launcher.ts'
import { STACK_DIRECTORY } from './running-stack.ts'
import { resetStack, startStack, type Stack } from './stack.ts'
import { createTerminalLogger } from './terminal-log.ts'

const unknown = process.argv.slice(2).filter((argument) => argument !== '--reset')
if (unknown.length > 0) {
  console.error(`Unknown option ${unknown[0]}. There is only --reset, which begins with an empty database.`)
  process.exit(1)
}
if (existsSync('.env')) process.loadEnvFile('.env')

const storageDirectory = path.join(STACK_DIRECTORY, 'storage')
let stack: Stack | undefined
let stopping = false

async function stop(code: number): Promise<never> {
  if (stopping) return await new Promise<never>(() => undefined)
  stopping = true
  await stack?.stop()
  process.exit(code)
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (!stopping) process.stdout.write('\nStopping …\n')
    void stop(0)
  })
}
watchLauncher(() => void stop(0))

try {
  await mkdir(STACK_DIRECTORY, { recursive: true })
  if (process.argv.includes('--reset')) await resetStack()
  process.stdout.write('Starting Postgres, Supabase and Darkroom …\n')
  stack = await startStack({ env: process.env, logger: createTerminalLogger({ file: path.join(STACK_DIRECTORY, 'dev.log'), storageDirectory }), keepsBackups: true })
  process.stdout.write(banner(stack))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  await stop(1)
}

function banner({ facts, notes, storageDirectory: files }: Stack): string {
  const keys = providerSettings.map(({ keyVariable }) => keyVariable).filter((name) => process.env[name])
  const model = keys.length > 0 ? `real ones, by ${keys.join(', ')}; the sandbox stands in for the others` : 'the sandbox draws and films (set ARK_API_KEY, or any other key of .env.example, for the real thing)'
  const signIn = `curl -s '${facts.SUPABASE_URL}/auth/v1/token?grant_type=password' -H 'apikey: ${facts.SUPABASE_PUBLISHABLE_KEY}' -H 'content-type: application/json' -d '{"email":"${facts.DEMO_EMAIL}","password":"${facts.DEMO_PASSWORD}"}' | node -pe 'JSON.parse(fs.readFileSync(0)).access_token'`
  const post = (route: string, body: string) => `  curl -s ${facts.API_URL}${route} -H "authorization: Bearer $(${signIn})" ${body}`
  const lines = [
    '',
    '  Darkroom is ready.',
    '',
    `  API              ${facts.API_URL}`,
    `  its docs         ${facts.API_URL}/docs`,
    `  Supabase         ${facts.SUPABASE_URL}`,
    `  publishable key  ${facts.SUPABASE_PUBLISHABLE_KEY}`,
    `  secret key       ${facts.SUPABASE_SECRET_KEY}`,
    `  database         ${facts.DATABASE_URL}`,
    ...(facts.DEMO_EMAIL === '' ? [] : [`  demo user        ${facts.DEMO_EMAIL}  password  ${facts.DEMO_PASSWORD}`]),
    `  models           ${model}`,
    ...notes.map((note) => `  note             ${note}`),
    '',
    '  Make a picture, and a video:',
    '',
    post('/api/images/generate', `-H 'content-type: application/json' -d '{"model":"sandbox-image","prompt":"A lighthouse in a storm"}'`),
    '',
    post('/api/videos/generate', `-F model=sandbox-video -F duration=3 -F prompt='The lamp turns at dusk'`),
    '',
    files === undefined ? '  Where their files are stands in the answers.' : `  Where their files are stands in the answers; on this disk they lie below ${path.relative(process.cwd(), files)}/media.`,
    `  These facts also stand in ${path.relative(process.cwd(), path.join(STACK_DIRECTORY, 'dev.env'))}, the log in dev.log beside it. Ctrl-C ends everything.`,
    '',
    '',
  ]
  return lines.join('\n')
}
