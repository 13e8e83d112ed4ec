/**
 * A Supabase project's front door for token tests: its own key set, which tests rotate, break and count; everything else
 * goes on to the local stack.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK, type JWTPayload } from 'jose'
import { supabase } from './supabase.ts'

export interface SigningKey {
  kid: string
  algorithm: 'ES256' | 'RS256'
  privateKey: CryptoKey
  publicJwk: JWK
}

export async function makeSigningKey(kid: string, algorithm: SigningKey['algorithm'] = 'ES256'): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm)
  return { kid, algorithm, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' } }
}

export interface AuthServer {
  url: string
  /** The keys that the key set shows now. */
  keys: SigningKey[]
  /** How often the key set was fetched. */
  fetches: number
  /** What the key set does: answer, fail, or say nothing. */
  mode: 'ok' | 'error' | 'html' | 'refuse'
  /** What Auth answers when it is asked about a token. */
  userStatus: number
  userCalls: number
  issuer: string
  close(): Promise<void>
}

export async function startAuthServer(): Promise<AuthServer> {
  const state = { keys: [] as SigningKey[], fetches: 0, mode: 'ok' as AuthServer['mode'], userStatus: 200, userCalls: 0 }
  const server = createServer((request, response) => {
    if (request.url === '/auth/v1/.well-known/jwks.json') {
      state.fetches++
      if (state.mode === 'refuse') return void response.destroy()
      if (state.mode === 'error') return void response.writeHead(503).end('{}')
      if (state.mode === 'html') return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')
      return void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: state.keys.map(({ publicJwk }) => publicJwk) }))
    }
    if (request.url === '/auth/v1/user') {
      state.userCalls++
      return void response.writeHead(state.userStatus, { 'content-type': 'application/json' }).end('{}')
    }
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      const body = Buffer.concat(chunks)
      const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !['host', 'connection', 'content-length', 'transfer-encoding'].includes(name))) as Record<string, string>
      fetch(supabase.url + request.url, { method: request.method ?? 'GET', headers, ...(body.length > 0 && { body }) })
        .then(async (answer) => response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'application/json' }).end(Buffer.from(await answer.arrayBuffer())))
        .catch(() => response.destroy())
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return Object.assign(state, {
    url,
    issuer: `${url}/auth/v1`,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  })
}

/** A token as Supabase makes them; `claims` replaces or, with undefined, removes. */
export async function signToken(key: SigningKey, issuer: string, claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}): Promise<string> {
  const payload = { ...defaultClaims(issuer), ...claims }
  for (const [name, value] of Object.entries(payload)) if (value === undefined) delete payload[name]
  return await new SignJWT(payload as JWTPayload).setProtectedHeader({ alg: key.algorithm, kid: key.kid, typ: 'JWT', ...header }).sign(key.privateKey)
}

export function defaultClaims(issuer: string): Record<string, unknown> {
  const now = Math.floor(Date.now() / 1000)
  return { iss: issuer, sub: '6f0c7d2e-2f6b-4a53-9a4c-0a4f8a1b2c3d', aud: 'authenticated', role: 'authenticated', exp: now + 3600, iat: now, email: 'a@example.com', phone: '', aal: 'aal1', session_id: '0b7e', is_anonymous: false }
}
