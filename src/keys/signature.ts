/**
 * Requests that a key has signed instead of travelling with them.
 *
 *   Authorization: Darkroom-HMAC-SHA256 KeyId=<id>, Signature=<hex>
 *   X-Darkroom-Timestamp: <seconds since 1970>
 *   X-Darkroom-Nonce: <16 to 64 letters, digits, - or _>
 *   X-Darkroom-Content-SHA256: <hex of the body's bytes as they are sent, of no bytes where there is none>
 *
 * The signature is HMAC-SHA256 under the signing key, HMAC-SHA256("darkroom-signing-v1") under the whole key, of these
 * lines, joined by a line feed: the word DARKROOM-HMAC-SHA256, timestamp, nonce, method, request target, Content-Type,
 * Idempotency-Key, content hash. A header that is not sent is an empty line. The target is path and query as they are
 * sent, byte by byte: nothing is decoded, sorted or normalised, so there are no two ways to read what was signed.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'

export const SIGNATURE_SCHEME = 'Darkroom-HMAC-SHA256'

export interface SignedRequest {
  keyId: string
  /** In lower-case hexadecimal, as the hash. */
  signature: string
  /** In seconds since 1970. */
  timestamp: number
  nonce: string
  method: string
  /** As it was received. */
  target: string
  contentType: string
  idempotencyKey: string
  contentSha256: string
}

export function isSignedBy(signingKey: Uint8Array, request: SignedRequest): boolean {
  return timingSafeEqual(createHmac('sha256', signingKey).update(toSignedBytes(request)).digest(), Buffer.from(request.signature, 'hex'))
}

/** No part can hold a line feed, so no two requests have the same lines. */
function toSignedBytes({ timestamp, nonce, method, target, contentType, idempotencyKey, contentSha256 }: SignedRequest): Buffer {
  const lines = [SIGNATURE_SCHEME.toUpperCase(), timestamp, nonce, method, target, contentType, idempotencyKey, contentSha256]
  // Node reads headers as latin1: so written they are the bytes that came.
  return Buffer.from(lines.join('\n'), 'latin1')
}
