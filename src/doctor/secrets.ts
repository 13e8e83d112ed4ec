/** Keeps secrets out of whatever the doctor says. No check writes one down; libraries' own words may hold one. */
import type { Environment } from '../config-values.ts'
import { redact } from '../log.ts'

const SECRET_NAME = /(KEY|SECRET|TOKEN|PASSWORD)S?$/
/** Shorter ones are words that stand in any text. */
const MIN_LENGTH = 8
/** The password of the local Postgres, which everybody knows. */
const NO_SECRETS = ['postgres']

export interface Secrets {
  /** To be hidden from now on. */
  add(...values: string[]): void
  hide(text: string): string
}

export function createSecrets(env: Environment): Secrets {
  const values = new Set<string>()
  const add = (...added: string[]) => {
    for (const value of added) if (value.length >= MIN_LENGTH && !NO_SECRETS.includes(value)) values.add(value)
  }
  for (const [name, value] of Object.entries(env)) if (value !== undefined && SECRET_NAME.test(name)) add(value, value.trim())
  const url = URL.parse(env.DATABASE_URL?.trim() ?? '')
  if (url) add(url.password, decodeURIComponent(url.password))
  return {
    add,
    hide: (text) => redact([...values].reduce((hidden, value) => hidden.replaceAll(value, '[redacted]'), text)),
  }
}
