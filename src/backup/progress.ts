/** What long work tells of itself on the way. */

export type OnProgress = (sentence: string) => void

const EVERY_MS = 5000

/** Counts, and tells the count once in a while: short work says nothing. */
export function createTally(onProgress: OnProgress | undefined, toSentence: (count: number) => string): () => void {
  let count = 0
  let toldAt = performance.now()
  return () => {
    count++
    if (performance.now() - toldAt < EVERY_MS) return
    toldAt = performance.now()
    onProgress?.(toSentence(count))
  }
}
