/** What a generation came to, once it has ended. */
import type { FindEnd } from '../metrics/measure-records.ts'
import type { Query } from './database.ts'

const SELECT_END = `
  select kind, provider, model, error ->> 'code' as code, extract(epoch from coalesce(finished_at, now()) - created_at)::float8 as seconds, cost_micros::float8 as "costMicros",
    (coalesce((select sum(file_size) from public.images where generation_id = generation.id), 0)
      + coalesce((select sum(file_size) from public.videos where generation_id = generation.id), 0))::float8 as "storedBytes"
  from public.generations generation where id = $1`

export function createFindEnd(query: Query): FindEnd {
  return async (generationId) => (await query<NonNullable<Awaited<ReturnType<FindEnd>>>>(SELECT_END, [generationId]))[0]
}
