/** Whoever is limited stays limited, whatever address a header names. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startTestService, type TestService } from '../support/service.ts'
import { exchange, parseAnswers, toBytes, type Wire } from '../support/wire.ts'

const LIMIT = 5
type Headers = NonNullable<Wire['headers']>

const PROXIES: { name: string; trust?: string; own: Headers; spoofs: Headers[]; other?: Headers }[] = [
  {
    name: 'without a proxy',
    own: [],
    spoofs: [
      ...['X-Forwarded-For', 'X-Real-IP', 'X-Client-IP', 'X-Originating-IP', 'X-Remote-IP', 'X-Remote-Addr', 'X-Cluster-Client-IP', 'True-Client-IP', 'CF-Connecting-IP', 'Fastly-Client-IP', 'X-Forwarded', 'X-ProxyUser-Ip', 'Client-IP', 'Via'].map((name): Headers => [[name, '6.6.6.6']]),
      [['Forwarded', 'for=6.6.6.6;proto=https']],
      [['X-Forwarded-For', '127.0.0.1']],
      [['X-Forwarded-For', Array.from({ length: 800 }, (_, index) => `6.6.${index >> 8}.${index & 255}`).join(', ')]],
    ],
  },
  {
    name: 'behind one proxy',
    trust: '1',
    own: [['X-Forwarded-For', '9.9.9.9']],
    spoofs: [
      [['X-Forwarded-For', '6.6.6.6, 9.9.9.9']],
      [['X-Forwarded-For', '6.6.6.6,9.9.9.9']],
      [['X-Forwarded-For', '6.6.6.6'], ['X-Forwarded-For', '9.9.9.9']],
      [['X-Forwarded-For', '6.6.6.6, 7.7.7.7, 9.9.9.9']],
      [['X-Forwarded-For', '127.0.0.1, 9.9.9.9']],
      [['X-Forwarded-For', ', , 9.9.9.9']],
      [['X-Forwarded-For', '"6.6.6.6, 9.9.9.9']],
      [['X-Forwarded-For', '9.9.9.9'], ['X-Real-IP', '6.6.6.6'], ['Forwarded', 'for=6.6.6.6'], ['X-Client-IP', '6.6.6.6']],
      [['X-Forwarded-For', '::ffff:9.9.9.9']],
      [['X-Forwarded-For', '::ffff:909:909']],
      [['X-Forwarded-For', `${Array.from({ length: 800 }, (_, index) => `6.6.${index >> 8}.${index & 255}`).join(',')},9.9.9.9`]],
      [['X-Forwarded-For', '6.6.6.6\t,\t9.9.9.9']],
    ],
    other: [['X-Forwarded-For', '9.9.9.9, 8.8.8.8']],
  },
  {
    name: 'behind a proxy with a header of its own',
    trust: 'X-Real-IP',
    own: [['X-Real-IP', '9.9.9.9']],
    spoofs: [
      [['X-Real-IP', '9.9.9.9'], ['X-Forwarded-For', '6.6.6.6']],
      [['X-Forwarded-For', '6.6.6.6'], ['X-Real-IP', '9.9.9.9']],
      [['X-Real-IP', '6.6.6.6'], ['X-Real-IP', '9.9.9.9']],
      [['X-Real-IP', '6.6.6.6, 9.9.9.9']],
      [['X-Real_IP', '6.6.6.6'], ['X-Real-IP', '9.9.9.9']],
      [['X-Real-IP', '9.9.9.9'], ['X-Client-IP', '6.6.6.6'], ['Forwarded', 'for=6.6.6.6']],
    ],
    other: [['X-Real-IP', '8.8.8.8']],
  },
  {
    name: 'with a network of IPv6 addresses',
    trust: '1',
    own: [['X-Forwarded-For', '2001:4860:0:1::1']],
    spoofs: ['2001:4860:0:1::2', '2001:4860:0:1:ffff::1', '2001:4860::1:0:0:0:9', '2001:4860:0:1:1:2:3:4', '2001:4860:0000:0001::5'].map((address): Headers => [['X-Forwarded-For', address]]),
    other: [['X-Forwarded-For', '2001:4860:0:2::1']],
  },
]

for (const { name, trust, own, spoofs, other } of PROXIES) {
  describe(name, () => {
    let service: TestService
    const ask = async (headers: Headers, target = '/api/usage') => parseAnswers(await exchange(service.url, [toBytes({ target, headers })]))[0]!.status
    before(async () => {
      service = await startTestService({ worker: false, env: { RATE_LIMIT_IP: String(LIMIT), ...(trust !== undefined && { TRUST_PROXY: trust }) } })
      for (let count = 0; count < LIMIT; count++) assert.equal(await ask(own), 401)
    })
    after(() => service.close())

    for (const headers of spoofs) {
      test(JSON.stringify(headers).slice(0, 120), async () => assert.equal(await ask(headers), 429))
    }
    test('another path, another spelling of one', async () => {
      for (const target of ['/api/usage?a=1', '/api/usage/', '/api/models', '/api/nothing', 'http://evil.com/api/usage', '/oauth/token']) assert.equal(await ask(own, target), 429, target)
    })
    test('nobody else is, the service is alive, and no made-up address is logged', async () => {
      if (other) assert.equal(await ask(other), 401)
      assert.equal(await ask(own, '/health/live'), 200)
      assert.doesNotMatch(JSON.stringify(service.log), /6\.6\.\d/)
      assert.deepEqual(service.log.filter(({ level }) => level === 'error'), [])
    })
  })
}
