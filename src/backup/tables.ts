/**
 * What a backup holds: every table of the service by its name. A table that is in neither list is refused, so that nobody
 * forgets one, and nobody writes out what is secret.
 */

export interface KeptTable {
  /** With its schema. */
  name: string
  /** Columns that are not written: what is secret, and what is of no use later. */
  without?: readonly string[]
  /** By column, SQL over the row that stands in for its value. Applied to its own result it changes nothing. */
  instead?: Readonly<Record<string, string>>
  /** The files that a row stands for, which lie in the bucket that its column `bucket` names. */
  files?: readonly FileColumns[]
  /** What makes a row the same one, where its key is only a number of this database: the columns, and that number's. */
  identity?: readonly string[]
  numbered?: string
  /** Columns that change by themselves, follow from other rows or are set by a restore: no row differs by them alone. */
  derived?: readonly string[]
  /** Whether a project that has rows of its own in it is one that somebody works in. */
  isWork?: boolean
}

/** The columns, or other SQL over the row, that describe a file. */
export interface FileColumns {
  path: string
  mediaType: string
  /** Absent where the row does not tell. */
  size?: string
  sha256?: string
}

const MEDIA_FILES: readonly FileColumns[] = [
  { path: 'storage_path', mediaType: 'mime_type', size: 'file_size', sha256: 'sha256' },
  { path: 'thumbnail_path', mediaType: `'image/webp'` },
]

export const KEPT_TABLES: readonly KeptTable[] = [
  { name: 'public.prompts', isWork: true },
  { name: 'public.generations', isWork: true },
  { name: 'public.images', files: MEDIA_FILES, isWork: true },
  { name: 'public.videos', files: MEDIA_FILES, isWork: true },
  { name: 'public.usage_ledger', identity: ['entry', 'generation_id', 'index', 'path'], numbered: 'id' },
  { name: 'darkroom.accounts', derived: ['used_bytes', 'reserved_bytes', 'reserved_micros'] },
  { name: 'darkroom.spending', derived: ['micros'] },
  { name: 'darkroom.requests' },
  // The token proves that a callback is the provider's, and no callback is awaited by what comes out of a backup.
  { name: 'darkroom.submissions', without: ['callback_token', 'told_operation'], instead: { mark: `mark - 'callbackToken'` } },
  { name: 'darkroom.idempotency_keys' },
  // What a restore brings back revoked is no other key for that when it is called again.
  { name: 'darkroom.api_keys', derived: ['last_used_at', 'revoked_at'], isWork: true },
  // One that no master key seals would sign for anybody who reads the backup. A service makes itself another.
  { name: 'darkroom.signing_keys', instead: { private_key: 'case when get_byte(private_key, 0) <> 0 then private_key end' } },
  { name: 'darkroom.request_logs' },
  { name: 'darkroom.request_payloads' },
  { name: 'darkroom.erasures' },
]

/** Of the local project also its users, so that they can sign in again: nobody else keeps those. */
export const LOCAL_TABLES: readonly KeptTable[] = [
  { name: 'auth.users', without: ['confirmation_token', 'recovery_token', 'email_change_token_new', 'email_change_token_current', 'phone_change_token', 'reauthentication_token'], derived: ['last_sign_in_at', 'updated_at'] },
  { name: 'auth.identities', derived: ['last_sign_in_at', 'updated_at'] },
]

/** Columns with links into Storage, of tables with files. */
export const LINK = /(^|_)url$/
const LINKS = ['url', 'bucket_url', 'thumbnail_url']

/** The port of a local project, which stands in links, is not always the same. */
export function tablesOfProject({ isLocal }: { isLocal: boolean }): readonly KeptTable[] {
  return isLocal ? [...KEPT_TABLES.map((table) => (table.files ? { ...table, derived: LINKS } : table)), ...LOCAL_TABLES] : KEPT_TABLES
}

/** By table, why it is not kept. */
export const LEFT_TABLES: Readonly<Record<string, string>> = {
  'darkroom.inputs': 'Uploads of generations that are not done, which are never begun again out of a backup.',
  'darkroom.file_deletions': 'Files whose rows are gone, and which are therefore in no backup.',
}
