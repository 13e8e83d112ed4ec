/** The project that an address or a key of hosted Supabase belongs to: its reference, twenty letters. */
import { decodeJwt } from 'jose'

/** Of `https://<ref>.supabase.co`; undefined for an address of one's own. */
export const refOfUrl = (url: string): string | undefined => /^([a-z]{20})\.(?:storage\.)?supabase\.(?:co|in)$/.exec(new URL(url).hostname)?.[1]

/** Of `db.<ref>.supabase.co`, or of a pooler's user `postgres.<ref>`. */
export function refOfDatabase(url: string): string | undefined {
  const { hostname, username } = new URL(url)
  return /^db\.([a-z]{20})\.supabase\.(?:co|in)$/.exec(hostname)?.[1] ?? (hostname.endsWith('.pooler.supabase.com') ? /\.([a-z]{20})$/.exec(decodeURIComponent(username))?.[1] : undefined)
}

export type KeyKind =
  | { kind: 'secret' | 'publishable' | 'unknown' }
  /** A key of the legacy kind, which is a token. */
  | { kind: 'legacy'; role: string; ref: string | undefined; expiresAt: number | undefined }

/** What a key says of itself. */
export function kindOfKey(key: string): KeyKind {
  if (key.startsWith('sb_secret_')) return { kind: 'secret' }
  if (key.startsWith('sb_publishable_')) return { kind: 'publishable' }
  try {
    const { role, ref, exp } = decodeJwt<{ role?: unknown; ref?: unknown }>(key)
    return { kind: 'legacy', role: String(role), ref: typeof ref === 'string' ? ref : undefined, expiresAt: exp }
  } catch {
    return { kind: 'unknown' }
  }
}
