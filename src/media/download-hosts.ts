/** Where users' links may lead: the hosts of providers' results, and what the operator adds. */
import { RefusedLinkError } from './refused-link.ts'

/**
 * One host, every name below a suffix (but not the suffix itself), or one origin that the operator vouches for, which may
 * be plain http, private, and on any port.
 */
export type HostRule = { host: string } | { suffix: string } | { origin: string }

export interface DownloadHosts {
  /**
   * Asked before anything is looked up or connected. That it is https and public is for the guard to see to.
   * @returns whether the operator vouches for the origin.
   * @throws {RefusedLinkError}
   */
  judge(url: URL): boolean
}

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const HOST = new RegExp(`^(?:${LABEL}\\.)+${LABEL}$`)

/** @returns undefined for what is neither `host.example.com`, nor `.example.com`, nor `http://host:port`. */
export function parseHostRule(text: string): HostRule | undefined {
  const rule = text.toLowerCase()
  if (/^https?:/.test(rule)) {
    const url = URL.parse(rule)
    // Nothing but the origin: no path would be looked at.
    return url && [url.origin, `${url.origin}/`].includes(rule) ? { origin: url.origin } : undefined
  }
  const host = rule.replace(/^\./, '')
  // As a URL spells it: 127.1 would never be met there.
  if (!HOST.test(host) || URL.parse(`https://${host}`)?.hostname !== host) return undefined
  return rule === host ? { host } : { suffix: rule }
}

/**
 * @param names as `parseHostRule` reads them; others are passed over.
 * @param closedOrigin is never open, whatever they say: it has rules of its own.
 */
export function createDownloadHosts(names: readonly string[], closedOrigin: string): DownloadHosts {
  const rules = names.flatMap((name) => parseHostRule(name) ?? [])
  const origins = new Set(rules.flatMap((rule) => ('origin' in rule ? [rule.origin] : [])))
  const hosts = new Set(rules.flatMap((rule) => ('host' in rule ? [rule.host] : [])))
  const suffixes = rules.flatMap((rule) => ('suffix' in rule ? [rule.suffix] : []))
  const isListed = (name: string): boolean => hosts.has(name) || suffixes.some((suffix) => name.endsWith(suffix) && name.length > suffix.length)

  return {
    judge(url) {
      const refuse = (why: string) => new RefusedLinkError(url.hostname, why)
      if (url.username !== '' || url.password !== '') throw refuse('it carries a user name or a password')
      if (url.origin === closedOrigin) throw refuse('it does not lead to a file that this service stored')
      if (origins.has(url.origin)) return true
      if (!isListed(url.hostname)) throw refuse('its host is none of those that files come from')
      if (url.port !== '') throw refuse('it names a port')
      return false
    },
  }
}
