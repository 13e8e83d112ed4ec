/** Whether the two addresses of a project lead to one: rows of one with the files of another would be no backup of either. */
import type pg from 'pg'
import { refOfDatabase, refOfUrl } from '../supabase/project-ref.ts'
import { StorageAnswerError, toStorageError } from '../supabase/storage-errors.ts'
import { createStorageFetch } from '../supabase/storage-fetch.ts'
import type { Project } from '../supabase/project.ts'
import { BackupError } from './manifest.ts'

const TIMEOUT_MS = 30_000

/** Buckets that Storage lists and the database does not have, or not from the same moment. */
const FIND_OTHERS = `
  select listed.id from jsonb_to_recordset($1) as listed (id text, created_at timestamptz) left join storage.buckets using (id)
  where buckets.id is null or date_trunc('milliseconds', buckets.created_at) <> date_trunc('milliseconds', listed.created_at)`

/** @throws {BackupError} | {AppError} `storage_unavailable`. Nothing is written. */
export async function proveSameProject(client: pg.ClientBase, project: Project): Promise<void> {
  const isSame = haveSameName(project) && (await haveSameBuckets(client, project))
  if (!isSame) throw new BackupError('SUPABASE_URL and DATABASE_URL are of two projects. Copy both from the dashboard of the same one.')
}

function haveSameName({ databaseUrl, supabaseUrl }: Project): boolean {
  const [ofDatabase, ofApi] = [refOfDatabase(databaseUrl), refOfUrl(supabaseUrl)]
  return ofDatabase === undefined || ofApi === undefined || ofDatabase === ofApi
}

async function haveSameBuckets(client: pg.ClientBase, project: Project): Promise<boolean> {
  const listed = await listBuckets(project)
  const others = listed.length === 0 ? await client.query('select from storage.buckets') : await client.query(FIND_OTHERS, [JSON.stringify(listed)])
  return others.rows.length === 0
}

async function listBuckets({ supabaseUrl, secretKey }: Project): Promise<{ id: string; created_at: string }[]> {
  const fetch = createStorageFetch({ timeoutMs: TIMEOUT_MS })
  try {
    const answer = await fetch(`${supabaseUrl}/storage/v1/bucket`, { headers: { authorization: `Bearer ${secretKey}`, apikey: secretKey } })
    if (!answer.ok) throw new StorageAnswerError(answer.status, await answer.text())
    return (await answer.json()) as { id: string; created_at: string }[]
  } catch (error) {
    throw toStorageError(error)
  }
}
