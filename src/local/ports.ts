import { createServer } from 'node:net'

/** The first free port from `wanted` upwards. @throws when a hundred in a row are taken. */
export async function findFreePort(wanted: number): Promise<number> {
  for (let port = wanted; port < wanted + 100; port++) if (await isFree(port)) return port
  throw new Error(`No free port from ${wanted} to ${wanted + 99}.`)
}

/** Asked for every address at once and for loopback alone: some programs hold only one of them. */
async function isFree(port: number): Promise<boolean> {
  return (await canListen(port)) && (await canListen(port, '127.0.0.1'))
}

function canListen(port: number, host?: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, ...(host !== undefined && { host }), exclusive: true }, () => server.close(() => resolve(true)))
  })
}
