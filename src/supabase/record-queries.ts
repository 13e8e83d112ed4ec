/** The longer statements of the records, each one change or one look. */

export const INSERT_GENERATION = `
  with prompt as (
    insert into public.prompts (user_id, prompt, model_used, type, size) values ($1, $2, $3, $4, $5) returning id
  ), generation as (
    insert into public.generations (prompt_id, user_id, kind, requested_model, model, provider, warnings, estimated_cost_micros, bucket)
    select id, $1, $4, $6, $3, $7, $8, $9, $10 from prompt returning id, prompt_id
  ), request as (
    insert into darkroom.requests (generation_id, plan, fingerprint, waiting)
    select id, $11, $19, (select count(*) from public.generations where user_id = $1 and status in ('queued', 'running')) >= $13 from generation
    returning waiting
  ), submission as (
    insert into darkroom.submissions (generation_id, index) select id, number - 1 from generation, generate_series(1, $12::integer) as number
  )
  select generation.id as generation_id, request.waiting, darkroom.reserve($1, generation.id, $14, $15, $16, $17, $18) as exceeded from generation, request`

/** Of a row named submission. */
export const IS_RECORDED = `
  exists (select from public.images image where image.generation_id = submission.generation_id and image.index = submission.index)
  or exists (select from public.videos video where video.generation_id = submission.generation_id and video.index = submission.index)`

export const SELECT_WORK = `
  select generation.id, generation.user_id, generation.status, generation.progress, generation.created_at, request.plan,
    coalesce((select jsonb_agg(jsonb_build_object('index', index, 'state', state, 'mark', mark, 'calledAt', called_at, 'callbackToken', callback_token, 'operation', operation,
        'toldOperation', told_operation, 'outputs', outputs, 'hasBytes', output_bytes is not null, 'expiresAt', output_expires_at,
        'error', error, 'updatedAt', updated_at, 'isRecorded', (${IS_RECORDED})) order by index)
      from darkroom.submissions submission where generation_id = generation.id), '[]') as submissions
  from public.generations generation join darkroom.requests request on request.generation_id = generation.id
  where generation.id = $1`

/** Images and videos come in the same statement, so that a finished generation is never seen without them. */
const GENERATION_COLUMNS = `
  id, prompt_id, kind, requested_model, model, provider, status, progress, error, warnings, cached, estimated_cost_micros::float8, cost_micros::float8, attempts, created_at, started_at, finished_at,
  (extract(epoch from created_at) * 1000000)::bigint::text as created_at_micros,
  (extract(epoch from updated_at) * 1000000)::bigint::text as version,
  coalesce((select jsonb_agg(to_jsonb(image) order by image.index) from public.images image where image.generation_id = generation.id), '[]') as images,
  case when kind = 'video' then coalesce((select jsonb_agg(to_jsonb(video) order by video.index) from public.videos video where video.generation_id = generation.id), '[]') else '[]' end as videos`

export const SELECT_GENERATION = `select ${GENERATION_COLUMNS} from public.generations generation where id = $1 and user_id = $2`

export const LIST_GENERATIONS = `
  select ${GENERATION_COLUMNS} from public.generations generation
  where user_id = $1
    and ($3::bigint is null or (created_at, id) < (to_timestamp(0) + $3::bigint * interval '1 microsecond', $4::uuid))
    and ($5::text is null or status = $5) and ($6::text is null or kind = $6)
  order by created_at desc, id desc limit $2`

/**
 * What the provider has taken on is followed to its end, also where the generation was given up meanwhile.
 */
export const SAVE_STARTED = `
  with started as (
    update darkroom.submissions
    set state = 'started', operation = $3, provider_request_id = $4, error = null, updated_at = clock_timestamp()
    where generation_id = $1 and index = $2 and state in ('starting', 'uncertain', 'unknown') returning generation_id
  )
  update public.generations set status = 'running', error = null, finished_at = null, warnings = warnings || $5::jsonb
  where id in (select generation_id from started) and status <> 'cancelled'`

/**
 * What was paid for is to be stored, so an answer that arrives after its generation was given up or ended without it
 * opens that again. Repeating the statement changes nothing more.
 */
export const SAVE_ACCEPTED = `
  with accepted as (
    update darkroom.submissions
    set state = 'accepted', outputs = $3, output_expires_at = $4, provider_request_id = coalesce($5, provider_request_id), output_bytes = $7, cost_micros = coalesce($8, cost_micros), error = null, updated_at = now()
    where generation_id = $1 and index = $2 and state <> 'accepted' returning generation_id
  )
  update public.generations set status = 'storing', error = null, finished_at = null, warnings = warnings || $6::jsonb
  where id in (select generation_id from accepted) and status <> 'cancelled'`

/**
 * An output without a row that never will have one. What may lie in storage is removed, but not at once: another process,
 * whose heartbeat was lost, may be about to record it, and that takes the deletion back.
 */
export const SAVE_LOST = `
  with lost as (
    update darkroom.submissions submission set state = 'lost', output_bytes = null, error = $3, updated_at = now()
    where generation_id = $1 and index = $2 and state = 'accepted' and not (${IS_RECORDED}) returning generation_id, index
  )
  insert into darkroom.file_deletions (bucket, path, not_before)
  select bucket, user_id || '/' || id || '/' || lost.index || '.', now() + interval '10 minutes'
  from lost join public.generations on id = generation_id`

/** Nothing is kept for a file that has its row already. */
export const KEEP_BYTES = `
  update darkroom.submissions submission set output_bytes = $3
  where generation_id = $1 and index = $2 and state = 'accepted' and not (${IS_RECORDED})`
