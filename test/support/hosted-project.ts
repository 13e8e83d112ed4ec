/**
 * The local Supabase as a hosted project looks: Auth's admin routes, tokens signed with a key that the key set shows, keys
 * of the legacy kind, resumable uploads with the project's limit. Whatever is asked can be answered otherwise.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decodeJwt, SignJWT } from 'jose'
import { makeSigningKey, type SigningKey } from './auth-server.ts'
import type { Patient } from './doctor.ts'

export interface Asked {
  method: string
  path: string
  headers: Record<string, string>
  body: string
}

export interface HostedProject {
  url: string
  server: Server
  /** The keys that the key set shows. The first one signs. */
  keys: SigningKey[]
  /** The project's limit for uploads. */
  maxBytes: number
  /** By how much its clock is off. */
  clockMs: number
  /** Keys of the legacy kind, by what the local project knows. */
  legacy: Map<string, string>
  /** Answers in place of the project, unless it gives undefined. */
  answer: (asked: Asked) => Response | undefined | Promise<Response | undefined>
  /** Every request so far. */
  asked: Asked[]
  close(): Promise<void>
}

export async function startHostedProject({ supabase, sql }: Patient): Promise<HostedProject> {
  const server = createServer((request, response) => void serve(request, response).catch(() => response.destroy()))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const project: HostedProject = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    server,
    keys: [await makeSigningKey('key-1')],
    maxBytes: 2 ** 40,
    clockMs: 0,
    legacy: new Map(),
    answer: () => undefined,
    asked: [],
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  /** What the local project knows each of our tokens as. */
  const known = new Map<string, string>()
  /** Passwords, for those who come by a link. */
  const passwords = new Map<string, string>()

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const body = Buffer.concat(chunks)
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]))
    const asked = { method: request.method ?? 'GET', path: request.url ?? '/', headers, body: body.toString() }
    project.asked.push(asked)
    const answer = (await project.answer(asked)) ?? (await own(asked)) ?? (await passOn(asked, body))
    response.sendDate = false
    const kept = [...answer.headers].filter(([name]) => !['content-length', 'content-encoding', 'transfer-encoding', 'connection', 'keep-alive', 'date'].includes(name))
    response.writeHead(answer.status, { ...Object.fromEntries(kept), date: new Date(Date.now() + project.clockMs).toUTCString() })
    response.end(Buffer.from(await answer.arrayBuffer()))
  }

  const isService = ({ headers }: Asked) => (project.legacy.get(headers.apikey ?? '') ?? headers.apikey) === supabase.secretKey

  async function own(asked: Asked): Promise<Response | undefined> {
    const { pathname } = new URL(asked.path, project.url)
    if (pathname === '/auth/v1/.well-known/jwks.json') return Response.json({ keys: project.keys.map(({ publicJwk }) => publicJwk) })
    if (asked.method === 'OPTIONS' && pathname === '/storage/v1/upload/resumable') return new Response(null, { status: 204, headers: { 'tus-version': '1.0.0', 'tus-max-size': String(project.maxBytes) } })
    if (pathname.startsWith('/auth/v1/admin/')) return isService(asked) ? await administer(asked, pathname) : Response.json({ code: 403, error_code: 'not_admin', msg: 'User not allowed' }, { status: 403 })
    if (pathname === '/auth/v1/verify') return await verifyLink(asked)
    return undefined
  }

  async function administer({ method, body }: Asked, pathname: string): Promise<Response> {
    if (method === 'GET') return Response.json({ users: [] })
    if (method === 'DELETE') {
      const gone = await sql('delete from auth.users where id = $1 returning id', [pathname.split('/').at(-1)])
      return gone.length > 0 ? Response.json({}) : Response.json({ code: 404, msg: 'User not found' }, { status: 404 })
    }
    const { email, password } = JSON.parse(body) as { email: string; password: string }
    if (pathname.endsWith('/generate_link')) return Response.json({ hashed_token: `link-${email}` })
    passwords.set(email, password)
    const made = (await (await ask('/auth/v1/signup', { email, password })).json()) as { user: { id: string } }
    return Response.json({ id: made.user.id, email })
  }

  async function verifyLink({ body }: Asked): Promise<Response> {
    const email = (JSON.parse(body) as { token_hash: string }).token_hash.replace('link-', '')
    return await resign(await ask('/auth/v1/token?grant_type=password', { email, password: passwords.get(email) }))
  }

  const ask = (path: string, body: unknown) => fetch(supabase.url + path, { method: 'POST', headers: { apikey: supabase.publishableKey, 'content-type': 'application/json' }, body: JSON.stringify(body) })

  async function passOn({ method, path, headers }: Asked, body: Buffer): Promise<Response> {
    const { host: _, connection: __, 'content-length': ___, 'transfer-encoding': ____, ...rest } = headers
    const apikey = project.legacy.get(headers.apikey ?? '') ?? headers.apikey
    const bearer = headers.authorization?.replace(/^Bearer /, '') ?? ''
    const authorization = `Bearer ${known.get(bearer) ?? project.legacy.get(bearer) ?? bearer}`
    const sent = { ...rest, ...(apikey !== undefined && { apikey }), ...(bearer !== '' && { authorization }) }
    const answer = await fetch(supabase.url + path, { method, headers: sent, redirect: 'manual', ...(body.length > 0 && { body: new Uint8Array(body) }) })
    return /^\/auth\/v1\/(token|signup)/.test(path) ? await resign(answer) : answer
  }

  /** The session with a token of our own: of a new user on hosted Supabase everything is there that the local one leaves out. */
  async function resign(answer: Response): Promise<Response> {
    const body = (await answer.json()) as { access_token?: string }
    if (body.access_token === undefined) return Response.json(body, { status: answer.status })
    const [key] = project.keys
    const claims = { iss: `${project.url}/auth/v1`, ...decodeJwt(body.access_token), is_anonymous: false, jti: randomUUID() }
    const token = key ? await new SignJWT(claims).setProtectedHeader({ alg: key.algorithm, kid: key.kid, typ: 'JWT' }).sign(key.privateKey) : body.access_token
    known.set(token, body.access_token)
    return Response.json({ ...body, access_token: token })
  }
  return project
}
