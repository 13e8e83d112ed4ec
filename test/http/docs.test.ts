/** The page that people read: its own files, nobody else's, and a policy that says so. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startTestService, type TestService } from '../support/service.ts'

describe('GET /docs', () => {
  let service: TestService
  let html: string
  let page: Response
  before(async () => {
    service = await startTestService({ env: { PUBLIC_URL: 'https://api.example.com/media' } })
    page = await service.request('/docs')
    html = await page.text()
  })
  after(() => service.close())

  const addresses = () => [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address]) => address!)

  test('is a page that nobody but this service has a part in', async () => {
    assert.deepEqual([page.status, page.headers.get('content-type')], [200, 'text/html; charset=utf-8'])
    for (const address of addresses()) assert.match(address, /^(docs\/[\w.-]+\?[\w-]{8}|openapi\.json)$/)
    // Nothing runs and nothing looks but what stands in a file.
    assert.doesNotMatch(html, /<script(?![^>]* src=)|<style| style=| on\w+=/)
    const start = await (await service.request('/docs/start.js')).text()
    assert.match(start, /url: 'openapi\.json'/)
    assert.match(start, /validatorUrl: null/)
  })

  test('says so to the browser', () => {
    const policy = Object.fromEntries(page.headers.get('content-security-policy')!.split('; ').map((rule) => [rule.split(' ')[0], rule.split(' ').slice(1).join(' ')]))
    assert.deepEqual(policy, {
      'default-src': "'none'",
      'script-src': "'self'",
      'style-src': "'self'",
      'img-src': "'self' data:",
      'connect-src': "'self' https://api.example.com",
      'base-uri': "'none'",
      'form-action': "'none'",
      'frame-ancestors': "'none'",
    })
  })

  test('has files that are kept for ever, and come compressed to whoever reads that', async () => {
    const types: Record<string, string> = { css: 'text/css', js: 'text/javascript', png: 'image/png' }
    const files = addresses().flatMap((address) => (address.startsWith('docs/') ? [`/${address}`] : []))
    assert.equal(files.length, 5)
    for (const address of files) {
      const [compressed, plain] = await Promise.all([service.request(address, { headers: { 'accept-encoding': 'gzip, br' } }), service.request(address, { headers: { 'accept-encoding': 'identity' } })])
      assert.deepEqual([compressed.status, plain.status], [200, 200], address)
      assert.ok(compressed.headers.get('content-type')!.startsWith(types[address.split('?')[0]!.split('.').at(-1)!]!), address)
      assert.equal(compressed.headers.get('cache-control'), 'public, max-age=31536000, immutable')
      assert.deepEqual([compressed.headers.get('content-encoding'), plain.headers.get('content-encoding')], ['br', null])
      assert.match(plain.headers.get('vary')!, /Accept-Encoding/)
      assert.notEqual(compressed.headers.get('etag'), plain.headers.get('etag'))
      assert.ok(Buffer.from(await compressed.arrayBuffer()).equals(Buffer.from(await plain.arrayBuffer())), address)
    }
  })

  test('is found behind a slash too, where its files would not be', async () => {
    const response = await service.request('/docs/', { redirect: 'manual' })
    assert.deepEqual([response.status, response.headers.get('location')], [302, '../docs'])
  })

  test('gives no other file', async () => {
    for (const path of ['/docs/page.html', '/docs/..%2f..%2f..%2fpackage.json', '/docs/%2e%2e', '/docs/swagger-ui.js', '/docs/constructor', '/docs/x/y']) assert.equal((await service.request(path)).status, 404, path)
  })

  test('shows the document of where users reach the service', async () => {
    const response = await service.request('/openapi.json')
    assert.deepEqual(((await response.json()) as { servers: unknown }).servers, [{ url: 'https://api.example.com/media' }])
    assert.equal(response.headers.get('cache-control'), 'public, no-cache')
  })

  test('and its document need nobody to be signed in, and may be read from anywhere that may ask', async () => {
    const response = await service.request('/openapi.json', { headers: { origin: 'https://app.example.com' } })
    assert.deepEqual([response.status, response.headers.get('access-control-allow-origin')], [200, 'https://app.example.com'])
  })
})
