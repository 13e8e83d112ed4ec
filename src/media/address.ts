/** Which addresses a provider's link may lead to. */
import ipaddr from 'ipaddr.js'

/**
 * Whether an address belongs to the public internet. Private, loopback, link-local, carrier, metadata, multicast and
 * reserved ranges do not, nor do IPv6 addresses that carry an IPv4 one (mapped, 6to4, NAT64, Teredo).
 */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false
  const parsed = ipaddr.parse(address)
  // Only 2000::/3 is handed out. What lies outside it, as the old IPv4-compatible form ::7f00:1 does, may count as unicast.
  if (parsed instanceof ipaddr.IPv6 && (parsed.parts[0]! & 0xe000) !== 0x2000) return false
  return parsed.range() === 'unicast' && !INTERNAL.has(parsed.toString())
}

/** Public by its number, and yet inside: where machines on Azure are told their secrets. */
const INTERNAL = new Set(['168.63.129.16'])

/**
 * The address that a URL's host is by itself, or undefined for a name. Node's URL has already turned 2130706433 and
 * 0x7f.1 into 127.0.0.1.
 */
export function literalAddress(hostname: string): string | undefined {
  const bare = hostname.replace(/^\[|\]$/g, '')
  return ipaddr.isValid(bare) ? bare : undefined
}
