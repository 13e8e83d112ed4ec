/** HTTP as bytes: for what no client sends. */
import { connect } from 'node:net'

export interface Wire {
  method?: string
  /** As it goes over the wire. */
  target: string
  /** In this order, twice where one stands twice. Host, Content-Length and `Connection: close` are added where they are not given. */
  headers?: readonly (readonly [name: string, value: string])[]
  body?: string | Uint8Array | undefined
}

export interface WireAnswer {
  /** 0 where the connection ended without an answer. */
  status: number
  /** Names in lower case. */
  headers: Record<string, string>
  text: string
  /** The `code` of our errors, or the `error` of OAuth's. */
  code: string | undefined
}

/** What hangs is given up after so long, and fails its test. */
const PATIENCE_MS = 15_000

/** The bytes of a request. Text is written as latin1, so that any byte can be in it. */
export function toBytes({ method = 'GET', target, headers = [], body }: Wire): Buffer {
  const given = new Set(headers.map(([name]) => name.toLowerCase()))
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  const length = bytes && !given.has('content-length') && !given.has('transfer-encoding') ? [['Content-Length', String(bytes.length)] as const] : []
  const added = [['Host', 'localhost'] as const, ['Connection', 'close'] as const].filter(([name]) => !given.has(name.toLowerCase()))
  const lines = [...added, ...length, ...headers].map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.concat([Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1'), bytes ?? Buffer.alloc(0)])
}

/**
 * Sends bytes as they are, one piece after the other, and gives every byte that came until the connection ended.
 * @param options.holds whether our side stays open after the last piece; else it is closed, as an impatient client's.
 */
export function exchange(url: string, pieces: readonly Uint8Array[], { holds = true } = {}): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const socket = connect(Number(new URL(url).port), 'localhost')
  const chunks: Buffer[] = []
  const timer = setTimeout(() => {
    socket.destroy()
    reject(new Error(`The connection hangs. So far it said: ${Buffer.concat(chunks).toString('latin1').slice(0, 500)}`))
  }, PATIENCE_MS)
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  // Whoever refuses a body need not read it: what was answered before the cut counts.
  socket.on('error', () => undefined)
  socket.on('close', () => {
    clearTimeout(timer)
    resolve(Buffer.concat(chunks))
  })
  socket.setNoDelay(true)
  const send = (index: number) => {
    const piece = pieces[index]
    if (piece === undefined) return holds ? undefined : void socket.end()
    socket.write(piece, () => setImmediate(send, index + 1))
  }
  send(0)
  return promise
}

/** Every answer on a connection, in order. */
export function parseAnswers(bytes: Buffer, method = 'GET'): WireAnswer[] {
  const answers: WireAnswer[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf('\r\n\r\n', at)
    if (end < 0) throw new Error(`This is no HTTP: ${bytes.subarray(at).toString('latin1').slice(0, 200)}`)
    const [start = '', ...lines] = bytes.toString('latin1', at, end).split('\r\n')
    const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]))
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(start)?.[1])
    const isEmpty = method === 'HEAD' || status < 200 || status === 204 || status === 304
    const { body, next } = isEmpty ? { body: Buffer.alloc(0), next: end + 4 } : readBody(bytes, end + 4, headers)
    at = next
    if (status >= 200) answers.push({ status, headers, text: body.toString(), code: codeOf(body.toString()) })
  }
  return answers
}

function readBody(bytes: Buffer, from: number, headers: Record<string, string>): { body: Buffer; next: number } {
  if (headers['transfer-encoding'] !== 'chunked') {
    const length = headers['content-length'] === undefined ? bytes.length - from : Number(headers['content-length'])
    return { body: bytes.subarray(from, from + length), next: from + length }
  }
  const parts: Buffer[] = []
  for (let at = from; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at)
    const size = lineEnd < 0 ? 0 : Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
    if (size === 0) return { body: Buffer.concat(parts), next: lineEnd < 0 ? bytes.length : lineEnd + 4 }
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size))
    at = lineEnd + 2 + size + 2
  }
}

function codeOf(text: string): string | undefined {
  try {
    const { code, error } = JSON.parse(text) as { code?: string; error?: string }
    return code ?? error
  } catch {
    return undefined
  }
}
