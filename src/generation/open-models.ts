/** Entries such as `fal-ai/*`: what is taken for true of models that nobody listed. */
interface Entry {
  id: string
  kind: string
  vendorId?: string | undefined
}

/** Parts that a vendor's address can hold: letters, digits, dots within, one slash or colon between. */
const ANYTHING = String.raw`(\w[\w.-]*(?:[/:]\w[\w.-]*)*)`

export const isOpen = ({ id }: { id: string }): boolean => id.includes('*')

/** Finds by id and kind: the most telling entry first. What `*` stands for replaces it in `vendorId` too. */
export function createOpenFinder<T extends Entry>(entries: readonly T[]): (id: string, kind: T['kind']) => T | undefined {
  const patterns = entries
    .map((model) => ({ model, pattern: new RegExp(`^${model.id.split('*').map(RegExp.escape).join(ANYTHING)}$`) }))
    .toSorted((a, b) => b.model.id.length - a.model.id.length)
  return (id, kind) => {
    for (const { model, pattern } of patterns) {
      const match = model.kind === kind ? pattern.exec(id) : null
      if (match) return { ...model, id, ...(model.vendorId !== undefined && { vendorId: model.vendorId.replace('*', () => match[1]!) }) }
    }
    return undefined
  }
}
