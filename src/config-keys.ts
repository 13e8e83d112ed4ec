/** Master keys as the environment holds them: `id:base64[,id:base64…]`. A key without an id is named by its hash. */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { MasterKey } from './audit/envelope.ts'
import { emptyIsAbsent } from './config-values.ts'

const KEY_BYTES = 32
const KEY = /^(?:([\w.-]{1,32}):)?([A-Za-z0-9+/]{43}=)$/

/** What is wrong is told without the value. */
export const masterKeys = z.preprocess(
  emptyIsAbsent,
  z
    .string()
    .transform((value, context): MasterKey[] => {
      const parts = value.split(',').map((part) => part.trim())
      const keys = parts.flatMap((part) => parseKey(part) ?? [])
      if (keys.length < parts.length) context.addIssue('must be keys of 32 bytes in base64 (openssl rand -base64 32), each with a name of its own: new:…,old:…')
      else if (new Set(keys.map(({ id }) => id)).size < keys.length) context.addIssue('names two keys alike')
      return keys
    })
    .optional(),
)

function parseKey(text: string): MasterKey | undefined {
  const [, name, encoded] = KEY.exec(text) ?? []
  const key = Buffer.from(encoded ?? '', 'base64')
  if (key.length !== KEY_BYTES) return undefined
  return { id: name ?? createHash('sha256').update(key).digest('hex').slice(0, 8), key }
}
