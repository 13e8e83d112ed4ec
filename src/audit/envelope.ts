/** Payloads at rest: each encrypted by a key of its own, which is wrapped by a master key that never reaches the database. */
import { randomBytes } from 'node:crypto'
import { decrypt, encrypt } from '../aes-gcm.ts'

export interface MasterKey {
  /** Written beside whatever it wraps. */
  id: string
  /** 32 bytes. */
  key: Buffer
}

export interface WrappedKey {
  /** The master key that wraps it. */
  keyId: string
  dataKey: Buffer
}

export interface Sealed extends WrappedKey {
  payload: Buffer
}

/** @param rowId everywhere: of the row that holds it. In another row nothing of it can be opened. */
export interface Envelope {
  /** The id of the key that seals. */
  readonly keyId: string
  seal(rowId: string, plaintext: Buffer): Sealed
  /** @throws {UnknownKeyError}, or what the cipher throws at bytes that were changed or moved. */
  open(rowId: string, sealed: Sealed): Buffer
  /** Wraps the same data key by the sealing key. @throws as `open`. */
  rewrap(rowId: string, wrapped: WrappedKey): WrappedKey
}

/** The master key that is needed is not among those configured. */
export class UnknownKeyError extends Error {
  readonly keyId: string
  constructor(keyId: string) {
    super(`There is no master key ${keyId}.`)
    this.name = 'UnknownKeyError'
    this.keyId = keyId
  }
}

const KEY_BYTES = 32

/** @param keys the first one seals, all of them open. */
export function createEnvelope([current, ...others]: readonly [MasterKey, ...MasterKey[]]): Envelope {
  const keys = new Map([...others, current].map(({ id, key }) => [id, key]))

  const wrap = (rowId: string, dataKey: Buffer): WrappedKey => ({ keyId: current.id, dataKey: encrypt(current.key, dataKey, `darkroom data key|${rowId}|${current.id}`) })

  function unwrap(rowId: string, { keyId, dataKey }: WrappedKey): Buffer {
    const key = keys.get(keyId)
    if (!key) throw new UnknownKeyError(keyId)
    return decrypt(key, dataKey, `darkroom data key|${rowId}|${keyId}`)
  }

  // The payload is not bound to the master key, whose replacement leaves it as it is.
  const boundTo = (rowId: string): string => `darkroom payload|${rowId}`

  return {
    keyId: current.id,
    seal(rowId, plaintext) {
      const dataKey = randomBytes(KEY_BYTES)
      return { ...wrap(rowId, dataKey), payload: encrypt(dataKey, plaintext, boundTo(rowId)) }
    },
    open: (rowId, sealed) => decrypt(unwrap(rowId, sealed), sealed.payload, boundTo(rowId)),
    rewrap: (rowId, wrapped) => wrap(rowId, unwrap(rowId, wrapped)),
  }
}
