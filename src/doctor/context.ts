/** What every check is given, and what checks tell those after them. */
import type { Config } from '../config.ts'
import type { Environment } from '../config-values.ts'
import type { Parts } from '../supabase/migration-parts.ts'
import type { Connection } from './connection.ts'
import type { People, Samples } from './found.ts'
import { CannotRun, type Notebook } from './report.ts'
import type { Secrets } from './secrets.ts'

export interface Context {
  env: Environment
  /** Whether the project runs on this machine. */
  isLocal: boolean
  secrets: Secrets
  found: Found
  /** Ends what is under way: the check's time is over, or somebody stopped the run. Another one for each check. */
  signal: () => AbortSignal
  /** Has something removed at the end, whatever happens, the last first. @param what is told where that fails. */
  cleanUp(what: string, task: () => Promise<void>): void
}

/** Filled by one check, needed by others. */
export interface Found {
  config?: Config
  /** A session as the service has it. */
  connection?: Connection
  /** What the applied migrations should have made. */
  parts?: Parts
  /** The tables of ours that are there. */
  tables?: ReadonlySet<string>
  hasKeys?: boolean
  hasBucket?: boolean
  people?: People
  /** Rows of the second of them: the first one's are deleted on trial. */
  samples?: Samples
}

export interface Check {
  name: string
  /** The checks without which it cannot run. */
  needs?: readonly string[]
  /** The longest that it may take. */
  timeoutMs: number
  run(context: Context, note: Notebook): Promise<void>
}

const REASONS: { [Key in keyof Found]-?: string } = {
  config: 'the configuration must be mended first',
  connection: 'the database cannot be reached',
  parts: 'the schema could not be read',
  tables: 'the schema could not be read',
  hasKeys: 'the keys must be mended first',
  hasBucket: 'the bucket cannot be used',
  people: 'there are no users to try it with',
  samples: 'there are no rows to try it with',
}

/** What an earlier check has found. @throws {CannotRun} when it has not. */
export function need<Key extends keyof Found>({ found }: Context, key: Key): NonNullable<Found[Key]> {
  const value = found[key]
  if (value === undefined || value === false) throw new CannotRun(REASONS[key])
  return value as NonNullable<Found[Key]>
}
