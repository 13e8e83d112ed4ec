/** Figures as a table for people and as a file for programs. */
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { ROOT, type Facts } from './facts.ts'
import type { Figure, Row, RowResult, Spread } from './row.ts'

export interface RowReport extends RowResult {
  row: Row
}

const HEAD = ['', 'unit', 'ours', 'peer', 'ours / peer', 'reach', '']

export function toText(facts: Facts, reports: readonly RowReport[]): string {
  const { machine } = facts
  const head = `Node ${facts.node}, ${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}. Medians, with (min to max).`
  return [head, ...reports.map(rowToText)].join('\n\n')
}

function rowToText({ row, figures, notes, failures }: RowReport): string {
  const lines = figures.length > 0 ? ['', ...align([HEAD, ...figures.map(toCells)]), ''] : []
  return [`${row.name}: ${row.title}`, ...lines, ...notes.map((note) => `- ${note}`), ...failures.map((failure) => `FAILED: ${failure}`)].join('\n')
}

function toCells(figure: Figure): string[] {
  const { what, unit, ours, peer, ratio, target } = figure
  const reach = target ? ('atMost' in target ? `at most ${target.atMost}` : `at least ${toNumberText(target.atLeast)}`) : ''
  const verdict = isReached(figure)
  return [what, unit, toSpreadText(ours), toSpreadText(peer), toSpreadText(ratio), reach, verdict === undefined ? '' : verdict ? 'reached' : 'NOT reached']
}

export function isReached({ ours, ratio, target }: Figure): boolean | undefined {
  const value = target && (target.of === 'ours' ? ours : ratio)?.median
  if (value === undefined) return undefined
  return 'atMost' in target! ? value <= target.atMost : value >= target!.atLeast
}

function toSpreadText(value: Spread | undefined): string {
  if (!value) return ''
  if (value.min === value.max) return toNumberText(value.median)
  return `${toNumberText(value.median)} (${toNumberText(value.min)} to ${toNumberText(value.max)})`
}

function toNumberText(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

function align(rows: string[][]): string[] {
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd())
  return [lines[0]!, '-'.repeat(Math.max(...lines.map((line) => line.length))), ...lines.slice(1)]
}

/** @returns the file's path. */
export async function writeJson(facts: Facts, reports: readonly RowReport[]): Promise<string> {
  const directory = path.join(ROOT, '.local/bench')
  const rows = reports.map(({ row, figures, notes, failures }) => ({
    row: row.name,
    title: row.title,
    figures: figures.map((figure) => ({ ...figure, reached: isReached(figure) })),
    notes,
    failures,
  }))
  const text = `${JSON.stringify({ ...facts, rows }, null, 2)}\n`
  await mkdir(directory, { recursive: true })
  // Colons are no part of a file's name everywhere.
  const file = path.join(directory, `${facts.measuredAt.replaceAll(':', '-')}.json`)
  await writeFile(file, text)
  await writeFile(path.join(directory, 'latest.json'), text)
  return path.relative(ROOT, file)
}
