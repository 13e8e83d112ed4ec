/**
 * Runs a task for each value, at most `limit` at once, and gives the results in the order of the values. Once one fails,
 * or nobody wants the results any more, the others are aborted and waited for.
 */
export async function* mapInOrder<Value, Result>(values: AsyncIterable<Value>, limit: number, task: (value: Value, signal: AbortSignal) => Promise<Result>): AsyncGenerator<Result> {
  const stopped = new AbortController()
  const running: Promise<Result>[] = []
  try {
    for await (const value of values) {
      const result = task(value, stopped.signal)
      // Its failure is met when its turn comes.
      result.catch(() => undefined)
      running.push(result)
      if (running.length >= limit) yield await running.shift()!
    }
    while (running.length > 0) yield await running.shift()!
  } finally {
    stopped.abort()
    await Promise.allSettled(running)
  }
}
