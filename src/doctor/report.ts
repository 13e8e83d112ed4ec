/** What a run of the doctor found out, for people and for programs. */

/** A problem fails the run: something does not work, or is open to those for whom it is not. A warning does not. */
export type Level = 'problem' | 'warning'

export interface Finding {
  /** Stable, such as `schema.index-missing`. */
  code: string
  level: Level
  /** The table, file, variable or key that it is about. */
  subject: string
  what: string
  mend: string
}

/** `not-run`: it could not run, which fails the run too. `not-applicable`: there is nothing for it to look at. */
export type CheckStatus = 'ok' | 'warning' | 'problem' | 'not-run' | 'not-applicable'

export interface CheckReport {
  name: string
  status: CheckStatus
  /** Why it did not run. */
  why?: string
  /** What was seen. */
  facts: string[]
  findings: Finding[]
  /** What cannot be told here, each with the reason. */
  untold: string[]
  durationMs: number
}

export interface Report {
  /** False when there is a problem, and when a check could not run. */
  ok: boolean
  target: string
  checks: CheckReport[]
}

/** Thrown by a check that cannot run, with the reason. */
export class CannotRun extends Error {}

/** Thrown by a check that has nothing to look at. */
export class NotApplicable extends Error {}

/** What a check writes into while it runs. */
export interface Notebook {
  readonly facts: string[]
  readonly findings: Finding[]
  readonly untold: string[]
  fact(text: string): void
  problem(finding: Omit<Finding, 'level'>): void
  warning(finding: Omit<Finding, 'level'>): void
  cannotTell(text: string): void
}

export function createNotebook(): Notebook {
  const [facts, findings, untold]: [string[], Finding[], string[]] = [[], [], []]
  const add = (finding: Finding): void => {
    // The same fault may be met on several ways.
    if (!findings.some(({ code, subject, what }) => code === finding.code && subject === finding.subject && what === finding.what)) findings.push(finding)
  }
  return {
    facts,
    findings,
    untold,
    fact: (text) => void facts.push(text),
    problem: (finding) => add({ ...finding, level: 'problem' }),
    warning: (finding) => add({ ...finding, level: 'warning' }),
    cannotTell: (text) => void untold.push(text),
  }
}

export function statusOf(findings: readonly Finding[]): CheckStatus {
  if (findings.some(({ level }) => level === 'problem')) return 'problem'
  return findings.length > 0 ? 'warning' : 'ok'
}

const SIGNS: Record<CheckStatus, string> = { ok: '✓', warning: '!', problem: '✗', 'not-run': '?', 'not-applicable': '–' }

/** A check as a person reads it: one line where all is well. */
export function toText({ name, status, why, facts, findings, untold }: CheckReport): string {
  const heading = why ?? [...(findings.length > 0 ? [counted(findings)] : []), ...facts].join(', ')
  const lines = [`${SIGNS[status]} ${name.padEnd(15)}${status === 'not-run' ? 'could not run: ' : ''}${heading}`]
  for (const { level, what, mend } of findings) lines.push(`    ${level === 'problem' ? '✗' : '!'} ${indent(what, 6)}`, `      → ${indent(mend, 8)}`)
  for (const text of untold) lines.push(`    cannot be told: ${text}`)
  return `${lines.join('\n')}\n`
}

export function summarise({ ok, checks }: Report): string {
  const findings = checks.flatMap((check) => check.findings)
  const idle = checks.filter(({ status }) => status === 'not-run').length
  const rest = idle === 0 ? '' : `, ${idle} ${idle === 1 ? 'check' : 'checks'} could not run`
  return `\n${findings.length === 0 && ok ? 'Nothing is wrong' : counted(findings)}${rest}.\n`
}

function counted(findings: readonly Finding[]): string {
  const count = (level: Level, word: string) => {
    const { length } = findings.filter((finding) => finding.level === level)
    return length === 0 ? [] : [`${length} ${word}${length === 1 ? '' : 's'}`]
  }
  return [...count('problem', 'problem'), ...count('warning', 'warning')].join(', ') || 'No problem'
}

const indent = (text: string, spaces: number): string => text.replaceAll('\n', `\n${' '.repeat(spaces)}`)
