/** Whom and what a run makes to try things with. */
import type { SupabaseClient } from '@supabase/supabase-js'

export interface Person {
  id: string
  token: string
  /** As the person's browser has it: the publishable key and the person's token. */
  client: SupabaseClient
}

export interface People {
  a: Person
  b: Person
  /** Nobody in particular: the publishable key alone. */
  anon: SupabaseClient
}

export interface SampleTable {
  /** Without its schema. */
  name: string
  /** The column that tells one row from another, the primary key. */
  key: string
  /** The column that refers to the user. */
  owner: string
  /** The tables of ours that a row refers to, each by its constraint. */
  parents: { table: string; by: string }[]
}

export type Row = Record<string, unknown>

export interface Samples {
  tables: SampleTable[]
  /** By the table's name. */
  of(personId: string): Map<string, Row>
}
