/** The local Supabase on the core that it is given, with everything it starts. */
import { startLocalSupabase } from '../../src/local/supabase.ts'
import { serveParent } from './serve-parent.ts'

const PORT = 54_621

await serveParent(async () => {
  const supabase = await startLocalSupabase({
    directory: process.env.BENCH_DIRECTORY!,
    port: PORT,
    databaseSettings: { fsync: 'off', max_connections: '200' },
  })
  const { url, databaseUrl, publishableKey, secretKey, jwtSecret } = supabase
  return { ready: { url, databaseUrl, publishableKey, secretKey, jwtSecret }, stop: () => supabase.stop() }
})
