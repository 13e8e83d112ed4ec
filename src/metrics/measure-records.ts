/**
 * Counts generations where they end: in the few writes that can end one. What is counted is read from the row, behind the
 * write and out of everybody's way. One that is opened again by a late answer is counted again when it ends again.
 */
import type { Records } from '../generation/records.ts'
import type { GenerationEnd, Metrics } from './metrics.ts'

export type FindEnd = (generationId: string) => Promise<Omit<GenerationEnd, 'outcome'> | undefined>

export function measureRecords(records: Records, metrics: Metrics, findEnd: FindEnd): Records {
  if (!metrics.isOn) return records

  function ended(generationId: string, outcome: GenerationEnd['outcome']): void {
    const count = (end: Awaited<ReturnType<FindEnd>>) => end && metrics.generationEnded({ ...end, outcome })
    // A count that is lost with the database is lost.
    void findEnd(generationId).then(count).catch(() => undefined)
  }

  /** A write that says whether it has ended the generation. */
  const ending =
    <Arguments extends [generationId: string, ...unknown[]]>(write: (...values: Arguments) => Promise<boolean>, outcome: GenerationEnd['outcome']) =>
    async (...values: Arguments): Promise<boolean> => {
      const isEnded = await write(...values)
      if (isEnded) ended(values[0], outcome)
      return isEnded
    }

  const recording =
    <Write extends Records['recordImages'] | Records['recordVideos']>(write: Write) =>
    async (...values: Parameters<Write>): Promise<'recorded' | 'partial' | 'gone'> => {
      const result = await (write as (...values: Parameters<Write>) => ReturnType<Write>)(...values)
      if (result === 'recorded') ended(values[0].id, 'succeeded')
      return result
    }

  return {
    ...records,
    fail: ending(records.fail, 'failed'),
    cancel: ending(records.cancel, 'cancelled'),
    cancelOperation: ending(records.cancelOperation, 'cancelled'),
    recordImages: recording(records.recordImages),
    recordVideos: recording(records.recordVideos),
    async delay(generationId, error) {
      metrics.retried('store later')
      await records.delay(generationId, error)
    },
  }
}
