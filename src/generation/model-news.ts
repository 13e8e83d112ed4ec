/** What processes tell each other of vendors' models, so that each learns from the calls of all. */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { Task } from './provider.ts'

/** What came of a paid call. `gone`: the vendor has no such model (any more), for such work. */
export type ModelEvent = { type: 'success' } | { type: 'failure' } | { type: 'gone'; task: Task }

export interface ModelNews {
  provider: string
  /** The vendor's id. */
  model: string
  event: ModelEvent
}

/** A way to all processes. What is said while it is closed is lost. */
export interface Broadcast {
  publish(channel: string, text: string): void
  subscribe(channel: string, onText: (text: string) => void): void
  /** Calls back each time that the way is open, and open again. */
  onOpen(handler: () => void): void
}

export interface NewsExchange {
  /** Tells the other processes, as far as they can be reached now. Never throws, never waits. */
  tell(news: ModelNews): void
  /** @param handlers.onOpen the others can be reached (again): some news were missed on either side. */
  listen(handlers: { onNews: (news: ModelNews) => void; onOpen: () => void }): void
}

/** Longer ids are not believed. */
const MAX_ID_CHARACTERS = 300
const MAX_TEXT_CHARACTERS = 10_000

const id = z.string().min(1).max(MAX_ID_CHARACTERS)
const messageSchema = z.object({
  from: id,
  provider: id,
  model: id,
  event: z.discriminatedUnion('type', [
    z.object({ type: z.literal('success') }),
    z.object({ type: z.literal('failure') }),
    z.object({ type: z.literal('gone'), task: z.enum(['generate', 'edit', 'remove-background']) }),
  ]),
})

/** @param deployment what all processes that serve the same users have in common: several deployments may share a Redis. */
export const newsChannel = (deployment: string): string => `darkroom:models:${deployment}`

export function createNewsExchange(broadcast: Broadcast, channel: string): NewsExchange {
  const from = randomUUID()
  return {
    tell: (news) => broadcast.publish(channel, JSON.stringify({ from, ...news })),
    listen({ onNews, onOpen }) {
      broadcast.subscribe(channel, (text) => {
        const message = parseMessage(text)
        // One's own words come back too.
        if (message && message.from !== from) onNews(message)
      })
      broadcast.onOpen(onOpen)
    },
  }
}

/** Anybody who reaches the Redis can write there: whatever is not exactly such a message is passed over. */
function parseMessage(text: string): (ModelNews & { from: string }) | undefined {
  if (text.length > MAX_TEXT_CHARACTERS) return undefined
  try {
    return messageSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
