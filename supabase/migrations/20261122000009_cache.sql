-- Answers that are given again: new rows on the same files, which stay as long as any row shows them.

set lock_timeout = '5s';

alter table public.generations add column cached boolean not null default false;
comment on column public.generations.cached is 'Whether it shows the files of an earlier one that was asked for the same. Nothing was paid for it.';
alter table darkroom.requests add column fingerprint varchar;
comment on column darkroom.requests.fingerprint is 'What was asked for, its files included, as a hash.';
create index requests_fingerprint_idx on darkroom.requests (fingerprint) where fingerprint is not null;

-- Held while it is decided whether a user's file is still shown: of two rows deleted at once, the second sees the first gone.
create function darkroom.lock_files(owner uuid) returns void
language sql set search_path = '' as $$
  select pg_advisory_xact_lock(20261123, hashtext(owner::text))
$$;

create function darkroom.is_shown(file_bucket varchar, file_path text) returns boolean
language sql stable set search_path = '' as $$
  select exists (select from public.images where bucket = file_bucket and storage_path = file_path)
    or exists (select from public.videos where bucket = file_bucket and storage_path = file_path)
$$;

create or replace function darkroom.discard_image_files() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform darkroom.lock_files(old.user_id);
  if not darkroom.is_shown(old.bucket, old.storage_path) then
    insert into darkroom.file_deletions (bucket, path)
    select old.bucket, path from unnest(array[old.storage_path, old.thumbnail_path]) as path where path is not null;
    perform pg_notify('darkroom_file_deletions', '');
  end if;
  return null;
end $$;

create or replace function darkroom.count_file() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    insert into public.usage_ledger (user_id, entry, generation_id, path, bytes)
    values (new.user_id, 'store', new.generation_id, new.storage_path, new.file_size) on conflict do nothing;
  elsif exists (select from auth.users where id = old.user_id) then
    perform darkroom.lock_files(old.user_id);
    if not darkroom.is_shown(old.bucket, old.storage_path) then
      insert into public.usage_ledger (user_id, entry, generation_id, path, bytes)
      select user_id, 'free', generation_id, path, -bytes from public.usage_ledger where entry = 'store' and path = old.storage_path
      on conflict do nothing;
    end if;
  end if;
  return null;
end $$;

-- Answers what was asked for before with what it gave then: as a new generation that has succeeded, or, while the earlier
-- one is under way, as that one itself. Null where there is none that is young enough.
create function darkroom.reuse(owner uuid, wanted varchar, max_age interval) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
  earlier public.generations;
  copy uuid := gen_random_uuid();
  copied_prompt uuid := gen_random_uuid();
begin
  -- Of several that ask at once, the others find what the first begins.
  perform pg_advisory_xact_lock(20261124, hashtext(owner || wanted));
  select generation.* into earlier
  from darkroom.requests request join public.generations generation on generation.id = request.generation_id
  where request.fingerprint = wanted and generation.user_id = owner and generation.status in ('queued', 'running', 'storing')
    and generation.created_at > now() - max_age
  order by generation.created_at limit 1;
  if found then
    return earlier.id;
  end if;

  select generation.* into earlier
  from darkroom.requests request join public.generations generation on generation.id = request.generation_id
  where request.fingerprint = wanted and generation.user_id = owner and generation.status = 'succeeded'
    and generation.finished_at > now() - max_age
    -- Another model than the one that was asked for is another answer.
    and generation.attempts = '[]'
    and (select count(*) from public.images where generation_id = generation.id) + (select count(*) from public.videos where generation_id = generation.id) = (request.plan ->> 'n')::integer
  order by generation.finished_at desc limit 1;
  if not found then
    return null;
  end if;
  -- Whoever deletes them waits, and then sees the new rows on the same files.
  perform from public.images where generation_id = earlier.id for share;
  perform from public.videos where generation_id = earlier.id for share;

  insert into public.prompts (id, user_id, prompt, model_used, type, size, language)
  select copied_prompt, user_id, prompt, model_used, type, size, language from public.prompts where id = earlier.prompt_id;
  insert into public.generations (id, prompt_id, user_id, kind, requested_model, model, provider, status, progress, warnings,
    estimated_cost_micros, cost_micros, bucket, cached, started_at, finished_at)
  select copy, id, owner, earlier.kind, earlier.requested_model, earlier.model, earlier.provider, 'succeeded', 1, earlier.warnings,
    0, 0, earlier.bucket, true, clock_timestamp(), clock_timestamp()
  from public.prompts where id = copied_prompt;
  insert into public.images (prompt_id, user_id, generation_id, index, url, size, file_size, mime_type, bucket, storage_path,
    bucket_url, width, height, sha256, thumbnail_path, thumbnail_url, placeholder)
  select copied_prompt, user_id, copy, index, url, size, file_size, mime_type, bucket, storage_path,
    bucket_url, width, height, sha256, thumbnail_path, thumbnail_url, placeholder
  from public.images where generation_id = earlier.id;
  insert into public.videos (prompt_id, user_id, generation_id, index, url, duration, duration_seconds, aspect_ratio, file_size,
    mime_type, bucket, storage_path, bucket_url, width, height, sha256, thumbnail_path, thumbnail_url, placeholder)
  select copied_prompt, user_id, copy, index, url, duration, duration_seconds, aspect_ratio, file_size,
    mime_type, bucket, storage_path, bucket_url, width, height, sha256, thumbnail_path, thumbnail_url, placeholder
  from public.videos where generation_id = earlier.id;
  if not exists (select from public.images where generation_id = copy union all select from public.videos where generation_id = copy) then
    -- They were deleted while this waited for them.
    delete from public.prompts where id = copied_prompt;
    return null;
  end if;
  return copy;
end $$;

revoke execute on all functions in schema darkroom from public, anon, authenticated, service_role;
