/** What a download is answered with: by a file's bytes, not by its server's word; and the route as it stands in the service. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, afterEach, before, describe, test } from 'node:test'
import { ConfigError, loadConfig } from '../../src/config.ts'
import { createStorage } from '../../src/supabase/storage.ts'
import { OTHER, PUBLIC_ADDRESS, SECRET_KEY, serveFile, startDownloadApp, SUPABASE_URL, USER, type DownloadApp } from '../support/downloads.ts'
import { startFileServer, type FileServer } from '../support/file-server.ts'
import { fill, makePng, MEDIA, NOT_MEDIA } from '../support/media-files.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { signUp, supabase, type TestUser } from '../support/supabase.ts'

const png = makePng(6000)
const LINK = 'https://files.example.com/path/picture.png'
const codeOf = async (response: Response) => ((await response.json()) as { code: string }).code

describe('what a file server gives', () => {
  let app: DownloadApp
  before(async () => {
    app = await startDownloadApp({ hosts: ['files.example.com', 'http://10.0.0.9:9000'] })
  })
  after(() => app.close())
  afterEach(() => {
    app.forget()
    app.log.length = 0
  })

  test('is an attachment that nothing can run in', async () => {
    app.respond = serveFile(png, { headers: { etag: '"one"', 'last-modified': 'Sat, 21 Nov 2026 10:00:00 GMT' } })
    const response = await app.download(LINK)
    const headers = Object.fromEntries(['content-type', 'content-length', 'content-disposition', 'x-content-type-options', 'content-security-policy', 'cache-control', 'etag', 'last-modified', 'accept-ranges', 'vary'].map((name) => [name, response.headers.get(name)]))
    assert.deepEqual(headers, {
      'content-type': 'image/png',
      'content-length': '6000',
      'content-disposition': `attachment; filename="picture.png"; filename*=UTF-8''picture.png`,
      'x-content-type-options': 'nosniff',
      'content-security-policy': "sandbox; default-src 'none'",
      'cache-control': 'private, max-age=3600',
      etag: '"one"',
      'last-modified': 'Sat, 21 Nov 2026 10:00:00 GMT',
      'accept-ranges': 'bytes',
      vary: 'Authorization, Cookie',
    })
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), png)
    assert.deepEqual(app.dials, [`${PUBLIC_ADDRESS}:443`])
  })

  test('its other headers stay where they are, and so do the client’s', async () => {
    const hostile = { 'set-cookie': 'session=stolen', 'content-type': 'text/html', 'content-disposition': 'inline; filename=evil.html', 'access-control-allow-origin': '*', 'content-security-policy': 'default-src *', 'cache-control': 'public', link: '</x>; rel=preload', refresh: '0; url=https://evil.com', etag: 'no quotes', 'last-modified': 'yesterday', 'accept-ranges': 'lines', 'x-request-id': 'a-request-of-theirs', 'service-worker-allowed': '/' }
    app.respond = serveFile(png, { ranges: false, headers: hostile })
    const response = await app.download(LINK, { headers: { cookie: 'a=b', authorization: 'Bearer of-the-user', referer: 'https://app.example.com/', 'x-forwarded-for': '1.2.3.4' } })
    for (const [name, value] of Object.entries(hostile)) assert.notEqual(response.headers.get(name), value, name)
    assert.deepEqual(['set-cookie', 'etag', 'last-modified', 'accept-ranges', 'link', 'refresh'].filter((name) => response.headers.has(name)), [])
    assert.deepEqual(Object.keys(app.requests[0]!.headers).toSorted(), ['accept', 'accept-encoding', 'connection', 'host'])
  })

  for (const [head, mediaType, extension] of MEDIA) {
    test(`${mediaType} is known by its bytes (${head.toString('latin1', 0, 12).replace(/[^ -~]/g, '.')})`, async () => {
      app.respond = serveFile(fill(head, 5000), { headers: { 'content-type': 'text/html' } })
      const response = await app.download('https://files.example.com/file.html')
      assert.deepEqual([response.status, response.headers.get('content-type')], [200, mediaType])
      assert.match(response.headers.get('content-disposition')!, new RegExp(`"file\\.html\\.${extension}"`))
      assert.equal((await response.arrayBuffer()).byteLength, 5000)
    })
  }

  for (const [what, bytes] of Object.entries(NOT_MEDIA)) {
    test(`${what} is refused, whatever it calls itself`, async () => {
      for (const padded of [bytes, Buffer.concat([bytes, Buffer.alloc(bytes.length > 1 ? 10_000 : 0, 0x20)])]) {
        app.respond = serveFile(padded, { headers: { 'content-type': 'image/png' } })
        const response = await app.download(LINK)
        assert.deepEqual([response.status, response.headers.get('content-disposition'), await codeOf(response)], [415, null, 'unsupported_media_type'])
      }
    })
  }

  for (const [status, code] of [[403, 'output_expired'], [404, 'output_expired'], [410, 'output_expired'], [400, 'output_invalid'], [204, 'output_invalid'], [304, 'output_invalid'], [429, 'output_unavailable'], [500, 'output_unavailable']] as const) {
    test(`status ${status} is told as ${code}`, async () => {
      app.respond = (_request, response) => void response.writeHead(status).end()
      const response = await app.download(LINK)
      assert.deepEqual([response.status, await codeOf(response)], [502, code])
    })
  }

  test('an origin that the operator vouches for may be private and plain', async () => {
    app.respond = serveFile(png)
    assert.equal((await app.download('http://10.0.0.9:9000/a.png')).status, 200)
    assert.deepEqual([app.lookups, app.dials], [[], ['10.0.0.9:9000']])
  })

  test('nobody who is not signed in gets anything', async () => {
    assert.equal((await app.download(LINK, { user: '' })).status, 401)
    assert.deepEqual(app.dials, [])
  })
})

describe('the name', () => {
  let app: DownloadApp
  before(async () => {
    app = await startDownloadApp()
    app.respond = serveFile(png)
  })
  after(() => app.close())

  for (const [given, ascii, encoded = ascii] of [
    ['holiday.png', 'holiday.png'],
    ['holiday', 'holiday.png'],
    ['HOLIDAY.PNG', 'HOLIDAY.PNG'],
    ['holiday.jpg', 'holiday.jpg.png'],
    ['invoice.exe', 'invoice.exe.png'],
    ['my cat (1).png', 'my cat (1).png', 'my%20cat%20%281%29.png'],
    ['Café.png', 'Cafe.png', 'Caf%C3%A9.png'],
    ['猫.png', '_.png', '%E7%8C%AB.png'],
    ['🐈.png', '__.png', '%F0%9F%90%88.png'],
    ['../../etc/passwd', '_.._etc_passwd.png'],
    ['..\\..\\boot.ini', '_.._boot.ini.png'],
    ['a/b\\c:d*e?f"g<h>i|j.png', 'a_b_c_d_e_f_g_h_i_j.png'],
    ['a"; filename="evil.html', 'a_; filename=_evil.html.png', 'a_%3B%20filename%3D_evil.html.png'],
    ["a'b%41.png", "a'b_41.png", 'a%27b%2541.png'],
    ['line\r\nSet-Cookie: a=b.png', 'lineSet-Cookie_ a=b.png', 'lineSet-Cookie_%20a%3Db.png'],
    ['nul\0l.png', 'null.png'],
    ['gnp\u202egpj.exe', 'gnpgpj.exe.png'],
    ['／etc／passwd.png', '_etc_passwd.png', '%EF%BC%8Fetc%EF%BC%8Fpasswd.png'],
    ['.htaccess', 'htaccess.png'],
    ['name. . .', 'name.png'],
    ['CON', '_CON.png'],
    ['aux.png', '_aux.png'],
    ['com1.tar.png', '_com1.tar.png'],
    ['', 'download.png'],
    [' .. ', 'download.png'],
    ['.png', 'png.png'],
    ['\ud800.png', 'png.png'],
    [`${'a'.repeat(300)}.png`, `${'a'.repeat(200)}.png`],
    [`${'é'.repeat(300)}.png`, `${'e'.repeat(100)}.png`, `${'%C3%A9'.repeat(100)}.png`],
  ] as const) {
    test(`${JSON.stringify(given.slice(0, 40))} becomes ${ascii.slice(0, 40)}`, async () => {
      const response = await app.download(LINK, { filename: given })
      assert.equal(response.headers.get('content-disposition'), `attachment; filename="${ascii}"; filename*=UTF-8''${encoded}`)
    })
  }
  for (const [link, name] of [['https://files.example.com/a/b%20c.png?x=/d.png#/e.png', 'b c.png'], ['https://files.example.com/', 'download.png'], ['https://files.example.com/%E0%A4%A', '_E0_A4_A.png'], ['https://files.example.com/a%2Fb%00.png', 'a_b.png'], [`${USER}/1/0.png`, '0.png']] as const) {
    test(`of ${link} is ${name}`, async () => assert.match((await app.download(link)).headers.get('content-disposition')!, new RegExp(`^attachment; filename="${name}";`)))
  }
})

describe('our storage', () => {
  for (const access of ['public', 'private'] as const) {
    test(`when ${access} is read ${access === 'public' ? 'as anybody may' : 'with its key, by its owner'}`, async () => {
      const app = await startDownloadApp({ access })
      app.respond = serveFile(png)
      const object = `${SUPABASE_URL}/storage/v1/object`
      try {
        for (const link of [`${USER}/1/0.png`, `${object}/public/media/${USER}/1/0.png`, `${object}/sign/media/${USER}/1/0.png?token=eyJ`, `${object}/authenticated/media/${USER}/1/0.png`, `${object}/media/${USER}/1/0.png?download=x#y`]) assert.equal((await app.download(link)).status, 200, link)
        const expected = access === 'public' ? [`/storage/v1/object/public/media/${USER}/1/0.png`, undefined, undefined] : [`/storage/v1/object/media/${USER}/1/0.png`, SECRET_KEY, `Bearer ${SECRET_KEY}`]
        for (const { path, headers } of app.requests) assert.deepEqual([path, headers.apikey, headers.authorization], expected)
        const theirs = await app.download(`${object}/public/media/${OTHER}/1/0.png`)
        assert.equal(theirs.status, access === 'public' ? 200 : 403)
        assert.equal((await app.download(`${OTHER}/1/0.png`)).status, 403)
      } finally {
        await app.close()
      }
    })
  }

  test('that fails is told as such', async () => {
    const app = await startDownloadApp()
    try {
      for (const [status, body, expected] of [[400, '{"statusCode":"404","code":"NoSuchKey"}', [404, 'not_found']], [400, '{"statusCode":"403","code":"AccessDenied"}', [503, 'storage_unavailable']], [500, 'x'.repeat(100_000), [503, 'storage_unavailable']]] as const) {
        app.respond = (_request, response) => void response.writeHead(status).end(body)
        const response = await app.download(`${USER}/1/0.png`)
        assert.deepEqual([response.status, await codeOf(response)], expected)
      }
    } finally {
      await app.close()
    }
  })
})

describe('in the service', () => {
  let service: TestService
  let files: FileServer
  let user: TestUser
  before(async () => {
    files = await startFileServer()
    service = await startTestService({ env: { DOWNLOAD_HOSTS: files.origin, DOWNLOAD_MAX_BYTES: '50000', MEDIA_ACCESS: 'private' } })
    user = await signUp()
  })
  after(async () => {
    await service.close()
    await files.close()
  })
  const download = (url: string, init: RequestInit & { user?: TestUser } = {}) => service.request(`/api/download?${new URLSearchParams({ url }).toString()}`, { user, ...init })

  test('a stored picture is saved from its signed URL, its path, and by nobody else', async () => {
    const { images } = (await (await service.generate(user, { prompt: 'A bay' })).json()) as { images: { url: string; bucketUrl: string; storagePath: string }[] }
    const [{ url, bucketUrl, storagePath }] = images as [(typeof images)[0]]
    const stored = Buffer.from(await (await fetch(bucketUrl)).arrayBuffer())
    for (const link of [bucketUrl, storagePath]) {
      const response = await download(link)
      assert.deepEqual([response.status, response.headers.get('content-length')], [200, String(stored.length)])
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), stored)
      assert.equal((await download(link, { user: await signUp() })).status, 403)
    }
    // The local Storage says that it knows ranges, and does not.
    const ranged = await download(storagePath, { headers: { range: 'bytes=10-19' } })
    assert.deepEqual([ranged.status, (await ranged.arrayBuffer()).byteLength], [200, stored.length])
    assert.equal((await download(storagePath, { method: 'HEAD' })).headers.get('content-length'), String(stored.length))
    assert.equal((await download(url)).status, 403, 'that a provider may be private vouches for no link of a user')
    assert.equal((await download(`${user.id}/${randomUUID()}/0.png`)).status, 404)
  })

  test('the operator’s own origin is one to download from, up to the limit', async () => {
    assert.equal((await download(files.serve({ body: png }))).status, 200)
    assert.equal((await download(files.serve({ body: makePng(50_001) }))).status, 502)
    assert.equal((await download(files.serve({ body: png }).replace('127.0.0.1', 'localhost'))).status, 403)
  })

  test('only for those who are signed in, whatever the spelling', async () => {
    for (const path of ['/api/download', '/api/download/', '/API/download', '/api/Download']) {
      const { status } = await service.request(`${path}?url=${encodeURIComponent(files.serve({ body: png }))}`)
      assert.ok([401, 404].includes(status), `${path}: ${status}`)
    }
    assert.equal((await download(files.serve({ body: png }), { method: 'POST' })).status, 405)
  })

  test('a browser may ask for ranges and read what it needs', async () => {
    const origin = 'https://app.example.com'
    const preflight = await service.request('/api/download', { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'GET', 'access-control-request-headers': 'authorization,if-range,range' } })
    assert.match(preflight.headers.get('access-control-allow-headers')!, /Range,If-Range/)
    const response = await download(files.serve({ body: png }), { headers: { origin } })
    for (const name of ['Content-Disposition', 'Content-Range', 'Accept-Ranges', 'ETag']) assert.match(response.headers.get('access-control-expose-headers')!, new RegExp(name))
    assert.equal(response.headers.get('cross-origin-resource-policy'), 'cross-origin')
    assert.deepEqual([response.headers.get('content-security-policy'), response.headers.get('access-control-allow-origin')], ["sandbox; default-src 'none'", origin])
  })

  test('no link is logged', async () => {
    await download('https://evil.example.org/secret-path?secret-token')
    await download(`${files.origin}/secret-path?secret-token`)
    const text = JSON.stringify(service.log)
    assert.deepEqual([text.includes('secret-'), text.includes(supabase.secretKey)], [false, false])
  })

  test('a file that is no picture is not given from our storage either', async () => {
    const storage = createStorage({ url: supabase.url, secretKey: supabase.secretKey, bucket: 'media', access: 'private', signedUrlSeconds: 60, timeoutMs: 5000 })
    const path = `${user.id}/${randomUUID()}/0.html`
    await storage.put(path, Buffer.from('<html>'), 'text/html')
    assert.equal((await download(path)).status, 415)
    await storage.remove([path])
  })
})

test('a host that is none keeps the service from starting', () => {
  const problems = (hosts: string): string[] => {
    try {
      loadConfig({ DOWNLOAD_HOSTS: hosts }, { providers: [] })
    } catch (error) {
      if (error instanceof ConfigError) return error.problems.filter((problem) => problem.includes('DOWNLOAD_HOSTS'))
    }
    return []
  }
  assert.equal(problems('cdn.example.com,.cdn.example.net,http://files.internal:9000').length, 0)
  assert.equal(problems('*.example.com,.com,https://example.com/path').length, 3)
})
