/** Runs the checks one after the other, and clears away what they made, whatever happens. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Environment } from '../config-values.ts'
import { select } from './checks.ts'
import type { Check, Context, Found } from './context.ts'
import { faultOf } from './http.ts'
import { CannotRun, createNotebook, NotApplicable, statusOf, type CheckReport, type Finding, type Report } from './report.ts'
import { createSecrets, type Secrets } from './secrets.ts'

export interface ExamineOptions {
  env: Environment
  /** Whether the project runs on this machine. */
  isLocal: boolean
  /** Names of the checks to run, with those that they need; all where there are none. */
  only?: readonly string[]
  /** Ends the run before its time; what was made is cleared away nevertheless. */
  signal?: AbortSignal
  /** Each check as it is done. */
  onCheck?: (check: CheckReport) => void
}

/** After the end of its time a check has so long to let go of what it holds. */
const GRACE_MS = 5000
const CLEAN_UP_MS = 20_000

/** @throws when a name in `only` is unknown. */
export async function examine(options: ExamineOptions): Promise<Report> {
  const checks = select(options.only ?? [])
  const secrets = createSecrets(options.env)
  const run = createRun(options, secrets)
  const reports: CheckReport[] = []
  const tell = (report: CheckReport) => {
    const hidden = hideIn(report, secrets)
    reports.push(hidden)
    options.onCheck?.(hidden)
  }
  try {
    for (const check of checks) {
      if (options.signal?.aborted) break
      tell(await run.check(check))
    }
    if (options.signal?.aborted) tell({ ...blank('stopped'), status: 'not-run', why: 'the run was stopped before its end' })
  } finally {
    const left = await run.cleanUp()
    if (left.length > 0) tell({ ...blank('clean-up'), status: 'problem', findings: left })
  }
  return { ok: reports.every(({ status }) => status !== 'problem' && status !== 'not-run'), target: targetOf(options.env), checks: reports }
}

const blank = (name: string): CheckReport => ({ name, status: 'ok', facts: [], findings: [], untold: [], durationMs: 0 })

/** Where it looked, by names that are no secret. */
function targetOf({ SUPABASE_URL: api, DATABASE_URL: database }: Environment): string {
  const host = URL.parse(database?.trim() ?? '')?.host
  return [api?.trim() || 'no SUPABASE_URL', host ? `database ${host}` : 'no DATABASE_URL'].join(', ')
}

interface Run {
  check(check: Check): Promise<CheckReport>
  /** @returns what could not be cleared away. */
  cleanUp(): Promise<Finding[]>
}

function createRun({ env, isLocal, signal: stopped }: ExamineOptions, secrets: Secrets): Run {
  const found: Found = {}
  const tasks: { what: string; task: () => Promise<void> }[] = []
  let signal = AbortSignal.timeout(0)
  const context: Context = { env, isLocal, secrets, found, signal: () => signal, cleanUp: (what, task) => void tasks.push({ what, task }) }

  return {
    async check({ name, timeoutMs, run }) {
      const [startedAt, note, late] = [performance.now(), createNotebook(), AbortSignal.timeout(timeoutMs)]
      signal = stopped ? AbortSignal.any([stopped, late]) : late
      const running = run(context, note)
      const outcome = await Promise.race([running.then(() => undefined, toOutcome), ended(signal)])
      if (signal.aborted) {
        found.connection?.interrupt()
        await Promise.race([running.catch(() => undefined), sleep(GRACE_MS, undefined, { ref: false })])
      }
      const { facts, findings, untold } = note
      const rest = { name, facts, findings, untold, durationMs: Math.round(performance.now() - startedAt) }
      if (late.aborted && !stopped?.aborted) return { ...rest, status: 'not-run', why: `it was not done after ${timeoutMs / 1000} s` }
      return outcome ? { ...rest, ...outcome, status: statusOf(findings) === 'problem' ? 'problem' : outcome.status } : { ...rest, status: statusOf(findings) }
    },
    async cleanUp() {
      const left: Finding[] = []
      for (const { what, task } of tasks.toReversed()) {
        signal = AbortSignal.timeout(CLEAN_UP_MS)
        const fault = await Promise.race([task().then(() => undefined, (error: unknown) => faultOf(error)), ended(signal).then(() => 'it took too long')])
        if (fault !== undefined) left.push({ code: 'clean-up.left', level: 'problem', subject: what, what: `${what} could not be cleared away: ${fault}.`, mend: 'Run the doctor again: it clears away what an earlier run left.' })
      }
      return left
    },
  }
}

function toOutcome(error: unknown): { status: 'not-run' | 'not-applicable'; why: string } {
  if (error instanceof NotApplicable) return { status: 'not-applicable', why: error.message }
  return { status: 'not-run', why: error instanceof CannotRun ? error.message : faultOf(error) }
}

function ended(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined)
    else signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}

function hideIn(report: CheckReport, { hide }: Secrets): CheckReport {
  return {
    ...report,
    ...(report.why !== undefined && { why: hide(report.why) }),
    facts: report.facts.map(hide),
    untold: report.untold.map(hide),
    findings: report.findings.map((finding) => ({ ...finding, subject: hide(finding.subject), what: hide(finding.what), mend: hide(finding.mend) })),
  }
}
