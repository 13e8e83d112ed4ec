-- How a generation ends: several models may be asked in turn, each output has a price that the vendor may tell, and videos
-- are recorded as pictures are.

set lock_timeout = '5s';

alter table public.generations
  add column attempts jsonb not null default '[]',
  add column cost_micros bigint;
comment on column public.generations.attempts is
  'The models that were asked before the present one, in order: [{"model", "provider", "error": {"code", "message"}, "at"}].';
comment on column public.generations.cost_micros is
  'What it cost, in millionths of a US dollar: as the vendor tells, else as the catalog says; null while that is not settled.';
alter table darkroom.submissions add column cost_micros bigint;
comment on column darkroom.submissions.cost_micros is 'What the vendor says that it charged, in millionths of a US dollar.';

-- Goes on with another model when the present one surely took nothing: every submission was refused. Answers whether it does.
create function darkroom.try_next(generation uuid, next_plan jsonb, attempt jsonb) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  current public.generations;
begin
  select * into current from public.generations where id = generation for update;
  if current.id is null or current.status not in ('queued', 'running', 'storing') or exists (
    select from darkroom.submissions where generation_id = generation and state <> 'refused'
  ) then
    return false;
  end if;
  update darkroom.submissions
  set state = 'queued', error = null, mark = null, callback_token = null, called_at = null, operation = null, told_operation = null,
    provider_request_id = null, cost_micros = null, updated_at = clock_timestamp()
  where generation_id = generation;
  update darkroom.requests set plan = next_plan where generation_id = generation;
  update public.prompts set model_used = next_plan ->> 'model' where id = current.prompt_id;
  update public.generations
  set status = 'queued', error = null, progress = null, model = next_plan ->> 'model', provider = next_plan ->> 'provider',
    warnings = next_plan -> 'warnings', estimated_cost_micros = (next_plan ->> 'estimatedCostMicros')::bigint, attempts = attempts || attempt
  where id = generation;
  return true;
end $$;

-- Ends -------------------------------------------------------------------------------------------------------------

-- Whether something that was paid for, or may be, is still to come: at the provider or into storage.
create or replace function darkroom.has_unstored_output(generation uuid) returns boolean
language sql stable set search_path = '' as $$
  select exists (
    select from darkroom.submissions submission
    where generation_id = generation and (
      state in ('uncertain', 'started')
      or (state = 'accepted'
        and not exists (select from public.images image where image.generation_id = generation and image.index = submission.index)
        and not exists (select from public.videos video where video.generation_id = generation and video.index = submission.index)))
  )
$$;

-- What a generation has cost so far: a lost output was paid for, a refused one was not.
create function darkroom.settled_cost(current public.generations) returns bigint
language sql stable set search_path = '' as $$
  select sum(coalesce(submission.cost_micros, current.estimated_cost_micros / (select count(*) from darkroom.submissions where generation_id = current.id)))::bigint
  from darkroom.submissions submission
  where submission.generation_id = current.id and submission.state in ('accepted', 'lost')
$$;

-- What is left to do once rows for stored files were written: nothing kept twice, no folder emptied that is in use, and
-- the success, unless others of the same generation are still to come.
create function darkroom.finish_recording(current public.generations, notes jsonb) returns text
language plpgsql security definer set search_path = '' as $$
begin
  update darkroom.submissions submission set output_bytes = null
  where generation_id = current.id and output_bytes is not null
    and (exists (select from public.images image where image.generation_id = current.id and image.index = submission.index)
      or exists (select from public.videos video where video.generation_id = current.id and video.index = submission.index));
  delete from darkroom.file_deletions where bucket = current.bucket and starts_with(path, current.user_id || '/' || current.id || '/');
  if darkroom.has_unstored_output(current.id) then
    update public.generations set status = 'storing', finished_at = null where id = current.id and status <> 'storing';
    return 'partial';
  end if;
  update public.generations
  set status = 'succeeded', progress = 1, error = null, warnings = warnings || notes, cost_micros = darkroom.settled_cost(current),
    finished_at = clock_timestamp()
  where id = current.id and status <> 'succeeded';
  return 'recorded';
end $$;

-- The generation whose files are to be recorded, or null when it is gone: its folder is emptied then.
create function darkroom.lock_for_recording(generation uuid, owner uuid, files_bucket text) returns public.generations
language plpgsql security definer set search_path = '' as $$
declare
  current public.generations;
begin
  select * into current from public.generations where id = generation for update;
  if current.id is not null and current.status <> 'cancelled' then
    return current;
  end if;
  insert into darkroom.file_deletions (bucket, path) values (files_bucket, owner || '/' || generation || '/');
  perform pg_notify('darkroom_file_deletions', '');
  return null;
end $$;

create or replace function darkroom.record_images(generation uuid, owner uuid, files_bucket text, stored jsonb, notes jsonb) returns text
language plpgsql security definer set search_path = '' as $$
declare
  current public.generations := darkroom.lock_for_recording(generation, owner, files_bucket);
begin
  if current.id is null then
    return 'gone';
  end if;
  insert into public.images (prompt_id, user_id, generation_id, index, url, size, file_size, mime_type, bucket, storage_path,
    bucket_url, width, height, sha256, thumbnail_path, thumbnail_url, placeholder)
  select current.prompt_id, current.user_id, current.id, image.index, image.url, image.size, image.file_size, image.mime_type,
    current.bucket, image.storage_path, image.bucket_url, image.width, image.height, image.sha256, image.thumbnail_path,
    image.thumbnail_url, image.placeholder
  from jsonb_to_recordset(stored) as image (index integer, url text, size varchar, file_size bigint, mime_type varchar,
    storage_path text, bucket_url text, width integer, height integer, sha256 varchar, thumbnail_path text,
    thumbnail_url text, placeholder varchar)
  on conflict (generation_id, index) do nothing;
  return darkroom.finish_recording(current, notes);
end $$;

-- As record_images, for videos.
create function darkroom.record_videos(generation uuid, owner uuid, files_bucket text, stored jsonb, notes jsonb) returns text
language plpgsql security definer set search_path = '' as $$
declare
  current public.generations := darkroom.lock_for_recording(generation, owner, files_bucket);
begin
  if current.id is null then
    return 'gone';
  end if;
  insert into public.videos (prompt_id, user_id, generation_id, index, url, duration, duration_seconds, aspect_ratio, file_size,
    mime_type, bucket, storage_path, bucket_url, width, height, sha256)
  select current.prompt_id, current.user_id, current.id, video.index, video.url, round(video.duration_seconds), video.duration_seconds,
    video.aspect_ratio, video.file_size, video.mime_type, current.bucket, video.storage_path, video.bucket_url, video.width,
    video.height, video.sha256
  from jsonb_to_recordset(stored) as video (index integer, url text, duration_seconds double precision, aspect_ratio varchar,
    file_size bigint, mime_type varchar, storage_path text, bucket_url text, width integer, height integer, sha256 varchar)
  on conflict (generation_id, index) do nothing;
  return darkroom.finish_recording(current, notes);
end $$;

-- Ends a generation that cannot succeed. Refuses, with false, while something that was paid for is still to come, and when
-- the generation has ended.
create or replace function darkroom.fail_generation(generation uuid, reason jsonb) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  current public.generations;
begin
  select * into current from public.generations where id = generation for update;
  if current.id is null or current.status not in ('queued', 'running', 'storing') or darkroom.has_unstored_output(generation) then
    return false;
  end if;
  update public.generations
  set status = 'failed', error = reason, cost_micros = coalesce(darkroom.settled_cost(current), 0), finished_at = clock_timestamp(),
    started_at = coalesce(started_at, clock_timestamp())
  where id = generation;
  if exists (select from darkroom.submissions where generation_id = generation and state = 'lost') then
    -- Not at once: another process, whose heartbeat was lost, may be about to record what it has stored.
    insert into darkroom.file_deletions (bucket, path, not_before)
    values (current.bucket, current.user_id || '/' || current.id || '/', now() + interval '10 minutes');
  end if;
  return true;
end $$;

-- Ends a generation whose provider was not asked yet, or refused to take it for now. Answers whether it did.
create function darkroom.cancel_generation(generation uuid, owner uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  current public.generations;
begin
  -- A claim takes the same row, so one of the two is first and the other finds nothing to do.
  select * into current from public.generations where id = generation and user_id = owner for update;
  if current.id is null or current.status not in ('queued', 'running') or exists (
    select from darkroom.submissions where generation_id = generation and state not in ('queued', 'refused')
  ) then
    return false;
  end if;
  update public.generations set status = 'cancelled', finished_at = clock_timestamp() where id = generation;
  return true;
end $$;

-- Ends a generation whose operation was cancelled, here or at the provider. Refuses, with false, when anything else of
-- it is still to come.
create function darkroom.cancel_operation(generation uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  current public.generations;
begin
  select * into current from public.generations where id = generation for update;
  if current.id is null or current.status <> 'running' then
    return false;
  end if;
  update darkroom.submissions
  set state = 'refused', error = '{"code": "conflict", "message": "This generation was cancelled."}', updated_at = clock_timestamp()
  where generation_id = generation and state = 'started';
  if darkroom.has_unstored_output(generation) then
    return false;
  end if;
  update public.generations set status = 'cancelled', finished_at = clock_timestamp() where id = generation;
  return true;
end $$;

-- Nothing of a request's files is kept once its generation has ended.
create function darkroom.forget_inputs() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from darkroom.inputs where generation_id = new.id;
  return null;
end $$;
create trigger forget_inputs after update of status on public.generations
  for each row when (new.status in ('succeeded', 'failed', 'cancelled'))
  execute function darkroom.forget_inputs();

revoke execute on all functions in schema darkroom from public, anon, authenticated, service_role;
