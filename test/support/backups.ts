/** What the tests of backups share: something to back up, and everything that the service keeps, as it stands. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { listFile, readManifest, type FileEntry } from '../../src/backup/manifest.ts'
import { readJsonLines } from '../../src/backup/measured-files.ts'
import { KEPT_TABLES } from '../../src/backup/tables.ts'
import type { SimulatorOptions } from '../simulator/modelark.ts'
import { forgetJobs } from './jobs.ts'
import { startTestService, type TestService } from './service.ts'
import { signUp, sql, supabase, type TestUser } from './supabase.ts'

/** The test's own project. */
export const project = { supabaseUrl: supabase.url, databaseUrl: supabase.databaseUrl, databaseCa: undefined, secretKey: supabase.secretKey, isLocal: false }

/** Two pictures of one prompt and a video, made through the service. */
export async function makeWork(service: TestService): Promise<TestUser> {
  const user = await signUp()
  assert.equal((await service.generate(user, { prompt: 'Two\tlighthouses\nin a \\ storm 🌊', n: 2 }, { 'idempotency-key': 'a-key-of-a-backup' })).status, 200)
  assert.equal((await service.generateVideo(user, { prompt: 'The lamp turns', duration: '2' })).status, 200)
  return user
}

/** A project that holds the work of one user and nothing else, and in which nobody works. */
export async function projectWithWork(simulator: SimulatorOptions = {}): Promise<TestUser> {
  await emptyProject()
  const service = await startTestService({ simulator })
  const user = await makeWork(service)
  await service.close()
  return user
}

const KEYS: Readonly<Record<string, string>> = {
  'darkroom.accounts': 'user_id',
  'darkroom.spending': 'user_id, month',
  'darkroom.requests': 'generation_id',
  'darkroom.submissions': 'generation_id, index',
  'darkroom.idempotency_keys': 'user_id, route, key',
  'darkroom.signing_keys': 'kid',
  'darkroom.request_payloads': 'log_id',
  'darkroom.erasures': 'user_id',
}

export type Rows = Record<string, Record<string, unknown>[]>

/** Every row, but for what is secret. */
export async function allRows(): Promise<Rows> {
  const tables: Rows = {}
  for (const { name } of KEPT_TABLES) {
    const rows = await sql<{ row: Record<string, unknown> }>(`select to_jsonb(one) as row from ${name} one order by ${KEYS[name] ?? 'id'}`)
    tables[name] = rows.map(({ row }) => withoutSecrets(row))
  }
  return tables
}

function withoutSecrets({ callback_token: _token, told_operation: _told, private_key: _key, ...row }: Record<string, unknown>): Record<string, unknown> {
  if (typeof row.mark !== 'object' || row.mark === null) return row
  const { callbackToken: _callbackToken, ...mark } = row.mark as Record<string, unknown>
  return { ...row, mark }
}

/** The hash and the type of every file that a row stands for, by its path; undefined for one that is not to be had. */
export async function allFiles(): Promise<Record<string, string | undefined>> {
  const rows = await sql<{ path: string }>('select storage_path as path from public.images union select thumbnail_path from public.images union select storage_path from public.videos order by 1')
  const files: Record<string, string | undefined> = {}
  for (const { path } of rows) {
    const answer = await fetch(`${supabase.url}/storage/v1/object/public/media/${path}`)
    const bytes = Buffer.from(await answer.arrayBuffer())
    files[path] = answer.ok ? `${createHash('sha256').update(bytes).digest('hex')} ${answer.headers.get('content-type')}` : undefined
  }
  return files
}

/** As if the project were new, but for its users. */
export async function emptyProject(): Promise<void> {
  await forgetJobs()
  // Prompts first, for what follows from their end.
  for (const name of [...KEPT_TABLES.map((table) => table.name), 'darkroom.file_deletions']) await sql(`delete from ${name}`)
  const objects = await sql<{ name: string }>(`select name from storage.objects where bucket_id = 'media'`)
  if (objects.length === 0) return
  const headers = { apikey: supabase.secretKey, authorization: `Bearer ${supabase.secretKey}`, 'content-type': 'application/json' }
  const answer = await fetch(`${supabase.url}/storage/v1/object/media`, { method: 'DELETE', headers, body: JSON.stringify({ prefixes: objects.map(({ name }) => name) }) })
  if (!answer.ok) throw new Error(`The files could not be removed: ${await answer.text()}`)
}

/** What a backup says of its files. */
export async function listOf(directory: string): Promise<FileEntry[]> {
  const entries: FileEntry[] = []
  for await (const entry of readJsonLines<FileEntry>(listFile(directory, await readManifest(directory)))) entries.push(entry)
  return entries
}
