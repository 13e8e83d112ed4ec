/** What every command of `npm run admin` is made of. */
import type { ParseArgsConfig } from 'node:util'
import type { Config } from '../config.ts'
import type { Logger } from '../log.ts'
import type { Database } from '../supabase/database.ts'
import type { Project } from '../supabase/project.ts'

export interface AdminCommand {
  /** What stands behind its name, and below that what it means. */
  usage: string
  options: NonNullable<ParseArgsConfig['options']>
  /** The names of its arguments, all of which must be given. */
  arguments: readonly string[]
  /** @throws {UsageError} for values that cannot be; any other error ends the program with its message. */
  run(context: AdminContext): Promise<void>
}

export interface AdminContext {
  /** As given, in the order of `arguments`. */
  arguments: readonly string[]
  values: Readonly<Record<string, unknown>>
  config: Config
  /** Which it is, for what needs more than the pool below. */
  project: Project
  database: Database
  /** To standard error, as everything but results. */
  logger: Logger
  /** Writes one line of JSON to standard output. */
  print(result: object): Promise<void>
  /** Tells a person something, on standard error. */
  tell(sentence: string): void
}

/** The command was called in a way that cannot be. */
export class UsageError extends Error {}

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i

/** @throws {UsageError} */
export function parseUserId(text: unknown): string {
  if (typeof text !== 'string' || !UUID.test(text)) throw new UsageError(`${JSON.stringify(text)} is no user id: those are UUIDs (Dashboard, Authentication).`)
  return text.toLowerCase()
}

/** @throws {UsageError} */
export function parseWholeNumber(name: string, text: unknown, min: number): number {
  if (typeof text !== 'string' || !/^\d{1,15}$/.test(text) || Number(text) < min) throw new UsageError(`--${name} must be a whole number from ${min}.`)
  return Number(text)
}
