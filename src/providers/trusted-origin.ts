import { isPublicAddress, literalAddress } from '../media/address.ts'

/**
 * The origin that an operator vouches for by configuring it: a base URL on plain http or on a private address or name
 * (a gateway in the same network, a simulator). Its results may then be fetched from that very origin. A public https
 * base URL needs no trust.
 */
export function trustedOriginOf(baseURL: string): string | undefined {
  const url = new URL(baseURL)
  const literal = literalAddress(url.hostname)
  const isPrivate = literal === undefined ? /^(localhost|[^.]+)$|\.(internal|local|localhost)$/.test(url.hostname) : !isPublicAddress(literal)
  return url.protocol === 'http:' || isPrivate ? url.origin : undefined
}
