-- The tables that the frontend reads under row level security, and the service's own state beside them.
-- Privileges are granted by name, since new projects grant nothing by default. The service connects as the owner of
-- these tables; service_role may write them too, for scripts that use a secret key.

set lock_timeout = '5s';

create schema if not exists darkroom;
comment on schema darkroom is 'State of the media service. Never expose it through the Data API.';
revoke all on schema darkroom from public;

-- What the frontend reads -------------------------------------------------------------------------------------------

create table public.prompts (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  prompt text not null,
  model_used varchar not null,
  type varchar not null constraint prompts_type_check check (type in ('image', 'video', 'speech', 'music', 'text')),
  size varchar,
  language varchar not null default 'en',
  created_at timestamptz not null default now()
);
comment on table public.prompts is 'What users asked for. Deleting a prompt deletes everything made from it, files included.';
comment on column public.prompts.model_used is 'The model that really ran, which may be the successor of the one asked for.';
comment on column public.prompts.size is 'WxH in pixels, as asked for; null for kinds without one.';
create index prompts_user_id_created_at_idx on public.prompts (user_id, created_at desc);

create table public.generations (
  id uuid primary key default gen_random_uuid(),
  prompt_id uuid not null unique references public.prompts (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  kind varchar not null constraint generations_kind_check check (kind in ('image', 'video', 'speech', 'music', 'text')),
  requested_model varchar not null,
  model varchar not null,
  provider varchar not null,
  status varchar not null default 'queued'
    constraint generations_status_check check (status in ('queued', 'running', 'storing', 'succeeded', 'failed', 'cancelled')),
  progress real constraint generations_progress_check check (progress between 0 and 1),
  error jsonb,
  warnings jsonb not null default '[]',
  estimated_cost_micros bigint,
  bucket varchar not null,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz not null default now()
);
comment on table public.generations is 'The state of each request, from the moment it was accepted.';
comment on column public.generations.progress is '0 to 1; null where the provider tells none.';
comment on column public.generations.error is '{code, message}: why it failed, or, while status is storing, why it is not stored yet.';
comment on column public.generations.estimated_cost_micros is 'What the catalog says the provider will charge, in millionths of a US dollar.';
create index generations_user_id_created_at_idx on public.generations (user_id, created_at desc);
create index generations_open_idx on public.generations (updated_at) where status in ('queued', 'running', 'storing');

create table public.images (
  id uuid primary key default gen_random_uuid(),
  prompt_id uuid not null references public.prompts (id) on delete cascade,
  url text,
  size varchar not null,
  file_size bigint not null,
  mime_type varchar not null,
  created_at timestamptz not null default now(),
  user_id uuid not null references auth.users (id) on delete cascade,
  generation_id uuid not null references public.generations (id) on delete cascade,
  index integer not null,
  bucket varchar not null,
  storage_path text not null,
  bucket_url text,
  width integer not null,
  height integer not null,
  sha256 varchar not null,
  thumbnail_path text not null,
  thumbnail_url text,
  placeholder varchar not null,
  constraint images_generation_id_index_key unique (generation_id, index)
);
comment on table public.images is 'Stored pictures. A row exists only when its file does.';
comment on column public.images.url is 'The provider''s own URL, which expires; where the provider sent bytes, the same as bucket_url.';
comment on column public.images.bucket_url is 'The stable public URL; null when the bucket is private: sign storage_path then.';
comment on column public.images.sha256 is 'Of the stored file, in hexadecimal.';
comment on column public.images.placeholder is 'A thumbhash of the picture, base64, to paint before it loads.';
create index images_prompt_id_idx on public.images (prompt_id);
create index images_user_id_created_at_idx on public.images (user_id, created_at desc);

create table public.videos (
  id uuid primary key default gen_random_uuid(),
  prompt_id uuid not null references public.prompts (id) on delete cascade,
  url text,
  duration integer not null,
  aspect_ratio varchar not null,
  file_size bigint not null,
  mime_type varchar not null,
  created_at timestamptz not null default now(),
  user_id uuid not null references auth.users (id) on delete cascade,
  generation_id uuid not null references public.generations (id) on delete cascade,
  index integer not null,
  bucket varchar not null,
  storage_path text not null,
  bucket_url text,
  width integer not null,
  height integer not null,
  sha256 varchar not null,
  thumbnail_path text,
  thumbnail_url text,
  placeholder varchar,
  constraint videos_generation_id_index_key unique (generation_id, index)
);
comment on table public.videos is 'Stored videos. A row exists only when its file does.';
comment on column public.videos.duration is 'In whole seconds, as measured in the file.';
create index videos_prompt_id_idx on public.videos (prompt_id);
create index videos_user_id_created_at_idx on public.videos (user_id, created_at desc);

-- What only the service sees ----------------------------------------------------------------------------------------

create table darkroom.requests (
  generation_id uuid primary key references public.generations (id) on delete cascade,
  plan jsonb not null
);
comment on table darkroom.requests is 'The checked request of each generation: what its steps need, in any process.';

create table darkroom.submissions (
  generation_id uuid not null references public.generations (id) on delete cascade,
  index integer not null,
  state varchar not null default 'queued'
    constraint submissions_state_check check (state in ('queued', 'starting', 'accepted', 'refused', 'unknown', 'lost')),
  outputs jsonb,
  output_bytes bytea,
  output_expires_at timestamptz,
  error jsonb,
  provider_request_id text,
  updated_at timestamptz not null default now(),
  primary key (generation_id, index)
);
comment on table darkroom.submissions is 'One paid create each: written as starting before the call, with its outcome after it, and never sent twice.';
comment on column darkroom.submissions.state is
  'accepted: made and paid, to be stored; unknown: may have been paid; lost: made, but its output can never be stored.';
comment on column darkroom.submissions.outputs is 'The provider''s links: [{"type": "url", "url": "…"}].';
comment on column darkroom.submissions.output_bytes is 'An output that came as bytes, until it is stored.';

create table darkroom.file_deletions (
  id bigint generated always as identity primary key,
  bucket varchar not null,
  path text not null,
  not_before timestamptz not null default now(),
  attempts integer not null default 0,
  last_error text,
  created_at timestamptz not null default now()
);
comment on table darkroom.file_deletions is 'Files whose rows are gone, to be removed through the Storage API. A path that ends with / is a folder.';
create index file_deletions_not_before_idx on darkroom.file_deletions (not_before);

-- Functions and triggers --------------------------------------------------------------------------------------------

create function darkroom.announce_generation() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.updated_at := clock_timestamp();
  perform pg_notify('darkroom_generations', new.id::text);
  return new;
end $$;
create trigger announce before insert or update on public.generations
  for each row execute function darkroom.announce_generation();

create function darkroom.discard_image_files() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into darkroom.file_deletions (bucket, path) values (old.bucket, old.storage_path);
  if old.thumbnail_path is not null then
    insert into darkroom.file_deletions (bucket, path) values (old.bucket, old.thumbnail_path);
  end if;
  perform pg_notify('darkroom_file_deletions', '');
  return null;
end $$;
create trigger discard_files after delete on public.images for each row execute function darkroom.discard_image_files();
create trigger discard_files after delete on public.videos for each row execute function darkroom.discard_image_files();

-- A generation that is deleted on its way may still store a file: its folder is emptied once more an hour later.
create function darkroom.discard_generation_folder() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if old.status in ('queued', 'running', 'storing') then
    insert into darkroom.file_deletions (bucket, path, not_before)
    select old.bucket, old.user_id || '/' || old.id || '/', now() + delay
    from unnest(array[interval '0', interval '1 hour']) as delay;
    perform pg_notify('darkroom_file_deletions', '');
    perform pg_notify('darkroom_generations', old.id::text);
  end if;
  return null;
end $$;
create trigger discard_folder after delete on public.generations
  for each row execute function darkroom.discard_generation_folder();

-- Records stored pictures, and the success once every accepted one is recorded. Answers what it found: recorded,
-- partial (others of the same generation are still to be stored), or gone (cancelled or deleted meanwhile: the files
-- have no row and their folder is emptied). A picture that was paid for reopens a generation that was given up.
create function darkroom.record_images(generation uuid, owner uuid, files_bucket text, stored jsonb, notes jsonb) returns text
language plpgsql security definer set search_path = '' as $$
declare
  current public.generations;
begin
  select * into current from public.generations where id = generation for update;
  if current.id is null or current.status = 'cancelled' then
    insert into darkroom.file_deletions (bucket, path) values (files_bucket, owner || '/' || generation || '/');
    perform pg_notify('darkroom_file_deletions', '');
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
  update darkroom.submissions submission set output_bytes = null
  where generation_id = current.id and output_bytes is not null
    and exists (select from public.images image where image.generation_id = current.id and image.index = submission.index);
  if darkroom.has_unstored_output(current.id) then
    update public.generations set status = 'storing', finished_at = null where id = current.id and status <> 'storing';
    return 'partial';
  end if;
  update public.generations
  set status = 'succeeded', progress = 1, error = null, warnings = warnings || notes, finished_at = clock_timestamp()
  where id = current.id and status <> 'succeeded';
  return 'recorded';
end $$;

-- Whether something that was paid for still waits to be stored.
create function darkroom.has_unstored_output(generation uuid) returns boolean
language sql stable set search_path = '' as $$
  select exists (
    select from darkroom.submissions submission
    where generation_id = generation and state = 'accepted'
      and not exists (select from public.images image where image.generation_id = generation and image.index = submission.index)
  )
$$;

-- Ends a generation that cannot succeed, and empties its folder when something may have been stored. Refuses, with
-- false, while something that was paid for still waits to be stored, and when the generation has ended.
create function darkroom.fail_generation(generation uuid, reason jsonb) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  current public.generations;
begin
  select * into current from public.generations where id = generation for update;
  if current.id is null or current.status not in ('queued', 'running', 'storing') or darkroom.has_unstored_output(generation) then
    return false;
  end if;
  update public.generations
  set status = 'failed', error = reason, finished_at = clock_timestamp(), started_at = coalesce(started_at, clock_timestamp())
  where id = generation;
  if exists (select from darkroom.submissions where generation_id = generation and state = 'lost') then
    insert into darkroom.file_deletions (bucket, path)
    values (current.bucket, current.user_id || '/' || current.id || '/');
    perform pg_notify('darkroom_file_deletions', '');
  end if;
  return true;
end $$;

revoke execute on all functions in schema darkroom from public, anon, authenticated, service_role;

-- The bucket. The service makes it private where its configuration says so.

insert into storage.buckets (id, name, public) values ('media', 'media', true) on conflict (id) do nothing;

-- Privileges --------------------------------------------------------------------------------------------------------

revoke all on public.prompts, public.generations, public.images, public.videos from anon, authenticated, service_role;
grant select, delete on public.prompts to authenticated;
grant select on public.generations, public.images, public.videos to authenticated;
grant select, insert, update, delete on public.prompts, public.generations, public.images, public.videos to service_role;
revoke all on all tables in schema darkroom from public, anon, authenticated, service_role;

-- Policies come last: making them locks the tables of auth and storage until the end of this file.

alter table public.prompts enable row level security;
alter table public.generations enable row level security;
alter table public.images enable row level security;
alter table public.videos enable row level security;
alter table darkroom.requests enable row level security;
alter table darkroom.submissions enable row level security;
alter table darkroom.file_deletions enable row level security;

create policy "Users read their own prompts" on public.prompts
  for select to authenticated using (user_id = (select auth.uid()));
create policy "Users delete their own prompts" on public.prompts
  for delete to authenticated using (user_id = (select auth.uid()));
create policy "Users read their own generations" on public.generations
  for select to authenticated using (user_id = (select auth.uid()));
create policy "Users read their own images" on public.images
  for select to authenticated using (user_id = (select auth.uid()));
create policy "Users read their own videos" on public.videos
  for select to authenticated using (user_id = (select auth.uid()));

-- Files carry no owner, since the service stores them: the first folder of a path is the user's id.
create policy "Users read their own media" on storage.objects
  for select to authenticated using (bucket_id = 'media' and (storage.foldername(name))[1] = (select auth.uid())::text);
