-- Several models may be asked in turn for one generation, and each output has a price that the vendor may tell.

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

-- What a generation has cost so far: a lost output was paid for, a refused one was not.
create function darkroom.settled_cost(current public.generations) returns bigint
language sql stable set search_path = '' as $$
  select sum(coalesce(submission.cost_micros, current.estimated_cost_micros / (select count(*) from darkroom.submissions where generation_id = current.id)))::bigint
  from darkroom.submissions submission
  where submission.generation_id = current.id and submission.state in ('accepted', 'lost')
$$;

create or replace function darkroom.finish_recording(current public.generations, notes jsonb) returns text
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

-- Pictures are made of files too.
drop trigger forget_inputs on public.generations;
create trigger forget_inputs after update of status on public.generations
  for each row when (new.status in ('succeeded', 'failed', 'cancelled'))
  execute function darkroom.forget_inputs();

revoke execute on all functions in schema darkroom from public, anon, authenticated, service_role;
