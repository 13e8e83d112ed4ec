/** `tokens`: how many access tokens one core verifies in a second. */
import { startChild } from './child.ts'
import { canPin, SERVICE_CORE } from './cores.ts'
import type { Bench, Row, RowResult } from './row.ts'
import { ratios, spread } from './statistics.ts'

export const tokens: Row = {
  name: 'tokens',
  title: 'token verification on one core',
  run,
}

async function run(bench: Bench): Promise<RowResult> {
  bench.progress('making and verifying tokens')
  const child = await startChild<{ freshEs256: number[]; bareEs256: number[]; freshHs256: number[]; seen: number[] }>(bench, { script: 'measure-tokens.ts', core: SERVICE_CORE })
  const { freshEs256, bareEs256, freshHs256, seen } = child.ready
  return {
    figures: [
      { what: 'fresh ES256', unit: '1/s', ours: spread(freshEs256), peer: spread(bareEs256), ratio: ratios(freshEs256, bareEs256), target: { of: 'ours', atLeast: 10_000 } },
      { what: 'seen before', unit: '1/s', ours: spread(seen), target: { of: 'ours', atLeast: 200_000 } },
      { what: 'fresh HS256', unit: '1/s', ours: spread(freshHs256) },
    ],
    notes: [
      canPin ? `One process on core ${SERVICE_CORE}, its threads for cryptography included.` : 'This machine cannot pin a process to a core: cryptography may use the others.',
      'Tokens are made beforehand, all distinct, with the claims of Supabase’s own; 16 are in flight at once. A verifier that is new for each run has seen none of them. Every check is on: signature, times, audience, role, issuer. The key set is answered from memory.',
      'Seen before: 1000 tokens in turn, one at a time.',
      'The peer of fresh ES256 is the signature alone, by node:crypto, one after the other: what this core could do at the very most.',
    ],
    failures: [],
  }
}
