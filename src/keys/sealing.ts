/**
 * Secrets in rows. A signing key must be known to check a signature, so a hash is not enough: with a master key, which is
 * in no database, whoever reads the rows or a backup of them has nothing. Without one they stand there as they are.
 */
import { createHash, hkdfSync } from 'node:crypto'
import { decrypt, encrypt } from '../aes-gcm.ts'
import { AppError } from '../errors.ts'

export interface Sealer {
  /** @param place the row, so that what is sealed for one opens in no other. */
  seal(secret: Uint8Array, place: string): Buffer
  /** @throws {AppError} `not_configured` when the master key that sealed it is not there. */
  open(sealed: Uint8Array, place: string): Buffer
  /** How all begins that `seal` makes now. */
  head: Uint8Array
}

const PLAIN = 0
const PLAIN_HEAD = Buffer.from([PLAIN])
const AES_256_GCM = 1
const NAME_BYTES = 4
const HEAD_BYTES = 1 + NAME_BYTES

/** What a master key is derived for: nothing else is encrypted by the same key. */
const PURPOSE = 'darkroom signing keys'
const KEY_BYTES = 32

/** @param masterKeys 32 bytes each: the first one seals, any of them opens. */
export function createSealer(masterKeys: readonly Uint8Array[]): Sealer {
  const known = masterKeys.map((key) => ({ key: Buffer.from(hkdfSync('sha256', key, '', PURPOSE, KEY_BYTES)), head: Buffer.concat([Buffer.from([AES_256_GCM]), nameOf(key)]) }))
  const [first] = known
  return {
    head: first?.head ?? PLAIN_HEAD,
    seal(secret, place) {
      if (!first) return Buffer.concat([PLAIN_HEAD, secret])
      return Buffer.concat([first.head, encrypt(first.key, secret, place)])
    },
    open(sealed, place) {
      if (sealed[0] === PLAIN) return Buffer.from(sealed.subarray(1))
      const sealedBy = known.find(({ head }) => head.equals(sealed.subarray(0, HEAD_BYTES)))
      if (!sealedBy) throw unreadable()
      try {
        return decrypt(sealedBy.key, sealed.subarray(HEAD_BYTES), place)
      } catch (error) {
        throw unreadable(error)
      }
    },
  }
}

/** Tells master keys apart without telling anything of them. */
const nameOf = (key: Uint8Array): Buffer => createHash('sha256').update('darkroom-master-key').update(key).digest().subarray(0, NAME_BYTES)

const unreadable = (cause?: unknown) => new AppError('not_configured', 'The service cannot open its own signing keys: its operator must set STORAGE_MASTER_KEY as it was.', { cause })
