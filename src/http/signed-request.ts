/** A signed request as it came over the wire: strictly in one form, so that nothing of it can be read in two ways. */
import type { IncomingMessage } from 'node:http'
import { AppError } from '../errors.ts'
import type { SignedRequest } from '../keys/signature.ts'
import { onlyHeader } from './single-header.ts'

const AUTHORIZATION = /^Darkroom-HMAC-SHA256 KeyId=([0-9A-Za-z]{16}), ?Signature=([0-9a-f]{64})$/i
const TIMESTAMP = /^[1-9]\d{9}$/
const NONCE = /^[\w-]{16,64}$/
const SHA256 = /^[0-9a-f]{64}$/
/** A path and a query of visible ASCII: no other form of target, and no fragment, which routing would pass over. */
const TARGET = /^\/[\x21\x22\x24-\x7e]*$/

/** @throws {AppError} `signature_invalid` that names what is missing or in another form. */
export function readSignedRequest(req: IncomingMessage, authorization: string): SignedRequest {
  const [, keyId, signature] = AUTHORIZATION.exec(authorization) ?? []
  if (keyId === undefined || signature === undefined || signature !== signature.toLowerCase()) throw invalid('Authorization must be: Darkroom-HMAC-SHA256 KeyId=…, Signature=… (64 hexadecimal digits in lower case).')
  const target = req.url ?? ''
  if (!TARGET.test(target)) throw invalid('The request target must be a path, with a query if need be, in visible ASCII.')
  if (onlyHeader(req, 'content-encoding') !== '') throw invalid('A signed request must not be compressed.')
  return {
    keyId,
    signature,
    timestamp: Number(read(req, 'X-Darkroom-Timestamp', TIMESTAMP, 'seconds since 1970')),
    nonce: read(req, 'X-Darkroom-Nonce', NONCE, '16 to 64 letters, digits, - or _'),
    method: req.method ?? '',
    target,
    contentType: onlyHeader(req, 'content-type'),
    idempotencyKey: onlyHeader(req, 'idempotency-key'),
    contentSha256: read(req, 'X-Darkroom-Content-SHA256', SHA256, 'the SHA-256 of the body, 64 hexadecimal digits in lower case'),
  }
}

function read(req: IncomingMessage, name: string, form: RegExp, what: string): string {
  const value = onlyHeader(req, name.toLowerCase())
  if (!form.test(value)) throw invalid(`${name} must be ${what}.`)
  return value
}

const invalid = (message: string) => new AppError('signature_invalid', message)
