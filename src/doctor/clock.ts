/** The clock of this machine, against the database's and Supabase's: tokens and links live by it. */
import { need, type Check } from './context.ts'
import { ask } from './http.ts'
import type { Notebook } from './report.ts'

/** So much is forgiven to a token; beyond it fresh ones are refused, or old ones let in. */
const TOLERANCE_SECONDS = 5

export const clock: Check = {
  name: 'clock',
  needs: ['database'],
  timeoutMs: 20_000,
  async run(context, note) {
    const { supabase } = need(context, 'config')
    const health = `${supabase.url}/auth/v1/health`
    const { found } = context
    const ofDatabase = found.connection && (await difference(async () => Number((await found.connection!.query<{ now: number }>('select extract(epoch from clock_timestamp())::float8 * 1000 as now'))[0]!.now)))
    // The header counts whole seconds: in the middle of one it is half a second behind.
    const ofSupabase = await difference(async () => Date.parse((await ask(context, health, { headers: { apikey: supabase.publishableKey } })).headers.get('date') ?? '') + 500)
    if (ofDatabase !== undefined) judge(ofDatabase, "the database's", note)
    else note.cannotTell('the difference to the database, which cannot be reached')
    if (Number.isNaN(ofSupabase)) note.cannotTell('the difference to Supabase, which tells no date')
    else judge(ofSupabase, "Supabase's", note)
  },
}

/** @returns by how many seconds this clock is ahead, seen from the middle of the question. */
async function difference(tell: () => Promise<number>): Promise<number> {
  const before = Date.now()
  const theirs = await tell()
  return ((before + Date.now()) / 2 - theirs) / 1000
}

function judge(seconds: number, whose: string, note: Notebook): void {
  const by = `${Math.abs(seconds).toFixed(1)} s ${seconds < 0 ? 'behind' : 'ahead of'} ${whose}`
  note.fact(by)
  if (Math.abs(seconds) <= TOLERANCE_SECONDS) return
  note.problem({ code: 'clock.off', subject: whose, what: `The clock of this machine is ${by}. Sign-ins are refused, or accepted after their end.`, mend: 'Have this machine set its clock by the network (NTP), or tell the host of the other one.' })
}
