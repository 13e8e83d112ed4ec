/** The project that a backup goes to: whose users it has, what it holds already, and what must not come back to it. */
import type pg from 'pg'
import { quote, quoteAll, USERS_TABLE, type Table } from './catalog.ts'
import { BackupError, type Manifest } from './manifest.ts'
import { isSameRow } from './restore-table.ts'
import { hasNoParent, OUTCOME, staged } from './staging.ts'

export interface UnknownUsers {
  count: number
  /** Of some of them. */
  ids: string[]
}

const MAX_TOLD_USERS = 10

/** Users to whom rows belong and whom the project does not have. */
export async function findUnknownUsers(client: pg.Client, tables: readonly Table[]): Promise<UnknownUsers> {
  const { rows } = await client.query<{ id: string; count: number }>(`select id, count(*) over ()::integer as count from (${unknownUsers(tables)}) as users order by id limit ${MAX_TOLD_USERS}`)
  return { count: rows[0]?.count ?? 0, ids: rows.map(({ id }) => id) }
}

const unknownUsers = (tables: readonly Table[]): string =>
  tables
    .flatMap(({ name, references }) => references.filter(({ parent }) => parent === USERS_TABLE).map((reference) => `select ${quoteAll(reference.columns)}::text as id from ${staged(name)} child where ${OUTCOME} is null and ${hasNoParent(reference)}`))
    .join(' union ')

/** Also what no reference ties to them. */
export async function leaveOutUnknown(client: pg.Client, tables: readonly Table[]): Promise<void> {
  const { rows } = await client.query<{ id: string }>(unknownUsers(tables))
  const ids = rows.map(({ id }) => id)
  for (const { name } of tables.filter(({ columns }) => columns.includes('user_id'))) await client.query(`update ${staged(name)} set ${OUTCOME} = 'skipped' where user_id = any($1::uuid[])`, [ids])
}

export function unknownUsersError({ count, ids }: UnknownUsers): BackupError {
  const list = ids.map((id) => `  ${id}`).join('\n')
  return new BackupError(`${count === 1 ? 'A user is' : `${count} users are`} not in this project, and users are in no backup of a hosted one:\n${list}${count > ids.length ? '\n  …' : ''}\nBring them back first, with these ids, or leave their rows out with --skip-unknown-users.`)
}

/**
 * Work that the backup knows nothing of: somebody uses this project.
 * @throws {BackupError} that counts it.
 */
export async function refuseOtherWork(client: pg.Client, tables: readonly Table[]): Promise<void> {
  const found: string[] = []
  for (const table of tables.filter(({ isWork }) => isWork)) {
    const { rows } = await client.query<{ count: number }>(`select count(*)::integer as count from ${quote(table.name)} present where not exists (select from ${staged(table.name)} child where ${isSameRow(table)('present', 'child')})`)
    if (rows[0]!.count > 0) found.push(`${rows[0]!.count} rows of ${table.name}`)
  }
  if (found.length > 0) throw new BackupError(`The project is not empty: it has ${found.join(', ')} that the backup does not have. With --merge they stay as they are, and what is missing is added.`)
}

/**
 * Whoever was erased after the backup was made stays so.
 * @returns of how many users rows are left out for that.
 */
export async function leaveOutErased(client: pg.Client, tables: readonly Table[], { createdAt }: Manifest): Promise<number> {
  const erased = 'select user_id from darkroom.erasures where erased_at > $1'
  // Their accounts are no part of what was erased.
  const personal = tables.filter(({ name, columns }) => columns.includes('user_id') && !name.startsWith('auth.')).map(({ name }) => staged(name))
  for (const table of personal) await client.query(`update ${table} set ${OUTCOME} = 'skipped' where user_id in (${erased})`, [createdAt])
  const users = personal.map((table) => `select user_id from ${table} where user_id in (${erased})`)
  const { rows } = await client.query<{ count: number }>(`select count(*)::integer as count from (${users.join(' union ')}) as users`, [createdAt])
  return rows[0]!.count
}

/**
 * A new local project has made its demo user anew: whoever has the address of a user of the backup makes room, where
 * nothing is theirs yet.
 * @throws {BackupError} where something is.
 */
export async function replaceNamesakes(client: pg.Client, tables: readonly Table[]): Promise<void> {
  if (!tables.some(({ name }) => name === USERS_TABLE)) return
  const namesakes = `select present.id, present.email from auth.users present join ${staged(USERS_TABLE)} child on lower(child.email) = lower(present.email) and child.id <> present.id`
  const isOwner = tables.filter(({ isWork, columns }) => isWork && columns.includes('user_id')).map(({ name }) => `exists (select from ${quote(name)} where user_id = namesake.id)`)
  const { rows } = await client.query<{ email: string }>(`select email from (${namesakes}) as namesake where ${isOwner.join(' or ')}`)
  if (rows.length > 0) throw new BackupError(`Other users here have the addresses of users of the backup, and work of their own: ${rows.map(({ email }) => email).join(', ')}. Begin with an empty project (npm run dev -- --reset).`)
  await client.query(`delete from auth.users where id in (select id from (${namesakes}) as namesake)`)
}
