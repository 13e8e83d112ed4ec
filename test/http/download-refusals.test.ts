/** Where no user's link may lead, however it is written: nothing is looked up, nothing is connected. */
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { parseHostRule } from '../../src/media/download-hosts.ts'
import { providerSettings, resultHosts } from '../../src/providers/registry.ts'
import { OTHER, PUBLIC_ADDRESS, SECRET_KEY, serveFile, startDownloadApp, SUPABASE_URL, USER, type DownloadApp } from '../support/downloads.ts'
import { makePng } from '../support/media-files.ts'

const png = makePng(6000)
const ALL_KEYS = Object.fromEntries(providerSettings.map(({ id, baseURL }) => [id, { apiKey: 'a key', baseURL }]))
/** An operator's own server, which may be private. */
const ORIGIN = 'http://10.0.0.9:9000'
const HOSTS = ['files.example.com', '.cdn.example.net', 'inward.example.com', 'rebind.example.com', '10.1.2.3', ORIGIN, ...resultHosts(ALL_KEYS)]
const OBJECT = `${SUPABASE_URL}/storage/v1/object`

const REFUSED: Record<string, string[]> = {
  'IPv4 in every spelling': [
    'https://127.0.0.1/', 'https://2130706433/', 'https://0x7f000001/', 'https://0x7f.0.0.1/', 'https://0177.0.0.1/', 'https://017700000001/', 'https://127.1/', 'https://127.0.1/', 'https://0/', 'https://0x7f.1/',
    'https://127.0.0.1./', 'https://127。0。0。1/', 'https://①②⑦.⓪.⓪.①/', 'https://１２７.0.0.1/', 'https://%31%32%37.0.0.1/', 'https://0.0.0.0/', 'https://255.255.255.255/', 'https://10.0.0.1/', 'https://172.16.0.1/', 'https://192.168.1.1/', 'https://1.1.1.1/',
  ],
  'what the listed address 10.1.2.3 is beside': ['https://10.1.2.3/', 'https://0xa.1.2.3/', 'https://167838211/'],
  'metadata and link-local addresses': [
    'https://169.254.169.254/latest/meta-data/', 'http://169.254.169.254/latest/meta-data/', 'https://2852039166/', 'https://169.254.170.2/v2/credentials', 'https://100.100.100.200/', 'https://168.63.129.16/', 'https://192.0.0.192/', 'https://[fd00:ec2::254]/',
    'https://metadata.google.internal/computeMetadata/v1/', 'https://metadata/', 'https://instance-data/',
  ],
  'IPv6, and IPv4 inside of it': [
    'https://[::1]/', 'https://[::]/', 'https://[0:0:0:0:0:0:0:1]/', 'https://[::ffff:127.0.0.1]/', 'https://[::ffff:a9fe:a9fe]/', 'https://[::127.0.0.1]/', 'https://[64:ff9b::7f00:1]/', 'https://[64:ff9b:1::a9fe:a9fe]/', 'https://[2002:7f00:1::]/',
    'https://[2001:0:7f00:1::]/', 'https://[fe80::1]/', 'https://[fe80::1%25eth0]/', 'https://[fec0::1]/', 'https://[fd00::1]/', 'https://[ff02::1]/', 'https://[2606:4700::1111]/',
  ],
  'names that nobody listed': ['https://localhost/', 'https://LOCALHOST./', 'https://example.com/', 'https://127.0.0.1.nip.io/', 'https://service.internal/', 'https://kubernetes.default.svc/'],
  'names that look like a listed one': [
    'https://evilfiles.example.com/a.png', 'https://evil-files.example.com/', 'https://files.example.com.evil.com/', 'https://files-example.com/', 'https://filesXexample.com/', 'https://a.files.example.com/', 'https://example.com/files.example.com/', 'https://evil.com/?files.example.com',
    'https://evil.com/#files.example.com', 'https://evil.com?https://files.example.com/', 'https://cdn.example.net/', 'https://.cdn.example.net/', 'https://evilcdn.example.net/', 'https://a.cdn.example.net.evil.com/', 'https://files.example.com./', 'https://files.example.com../', 'https://a.cdn.example.net./',
  ],
  'other alphabets': ['https://fіles.example.com/', 'https://xn--fles-s5d.example.com/', 'https://files。example。com.evil.com/', 'https://files.example.com\u3002evil.com/', 'https://ﬁles.example.com.evil.com/', 'https://files.example.com\u2024evil.com/'],
  'beside the vendors': [
    'https://mine.tos-ap-southeast-1.volces.com/', 'https://d111111abcdef8.cloudfront.net/', 'https://evilreplicate.delivery/', 'https://replicate.delivery.evil.com/', 'https://x.fal.media/', 'https://fal.media/', 'https://bucket.s3.amazonaws.com/', 'https://generativelanguage.googleapis.com/v1beta/files/x:download?alt=media',
    'https://openrouter.ai/api/v1/videos/x/content', 'https://api.openai.com/v1/models', 'https://api.replicate.com/v1/account',
  ],
  'users and passwords': [
    'https://files.example.com@evil.com/', 'https://files.example.com:443@evil.com/', 'https://user:password@files.example.com/', 'https://user@files.example.com/', 'https://:password@files.example.com/', 'https://files.example.com%2f@evil.com/', 'https://files.example.com%2523@evil.com/',
    'https://evil.com%00@files.example.com/',
  ],
  'backslashes, controls and escapes': [
    'https://evil.com\\@files.example.com/', 'https://files.example.com\\@evil.com/', 'https:\\\\files.example.com\\a.png', 'https://files.example.com\\.evil.com/', 'https://files.example.com\t/', 'https://fi\nles.example.com/', 'https://files.example.com/\r\nHost:%20evil.com', ' https://files.example.com/', 'https://files\u00ad.example.com/',
    'https://files.example.com\u200b/', 'https://files.example.com%00.evil.com/', 'https://files.example.com%40evil.com/', 'https://files.example.com%2f.evil.com/', 'https://files.example.com%23.evil.com/', 'https://files.example.com\0.evil.com/',
  ],
  'other schemes': [
    'http://files.example.com/a.png', 'ftp://files.example.com/a.png', 'file:///etc/passwd', 'file://files.example.com/etc/passwd', 'gopher://files.example.com/', 'data:image/png;base64,iVBORw0KGgo=', 'javascript:alert(1)', 'blob:https://files.example.com/1', 'ws://files.example.com/', 'wss://files.example.com/', 'ssh://files.example.com/',
    'view-source:https://files.example.com/', 'jar:https://files.example.com!/', '//files.example.com/a.png', '/etc/passwd', 'files.example.com/a.png', 'https://', 'https:///', 'nonsense',
  ],
  'other ports': ['https://files.example.com:8443/', 'https://files.example.com:80/', 'https://files.example.com:22/', 'https://files.example.com:0/', 'https://files.example.com:99999/', 'https://v3.fal.media:444/'],
  'other than the origin that the operator vouches for': ['http://10.0.0.9/', 'http://10.0.0.9:9001/', 'https://10.0.0.9:9000/', 'http://10.0.0.9:9000@evil.com/', 'http://10.0.0.9:9000.evil.com/', 'http://user:password@10.0.0.9:9000/', 'http://10.0.0.8:9000/'],
  'files of others': [`${OTHER}/1/0.png`, `${OBJECT}/public/media/${OTHER}/1/0.png`, `${OBJECT}/sign/media/${OTHER}/1/0.png?token=eyJ`, `${OBJECT}/authenticated/media/${OTHER}/1/0.png`, `${OBJECT}/media/${OTHER}/1/0.png`, `${OBJECT}/sign/media/${OTHER}/1/0.png?${USER}/`, `${USER}x/1/0.png`, `${USER.slice(0, -1)}/1/0.png`],
  'out of the own folder': [
    `${USER}/../${OTHER}/1/0.png`, `../media/${OTHER}/1/0.png`, `./${USER}/1/0.png`, `${USER}/./1/0.png`, `${USER}/1/..`, `${USER}//1/0.png`, `/${USER}/1/0.png`, `${USER}/`, USER, `${USER}/%2e%2e/${OTHER}/0.png`, `${USER}/..%2f${OTHER}/0.png`, `${USER}\\..\\${OTHER}\\0.png`, `${USER}/1/.hidden`,
    `${OBJECT}/public/media/${USER}/../${OTHER}/1/0.png`, `${OBJECT}/public/media/${USER}/%2e%2e/${OTHER}/1/0.png`, `${OBJECT}/public/media/${USER}/.%2e/${OTHER}/0.png`, `${OBJECT}/public/media/${USER}/..%2f${OTHER}/0.png`, `${OBJECT}/public/media/${USER}\\..\\${OTHER}/0.png`, `${OBJECT}/public/media//${USER}/1/0.png`,
    `${OBJECT}/public/media/${USER}//1/0.png`, `${OBJECT}/public/media/${USER}/1/0.png%00.jpg`, `${OBJECT}/public/media/${USER}/1/0.png/`, `${OBJECT}/public/media/${USER}`, `${OBJECT}/public/media/${USER}/1/0.png;/../../${OTHER}`, `${OBJECT}/public/media/${USER}/%252e%252e/${OTHER}/0.png`,
  ],
  'out of the bucket': [
    `${OBJECT}/public/secrets/${USER}/1/0.png`, `${OBJECT}/public/media/../secrets/${USER}/0.png`, `${OBJECT}/public/%6dedia/${USER}/1/0.png`, `${OBJECT}/public/MEDIA/${USER}/1/0.png`, `${OBJECT}/public/media2/${USER}/1/0.png`, `${OBJECT}/list/media`, `${OBJECT}/info/media/${USER}/1/0.png`, `${OBJECT}/public/../../../rest/v1/prompts`,
    `${SUPABASE_URL}/storage/v1/bucket`, `${SUPABASE_URL}/storage/v1/render/image/public/media/${USER}/1/0.png`, `${SUPABASE_URL}/rest/v1/prompts?select=*`, `${SUPABASE_URL}/auth/v1/admin/users`, `${SUPABASE_URL}//storage/v1/object/public/media/${USER}/1/0.png`, `${SUPABASE_URL}/`,
    `${SUPABASE_URL.toUpperCase()}/storage/v1/object/public/media/${USER}/1/0.png`, `https://supabase.test:54321/storage/v1/object/public/media/${USER}/1/0.png`, `http://supabase.test/storage/v1/object/public/media/${USER}/1/0.png`, `${SUPABASE_URL}.evil.com/storage/v1/object/public/media/${USER}/1/0.png`,
    `${SUPABASE_URL}@evil.com/storage/v1/object/public/media/${USER}/1/0.png`, `http://evil.com/${SUPABASE_URL}/storage/v1/object/public/media/${USER}/1/0.png`,
  ],
}

let app: DownloadApp
before(async () => {
  app = await startDownloadApp({ hosts: HOSTS })
})
after(() => app.close())
afterEach(() => {
  app.forget()
  app.log.length = 0
  app.names.clear()
})

async function assertRefused(link: string): Promise<void> {
  const response = await app.download(link)
  const body = (await response.json()) as { error: string; code: string; requestId: string }
  assert.deepEqual([response.status, body.code], [403, 'forbidden'], body.error)
  assert.match(body.error, /^This link cannot be downloaded: .+\.$/)
  const warnings = app.log.filter(({ level }) => level === 'warn')
  assert.deepEqual(warnings.map(({ msg, requestId }) => [msg, requestId]), [['a link was refused', body.requestId]])
}

for (const [what, links] of Object.entries(REFUSED)) {
  describe(what, () => {
    for (const link of links) {
      test(`${JSON.stringify(link)} is refused without a look-up`, async () => {
        await assertRefused(link)
        assert.deepEqual([app.lookups, app.dials], [[], []])
      })
    }
  })
}

describe('what is said of a refused link', () => {
  test('its host alone is logged', async () => {
    await app.download('https://name:secret-password@evil.example.org:81/secret-path?secret-query#secret-hash')
    assert.equal(app.log.find(({ level }) => level === 'warn')?.host, 'evil.example.org')
    assert.equal(JSON.stringify(app.log).includes('secret-'), false)
  })

  for (const [what, query] of [['no url', ''], ['an empty one', 'url='], ['two', 'url=https://files.example.com/&url=https://evil.com/'], ['a very long one', `url=https://files.example.com/${'a'.repeat(8192)}`], ['a field that nobody knows', 'url=https://files.example.com/&host=evil.com']] as const) {
    test(`${what} is a request that is wrong`, async () => {
      const response = await fetch(`${app.url}/api/download?${query}`, { headers: { 'x-user': USER } })
      assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [400, 'invalid_request'])
      assert.deepEqual([app.lookups, app.dials], [[], []])
    })
  }

  test('a link of some thousand characters is none', async () => {
    app.respond = serveFile(png)
    assert.equal((await app.download(`https://files.example.com/a.png?${'a'.repeat(8000)}`)).status, 200)
  })
})

describe('a listed name that leads inward', () => {
  for (const [what, addresses] of [['to a private address', ['10.0.0.5']], ['to this machine', ['127.0.0.1']], ['to metadata', ['169.254.169.254']], ['to one of each', [PUBLIC_ADDRESS, '192.168.0.1']], ['to IPv6 inside', ['fd00::1']], ['to IPv4 inside of IPv6', ['::ffff:10.0.0.1']], ['through NAT64', ['64:ff9b::a00:1']], ['to Azure’s own', ['168.63.129.16']], ['nowhere', []]] as const) {
    test(`${what} is refused before it is dialled`, async () => {
      app.names.set('inward.example.com', [[...addresses]])
      await assertRefused('https://inward.example.com/a.png')
      assert.deepEqual([app.lookups, app.dials], [['inward.example.com'], []])
    })
  }

  test('one that does not exist is no refusal', async () => {
    app.names.set('inward.example.com', [undefined])
    const response = await app.download('https://inward.example.com/a.png')
    assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [502, 'output_unavailable'])
    assert.deepEqual(app.dials, [])
  })

  test('what was checked is what is dialled, whatever the name leads to afterwards', async () => {
    app.names.set('rebind.example.com', [[PUBLIC_ADDRESS], ['127.0.0.1']])
    app.respond = serveFile(png)
    assert.equal((await app.download('https://rebind.example.com/a.png')).status, 200)
    assert.deepEqual([app.lookups, app.dials], [['rebind.example.com'], [`${PUBLIC_ADDRESS}:443`]])
    await assertRefused('https://rebind.example.com/a.png')
    assert.deepEqual([app.lookups.length, app.dials.length], [2, 1])
  })

  test('and that between two requests of one download', async () => {
    app.names.set('rebind.example.com', [[PUBLIC_ADDRESS], ['10.0.0.1']])
    app.respond = serveFile(png)
    assert.equal((await app.download('https://rebind.example.com/a.png', { headers: { range: 'bytes=5000-' } })).status, 403)
    assert.deepEqual(app.dials, [`${PUBLIC_ADDRESS}:443`])
  })
})

describe('redirects', () => {
  /** A chain of `hops` links that ends at `target`. */
  const redirect = (hops: number, target: string, status = 302) => {
    app.respond = (request, response) => {
      const hop = Number(new URL(request.url!, 'https://x').searchParams.get('hop') ?? 0)
      if (request.headers.host === 'a.cdn.example.net' || hop > hops) return serveFile(png)(request, response)
      response.writeHead(status, { location: hop < hops ? `https://files.example.com/?hop=${hop + 1}` : target }).end()
    }
  }

  const INWARD = [
    'https://127.0.0.1/', 'https://2130706433/', 'http://169.254.169.254/latest/meta-data/', 'https://[::ffff:7f00:1]/', 'https://localhost/', 'https://evil.com/', '//evil.com/a.png', 'http://files.example.com/a.png', 'https://files.example.com:8443/', 'https://user:password@files.example.com/', 'file:///etc/passwd',
    'data:image/png;base64,iVBORw0KGgo=', 'gopher://files.example.com/', 'https://files.example.com./', 'https://files.example.com.evil.com/', `${OBJECT}/public/media/${USER}/1/0.png`, `${SUPABASE_URL}/rest/v1/prompts`, 'http://10.0.0.9:9001/', 'https://10.1.2.3/', 'http://[',
  ]
  for (const [index, target] of INWARD.entries()) {
    const hops = index % 5
    test(`to ${target} after ${hops + 1} is refused there`, async () => {
      redirect(hops, target)
      await assertRefused('https://files.example.com/')
      assert.equal(app.requests.length, hops + 1)
      assert.deepEqual([...new Set(app.lookups), ...new Set(app.dials)], ['files.example.com', `${PUBLIC_ADDRESS}:443`])
    })
  }

  test('to a listed name that leads inward', async () => {
    app.names.set('inward.example.com', [['10.0.0.5']])
    redirect(0, 'https://inward.example.com/a.png')
    await assertRefused('https://files.example.com/')
    assert.deepEqual(app.dials, [`${PUBLIC_ADDRESS}:443`])
  })

  for (const status of [301, 302, 303, 307, 308]) {
    test(`with ${status} to another listed host is followed`, async () => {
      redirect(0, 'https://a.cdn.example.net/a.png', status)
      assert.equal((await app.download('https://files.example.com/')).status, 200)
      assert.deepEqual(app.lookups.filter((name) => name.includes('cdn')), ['a.cdn.example.net'])
    })
  }

  test('five are followed, six are not', async () => {
    redirect(4, 'https://a.cdn.example.net/a.png')
    assert.equal((await app.download('https://files.example.com/')).status, 200)
    app.forget()
    redirect(9, 'https://a.cdn.example.net/a.png')
    const response = await app.download('https://files.example.com/')
    assert.deepEqual([response.status, ((await response.json()) as { code: string }).code, app.requests.length], [502, 'output_invalid', 6])
  })

  test('nor one to the rest of our own project, even if its origin is listed', async () => {
    const open = await startDownloadApp({ hosts: ['files.example.com', SUPABASE_URL] })
    open.respond = (_request, response) => void response.writeHead(302, { location: `${SUPABASE_URL}/rest/v1/prompts` }).end()
    const answers = [await open.download('https://files.example.com/'), await open.download(`${SUPABASE_URL}/rest/v1/prompts`)]
    assert.deepEqual([answers.map(({ status }) => status), open.dials], [[403, 403], [`${PUBLIC_ADDRESS}:443`]])
    await open.close()
  })

  test('none is followed with the key of our storage', async () => {
    app.respond = (_request, response) => void response.writeHead(302, { location: 'https://files.example.com/a.png' }).end()
    const response = await app.download(`${USER}/1/0.png`)
    assert.equal(response.status, 502)
    assert.deepEqual([app.dials, app.requests[0]!.headers.authorization], [['supabase.test:54321'], `Bearer ${SECRET_KEY}`])
  })
})

describe('the lists', () => {
  test('vendors’ hosts are exact but for the one suffix that a vendor names, and only those of providers with a key', () => {
    const hosts = resultHosts(ALL_KEYS)
    assert.ok(hosts.every((host) => parseHostRule(host)))
    assert.deepEqual(hosts.filter((host) => host.startsWith('.')), ['.replicate.delivery'])
    assert.deepEqual(resultHosts({ fal: { apiKey: 'a key', baseURL: '' }, replicate: { apiKey: undefined, baseURL: '' } }), ['v3.fal.media', 'v3b.fal.media'])
    assert.deepEqual(resultHosts({}), [])
  })

  for (const text of ['com', '.com', '*', '*.example.com', 'exam ple.com', 'https://example.com/path', 'https://user@example.com', 'ftp://example.com', 'example.com:8443', 'example..com', '-a.example.com', '127.1', '0x7f.0.0.1', '', '.', 'bücher.example', 'a/b.example.com']) {
    test(`${JSON.stringify(text)} names no host`, () => assert.equal(parseHostRule(text), undefined))
  }
  for (const [text, rule] of [['CDN.Example.com', { host: 'cdn.example.com' }], ['.cdn.example.com', { suffix: '.cdn.example.com' }], ['http://files.internal:9000/', { origin: 'http://files.internal:9000' }], ['https://10.0.0.5', { origin: 'https://10.0.0.5' }]] as const) {
    test(`${text} does`, () => assert.deepEqual(parseHostRule(text), rule))
  }
})
