/** `node src/migrate.ts`: brings the database of DATABASE_URL to the schema of supabase/migrations. */
import { databaseProblems } from './config.ts'
import { applyMigrations } from './supabase/migrations.ts'

const url = process.env.DATABASE_URL ?? ''
const problems = url === '' ? ['DATABASE_URL is missing'] : databaseProblems(process.env)
if (problems.length > 0) {
  process.stderr.write(`${problems.join('\n')}\n`)
  process.exit(1)
}
try {
  const applied = await applyMigrations({ url, ca: process.env.DATABASE_CA || undefined })
  process.stdout.write(applied.length === 0 ? 'The schema is up to date.\n' : `Applied:\n${applied.map((file) => `  ${file}`).join('\n')}\n`)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
