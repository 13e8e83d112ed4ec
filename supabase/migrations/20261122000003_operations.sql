-- Work that a provider goes on with after it has answered: its operation, the mark by which it is found again, the
-- places that bound how much of it is under way, and the videos that come of it.

set lock_timeout = '5s';

-- What a submission may be -----------------------------------------------------------------------------------------

alter table darkroom.submissions
  drop constraint submissions_state_check,
  add constraint submissions_state_check
    check (state in ('queued', 'starting', 'uncertain', 'started', 'accepted', 'refused', 'unknown', 'lost')),
  add column mark jsonb,
  add column callback_token varchar,
  add column called_at timestamptz,
  add column operation jsonb,
  add column told_operation jsonb;
comment on column darkroom.submissions.state is
  'uncertain: the answer to the paid call was lost, and the provider is being asked; started: the provider works on it; accepted: made and paid, to be stored; unknown: may have been paid; lost: made, but its output can never be stored.';
comment on column darkroom.submissions.mark is 'Sent with the paid call and echoed by the provider''s list: tells this work from any other.';
comment on column darkroom.submissions.called_at is 'When the paid call began.';
comment on column darkroom.submissions.operation is 'What the provider calls the work: any process goes on with it.';
comment on column darkroom.submissions.told_operation is 'An operation that a callback named. Nothing is believed of it before the provider was asked.';

-- By hash: an operation may be larger than a row of another index.
create index submissions_operation_idx on darkroom.submissions using hash (operation) where operation is not null;

create table darkroom.inputs (
  generation_id uuid not null references public.generations (id) on delete cascade,
  name varchar not null,
  media_type varchar not null,
  bytes bytea not null,
  primary key (generation_id, name)
);
comment on table darkroom.inputs is 'Files of a request, cleaned, until the provider has them.';
alter table darkroom.inputs alter column bytes set storage external;

alter table darkroom.requests add column waiting boolean not null default false;
comment on column darkroom.requests.waiting is 'Whether the generation has no job because every place that it could take is taken.';
create index requests_waiting_idx on darkroom.requests (generation_id) where waiting;
create index generations_running_idx on public.generations (provider, kind, user_id) where status = 'running';
create index generations_queued_idx on public.generations (user_id) where status = 'queued';

alter table public.videos add column duration_seconds double precision;
comment on column public.videos.duration_seconds is 'As measured in the file.';

-- Places -----------------------------------------------------------------------------------------------------------

-- Marks every queued submission of a generation as starting, with the mark of each by its position. Answers their
-- indexes; null when there is no place: the generation waits without a job until wake_waiting takes it.
create function darkroom.claim_submissions(generation uuid, marks jsonb, provider_limit integer, user_limit integer) returns integer[]
language plpgsql security definer set search_path = '' as $$
declare
  current public.generations;
  claimed integer[];
begin
  -- One at a time over all processes: no two see the same free place.
  perform pg_advisory_xact_lock(20261122, 1);
  select * into current from public.generations where id = generation for update;
  if current.id is null or current.status not in ('queued', 'running', 'storing') then
    return '{}';
  end if;
  if current.status = 'queued' and (
    (select count(*) from public.generations where status = 'running' and provider = current.provider and kind = current.kind) >= provider_limit
    or (select count(*) from public.generations where status = 'running' and provider = current.provider and kind = current.kind and user_id = current.user_id) >= user_limit
  ) then
    update darkroom.requests set waiting = true where generation_id = generation;
    return null;
  end if;
  with starting as (
    update darkroom.submissions
    set state = 'starting', mark = marks -> index, callback_token = marks -> index ->> 'callbackToken', called_at = clock_timestamp(), updated_at = clock_timestamp()
    where generation_id = generation and state = 'queued' returning index
  )
  select coalesce(array_agg(index order by index), '{}') into claimed from starting;
  if claimed <> '{}' then
    update public.generations set status = 'running', started_at = coalesce(started_at, clock_timestamp())
    where id = generation and status = 'queued';
  end if;
  return claimed;
end $$;

-- Takes those waiting generations for which there is a place, while no more than so many are under way at each provider,
-- and there for each user; of every kind by itself. Users take turns: the first of each goes before the second of any.
-- Whoever calls it gives each a job in the same transaction.
create function darkroom.wake_waiting(provider_limit integer, user_limit integer) returns setof uuid
language plpgsql security definer set search_path = '' as $$
begin
  if not exists (select from darkroom.requests where waiting) then
    return;
  end if;
  perform pg_advisory_xact_lock(20261122, 2);
  return query
  with open as (
    select generation.id, generation.user_id, generation.provider, generation.kind, generation.created_at, request.waiting and generation.status = 'queued' as waits
    from public.generations generation join darkroom.requests request on request.generation_id = generation.id
    where generation.status in ('queued', 'running')
  ), places as (
    -- Those that were woken and have not started yet have a place too.
    select provider, kind, provider_limit - count(*) filter (where not waits) as free from open group by provider, kind
  ), turns as (
    select id, provider, kind, created_at, waits,
      count(*) filter (where not waits) over (partition by user_id, provider, kind)
        + row_number() over (partition by user_id, provider, kind, waits order by created_at, id) as turn
    from open
  ), ranks as (
    select id, provider, kind, row_number() over (partition by provider, kind order by turn, created_at, id) as rank
    from turns where waits and turn <= user_limit
  )
  update darkroom.requests request set waiting = false
  from ranks join places using (provider, kind)
  where ranks.rank <= places.free and request.generation_id = ranks.id and request.waiting
  returning request.generation_id;
end $$;

-- What leaves the queue waits no more, however it leaves it.
create function darkroom.stop_waiting() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update darkroom.requests set waiting = false where generation_id = new.id and waiting;
  return null;
end $$;
create trigger stop_waiting after update of status on public.generations
  for each row when (old.status = 'queued' and new.status <> 'queued') execute function darkroom.stop_waiting();

create function darkroom.announce_place() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from darkroom.requests where waiting) then
    perform pg_notify('darkroom_places', '');
  end if;
  return null;
end $$;
create trigger announce_place after update of status on public.generations
  for each row when (old.status = 'running' and new.status <> 'running')
  execute function darkroom.announce_place();
create trigger announce_place_on_delete after delete on public.generations
  for each row when (old.status = 'running') execute function darkroom.announce_place();

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
  set status = 'succeeded', progress = 1, error = null, warnings = warnings || notes, finished_at = clock_timestamp()
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
  for each row when (new.status in ('storing', 'succeeded', 'failed', 'cancelled') and new.kind <> 'image')
  execute function darkroom.forget_inputs();

revoke execute on all functions in schema darkroom from public, anon, authenticated, service_role;
revoke all on all tables in schema darkroom from public, anon, authenticated, service_role;
alter table darkroom.inputs enable row level security;
