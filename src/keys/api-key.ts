/** What is known of an API key, and how it is proven. */
import { timingSafeEqual } from 'node:crypto'
import { AppError } from '../errors.ts'
import { hashKey } from './key-text.ts'
import type { Scope } from './scopes.ts'

/** A key as its owner sees it. */
export interface ApiKey {
  id: string
  name: string
  prefix: string
  scopes: Scope[]
  signedOnly: boolean
  createdAt: Date
  expiresAt: Date | null
  lastUsedAt: Date | null
  revokedAt: Date | null
  replacedBy: string | null
  /** Until when it works beside the key that replaced it. */
  overlapUntil: Date | null
}

export interface NewApiKey {
  name: string
  scopes: readonly Scope[]
  expiresInDays?: number | undefined
  signedOnly: boolean
}

export interface ApiKeyStore {
  /** @returns the key's text too: nobody can tell it again. @throws {AppError} `conflict` when the user has too many. */
  create(userId: string, input: NewApiKey): Promise<{ apiKey: ApiKey; key: string }>
  list(userId: string): Promise<ApiKey[]>
  /** @returns false when the user has no such key. */
  revoke(id: string, userId: string): Promise<boolean>
  /**
   * Makes a key like another one, which works on for `overlapMinutes`.
   * @returns undefined when the user has no such key. @throws {AppError} `conflict` when it has ended or was replaced.
   */
  rotate(id: string, userId: string, overlapMinutes: number): Promise<{ apiKey: ApiKey; key: string } | undefined>
}

/** A key as requests are checked against it. */
export interface KnownKey {
  id: string
  userId: string
  hash: Uint8Array
  /** @throws {AppError} when it cannot be opened. */
  signingKey: () => Uint8Array
  scopes: Scope[]
  signedOnly: boolean
  isRevoked: boolean
  /** In milliseconds since 1970; infinite for a key without an end. */
  endsAt: number
  /** Whether its user is banned, or deleted but for the row. */
  isUserBlocked: boolean
}

export interface KeyFinder {
  /** What is known of a key, at most the configured few seconds old. */
  find(id: string): Promise<KnownKey | undefined>
  /** Writes down, now and then, that a key is in use. */
  touch(id: string): void
}

const NOBODY = Buffer.alloc(32)

/** Whether a text is the key. A key that nobody has takes the same time to refuse as a wrong one. */
export function isKeyOf(known: KnownKey | undefined, key: string): boolean {
  const isSame = timingSafeEqual(known?.hash ?? NOBODY, hashKey(key))
  return isSame && known !== undefined
}

/** Only for whoever has proven to hold the key: anybody else learns nothing of its state. @throws {AppError} `unauthenticated`. */
export function demandAlive(known: KnownKey, now: number): void {
  if (known.isRevoked) throw unauthenticated('This API key was revoked.')
  if (known.endsAt <= now) throw unauthenticated('This API key has expired.')
  if (known.isUserBlocked) throw unauthenticated('The user of this API key is not active.')
}

export const unauthenticated = (message: string, cause?: unknown) => new AppError('unauthenticated', message, { cause })
