-- Work that a provider goes on with after it has answered: its operation, the mark by which it is found again, and the
-- places that bound how much of it is under way.

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

revoke execute on all functions in schema darkroom from public, anon, authenticated, service_role;
revoke all on all tables in schema darkroom from public, anon, authenticated, service_role;
alter table darkroom.inputs enable row level security;
