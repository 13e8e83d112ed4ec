import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { serveParent } from './serve-parent.ts'
import { createStraightforward } from './straightforward.ts'

await serveParent(async () => {
  const { SUPABASE_URL, SUPABASE_SECRET_KEY, SUPABASE_JWT_SECRET, ARK_API_KEY, ARK_BASE_URL } = process.env as Record<string, string>
  const app = createStraightforward({ supabaseUrl: SUPABASE_URL!, secretKey: SUPABASE_SECRET_KEY!, jwtSecret: SUPABASE_JWT_SECRET!, apiKey: ARK_API_KEY!, baseURL: ARK_BASE_URL! })
  const server = app.listen(0)
  await once(server, 'listening')
  return {
    ready: { url: `http://localhost:${(server.address() as AddressInfo).port}` },
    async stop() {
      server.closeAllConnections()
      server.close()
    },
  }
})
