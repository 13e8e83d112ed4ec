/**
 * An API key as text: `drk_<id>_<secret>`. The secret ends with a checksum of all that stands before it, so that scanners
 * of repositories and logs know a real key when they see one, and a mistyped one costs no query.
 */
import { createHash, createHmac, randomBytes, randomInt } from 'node:crypto'
import { crc32 } from 'node:zlib'

export const KEY_PREFIX = 'drk_'

/** No sign that a double click stops at, that a URL escapes, or that the key's own form uses. */
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const ID_LENGTH = 16
const SECRET_BYTES = 32
/** The fewest signs that hold 256 bits. */
const SECRET_LENGTH = 43
/** The fewest signs that hold a CRC-32. */
const CHECKSUM_LENGTH = 6

export const KEY_ID = new RegExp(`^[0-9A-Za-z]{${ID_LENGTH}}$`)
const KEY = new RegExp(`^${KEY_PREFIX}([0-9A-Za-z]{${ID_LENGTH}})_[0-9A-Za-z]{${SECRET_LENGTH + CHECKSUM_LENGTH}}$`)

/** What the signing key is derived for. Another purpose would get another key from the same secret. */
const SIGNING_PURPOSE = 'darkroom-signing-v1'

export function makeKey(): { id: string; key: string } {
  const id = Array.from({ length: ID_LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join('')
  const secret = toBase62(BigInt(`0x${randomBytes(SECRET_BYTES).toString('hex')}`), SECRET_LENGTH)
  const unchecked = `${KEY_PREFIX}${id}_${secret}`
  return { id, key: unchecked + checksumOf(unchecked) }
}

/** @returns the id of a key that is well formed, which proves nothing yet. */
export function idOfKey(key: string): string | undefined {
  const id = KEY.exec(key)?.[1]
  return id !== undefined && checksumOf(key.slice(0, -CHECKSUM_LENGTH)) === key.slice(-CHECKSUM_LENGTH) ? id : undefined
}

/**
 * What is stored of a key. Plain SHA-256 is right here: slow hashes protect what people choose, and nobody guesses 256
 * random bits, while every request would pay for the slowness.
 */
export const hashKey = (key: string): Buffer => createHash('sha256').update(key).digest()

/** The key of a key's signatures. It cannot be used in the key's place, nor can the key be told from it. */
export const deriveSigningKey = (key: string): Buffer => createHmac('sha256', key).update(SIGNING_PURPOSE).digest()

const checksumOf = (text: string): string => toBase62(BigInt(crc32(text)), CHECKSUM_LENGTH)

function toBase62(value: bigint, length: number): string {
  let text = ''
  for (let rest = value; rest > 0n; rest /= 62n) text = ALPHABET[Number(rest % 62n)]! + text
  return text.padStart(length, ALPHABET[0])
}
