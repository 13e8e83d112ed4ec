/** Payloads at rest: each encrypted by a key of its own, which is wrapped by a master key that never reaches the database. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

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

const ALGORITHM = 'aes-256-gcm'
const KEY_BYTES = 32
/** Of a random nonce: some four thousand million rows until a master key should be replaced. */
const NONCE_BYTES = 12
const TAG_BYTES = 16

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

function encrypt(key: Buffer, plaintext: Buffer, context: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(context))
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

function decrypt(key: Buffer, sealed: Buffer, context: string): Buffer {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) throw new RangeError('What was encrypted is cut short.')
  const end = sealed.length - TAG_BYTES
  const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES }).setAAD(Buffer.from(context)).setAuthTag(sealed.subarray(end))
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, end)), decipher.final()])
}
