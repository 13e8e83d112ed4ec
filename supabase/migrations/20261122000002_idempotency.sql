-- Idempotency keys: the same key from the same user on the same route is the same generation, for a day.

set lock_timeout = '5s';

create table darkroom.idempotency_keys (
  user_id uuid not null references auth.users (id) on delete cascade,
  route varchar not null,
  key varchar not null,
  body_sha256 varchar not null,
  generation_id uuid references public.generations (id) on delete set null,
  created_at timestamptz not null default now(),
  primary key (user_id, route, key)
);
comment on table darkroom.idempotency_keys is 'Which generation a key stands for. Outlives its generation, so that a repeated request is not paid again.';
comment on column darkroom.idempotency_keys.generation_id is 'Null once the generation was deleted.';
create index idempotency_keys_created_at_idx on darkroom.idempotency_keys (created_at);
create index idempotency_keys_generation_id_idx on darkroom.idempotency_keys (generation_id);

revoke all on darkroom.idempotency_keys from public, anon, authenticated, service_role;
alter table darkroom.idempotency_keys enable row level security;
