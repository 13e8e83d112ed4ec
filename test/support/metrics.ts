/** Reads what Prometheus would. */
import assert from 'node:assert/strict'

export interface Samples {
  /** The value of the series with exactly these labels; undefined where there is none. */
  value(name: string, labels?: Record<string, string>): number | undefined
  /** The sum of all series that have these labels. */
  sum(name: string, labels?: Record<string, string>): number
  /** The labels of every series. */
  labels(name: string): Record<string, string>[]
  /** How many series there are. */
  size: number
}

export async function readMetrics(url: string, token: string): Promise<Samples> {
  const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return parse(text)
}

function parse(text: string): Samples {
  const samples = text.split('\n').flatMap((line) => {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (!match) return []
    const labels = Object.fromEntries([...(match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, value]) => [label!, value!]))
    return [{ name: match[1]!, labels, value: Number(match[3]) }]
  })
  const having = (name: string, wanted: Record<string, string>) => samples.filter((sample) => sample.name === name && Object.entries(wanted).every(([label, value]) => sample.labels[label] === value))
  return {
    value: (name, labels = {}) => having(name, labels).find((sample) => Object.keys(sample.labels).length === Object.keys(labels).length)?.value,
    sum: (name, labels = {}) => having(name, labels).reduce((total, { value }) => total + value, 0),
    labels: (name) => having(name, {}).map((sample) => sample.labels),
    size: samples.length,
  }
}
