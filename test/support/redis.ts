/** A Redis of its own for each file that wants one, where `redis-server` is installed. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import { exited } from './process.ts'
import { eventually } from './service.ts'

/** Why tests that need a Redis are left out; undefined where they can run. */
export const noRedis: string | undefined = spawnSync('redis-server', ['--version']).status === 0 ? undefined : 'redis-server is not installed'

export interface TestRedis {
  url: string
  /** Says something on a channel. @returns how many heard it. */
  publish(channel: string, text: string): Promise<number>
  /** Everything that is said on a channel from now on. */
  record(channel: string): Promise<string[]>
  /** How many listen on a channel. */
  listeners(channel: string): Promise<number>
  /** It stays connected and answers no more. @returns what lets it go on. */
  freeze(): () => void
  /** Ends it without a word. */
  kill(): Promise<void>
  /** Starts it again where it was, with nothing in it. */
  restart(): Promise<void>
  close(): Promise<void>
}

export async function startRedis(): Promise<TestRedis> {
  const port = await findFreePort()
  const url = `redis://127.0.0.1:${port}`
  let server: ChildProcess
  const clients: Redis[] = []
  const connect = () => {
    const client = new Redis(url).on('error', () => undefined)
    clients.push(client)
    return client
  }

  async function start(): Promise<void> {
    server = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], { stdio: 'ignore', cwd: '/var/tmp' })
    process.once('exit', () => server.kill('SIGKILL'))
    await eventually(async () => (await asker.ping().catch(() => undefined)) === 'PONG', 'Redis answers')
  }

  const asker = connect()
  await start()
  return {
    url,
    publish: (channel, text) => asker.publish(channel, text),
    async record(channel) {
      const said: string[] = []
      const client = connect().on('message', (_channel, text) => said.push(text))
      await client.subscribe(channel)
      return said
    },
    listeners: async (channel) => Number((await asker.pubsub('NUMSUB', channel))[1]),
    freeze() {
      server.kill('SIGSTOP')
      return () => void server.kill('SIGCONT')
    },
    async kill() {
      server.kill('SIGKILL')
      await exited(server)
    },
    restart: start,
    async close() {
      for (const client of clients) client.disconnect()
      server.kill('SIGKILL')
      await exited(server)
    },
  }
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
