/** Every check in its order: what one finds out, others need. A new one is a file and a line here. */
import { address } from './address.ts'
import { bucket } from './bucket.ts'
import { clock } from './clock.ts'
import { configuration } from './configuration.ts'
import type { Check } from './context.ts'
import { database } from './database.ts'
import { files } from './files.ts'
import { keys } from './keys.ts'
import { people } from './people.ts'
import { policies } from './policies.ts'
import { privileges } from './privileges.ts'
import { providers } from './providers.ts'
import { queue } from './queue.ts'
import { realtime } from './realtime.ts'
import { redis } from './redis.ts'
import { rows } from './rows.ts'
import { schema } from './schema.ts'
import { sealing } from './sealing.ts'
import { tokens } from './tokens.ts'

export const checks: readonly Check[] = [configuration, database, clock, schema, policies, privileges, queue, redis, sealing, keys, bucket, people, tokens, files, rows, realtime, providers, address]

/** Those of these names, and whatever they need. All where none is named. @throws for an unknown name. */
export function select(names: readonly string[]): Check[] {
  const unknown = names.find((name) => !checks.some((check) => check.name === name))
  if (unknown !== undefined) throw new Error(`Unknown check ${unknown}. There are ${checks.map(({ name }) => name).join(', ')}.`)
  const wanted = new Set(names)
  // A check stands behind those it needs.
  for (const { name, needs = [] } of checks.toReversed()) if (wanted.has(name)) for (const need of needs) wanted.add(need)
  return checks.filter(({ name }) => names.length === 0 || wanted.has(name))
}
