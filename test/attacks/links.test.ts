/** Addresses that somebody chose: through the download route, and through a provider that turned bad. Nothing inward is reached. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createListener, type AddressInfo, type Server } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { assertTold, bearer, startStage, type Stage } from '../support/attacks.ts'
import { PUBLIC_ADDRESS, startDownloadApp, type DownloadApp } from '../support/downloads.ts'
import { eventually, startTestService, type TestService } from '../support/service.ts'
import { signUp, sql, storedFiles, type TestUser } from '../support/supabase.ts'
import { inwardLinks, inwardRedirects } from './inward.ts'

let reached = 0
/** A server inside that nobody outside may reach: it counts who does. */
const inside = await listen(createListener((socket) => {
  reached++
  socket.destroy()
}))
/** A provider that answers with the prompt for a link, and redirects to wherever its query says. */
const vendor = await listen(createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url!, 'http://vendor')
  const hops = Number(searchParams.get('hops'))
  const to = hops > 0 ? `/redirect?${new URLSearchParams({ hops: String(hops - 1), to: searchParams.get('to')! }).toString()}` : searchParams.get('to')
  if (pathname === '/redirect') return void response.writeHead(Number(searchParams.get('status') ?? 302), { location: to! }).end()
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
    const { prompt } = JSON.parse(Buffer.concat(chunks).toString()) as { prompt: string }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ model: 'm', created: 1, data: [{ url: JSON.parse(prompt) as string, size: '1024x1024' }], usage: { generated_images: 1, output_tokens: 1, total_tokens: 1 } }))
  })
}))
const ORIGIN = `http://127.0.0.1:${portOf(vendor)}`
const redirect = (to: string, more: Record<string, string> = {}) => `${ORIGIN}/redirect?${new URLSearchParams({ to, ...more }).toString()}`

async function listen<T extends Server>(server: T): Promise<T> {
  await once(server.listen(0), 'listening')
  return server
}
function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}
after(() => {
  inside.close()
  vendor.close()
})

const LINKS = inwardLinks(portOf(inside))
const REDIRECTS = inwardRedirects(portOf(inside))
const CHAINS = [...REDIRECTS.map((to) => redirect(to)), ...REDIRECTS.slice(0, 5).flatMap((to, index) => [redirect(to, { hops: String(index) }), redirect(to, { status: String([301, 303, 307, 308, 300][index]) })])]

describe('the download route', () => {
  let stage: Stage
  before(async () => {
    stage = await startStage({ env: { DOWNLOAD_HOSTS: ORIGIN } })
  })
  after(() => stage.close())

  describe('a link inward is refused', { concurrency: 8 }, () => {
    for (const link of [...LINKS, 'https://127.0.0.1.nip.io/', 'https://localhost.localdomain/', 'https://metadata.google.internal/', 'https://a.localhost/', 'https://kubernetes.default.svc/', ...CHAINS]) {
      test(JSON.stringify(link), async () => {
        const answer = await stage.send({ target: `/api/download?url=${encodeURIComponent(link)}`, headers: [bearer(stage.attacker.token)] })
        assertTold(answer, 403, 'forbidden')
      })
    }
  })

  test('and in no loop without end', async () => {
    const answer = await stage.send({ target: `/api/download?url=${encodeURIComponent(redirect('x', { hops: '1000' }))}`, headers: [bearer(stage.attacker.token)] })
    assertTold(answer, 502, 'output_invalid')
    const loop = stage.service.log.findIndex(({ code }) => code === 'output_invalid')
    assert.equal(stage.service.log.splice(loop, 1).length, 1)
  })

  test('nobody came to harm, and nothing inside was reached', async () => {
    assert.equal(reached, 0)
    await stage.assertUnharmed()
  })
})

describe('a name that leads inward', () => {
  let app: DownloadApp
  before(async () => {
    app = await startDownloadApp({ hosts: ['files.example.com'] })
  })
  after(() => app.close())

  const ANSWERS: Record<string, string[][]> = {
    'to this machine': [['127.0.0.1']],
    'to this machine by IPv6': [['::1']],
    'to IPv4 inside of IPv6': [['::ffff:127.0.0.1']],
    'to the machine next door': [['192.168.1.1']],
    'to metadata': [['169.254.169.254']],
    'to everything': [['0.0.0.0']],
    'through NAT64': [['64:ff9b::7f00:1']],
    'through 6to4': [['2002:7f00:1::']],
    'to one of each': [[PUBLIC_ADDRESS, '127.0.0.1']],
    'to one of each, turned': [['10.0.0.1', PUBLIC_ADDRESS]],
    'to a hundred and one': [[...Array<string>(100).fill(PUBLIC_ADDRESS), 'fd00::1']],
    'nowhere': [[]],
  }
  for (const [what, answers] of Object.entries(ANSWERS)) {
    test(`${what} is refused`, async () => {
      app.forget()
      app.names.set('files.example.com', answers.map((addresses) => [...addresses]))
      const response = await app.download('https://files.example.com/a.png')
      assert.deepEqual([response.status, app.lookups.length, app.dials], [403, 1, []])
    })
  }

  test('only the second time is refused then, and dialled as it was checked the first time', async () => {
    app.forget()
    app.names.set('files.example.com', [[PUBLIC_ADDRESS], ['127.0.0.1'], ['169.254.169.254']])
    const statuses = [await app.download('https://files.example.com/a.png'), await app.download('https://files.example.com/a.png'), await app.download('https://files.example.com/a.png')].map(({ status }) => status)
    assert.deepEqual([statuses, app.dials], [[502, 403, 403], [`${PUBLIC_ADDRESS}:443`]])
  })
})

describe('a provider’s link', () => {
  const links = [...LINKS, ...CHAINS, redirect('x', { hops: '1000' })]
  const ended = new Map<string, { status: string; error: { code: string; message: string } }>()
  let service: TestService
  let user: TestUser
  before(async () => {
    service = await startTestService({ env: { ARK_BASE_URL: `${ORIGIN}/api/v3`, MAX_OPEN_GENERATIONS: '1000' } })
    user = await signUp()
    await Promise.all(links.map(async (link) => assert.equal((await service.generate(user, { prompt: JSON.stringify(link) }, { prefer: 'respond-async' })).status, 202)))
    const rows = await eventually(async () => {
      const found = await sql<{ prompt: string; status: string; error: { code: string; message: string } }>(`select prompt, status, error from public.generations join public.prompts on prompts.id = prompt_id where generations.user_id = $1 and status in ('succeeded', 'failed', 'cancelled')`, [user.id])
      return found.length === links.length && found
    }, 'all have ended', 60_000)
    for (const { prompt, ...row } of rows) ended.set(JSON.parse(prompt) as string, row)
  })
  after(() => service.close())

  for (const link of links) {
    test(`that is ${JSON.stringify(link)} is refused`, () => {
      const { status, error } = ended.get(link)!
      assert.deepEqual([status, error.code], ['failed', 'output_invalid'])
      // Our own words alone: nothing of what an address inside may have said.
      assert.match(error.message, /^The provider's link (was refused: [a-zA-Z ]+|redirects too often)\.$/)
    })
  }

  test('nothing inside was reached, nothing was stored, and no link was logged', async () => {
    assert.equal(reached, 0)
    assert.deepEqual([await storedFiles(user.id), await sql('select from public.images where user_id = $1', [user.id])], [[], []])
    assert.equal((await service.request('/health/live')).status, 200)
    const text = JSON.stringify(service.log)
    for (const part of ['meta-data', '/etc/passwd', 'redirect?', 'user:password', 'a.png']) assert.equal(text.includes(part), false, part)
    assert.deepEqual(service.log.filter(({ level }) => level === 'error' || level === 'fatal'), [])
  })
})
