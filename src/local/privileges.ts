/**
 * The local Supabase grants its roles everything on every table, once after each start. What a hosted project refuses would
 * pass here, so they are given back what the migrations grant, and nothing more.
 */
import { collectParts, readMigrations } from '../supabase/migration-parts.ts'
import { API_ROLES } from '../supabase/migration-privileges.ts'

/** Schemas that the Data API never shows, as far as they exist. */
const PRIVATE_SCHEMAS = ['darkroom', 'pgboss', 'supabase_migrations']

/** @returns SQL, to be run once it has granted. */
export async function privilegesAsMigrated(): Promise<string> {
  const { privileges } = collectParts(await readMigrations())
  const roles = API_ROLES.join(', ')
  const ofTables = [...privileges.tables].flatMap(([table, byRole]) => [
    `revoke all on ${table} from ${roles};`,
    ...[...byRole].filter(([, held]) => held.size > 0).map(([role, held]) => `grant ${[...held].join(', ')} on ${table} to ${role};`),
  ])
  const ofSchemas = PRIVATE_SCHEMAS.map((schema) => `if to_regnamespace('${schema}') is not null then revoke all on schema ${schema} from ${roles}; end if;`)
  return `${ofTables.join('\n')}\ndo $$ begin ${ofSchemas.join(' ')} end $$;`
}
