import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import { isPublicAddress } from '../../src/media/address.ts'
import { createGuardedFetch } from '../../src/media/guarded-fetch.ts'
import { trustedOriginOf } from '../../src/providers/trusted-origin.ts'
import { startFileServer } from '../support/file-server.ts'

describe('the guard of downloads', () => {
  const guard = createGuardedFetch({ timeoutMs: 2000 })
  after(() => guard.close())
  const open = (url: string, trustedOrigin?: string) => guard.open(url, { trustedOrigin, signal: AbortSignal.timeout(5000) })

  for (const address of ['127.0.0.1', '10.1.2.3', '172.16.0.1', '192.168.1.1', '169.254.169.254', '100.64.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255', '192.0.2.1', '198.18.0.1', '::1', '::', 'fe80::1', 'fd00::1', '::ffff:127.0.0.1', '::ffff:a9fe:a9fe', '64:ff9b::7f00:1', '2002:7f00:1::', '2001:0:7f00:1::', 'ff02::1', '::7f00:1', '64:ff9b:1::7f00:1', 'fec0::1', '4000::1', '100:0:0:1::1', '168.63.129.16', 'nonsense', '']) {
    test(`${JSON.stringify(address)} is not public`, () => assert.equal(isPublicAddress(address), false))
  }
  for (const address of ['1.1.1.1', '142.250.1.1', '2606:4700::1111']) test(`${address} is public`, () => assert.equal(isPublicAddress(address), true))

  for (const url of [
    'http://example.com/a.png',
    'ftp://example.com/a.png',
    'file:///etc/passwd',
    'data:image/png;base64,AAAA',
    'https://127.0.0.1/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://127.1/',
    'https://[::1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://169.254.169.254/latest/meta-data/',
    'https://user:password@example.com/',
    'not a url',
    '/relative',
  ]) {
    test(`${url} is refused without a connection`, async () => {
      await assert.rejects(open(url), (error: AppError) => error.code === 'output_invalid')
    })
  }

  test('a name that resolves inward is refused at the connection', async () => {
    await assert.rejects(open('https://localhost:9/a.png'), (error: AppError) => error.code === 'output_invalid' && /private/.test(error.message))
  })

  test('what a name leads to is asked once a connection, and nothing is sent where it leads inward', async () => {
    const server = await startFileServer()
    const lookups: string[] = []
    const own = createGuardedFetch({
      timeoutMs: 2000,
      lookup: (name, _options, callback) => {
        lookups.push(name)
        setImmediate(callback, null, [{ address: '127.0.0.1', family: 4 }])
      },
    })
    const link = `https://files.example.com:${new URL(server.origin).port}/a.png`
    await assert.rejects(own.open(link, { signal: AbortSignal.timeout(5000) }), (error: AppError) => error.code === 'output_invalid' && /private/.test(error.message))
    await assert.rejects(own.get(new URL(link), { judge: () => false, headersFor: () => ({}), signal: AbortSignal.timeout(5000) }), { code: 'forbidden', host: 'files.example.com' })
    assert.deepEqual([lookups, await server.connections()], [['files.example.com', 'files.example.com'], 0])
    await own.close()
    await server.close()
  })

  test('trust is for one origin: scheme, host and port', async () => {
    const trusted = 'http://127.0.0.1:4010'
    for (const url of ['http://127.0.0.1:4011/a', 'https://127.0.0.1:4010/a', 'http://localhost:4010/a', 'http://127.0.0.1/a']) {
      await assert.rejects(open(url, trusted), (error: AppError) => error.code === 'output_invalid', url)
    }
  })

  for (const [baseURL, origin] of [
    ['https://ark.ap-southeast.bytepluses.com/api/v3', undefined],
    ['http://127.0.0.1:4010/api/v3', 'http://127.0.0.1:4010'],
    ['https://10.0.0.5/v1', 'https://10.0.0.5'],
    ['http://gateway.example.com/v1', 'http://gateway.example.com'],
    ['https://gateway.internal:8443/v1', 'https://gateway.internal:8443'],
    ['https://gateway/v1', 'https://gateway'],
    ['https://1.1.1.1/v1', undefined],
  ] as const) {
    test(`an operator who configures ${baseURL} vouches for ${origin ?? 'nothing'}`, () => assert.equal(trustedOriginOf(baseURL), origin))
  }
})
