/** One table's rows out of their temporary table into the real one: those that are missing, and no other. */
import type pg from 'pg'
import { quote, quoteAll, quoteColumn, valuesOf, type Reference, type Table } from './catalog.ts'
import { hasNoParent, OUTCOME, staged } from './staging.ts'

export interface RestoredTable {
  name: string
  inserted: number
  /** Were there already. */
  same: number
  /** Others are in their place, which were left as they are. */
  differs: number
  /** What they belong to is not there, or is not to come back. */
  skipped: number
  /** The keys of some that differ. */
  examples: string[]
}

const MAX_EXAMPLES = 5

export async function restoreTable(client: pg.Client, table: Table): Promise<RestoredTable> {
  const { name, columns } = table
  const [real, copy] = [quote(name), staged(name)]
  await cutLooseEnds(client, table)
  const isSame = isSameRow(table)
  const compared = columns.filter((column) => column !== table.numbered && !table.derived?.includes(column))
  const rowOf = (alias: string) => `row(${compared.map((column) => `${alias}.${quoteColumn(column)}`).join(', ')})::text`
  await client.query(
    `update ${copy} child set ${OUTCOME} = case when ${rowOf('child')} = ${rowOf('present')} then 'same' else 'differs' end
     from (select ${valuesOf(table)} from ${real}) present where ${isSame('present', 'child')} and child.${OUTCOME} is null`,
  )
  await numberRows(client, table)
  await client.query(
    `with inserted as (
       insert into ${real} (${quoteAll(columns)}) overriding system value select ${quoteAll(columns)} from ${copy} where ${OUTCOME} is null
       on conflict do nothing returning ${quoteAll(table.identity ?? table.key)}
     )
     update ${copy} child set ${OUTCOME} = 'inserted' from inserted where ${isSame('inserted', 'child')} and child.${OUTCOME} is null`,
  )
  // Another row holds something that only one may have.
  await client.query(`update ${copy} set ${OUTCOME} = 'differs' where ${OUTCOME} is null`)
  return { name, ...(await countOutcomes(client, table)) }
}

/** Rows without a parent stay away, or come without it where they can. */
async function cutLooseEnds(client: pg.Client, { name, references }: Table): Promise<void> {
  const setNull = ({ columns }: Reference) => columns.map((column) => `${quoteColumn(column)} = null`).join(', ')
  for (const reference of references) {
    const change = reference.isOptional ? setNull(reference) : `${OUTCOME} = 'skipped'`
    // A row of the same table may be about to come.
    const isComing = reference.parent === name ? `and not ${isParentOf(reference, `${staged(name)} coming`, 'coming')}` : ''
    await client.query(`update ${staged(name)} child set ${change} where ${hasNoParent(reference)} ${isComing}`)
  }
}

const isParentOf = ({ columns, parentColumns }: Reference, from: string, alias: string): string =>
  `exists (select from ${from} where ${alias}.${OUTCOME} is null and ${columns.map((column, at) => `${alias}.${quoteColumn(parentColumns[at]!)} = child.${quoteColumn(column)}`).join(' and ')})`

/** SQL: whether two rows, by their aliases, are the same one. Text, since nulls are equal in it and it can be hashed. */
export function isSameRow({ key, identity }: Pick<Table, 'key' | 'identity'>): (a: string, b: string) => string {
  const of = (alias: string) => `row(${identity!.map((column) => `${alias}.${quoteColumn(column)}`).join(', ')})::text`
  if (identity) return (a, b) => `${of(a)} = ${of(b)}`
  return (a, b) => key.map((column) => `${a}.${quoteColumn(column)} = ${b}.${quoteColumn(column)}`).join(' and ')
}

/** Sequences go on behind all that is there and all that comes; a number that another row has is given anew. */
async function numberRows(client: pg.Client, { name, sequences, numbered }: Table): Promise<void> {
  const [real, copy] = [quote(name), staged(name)]
  for (const column of sequences) {
    const [quoted, sequence] = [quoteColumn(column), 'pg_get_serial_sequence($1, $2)']
    await client.query(
      `select setval(${sequence}, wanted) from (select greatest((select max(${quoted}) from ${real}), (select max(${quoted}) from ${copy})) as wanted) as numbers
       where wanted >= nextval(${sequence})`,
      [name, column],
    )
  }
  if (numbered === undefined) return
  const column = quoteColumn(numbered)
  await client.query(
    `update ${copy} child set ${column} = nextval(pg_get_serial_sequence($1, $2))
     where ${OUTCOME} is null and exists (select from ${real} present where present.${column} = child.${column})`,
    [name, numbered],
  )
}

async function countOutcomes(client: pg.Client, { name, key }: Table): Promise<Omit<RestoredTable, 'name'>> {
  const counts = ['inserted', 'same', 'differs', 'skipped'].map((outcome) => `count(*) filter (where ${OUTCOME} = '${outcome}')::integer as ${outcome}`)
  const { rows } = await client.query<Omit<RestoredTable, 'name' | 'examples'>>(`select ${counts.join(', ')} from ${staged(name)}`)
  const { rows: examples } = await client.query<{ key: string }>(`select concat_ws(', ', ${quoteAll(key)}) as key from ${staged(name)} where ${OUTCOME} = 'differs' order by 1 limit ${MAX_EXAMPLES}`)
  return { ...rows[0]!, examples: examples.map((example) => example.key) }
}
