/**
 * Redis, where there is one: a way to the other processes that may be away at any time. Whoever calls is never kept
 * waiting and never fails; whatever is said while Redis is away is lost.
 */
import { Redis, type RedisOptions } from 'ioredis'
import type { Logger } from './log.ts'

export interface RedisLink {
  /** For commands: those fail at once while Redis is away. */
  client: Redis
  /** Tells every process that listens, this one too. */
  publish(channel: string, text: string): void
  /** @param onText must not throw. */
  subscribe(channel: string, onText: (text: string) => void): void
  /** Calls back each time that Redis is there, and there again: what was said before may have been missed. */
  onOpen(handler: () => void): void
  /** Ends both connections, within a few seconds even if Redis does not answer. */
  close(): Promise<void>
}

export interface RedisLinkOptions {
  url: string
  /** Whether the server of a `rediss://` URL must prove who it is. */
  rejectUnauthorized: boolean
  logger: Logger
  /** Pause between two questions whether Redis still answers, in milliseconds. */
  pingMs?: number
}

/** Heroku's Redis ends connections that are idle for 300 s; a server that is frozen is noticed by this alone. */
const PING_MS = 15_000
const COMMAND_TIMEOUT_MS = 1000
/** A connection that owes an answer for so long is taken for dead and made anew. */
const SILENCE_MS = 3000

export function createRedis({ url, rejectUnauthorized, logger, pingMs = PING_MS }: RedisLinkOptions): RedisLink {
  const settings = toRedisOptions(url, rejectUnauthorized)
  // A connection that listens can do nothing else.
  const [speaker, listener] = [new Redis(url, settings), new Redis(url, settings)]
  const both = [speaker, listener]
  const channels = new Map<string, (text: string) => void>()
  const openHandlers: (() => void)[] = []
  let state: 'new' | 'open' | 'lost' | 'closing' = 'new'
  let isListening = false
  /** Counts the listener's connections: an answer that comes when its own is gone says nothing. */
  let session = 0
  let lastError: unknown

  function lose(): void {
    if (state === 'lost' || state === 'closing') return
    state = 'lost'
    logger.warn({ err: lastError }, 'Redis cannot be reached: until it is back each process knows only what it sees itself')
  }

  function openUp(): void {
    if (!isListening || speaker.status !== 'ready' || state === 'open' || state === 'closing') return
    logger.info(state === 'lost' ? 'Redis is back' : 'Redis is there')
    state = 'open'
    lastError = undefined
    for (const handler of openHandlers) handler()
  }

  async function listen(): Promise<void> {
    const mine = session
    const failure = channels.size === 0 ? undefined : await listener.subscribe(...channels.keys()).then(ignore, (error: unknown) => ({ error }))
    if (mine !== session) return
    isListening = failure === undefined
    if (isListening) return openUp()
    lastError = failure?.error
    lose()
  }

  for (const connection of both) {
    connection.on('error', (error) => (lastError = error))
    connection.on('close', lose)
  }
  speaker.on('ready', openUp)
  listener.on('ready', () => void listen())
  listener.on('close', () => {
    session++
    isListening = false
  })
  listener.on('message', (channel, text) => channels.get(channel)?.(text))
  const pinging = setInterval(() => {
    for (const connection of both) if (connection.status === 'ready') connection.ping().catch(ignore)
  }, pingMs).unref()

  return {
    client: speaker,
    publish(channel, text) {
      if (state === 'open') speaker.publish(channel, text).catch(ignore)
    },
    subscribe(channel, onText) {
      channels.set(channel, onText)
      if (listener.status === 'ready') void listen()
    },
    onOpen: (handler) => void openHandlers.push(handler),
    async close() {
      state = 'closing'
      clearInterval(pinging)
      await Promise.all(both.map(end))
    },
  }
}

const ignore = () => undefined

/** How this service speaks to Redis. */
export function toRedisOptions(url: string, rejectUnauthorized: boolean) {
  return {
    // Railway's private network may have IPv6 alone.
    family: 0,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    commandTimeout: COMMAND_TIMEOUT_MS,
    socketTimeout: SILENCE_MS,
    // News that comes late would be counted as new.
    autoResendUnfulfilledCommands: false,
    // It is done anew by hand, so that it is known when it is done.
    autoResubscribe: false,
    ...(url.startsWith('rediss:') && { tls: { rejectUnauthorized } }),
  } satisfies RedisOptions
}

async function end(connection: Redis): Promise<void> {
  // What was said last is still sent; a Redis that does not answer is left.
  if (connection.status === 'ready') await connection.quit().catch(ignore)
  connection.disconnect()
}
