import { createHash } from 'node:crypto'
import { canonicalJson } from '../canonical-json.ts'
import type { InputFile } from './provider.ts'
import type { Plan } from './records.ts'

/** What two requests must share for one's answer to be the other's: the model, everything it is told, every file. */
export function fingerprintOf(plan: Plan, inputs: Readonly<Record<string, InputFile>> = {}): string {
  const { requestedModel: _requested, warnings: _warnings, estimatedCostMicros: _cost, tokenPrice: _price, fallbacks: _fallbacks, ...asked } = plan
  const files = Object.fromEntries(Object.entries(inputs).map(([name, { bytes }]) => [name, createHash('sha256').update(bytes).digest('hex')]))
  return createHash('sha256').update(canonicalJson({ asked, files })).digest('hex')
}
