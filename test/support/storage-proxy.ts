/** Stands in front of the local Supabase, and lets a test act at a request, or answer in its place. */
import { once } from 'node:events'
import { createServer, request as forward } from 'node:http'
import type { AddressInfo } from 'node:net'
import { supabase } from './supabase.ts'

export interface StorageProxy {
  url: string
  /** `METHOD path` of every request so far. */
  requests: string[]
  /** Called before a request is passed on. What it returns is the answer instead. */
  intercept: (request: string) => Promise<{ status: number; body: string | Buffer } | undefined>
  close(): Promise<void>
}

export async function startStorageProxy(): Promise<StorageProxy> {
  const requests: string[] = []
  const state: Pick<StorageProxy, 'intercept'> = { intercept: async () => undefined }
  const server = createServer((request, response) => {
    const name = `${request.method} ${request.url}`
    requests.push(name)
    const pass = async () => {
      const answer = await state.intercept(name)
      if (answer) return void response.writeHead(answer.status).end(answer.body)
      const target = forward(supabase.url + request.url, { method: request.method, headers: { ...request.headers, host: new URL(supabase.url).host } }, (passed) => {
        response.writeHead(passed.statusCode ?? 502, passed.headers)
        passed.pipe(response)
      })
      target.on('error', () => response.destroy())
      request.pipe(target)
    }
    pass().catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return Object.assign(state, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  })
}
