/** What goes wrong before Koa sees a request is told in the same shape as everything else. */
import { randomBytes } from 'node:crypto'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { ErrorCode } from '../errors.ts'

const ANSWERS: Record<string, { status: string; code: ErrorCode; error: string }> = {
  HPE_HEADER_OVERFLOW: { status: '431 Request Header Fields Too Large', code: 'payload_too_large', error: 'The headers of the request are too large.' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: '408 Request Timeout', code: 'request_incomplete', error: 'The request did not arrive in time.' },
}

const MALFORMED = { status: '400 Bad Request', code: 'invalid_request' as const, error: 'The request is not valid HTTP.' }

export function answerConnectionErrors(server: Server): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
    const { status, code, error: sentence } = ANSWERS[error.code ?? ''] ?? MALFORMED
    const requestId = `req_${randomBytes(12).toString('base64url')}`
    const body = JSON.stringify({ error: sentence, code, requestId })
    socket.end(`HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nX-Request-Id: ${requestId}\r\nConnection: close\r\n\r\n${body}`)
  })
  // An expectation that is not understood is passed over: the request is answered as if it had none.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response))
}
